"""What a worker of Ray does for an evaluation: see whether it sees what it needs, open the clips once, run folds, tell how far they are.

Light to import, since Ray imports it before anything else is known: what to set in the environment above all.
"""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merzoo.errors import MerzooError, RunError
from merzoo.evaluation.workers import Told, now_and_then, opened, overheard

if TYPE_CHECKING:
    from merzoo.data.clips import ClipData
    from merzoo.evaluation.folds import Plan

SAME = ("merzoo", "torch", "numpy", "python", "cpu", "device")  # of an environment: what bits depend on
PATIENCE = 10.0  # seconds until a shared file system must show what was just written on another machine

Answer = tuple[Any, Told, str, dict[str, Any]]  # what was asked for or why not, warnings, node, environment


@dataclass(frozen=True)
class Site:
    """Where an evaluation works. folder: that the driver runs in; run and stores: folders that every node must see; plan: [reference] of the `Plan`."""

    folder: str
    settings: Mapping[str, str]
    run: str = ""
    stores: Sequence[str] = ()
    plan: list[Any] = field(default_factory=list)
    board: Any = None


class Board:
    """The actor that tasks tell how far they are, and that the driver asks now and then."""

    def __init__(self) -> None:
        self.said: dict[str, tuple[str, int, int]] = {}

    def tell(self, worker: str, stage: str, step: int, total: int) -> None:
        """Keep the last word of a worker."""
        self.said[worker] = (stage, step, total)

    def news(self) -> dict[str, tuple[str, int, int]]:
        """{worker: (stage, step, steps in all)} of those who spoke since this was last asked."""
        said, self.said = self.said, {}
        return said


_opened: dict[str, tuple[Plan, ClipData, Any]] = {}  # of the one run that this process works for
_where: dict[str, Any] = {}  # the environment of this process


def place(site: Site, device: str, precision: str, threads: int) -> Answer:
    """(`Machine`, environment) of this worker."""
    return _answer(lambda: _place(site, device, precision, threads))


def _place(site: Site, device: str, precision: str, threads: int) -> tuple[Any, dict[str, Any]]:
    from merzoo.evaluation.starting import environment_of
    from merzoo.training.machine import Machine

    _settle_in(site)
    machine = Machine.of(device, precision, threads)
    _where.update(environment_of(machine))
    return machine, dict(_where)


def answered(sited: list[Any], function: Callable[..., Any], args: Sequence[Any]) -> Answer:
    """What `function(plan, clips, *args, progress=…)` gives. sited: [reference] of the `Site`, which is fetched once a process."""
    import ray

    from merzoo.evaluation.starting import environment_of

    def run() -> Any:
        key = sited[0].hex()
        if key not in _opened:
            site: Site = ray.get(sited[0])
            _settle_in(site)
            _check_seen(site)
            plan: Plan = ray.get(site.plan[0])
            _where.update(environment_of(plan.machine))
            _opened.clear()
            _opened[key] = plan, opened(plan), site.board
        plan, clips, board = _opened[key]
        who = f"{ray.get_runtime_context().get_node_id()}-{os.getpid()}"
        return function(plan, clips, *args, progress=now_and_then(lambda stage, step, total: board.tell.remote(who, stage, step, total)))

    return _answer(run)


def _answer(run: Callable[[], Any]) -> Answer:
    """What it gives, or which expected failure, with what else the driver wants to know. Failures are values, so that Ray neither retries nor wraps them."""
    with overheard() as told:
        try:
            value = run()
        except MerzooError as error:
            value = error
    return value, told, platform.node(), dict(_where)


def _settle_in(site: Site) -> None:
    """Be where the driver is: relative paths of data and settings mean the same then."""
    os.environ.update(site.settings)
    with contextlib.suppress(OSError):  # a node without that folder may have the data all the same
        os.chdir(site.folder)


def _check_seen(site: Site) -> None:
    """Raise `RunError` where this node does not see the run folder or a clip store."""
    wanted = {"run folder": [Path(site.run) / "run.json"], "clip store": [Path(folder) / "store.json" for folder in site.stores]}
    for what, files in wanted.items():
        for file in files:
            if not _appears(file):
                remedy = "--out" if what == "run folder" else "MERZOO_CACHE"
                raise RunError(f"node {platform.node()} does not see the {what} {file.parent}; give {remedy} a folder that all nodes share")


def _appears(file: Path) -> bool:
    until = time.monotonic() + PATIENCE
    while not file.is_file():
        if time.monotonic() > until:
            return False
        with contextlib.suppress(OSError):
            list(file.parent.iterdir())  # has a network file system look again
        time.sleep(0.5)
    return True
