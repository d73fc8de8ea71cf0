"""Folds as tasks of Ray, on many machines. Ray runs what a dead process or node was at once more, elsewhere; what a fold itself raises ends the run.

The driver writes the run folder, as for local runs; checkpoints and clip stores lie on a file system that all nodes see. Ray is imported late.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
import warnings
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from merzoo.cores import cores
from merzoo.data.clips import ClipData
from merzoo.entries import last_line
from merzoo.errors import MerzooWarning, RunError, UsageError
from merzoo.evaluation.executors import Here, Work, settle
from merzoo.evaluation.folds import Plan
from merzoo.evaluation.ray_worker import SAME, Board, Site, answered, place
from merzoo.evaluation.workers import EVERY, Report, Told, passed_on
from merzoo.files import cache_folder
from merzoo.training.machine import Machine

RETRIES = 3  # of a fold whose process or node died; a fold that kills its process every time must end some day
STORE_BYTES = 128 * 2**20  # shared memory of a cluster of our own: plans and records are small, clips are mapped from files
PATIENCE = 20.0  # seconds until it is said that no node has room
CONNECTING = 5.0  # seconds in which a cluster's head must answer


class Tasks(Here):
    """A cluster of Ray: the one at `address`, or at RAY_ADDRESS, or one of this machine alone that ends with the run.

    jobs: folds at once, 0 for as many as there is room for. gpus: share of a GPU that a fold takes; None: 1 where folds compute on GPUs.
    Raises `UsageError` where Ray is not installed, `RunError` where no cluster answers.
    """

    def __init__(self, say: Report, jobs: int, address: str | None, gpus: float | None) -> None:
        super().__init__(say)
        self.slots = jobs or 1_000_000
        self.gpus, self.refs = gpus, dict[Future[Any], Any]()
        self._over, self._warned = threading.Event(), False
        self._listener: threading.Thread | None = None
        self._ray, self._own, self._alone = _connected(address, jobs)

    def threads(self, seeds: int) -> tuple[int, int]:
        """One: folds side by side are the better use of cores, and nodes may differ in how many they have."""
        return 1, 1

    def machine(self, device: str, precision: str, threads: int) -> tuple[Machine, dict[str, Any]]:
        """As on a worker that has what a fold will have; this process may have no GPU."""
        if self.gpus is None:
            wanted = device.startswith("cuda") or (device == "auto" and self._ray.cluster_resources().get("GPU", 0) > 0)
            self.gpus = 1.0 if wanted else 0.0
        if ":" in device or (device == "cuda" and not self.gpus):
            raise UsageError(f"--device {device} --gpus {self.gpus:g}: Ray deals out the GPUs; give --device cuda and a share above 0")
        self._resources = {"num_cpus": threads, "num_gpus": self.gpus}
        room = f"{threads} CPUs" + (f" and {self.gpus:g} GPUs" if self.gpus else "")
        there = self._ray.cluster_resources()
        if self._alone and (there.get("CPU", 0) < threads or there.get("GPU", 0) < self.gpus):  # a cluster of others may yet grow
            raise UsageError(f"a fold wants {room}, and this machine has {there.get('CPU', 0):g} and {there.get('GPU', 0):g}; give other --threads or --gpus")
        self.site = Site(str(Path.cwd()), {**_ours(), "MERZOO_CACHE": str(cache_folder().absolute())})
        found = self._ray.remote(place).options(**self._resources).remote(self.site, device if self.gpus else "cpu", precision, threads)
        began, told = time.monotonic(), False
        while not self._ray.wait([found], timeout=0.5)[0]:
            if not told and time.monotonic() - began > PATIENCE:
                told = True
                warnings.warn(f"no node of the cluster has room for a fold yet ({room}); waiting (other --threads or --gpus may fit)", MerzooWarning, 3)
        machine, self._environment = self._value(self._got(found))
        return machine, self._environment

    def begin(self, plan: Plan, clips: ClipData, pieces: int) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        super().begin(plan, clips, pieces)
        plan = replace(plan, folder=plan.folder.absolute())
        self.site = replace(self.site, run=str(plan.folder), stores=tuple(str(folder) for folder in clips.folders))
        # Beside this process: a node that dies must not take it along.
        here = NodeAffinitySchedulingStrategy(self._ray.get_runtime_context().get_node_id(), soft=False)
        self._board = self._ray.remote(Board).options(num_cpus=0, scheduling_strategy=here).remote()
        self.site = replace(self.site, plan=[self._ray.put(plan)], board=self._board)
        self._sited = [self._ray.put(self.site)]
        self._task = self._ray.remote(answered).options(**self._resources, max_retries=RETRIES, retry_exceptions=False)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        """Pass on what the tasks tell, numbered in the order in which they first speak."""
        numbers: dict[str, int] = {}
        while not self._over.wait(EVERY):
            with contextlib.suppress(Exception):  # the cluster may be going down; the folds tell
                for worker, (stage, step, total) in self._ray.get(self._board.news.remote(), timeout=5).items():
                    self.say(f"worker {numbers.setdefault(worker, len(numbers) + 1)}, {stage}", step, total)

    def submit(self, function: Work, *args: Any) -> Future[Any]:
        ref = self._task.remote(self._sited, function, args)
        future: Future[Any] = Future()
        self.refs[future] = ref
        ref.future().add_done_callback(partial(self._back, future))
        return future

    def _back(self, future: Future[Any], done: Future[Any]) -> None:
        settle(future, lambda: self._value(self._got(done)))
        self.refs.pop(future, None)

    def _got(self, answer: Any) -> Any:
        """What a task gave. Raises what it raised, or `RunError` where Ray gave it up."""
        from ray.exceptions import RayError, RayTaskError

        try:
            return answer.result() if isinstance(answer, Future) else self._ray.get(answer)
        except RayTaskError as error:
            cause = error.cause
            if isinstance(cause, ImportError) or not isinstance(cause, Exception) or isinstance(cause, RayError):
                raise RunError(f"a worker of the cluster cannot run merzoo ({last_line(error)}); install the same packages on every node") from error
            raise cause from error
        except RayError as error:
            why = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise RunError(f"Ray gave up on a fold ({why}); see its logs, and go on with --resume") from error

    def _value(self, answer: tuple[Any, Told, str, dict[str, Any]]) -> Any:
        value, told, node, environment = answer
        passed_on(told)
        if isinstance(value, Exception):
            raise value
        other = next((key for key in SAME if environment[key] != getattr(self, "_environment", environment)[key]), None)
        if other and not self._warned:
            self._warned = True
            differs = f"{other} is {environment[other]} there and {self._environment[other]} where the run began"
            warnings.warn(f"node {node} differs from others ({differs}); its folds may differ in the last bits", MerzooWarning, stacklevel=2)
        return value

    def close(self) -> None:
        self._over.set()
        for ref in [*self.refs.values()]:
            with contextlib.suppress(Exception):
                self._ray.cancel(ref, force=True)
        if self._listener is not None:
            self._listener.join(10)  # Python that ends while a thread is inside Ray may end by a signal
        if self._own:
            self._ray.shutdown()


def _ours() -> dict[str, str]:
    """Settings of merzoo that workers should have too."""
    return {name: value for name, value in os.environ.items() if name.startswith("MERZOO_")}


def _connected(address: str | None, jobs: int) -> tuple[Any, bool, bool]:
    """Ray, whether the connection is ours to end, and whether the cluster is, which is then this machine alone."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Of nodes that die Ray prints pages, on stdout and whatever `log_to_driver` says, unless it is told which lines to skip: all. Its logs keep them.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "(?s).*")
    try:
        import ray
    except ImportError:
        raise UsageError("--executor ray needs Ray, which is not installed: pip install 'merzoo[ray]'") from None
    if ray.is_initialized() and address is None:  # by the script that evaluates
        return ray, False, False
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    if "://" in address:
        raise UsageError(f"--address {address}: run merzoo on a node of the cluster and give its HOST:PORT, or auto")
    _check_reachable(address)
    own: dict[str, Any] = {"num_cpus": max(jobs, cores()), "include_dashboard": False, "object_store_memory": STORE_BYTES} if address == "local" else {}
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (ConnectionError, RuntimeError, ValueError, OSError, TimeoutError) as error:
        raise RunError(f"no cluster of Ray at {address} ({last_line(error)}); start one with `ray start --head`, or leave --address out") from error
    return ray, True, address == "local"


def _check_reachable(address: str) -> None:
    """Raise `UsageError` where nobody listens at HOST:PORT: Ray would try for minutes, and say so in lines of its own."""
    host, _, port = address.rpartition(":")
    if address in ("local", "auto"):
        return
    if not host or not port.isdecimal():
        raise UsageError(f"--address {address} is no HOST:PORT; give that of a cluster's head, as `ray start --head` prints it, or auto")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECTING).close()
    except (OSError, OverflowError) as error:
        raise RunError(f"no cluster of Ray at {address} ({error}); start one with `ray start --head`, or leave --address out") from error
