"""An evaluation by the processes that torchrun started: the stages that serve all folds by all of them, then each fold by one."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from merzoo.cores import cores
from merzoo.data.clips import ClipData
from merzoo.errors import RunError
from merzoo.evaluation.executors import Here
from merzoo.evaluation.folds import Plan, prepare, run_fold, run_scope
from merzoo.evaluation.protocols import Fold
from merzoo.evaluation.runs import RunFolder
from merzoo.evaluation.starting import environment_of
from merzoo.evaluation.workers import Report
from merzoo.training.distributed import check
from merzoo.training.machine import Machine
from merzoo.training.world import ALONE, World, join, launched

SEEN = 5.0  # seconds that a shared file system may take to show a new file to another machine


class Launched(Here):
    """One of the processes that torchrun started: a share of the machine's cores, and a GPU of its own where there are some."""

    def machine(self, device: str, precision: str, threads: int) -> tuple[Machine, dict[str, Any]]:
        world, own = join(device)
        machine = replace(Machine.of(own, precision, threads), world=world)
        return machine, environment_of(machine)

    def threads(self, seeds: int) -> tuple[int, int]:
        share = max(1, cores() // launched().local_size)
        return share, share


def check_shared_stages(plan: Plan, clips: ClipData, fold: Fold, seed: int) -> None:
    """Raise `TrainingError` for a stage before all folds that these processes cannot share, while nothing is written yet."""
    if plan.machine.world.size > 1:
        recognizer, stages = prepare(plan, clips, fold, seed)
        check(recognizer, [stage for stage in stages if stage.scope == "run"], plan.machine)


def create(world: World, path: Path, facts: Mapping[str, Any], resume: bool) -> RunFolder:
    """The run folder, made by the first process. The others are told what is in it: on a shared file system they might not see it yet."""
    known = world.agreed(lambda: dict(RunFolder.create(path, facts, resume=resume).facts))
    return RunFolder(path, known)


def _check_visible(run: RunFolder, rank: int) -> None:
    """Raise `RunError` where this process does not see the run folder that the first has made: its folds would be written where nobody looks for them."""
    until = time.monotonic() + SEEN
    while not Path(run.where).is_file():
        if time.monotonic() > until:
            raise RunError(f"process {rank} does not see {run.path}; put --out on a file system that all processes share")
        time.sleep(SEEN / 50)


def run_divided(run: RunFolder, todo: Sequence[tuple[int, Fold]], plan: Plan, clips: ClipData, say: Report) -> None:
    """Run what is missing; `todo` is what the first process found. Each fold is computed as a single process would, and written by the process
    that took it. Folds come after the shared stages of all seeds, so that nobody waits for a fold of another until the end."""
    world, total = plan.machine.world, len(run.seeds) * len(run.protocol.folds)
    _check_visible(run, world.rank)

    def progress(stage: str, step: int, steps: int, losses: Mapping[str, float]) -> None:
        say(stage, step, steps)

    todo = [(seed, run.protocol.by_id[fold]) for seed, fold in world.agreed(lambda: [(seed, fold.fold_id) for seed, fold in todo])]
    say("folds", total - len(run.missing()), total)
    shared = {seed: run_scope(plan, clips, run.protocol.folds, seed, progress) for seed in dict.fromkeys(seed for seed, _ in todo)}
    alone = replace(plan, machine=replace(plan.machine, world=ALONE))
    for seed, fold in world.deal(todo):
        run.write_fold(seed, fold.fold_id, run_fold(alone, clips, fold, seed, shared[seed], progress))
        say("folds", total - len(run.missing()), total)
    world.meet()
