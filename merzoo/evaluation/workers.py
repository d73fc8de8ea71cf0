"""What a process that helps with the folds does: open the clips once, do what it is handed, tell how far it is, and end with whom it works for.

Light to import: a new process should listen to its parent before it loads torch.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from merzoo.errors import MerzooWarning

if TYPE_CHECKING:
    from merzoo.data.clips import ClipData
    from merzoo.evaluation.folds import Plan
    from merzoo.training.engine import Progress

Report = Callable[[str, int, int], None]  # what is being done, how much of it, of how much
Told = list[tuple[type[Warning], str]]  # warnings on their way to whoever speaks to the user

EVERY = 0.3  # seconds between messages of a fold
_LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")  # read when a library is loaded

_known: tuple[Plan, ClipData, Report] | None = None


def start(plan: bytes, threads: int, parent: int, alive: Connection, news: Connection, lock: Any) -> None:
    """In a new process. plan: pickled, so that nothing of it is imported earlier; alive: at its end when the parent wants this process gone."""
    global _known

    def watch() -> None:
        while os.getppid() == parent and not alive.poll(0.5):
            pass
        os._exit(1)

    def tell(*message: object) -> None:
        with lock, contextlib.suppress(OSError):
            news.send((os.getpid(), *message))

    threading.Thread(target=watch, daemon=True).start()
    os.environ.update(dict.fromkeys(_LIMITS, str(threads)))
    known: Plan = pickle.loads(plan)
    _known = known, opened(known), tell
    tell()


def opened(plan: Plan) -> ClipData:
    """The clips of a plan, whose store is there already: memory-mapped, so that processes of one machine share its pages."""
    from merzoo.data.clips import ClipData

    return ClipData(plan.data, plan.spec.preset(plan.preset).preprocessing)


def work(function: Callable[..., Any], args: Sequence[Any]) -> tuple[Any, Told]:
    """In such a process: what the function gives, and what it warned of."""
    assert _known is not None  # `start` ran
    plan, clips, tell = _known
    with overheard() as told:
        return function(plan, clips, *args, progress=now_and_then(tell)), told


def now_and_then(tell: Report) -> Progress:
    """Progress of stages for somebody in another process: not every step is worth a message."""
    last = 0.0

    def progress(stage: str, step: int, total: int, losses: dict[str, float]) -> None:
        nonlocal last
        if time.monotonic() - last >= EVERY:
            last = time.monotonic()
            tell(stage, step, total)

    return progress


@contextlib.contextmanager
def overheard() -> Iterator[Told]:
    """Keep what merzoo warns of, for the process that speaks to the user; other warnings are shown as ever."""
    told: Told = []
    with warnings.catch_warnings():
        shown = warnings.showwarning

        def keep(message: Warning | str, category: type[Warning], filename: str, lineno: int, file: Any = None, line: str | None = None) -> None:
            if issubclass(category, MerzooWarning):
                told.append((category, str(message)))
            else:
                shown(message, category, filename, lineno, file, line)

        warnings.showwarning = keep
        yield told


def passed_on(told: Told) -> None:
    """Warn here of what another process was warned of. Equal warnings of several processes are one, as those of one process are."""
    for category, text in told:
        warnings.warn(text, category, stacklevel=2)
