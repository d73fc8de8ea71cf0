"""Scoring a model under a protocol: every fold trained from scratch without its test subjects, one process or several, resumable at any moment."""

from __future__ import annotations

import contextlib
import os
import shutil
import warnings
from collections import deque
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import replace
from pathlib import Path
from typing import Any

from merzoo.data.clips import ClipData
from merzoo.data.people import same_people, shared_subjects
from merzoo.data.perturb import asked as perturbations
from merzoo.data.sources import open_clips, open_dataset
from merzoo.data.table import Dataset
from merzoo.errors import MerzooWarning, RunError, UnknownNameError, UsageError
from merzoo.evaluation.catalogue import protocol_by_name
from merzoo.evaluation.divided import create, run_divided
from merzoo.evaluation.folds import Plan, check_folds, run_fold, run_scope
from merzoo.evaluation.outputs import check_scored
from merzoo.evaluation.protocols import Fold, Protocol
from merzoo.evaluation.runs import RunFolder, write_result
from merzoo.evaluation.splits import with_same_people
from merzoo.evaluation.starting import NamedStart, facts_of, named_start, offered, refuse_no_effect, refuse_overlap, warn_of_size
from merzoo.evaluation.workers import Report, Submit, workers
from merzoo.recognizer import assemble
from merzoo.registry import registry
from merzoo.specs import ModelSpec
from merzoo.training.data import labelled_clips
from merzoo.training.machine import Machine
from merzoo.training.world import World, join


def evaluate(
    model: str | ModelSpec,
    data: str | Dataset = "synthetic",
    protocol: str = "loso",
    *,
    out: str | Path,
    preset: str = "full",
    seeds: int | Sequence[int] = 1,
    weights: str | None = None,
    resume: bool = False,
    jobs: int = 1,
    device: str = "auto",
    precision: str = "auto",
    only: Sequence[str] = (),
    audit: bool = False,
    flip_labels: float = 0.0,
    perturb: Sequence[str] = (),
    report: Report | None = None,
    checkpoint_seconds: float = 30.0,
) -> dict[str, Any]:
    """Train and test every fold of the protocol under every seed, into the run folder `out`; returns the result (see `merzoo.evaluation.runs.result`).

    model: a registered name, or a specification of registered parts. data: NAME or NAME:PART, or the data set itself. seeds: how many (0, 1, …) or which.
    weights: what each fold starts from (None: random); refused where a test subject was trained on. jobs: processes, among which the cores are shared (a
    script that asks for several needs `if __name__ == "__main__":`). only: fold ids, to run those alone. audit: keep what the test clips were
    taken for after each epoch, and check that nothing was learned from them. flip_labels: share of each fold's training clips that get a wrong class.
    perturb: what the test clips are predicted under besides as they are, as "pixel-noise=10", or "all" (see `merzoo.data.perturb`).
    Where torchrun started this process among others, they share the work (see `merzoo.evaluation.divided`).
    Raises any `MerzooError`, before the first fold wherever it can be known by then.
    """
    say = report or (lambda text, done, total: None)
    spec = registry().model(model) if isinstance(model, str) else model
    chosen = [*range(seeds)] if isinstance(seeds, int) else [*seeds]
    if not chosen or jobs < 1:
        raise UsageError(f"seeds and jobs must be at least 1, not {len(chosen)} and {jobs}")
    dataset = open_dataset(data) if isinstance(data, str) else data
    make_protocol = protocol_by_name(protocol, dataset.task)
    _check_options(dataset, audit, flip_labels)
    harder = perturbations(perturb)
    start = named_start(spec, weights)
    world, device = _joined(device, jobs)
    threads, shared_threads = _threads(Path(out), jobs * world.local_size, len(chosen) * world.local_size, resume)
    machine = replace(Machine.of(device, precision, threads), world=world)
    at_once = jobs * world.local_size
    clips = world.in_turn(
        lambda: open_clips(dataset, spec.preset(preset).preprocessing, jobs=at_once, progress=lambda done, total: say("clip store", done, total))
    )
    network = assemble(spec, preset, clips.labels, clips.task, data_provides=offered(dataset, start))
    refuse_no_effect(network, start)
    folds = _folds(make_protocol(clips.table), clips, start, only)
    check_scored(network, labelled_clips(clips, folds.kind))
    asked = {"kind": "evaluation", "protocol": folds.to_json(), "audit": audit, "flip_labels": flip_labels, "perturb": [*map(str, harder)]}
    facts = {**asked, **facts_of(spec, preset, clips, folds.kind, chosen, machine, start, sum(value.numel() for value in network.saved().values()))}
    facts["environment"]["shared_threads"] = shared_threads
    run = create(world, Path(out), facts, resume)
    warn_of_size(spec, preset, machine, facts["parameters"])
    plan = Plan(
        spec,
        preset,
        dataset,
        clips.labels,
        run.test_subjects,
        machine,
        run.path,
        start=start.start,
        checkpoint_seconds=checkpoint_seconds,
        shared_threads=shared_threads,
        kind=folds.kind,
        flip_labels=flip_labels,
        audit=audit,
        perturb=harder,
    )
    todo = [(seed, fold) for seed, fold in run.missing() if not only or fold.fold_id in only]
    if world.size > 1:
        return run_divided(run, todo, plan, clips, say)
    with workers(plan, clips, jobs, say) as submit:
        _run(run, folds, todo, submit, jobs, say)
    result = write_result(run)
    if result["complete"]:
        shutil.rmtree(run.path / "checkpoints", ignore_errors=True)
    return result


