"""Scoring a model under a protocol: every fold trained from scratch without its test subjects, one process or several, resumable at any moment."""

from __future__ import annotations

import contextlib
import os
import shutil
import warnings
from collections import deque
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from merzoo.data.clips import ClipData
from merzoo.data.composite import told
from merzoo.data.people import same_people, shared_subjects
from merzoo.data.perturb import asked as perturbations
from merzoo.data.sources import open_clips, open_dataset
from merzoo.data.table import Dataset
from merzoo.describe import tree
from merzoo.errors import LeakageError, MerzooWarning, RunError, UnknownNameError, UsageError
from merzoo.evaluation.catalogue import protocol_by_name
from merzoo.evaluation.folds import Plan, Start, run_fold, run_scope
from merzoo.evaluation.protocols import Fold, Protocol
from merzoo.evaluation.runs import RunFolder, environment, write_result
from merzoo.evaluation.splits import with_same_people
from merzoo.evaluation.workers import Report, Submit, workers
from merzoo.recognizer import assemble
from merzoo.registry import registry
from merzoo.specs import ModelSpec
from merzoo.training.data import labelled_clips
from merzoo.training.engine import Machine


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
    threads, shared_threads = _threads(Path(out), jobs, len(chosen), resume)
    machine = Machine.of(device, precision, threads)
    clips = open_clips(dataset, spec.preset(preset).preprocessing, jobs=jobs, progress=lambda done, total: say("clip store", done, total))
    network = assemble(spec, preset, clips.labels, clips.task, data_provides=offered(dataset, start))
    folds = with_same_people(make_protocol(clips.table), clips.table, same_people(shared_subjects()))
    _refuse_overlap(folds, start)
    unknown = [name for name in only if name not in folds.by_id]
    if unknown:
        raise UnknownNameError("fold", unknown[0], [], f"(folds: {', '.join(list(folds.by_id)[:8])}, …)")
    parameters = sum(value.numel() for value in network.saved().values())
    asked = {"kind": "evaluation", "protocol": folds.to_json(), "audit": audit, "flip_labels": flip_labels, "perturb": [*map(str, harder)]}
    facts = {**asked, **facts_of(spec, preset, clips, folds.kind, chosen, machine, start, parameters)}
    facts["environment"]["shared_threads"] = shared_threads
    run = RunFolder.create(out, facts, resume=resume)
    warn_of_size(spec, preset, machine)
    tested = frozenset(subject for fold in folds.folds for subject in fold.test_subjects)
    more = (start.start, checkpoint_seconds, shared_threads, folds.kind, flip_labels, audit, harder)
    plan = Plan(spec, preset, dataset, clips.labels, tested, machine, run.path, *more)
    todo = [(seed, fold) for seed, fold in run.missing() if not only or fold.fold_id in only]
    with workers(plan, clips, jobs, say) as submit:
        _run(run, folds, todo, submit, jobs, say)
    result = write_result(run)
    if result["complete"]:
        shutil.rmtree(run.path / "checkpoints", ignore_errors=True)
    return result


def _check_options(dataset: Dataset, audit: bool, flip_labels: float) -> None:
    """Raise `UsageError` for what this data set does not allow."""
    if not 0 <= flip_labels <= 1:
        raise UsageError(f"--flip-labels {flip_labels} is a share of the training clips; give 0 to 1")
    if dataset.task != "classes" and (audit or flip_labels):
        raise UsageError(f"{'--audit' if audit else '--flip-labels'} needs one label a clip, and the clips of {dataset.name} carry several; leave it out")


@dataclass(frozen=True)
class NamedStart:
    """What training starts from, with the people it has seen before."""

    start: Start
    tag: str = ""
    sha256: str = ""
    subjects: frozenset[str] = frozenset()


def warn_of_size(spec: ModelSpec, preset: str, machine: Machine) -> None:
    """Warn where the size of the paper is trained on a CPU though there is a small one."""
    if machine.device == "cpu" and preset == "full" and "small" in spec.presets:
        warnings.warn(f"{spec.name}: preset full is made for a GPU and takes very long on a CPU; --preset small is made for one", MerzooWarning, stacklevel=3)


def named_start(spec: ModelSpec, weights: str | None) -> NamedStart:
    """Random weights (None), or the model's own by tag or path. Raises `UsageError` for weights that do not say whom they were trained on."""
    if weights is None:
        return NamedStart(Start())
    from merzoo.weights import open_weights

    found, tensors = open_weights(spec, weights)
    subjects = frozenset(found.trained_on.get("subjects", ()))
    if not subjects:
        raise UsageError(f"weights '{found.tag}' do not say whom they were trained on, so overlap with the test cannot be excluded; start from scratch")
    return NamedStart(Start(tensors, found.labels, found.tag, found.task), found.tag, found.sha256, subjects)


def offered(dataset: Dataset, start: NamedStart) -> tuple[str, ...]:
    """What the data offer to a strategy, and what weights have been given already: those of a model that wants macro clips were pre-trained on some."""
    return (*dataset.provides, *(("macro-clips",) if start.tag else ()))


def _refuse_overlap(folds: Protocol, start: NamedStart) -> None:
    met = start.subjects & {subject for fold in folds.folds for subject in fold.test_subjects}
    if met:
        raise LeakageError(f"weights '{start.tag}'", met)


def _threads(out: Path, jobs: int, seeds: int, resume: bool) -> tuple[int, int]:
    """Threads of a fold, and of the stages before all folds: those of the run that is continued, since the bits depend on them; else the cores shared
    among the jobs. There are only as many shared stages as seeds, so these may have more."""
    if resume and (out / "run.json").is_file():
        with contextlib.suppress(RunError, KeyError, TypeError, ValueError):
            known = RunFolder.open(out).facts["environment"]
            return int(known["threads"]), int(known["shared_threads"])
    cores = os.cpu_count() or 1
    return max(1, cores // jobs), max(1, cores // min(jobs, seeds))


def facts_of(
    spec: ModelSpec, preset: str, clips: ClipData, kind: str, seeds: Sequence[int], machine: Machine, start: NamedStart, parameters: int
) -> dict[str, Any]:
    """What run.json says of a training or an evaluation: what was asked, on which data and on which machine. kind: of the labelled clips."""
    dataset, labelled = clips.dataset, labelled_clips(clips, kind)
    device = torch.cuda.get_device_name(machine.device) if machine.device.startswith("cuda") else "cpu"
    return {
        "model": spec.name,
        "preset": preset,
        "parts": {"backbone": spec.backbone, "head": spec.head, "auxiliary": list(spec.auxiliary), "strategy": spec.strategy},
        # Names do not say what was run: presets change, and a specification may be made by hand.
        "options": tree(spec.preset(preset)),
        "views": {"train": tree(spec.train_views), "test": tree(spec.test_views)},
        "weights": {"tag": start.tag, "sha256": start.sha256} if start.tag else None,
        "data": {
            "name": dataset.name,
            "part": dataset.part or None,
            "macro": ",".join(told(other) for other in getattr(dataset, "macro", ())) or None,  # of a `Composite`
            "manifest_hash": dataset.manifest_hash,
            "samples": len(labelled),
            "subjects": len(labelled.subjects),
        },
        "task": dataset.task,
        "labels": list(clips.labels),
        "seeds": list(seeds),
        "precision": machine.precision,
        "parameters": parameters,
        "environment": environment(device, machine.threads),
    }


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
