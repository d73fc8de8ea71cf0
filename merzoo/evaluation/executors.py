"""Where the work of an evaluation is done: in this process, or in this one and others of the machine."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, InvalidStateError, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from merzoo.cores import cores
from merzoo.data.clips import ClipData
from merzoo.errors import RunError
from merzoo.evaluation.folds import Plan
from merzoo.evaluation.starting import environment_of
from merzoo.evaluation.workers import Report, Told, passed_on, start, work
from merzoo.training.machine import Machine

START = 1.0  # seconds of work after which other processes are started: their imports would slow down what is nearly done
Work = Callable[..., Any]  # function(plan, clips, *args, progress=…)


class Here:
    """Everything in this process, each piece of work when it is asked for. Other executors keep these methods."""

    slots = 1  # pieces of work that are worth asking for at once

    def __init__(self, say: Report) -> None:
        self.say = say

    def machine(self, device: str, precision: str, threads: int) -> tuple[Machine, dict[str, Any]]:
        """What "auto" means where folds will run, and what run.json says of that place. Raises `UsageError` for a device that is not there."""
        machine = Machine.of(device, precision, threads)
        return machine, environment_of(machine)

    def threads(self, seeds: int) -> tuple[int, int]:
        """Threads of a fold, and of the stages before all folds, where nobody asks for others: the cores shared among what runs at once. There are only as
        many shared stages as seeds, so these may have more."""
        return max(1, cores() // self.slots), max(1, cores() // min(self.slots, seeds))

    def begin(self, plan: Plan, clips: ClipData, pieces: int) -> None:
        """Get ready. pieces: folds to do."""
        self.plan, self.clips = plan, clips

    def submit(self, function: Work, *args: Any) -> Future[Any]:
        """Ask for `function(plan, clips, *args, progress=…)`."""
        future: Future[Any] = Future()
        future.set_result(self._do(function, args))
        return future

    def _do(self, function: Work, args: tuple[Any, ...]) -> Any:
        return function(self.plan, self.clips, *args, progress=lambda stage, step, total, losses: self.say(stage, step, total))

    def drive(self, loop: Callable[[], None]) -> None:
        """Run the loop that submits and waits. Raises what it raises."""
        loop()

    def close(self) -> None:
        """Let go of everything, at once."""


class Processes(Here):
    """So many processes, this one among them. It works from the first moment: another takes seconds to start, in which a small run may be over, and is
    started only when one second of work has not been enough.

    Whoever is free takes the next piece. The loop has a thread of its own, so that what others finish is written while this process is in a fold.
    """

    def __init__(self, say: Report, jobs: int) -> None:
        super().__init__(say)
        self.slots = jobs
        self._pending: deque[tuple[Future[Any], Work, tuple[Any, ...]]] = deque()
        self._free, self._over = 0, False  # processes without work; whether the loop has ended
        self._error: BaseException | None = None
        self._change = threading.Condition()
        self._pool: ProcessPoolExecutor | None = None
        self._alive: Connection | None = None
        self._starting = threading.Lock()
        self._later: threading.Timer | None = None

    def begin(self, plan: Plan, clips: ClipData, pieces: int) -> None:
        super().begin(plan, clips, pieces)
        if (helpers := min(self.slots, pieces) - 1) > 0:
            self._later = threading.Timer(START, self._start, (helpers,))
            self._later.daemon = True

    def _start(self, helpers: int) -> None:
        with self._starting:
            if self._over:
                return
            try:
                self._begin(helpers)
            except Exception as error:
                self._end(error)

    def _begin(self, helpers: int) -> None:
        context = get_context("spawn")
        gone, self._alive = context.Pipe(duplex=False)  # its end is what the others watch
        reader, writer = context.Pipe(duplex=False)
        arguments = (pickle.dumps(self.plan), self.plan.machine.threads, os.getpid(), gone, writer, context.Lock())
        self._pool = ProcessPoolExecutor(helpers, mp_context=context, initializer=start, initargs=arguments)
        with _uninterrupted():
            for _ in range(helpers):  # a process is started for each piece of work that finds none idle
                self._pool.submit(os.getpid).add_done_callback(self._started)
        writer.close()  # the others hold it, and when they are gone there is no more news
        gone.close()
        threading.Thread(target=self._listen, args=(reader,), daemon=True).start()

    def _started(self, future: Future[int]) -> None:
        if not future.cancelled() and (error := future.exception()):
            self._end(error)

    def _listen(self, news: Connection) -> None:
        """Pass on what the others tell, numbered in the order in which they first speak; this process is number 1."""
        numbers: dict[int, int] = {}
        with contextlib.suppress(EOFError, OSError), news:
            while True:
                process, *message = news.recv()
                number = numbers.setdefault(process, len(numbers) + 2)
                if message:
                    stage, step, total = message
                    with contextlib.suppress(Exception):  # of the caller's report: work is handed out all the same
                        self.say(f"process {number}, {stage}", step, total)
                else:  # its first word: it is ready
                    self._hand_out(1)

    def submit(self, function: Work, *args: Any) -> Future[Any]:
        future: Future[Any] = Future()
        with self._change:
            self._pending.append((future, function, args))
        self._hand_out()
        return future

    def _hand_out(self, more: int = 0) -> None:
        """Give what is pending to processes without work, of which there are some more now. The pool is not called under our lock: one that breaks settles
        its futures under its own, from Python 3.12 on, and `_back` then wants ours."""
        given = []
        with self._change:
            self._free += more
            while self._free and self._pending and self._pool is not None and not self._over:
                given.append(self._pending.popleft())
                self._free -= 1
            self._change.notify_all()
        for future, function, args in given:
            try:
                assert self._pool is not None
                self._pool.submit(work, function, args).add_done_callback(partial(self._back, future))
            except RuntimeError as error:  # the pool broke, or was closed
                give_up(future, error)

    def _back(self, future: Future[Any], done: Future[tuple[Any, Told]]) -> None:
        def received() -> Any:
            value, told = done.result()
            passed_on(told)
            return value

        if not done.cancelled() and isinstance(error := done.exception(), BrokenProcessPool):
            self._end(error)  # at once: a pool that breaks calls this under its lock, and nothing may be submitted
        settle(future, received)
        self._hand_out(1)

    def drive(self, loop: Callable[[], None]) -> None:
        def looped() -> None:
            try:
                loop()
                self._end(None)
            except BaseException as error:
                self._end(error)

        threading.Thread(target=looped, daemon=True).start()
        if self._later is not None:
            self._later.start()
        while (piece := self._next()) is not None:
            future, function, args = piece
            settle(future, partial(self._do, function, args))
        if isinstance(self._error, BrokenProcessPool):
            why = "as when memory runs out (a script keeps its work below `if __name__ == '__main__':`)"
            raise RunError(f"one of {self.slots} processes ended early, {why}; go on with --resume and fewer --jobs") from self._error
        if self._error is not None:
            raise self._error

    def _next(self) -> tuple[Future[Any], Work, tuple[Any, ...]] | None:
        """The next piece for this process; None when the loop has ended."""
        with self._change:
            self._change.wait_for(lambda: self._over or self._pending)
            return None if self._over else self._pending.popleft()

    def _do(self, function: Work, args: tuple[Any, ...]) -> Any:
        def progress(stage: str, step: int, total: int, losses: dict[str, float]) -> None:
            if self._error is not None:  # of another process: nobody waits for this fold any more
                raise self._error
            self.say(f"process 1, {stage}", step, total)

        return function(self.plan, self.clips, *args, progress=progress)

    def _end(self, error: BaseException | None) -> None:
        with self._change:
            if not self._over:
                self._over, self._error = True, error
            self._change.notify_all()

    def close(self) -> None:
        self._end(None)
        for future, *_ in [*self._pending]:  # the loop may still wait for them, and would not hear of a `cancel`
            give_up(future, CancelledError())
        if self._later is not None:
            self._later.cancel()
        with self._starting:  # who is being started now is ended too
            if self._alive is not None:
                self._alive.close()
            if self._pool is not None:
                self._pool.shutdown(cancel_futures=True)


def settle(future: Future[Any], get: Callable[[], Any]) -> None:
    """Give a future what `get` returns or raises."""
    try:
        value = get()
    except BaseException as error:  # whoever waits for the future raises it
        give_up(future, error)
    else:
        with contextlib.suppress(InvalidStateError):  # given up meanwhile
            future.set_result(value)


def give_up(future: Future[Any], error: BaseException) -> None:
    """Let whoever waits for a future raise this, unless it has its result."""
    with contextlib.suppress(InvalidStateError):
        future.set_exception(error)


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Processes that begin here never hear of Ctrl-C, which the terminal tells to all: this one hears it, and ends them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if hasattr(signal, "pthread_sigmask") else None
    try:
        yield
    finally:
        if before is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