def _joined(device: str, jobs: int) -> tuple[World, str]:
    """The processes that torchrun started, and this one's device. Raises `UsageError` where jobs are asked for besides."""
    world, own = join(device)
    if world.size > 1 and jobs > 1:
        raise UsageError(f"--jobs {jobs}: the {world.size} processes of torchrun share the folds already; leave it out")
    return world, own


def _folds(made: Protocol, clips: ClipData, start: NamedStart, only: Sequence[str]) -> Protocol:
    """The protocol with everybody who is known to be a test subject under another name, checked: against the clips, what training starts from, and which
    folds are asked."""
    folds = with_same_people(made, clips.table, same_people(shared_subjects()))
    check_folds(clips, folds)
    _warn_of_lonely(clips, folds)
    refuse_overlap(folds, start)
    unknown = [name for name in only if name not in folds.by_id]
    if unknown:
        raise UnknownNameError("fold", unknown[0], [], f"(folds: {', '.join(list(folds.by_id)[:8])}, …)")
    return folds


def _warn_of_lonely(clips: ClipData, folds: Protocol) -> None:
    """Warn of classes that one person alone has: in the fold that tests them, nobody is left to learn the class from."""
    labelled = labelled_clips(clips, folds.kind)
    for at, label in enumerate(clips.labels):
        who = set(labelled.subject_of[labelled.labels == at])
        if len(who) == 1:
            warnings.warn(f"only {who.pop()} has clips of class '{label}': it cannot be learned where this person is tested", MerzooWarning, stacklevel=4)


def _check_options(dataset: Dataset, audit: bool, flip_labels: float) -> None:
    """Raise `UsageError` for what this data set does not allow."""
    if not 0 <= flip_labels <= 1:
        raise UsageError(f"--flip-labels {flip_labels} is a share of the training clips; give 0 to 1")
    if dataset.task != "classes" and (audit or flip_labels):
        raise UsageError(f"{'--audit' if audit else '--flip-labels'} needs one label a clip, and the clips of {dataset.name} carry several; leave it out")


def _threads(out: Path, jobs: int, seeds: int, resume: bool) -> tuple[int, int]:
    """Threads of a fold, and of the stages before all folds: those of the run that is continued, since the bits depend on them; else the cores shared
    among the jobs. There are only as many shared stages as seeds, so these may have more."""
    if resume and (out / "run.json").is_file():
        with contextlib.suppress(RunError, KeyError, TypeError, ValueError):
            known = RunFolder.open(out).facts["environment"]
            return int(known["threads"]), int(known["shared_threads"])
    cores = os.cpu_count() or 1
    return max(1, cores // jobs), max(1, cores // min(jobs, seeds))


def _run(run: RunFolder, folds: Protocol, todo: Sequence[tuple[int, Fold]], submit: Submit, jobs: int, say: Report) -> None:
    """Run what is missing: for each seed its run-scope stages, then its folds; each fold is written the moment it is done."""
    total = len(run.seeds) * len(folds.folds)
    say("folds", total - len(todo), total)
    ready: deque[tuple[int, Fold | None]] = deque((seed, None) for seed in dict.fromkeys(seed for seed, _ in todo))
    running: dict[Future[Any], tuple[int, Fold | None]] = {}
    shared: dict[int, list[dict[str, Any]]] = {}
    left = len(todo)
    while ready or running:
        while ready and len(running) < jobs:
            seed, fold = ready.popleft()
            future = submit(run_scope, folds.folds, seed) if fold is None else submit(run_fold, fold, seed, shared[seed])
            running[future] = (seed, fold)
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            seed, fold = running.pop(future)
            if fold is None:
                shared[seed] = future.result()
                ready.extend((s, f) for s, f in todo if s == seed)
            else:
                run.write_fold(seed, fold.fold_id, future.result())
                left -= 1
                say("folds", total - left, total)
