"""Where the work of an evaluation is done: here, or in processes that open the clips themselves and tell how far they are."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any

import torch

from merzoo.data.clips import ClipData
from merzoo.errors import RunError
from merzoo.evaluation.folds import Plan

Report = Callable[[str, int, int], None]  # what is being done, how much of it, of how much
Submit = Callable[..., "Future[Any]"]


@contextlib.contextmanager
def workers(plan: Plan, clips: ClipData, jobs: int, say: Report) -> Iterator[Submit]:
    """Something that runs `function(plan, clips, *args, progress=…)`: here and now for one job, else in that many processes.

    Raises `RunError` where a process ends early.
    """
    if jobs == 1:

        def here(function: Callable[..., Any], *args: Any) -> Future[Any]:
            future: Future[Any] = Future()
            future.set_result(function(plan, clips, *args, progress=lambda stage, step, total, losses: say(stage, step, total)))
            return future

        yield here
        return
    context = get_context("spawn")
    news = context.SimpleQueue()
    listener = threading.Thread(target=_listen, args=(news, say), daemon=True)
    listener.start()
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_start, initargs=(plan, os.getpid(), news))
    try:
        yield lambda function, *args: pool.submit(_work, function, args)
    except BrokenProcessPool as error:
        raise RunError(f"one of {jobs} processes ended early, as when memory runs out; go on with --resume and fewer --jobs") from error
    finally:
        pool.shutdown(cancel_futures=True)
        news.put(None)
        listener.join(timeout=5)  # a process that was killed while it spoke leaves the queue locked


def _listen(news: Any, say: Report) -> None:
    """Pass on what the processes tell, numbered in the order in which they first speak."""
    numbers: dict[int, int] = {}
    for process, stage, step, total in iter(news.get, None):
        say(f"process {numbers.setdefault(process, len(numbers) + 1)}, {stage}", step, total)


_known: tuple[Plan, ClipData, Any] | None = None


def _start(plan: Plan, parent: int, news: Any) -> None:
    """In a new process: open the clips once (their store is there already), and end when the parent is gone, however it went."""
    global _known

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    torch.set_num_threads(plan.machine.threads)
    clips = ClipData(plan.data, plan.spec.preset(plan.preset).preprocessing)
    _known = (plan, clips, news)


def _work(function: Callable[..., Any], args: Sequence[Any]) -> Any:
    assert _known is not None  # the initializer ran
    plan, clips, news = _known
    return function(plan, clips, *args, progress=lambda stage, step, total, losses: news.put((os.getpid(), stage, step, total)))
