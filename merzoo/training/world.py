"""The processes that torchrun started for one run: which of them this is, and how they agree.

They agree through the store that torchrun keeps, where waiting has no limit: a fold, or a stage that one process trains alone, may take hours, and an
exchange of tensors that nobody answers would end the run. torch is imported late: every command asks whether it runs among others.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from merzoo.errors import UsageError

if TYPE_CHECKING:
    from torch.distributed import Store

T = TypeVar("T")

EXCHANGE = timedelta(hours=1)  # for all processes to come to one exchange of tensors: as far as a step may lag behind, such as the one that prepares views
CONNECTING = timedelta(minutes=5)
PATIENCE = 2.0  # seconds that who tells an error is given to end before the others
EVERY = 0.05  # seconds between two looks into the store
SPEAKER, SAID = "speaker", "said"
FAILED = 2  # exit code


@dataclass(frozen=True)
class World:
    """The processes of a run, and this one among them: its number, how many there are, and both on its own machine. One process where nobody launched more."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes and speaks for all."""
        return self.rank == 0

    def agreed(self, make: Callable[[], T]) -> T:
        """What the first process makes, for all of them; JSON knows it. Waits for the first without a limit."""
        if self.size == 1:
            return make()
        store, key = _opened(), f"agreed {next(_turns)}"
        if self.first:
            value = make()
            store.set(key, json.dumps(value))
            return value
        _wait(lambda: store.check([key]))
        found: T = json.loads(store.get(key))
        return found

    def meet(self) -> None:
        """Go on when all are here, however long that takes."""
        if self.size > 1:
            store, key = _opened(), f"meeting {next(_turns)}"
            store.add(key, 1)
            _wait(lambda: store.add(key, 0) >= self.size)

    def in_turn(self, make: Callable[[], T]) -> T:
        """The same made by all: by the first process, then by the first of each other machine, then by the rest, who find what was put on a disk."""
        mine = 0 if self.first else 1 if self.local_rank == 0 else 2
        made: list[T] = []
        for turn in range(3 if self.size > 1 else 1):
            if turn == mine:
                made.append(make())
            self.meet()
        return made[0]

    def deal(self, items: Sequence[T]) -> Iterator[T]:
        """This process's share of items that all have: each goes to the one that asks next."""
        if self.size == 1:
            yield from items
            return
        store, key = _opened(), f"deal {next(_turns)}"
        while (at := store.add(key, 1) - 1) < len(items):
            yield items[at]


ALONE = World()

_turns = itertools.count()  # of agreements: all processes come to the same ones in the same order
_store: Store | None = None


def launched() -> World:
    """What torchrun says of this process; `ALONE` where it did not start it."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return ALONE
    rank, size, local_rank, local_size = (int(os.environ.get(name, default)) for name, default in _NAMES)
    return World(rank, size, local_rank, local_size) if size > 1 else ALONE


_NAMES = (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"), ("LOCAL_WORLD_SIZE", "1"))


def join(device: str = "auto") -> tuple[World, str]:
    """The processes that torchrun started, able to exchange tensors, and the device of this one: its own GPU, or the CPU. `ALONE` and the device as it was
    asked for where torchrun did not start it.

    Raises `UsageError` where a process would be left without a GPU.
    """
    world = launched()
    if world.size == 1:
        return ALONE, device
    import torch
    from torch import distributed

    if device.startswith("cuda:"):
        raise UsageError(f"--device {device}: under torchrun each process has a GPU of its own; use --device cuda")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        if world.local_rank >= torch.cuda.device_count():
            raise UsageError(f"torchrun started {world.local_size} processes here for {torch.cuda.device_count()} GPUs; start one a GPU, or use --device cpu")
        device = f"cuda:{world.local_rank}"
        torch.cuda.set_device(world.local_rank)
    if not distributed.is_initialized():
        over = threading.Event()
        watch = threading.Thread(target=_end_with_the_others, args=(over,), daemon=True)
        watch.start()
        atexit.register(_stop, watch, over)  # the last to run: leaving the group may wait for another process that fails
        store = distributed.PrefixStore("group", _opened())
        backend = "nccl" if device.startswith("cuda") else "gloo"
        distributed.init_process_group(backend, store=store, rank=world.rank, world_size=world.size, timeout=EXCHANGE)
        atexit.register(_leave)
    return world, device


def _leave() -> None:
    from torch import distributed

    if distributed.is_initialized():
        distributed.destroy_process_group()


def _stop(watch: threading.Thread, over: threading.Event) -> None:
    """Python ends a thread that asks the store while it ends itself, and C++ makes a SIGABRT of that."""
    over.set()
    watch.join(2 * PATIENCE)


def _connected(limit: timedelta = CONNECTING) -> Store:
    """A connection of its own to the store of this launch, and of this attempt where torchrun starts anew after a failure."""
    from torch import distributed

    store, _, _ = next(distributed.rendezvous("env://", timeout=limit))  # type: ignore[no-untyped-call]
    return distributed.PrefixStore(f"merzoo/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)


def _opened() -> Store:
    global _store
    if _store is None:
        _store = _connected()
    return _store


def _wait(over: Callable[[], Any]) -> None:
    while not over():
        time.sleep(EVERY)


def _end_with_the_others(over: threading.Event) -> None:
    """End this process when an error was told elsewhere, unless it is over. torchrun does so on one machine; on another it would be found waiting for an
    exchange."""
    with contextlib.suppress(RuntimeError):  # the store is gone: all is over
        store = _connected()
        while not store.check([SAID]):
            if over.wait(10 * EVERY):
                return
        if not over.wait(PATIENCE):  # torchrun names the process that ended first as the cause
            os._exit(FAILED)


def speaks() -> bool:
    """Whether this process tells an error: one does, the first that meets one, for the others can but follow."""
    if launched().size == 1:
        return True
    try:
        store = _store or _connected(timedelta(seconds=10))
        if store.add(SPEAKER, 1) == 1:
            return True
        until = time.monotonic() + PATIENCE
        _wait(lambda: store.check([SAID]) or time.monotonic() >= until)  # who ends before it, ends the speaker: torchrun stops the rest
    except RuntimeError:  # no store, nobody to agree with
        return True
    return False


def lost(error: BaseException) -> bool:
    """Whether this is how torch tells that another process is gone, by a kill or a machine that failed, so that nobody told a reason."""
    return launched().size > 1 and isinstance(error, RuntimeError) and any(word in str(error) for word in ("gloo", "NCCL", "TCPStore", "Broken pipe"))


def said() -> None:
    """The error is told: the other processes may end."""
    if launched().size > 1:
        atexit.unregister(_leave)  # which might wait for the others
        with contextlib.suppress(RuntimeError):
            (_store or _connected(timedelta(seconds=10))).set(SAID, "")
