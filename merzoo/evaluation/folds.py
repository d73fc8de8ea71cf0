"""One fold: train without its test subjects, predict their clips. Made so that it runs alone, in any process, with the same result."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from merzoo.data.clips import ClipData, Clips
from merzoo.data.perturb import Perturbation
from merzoo.data.table import Dataset
from merzoo.errors import DataError, LeakageError, TrainingError
from merzoo.evaluation.predicting import audited, positions, predict_clips, scored_outputs
from merzoo.evaluation.protocols import Fold, Protocol
from merzoo.evaluation.robustness import predict_perturbed
from merzoo.evaluation.threads import capped
from merzoo.recognizer import Recognizer, assemble
from merzoo.specs import ModelSpec
from merzoo.training import checkpoint
from merzoo.training.data import TrainingData, chosen, labelled_clips
from merzoo.training.engine import Progress, run_stages, state_hash
from merzoo.training.flips import flipped
from merzoo.training.machine import Machine
from merzoo.training.seeds import derive
from merzoo.training.stages import Stage


@dataclass(frozen=True)
class Start:
    """What training starts from: random weights (tensors None), or named ones."""

    tensors: Mapping[str, torch.Tensor] | None = None
    labels: tuple[str, ...] = ()
    tag: str = ""
    task: str = "classes"


@dataclass(frozen=True)
class Plan:
    """All that a fold needs to know besides itself. It can be sent to another process; the clips are opened there."""

    spec: ModelSpec
    preset: str
    data: Dataset
    labels: tuple[str, ...]
    run_test_subjects: frozenset[str]  # everybody who is tested in some fold
    machine: Machine
    folder: Path  # checkpoints go below it
    start: Start = field(default_factory=Start)
    checkpoint_seconds: float = 30.0
    shared_threads: int = 1  # of the stages that run before all folds
    kind: str = "micro"  # or "macro": of the labelled clips
    flip_labels: float = 0.0  # share of a fold's training clips that get another class
    audit: bool = False  # keep what the test clips were taken for after each epoch, and check that testing changes nothing
    perturb: tuple[Perturbation, ...] = ()  # what the test clips are predicted under, besides as they are


def prepare(plan: Plan, data: ClipData, fold: Fold | None, seed: int, data_provides: Iterable[str] | None = None) -> tuple[Recognizer, list[Stage]]:
    """A fresh recogniser and the stages that its strategy wants for a fold, or for all clips where there is none.

    Raises `LeakageError` where the fold's training list holds a clip of somebody it tests.
    """
    torch.manual_seed(derive(seed, "init"))
    recognizer = assemble(plan.spec, plan.preset, plan.labels, data.task, data_provides=data_provides)
    if plan.start.tensors is not None:
        begin_from(recognizer, plan.start)
    test_subjects, train_ids = (fold.test_subjects, fold.train_ids) if fold else ((), None)

    def known(of: ClipData) -> TrainingData:
        views, begun = recognizer.train_views, plan.start.tensors is not None
        return TrainingData.without(of, test_subjects, views, plan.run_test_subjects, kind=plan.kind, train_ids=train_ids, begun=begun)

    training = known(data)
    if plan.flip_labels:
        training = known(flipped(training.micro, plan.flip_labels, seed))
    return recognizer, list(recognizer.strategy.stages(recognizer, training))


def begin_from(recognizer: Recognizer, start: Start) -> None:
    """Put named weights in: all of them where the labels agree, else the backbone alone (the head stays random)."""
    from merzoo.weights import differences

    tensors, wanted = dict(start.tensors or {}), recognizer.saved()
    if (start.labels, start.task) != (recognizer.labels, recognizer.task):
        tensors, wanted = ({k: v for k, v in d.items() if k.startswith("backbone.")} for d in (tensors, wanted))
    differences(wanted, tensors, f"{recognizer.spec.name}@{start.tag}")
    recognizer.load_state_dict(tensors, strict=False)


def run_scope(plan: Plan, data: ClipData, folds: Sequence[Fold], seed: int, progress: Progress | None = None) -> list[dict[str, Any]]:
    """The stages that serve all folds of a seed, run once; their weights are kept in the run folder. Returns their logs ([] where there are none)."""
    with capped(plan.shared_threads):  # from the start: some first weights are products of matrices
        recognizer, stages = prepare(plan, data, folds[0], seed)
        shared = [stage for stage in stages if stage.scope == "run"]
        if shared != stages[: len(shared)]:
            raise TrainingError(f"strategy '{plan.spec.strategy}': a run-scope stage follows a fold-scope one, which saw one fold alone; put it first")
        if not shared:
            return []
        logs = run_stages(
            recognizer,
            shared,
            seed=derive(seed, "run"),
            machine=replace(plan.machine, threads=plan.shared_threads),
            test_subjects=plan.run_test_subjects,
            checkpoints=shared_path(plan, seed),
            every_seconds=plan.checkpoint_seconds,
            progress=progress,
        )
    return [log.summary() for log in logs]


def shared_path(plan: Plan, seed: int) -> Path:
    """Where the weights after the run-scope stages of a seed lie."""
    return plan.folder / "checkpoints" / str(seed) / "run.safetensors"


def run_fold(plan: Plan, data: ClipData, fold: Fold, seed: int, shared: Sequence[dict[str, Any]] = (), progress: Progress | None = None) -> dict[str, Any]:
    """Train and test one fold; returns its record for the run folder. The bits depend on the plan, the fold and the seed alone.

    Raises `LeakageError` where a stage draws from a test subject.
    """
    with capped(plan.machine.threads):
        return _run_fold(plan, data, fold, seed, shared, progress)


def _run_fold(plan: Plan, data: ClipData, fold: Fold, seed: int, shared: Sequence[dict[str, Any]], progress: Progress | None) -> dict[str, Any]:
    fold_seed = derive(seed, fold.fold_id)
    tested = test_clips(data, fold, plan.kind)
    recognizer, stages = prepare(plan, data, fold, fold_seed)
    untrained = {name: copy.deepcopy(task.state_dict()) for name, task in recognizer.auxiliary.items()} if plan.start.tensors is None else {}
    if not stages:
        raise TrainingError(f"strategy '{plan.spec.strategy}' has no stage, so nobody could say who was trained on; give it one")
    own = [stage for stage in stages if stage.scope == "fold"]
    once, done = [stage.name for stage in stages if stage.scope == "run"], [log["name"] for log in shared]
    if once != done:  # else a stage would be left out here, or run twice
        raise TrainingError(f"strategy '{plan.spec.strategy}': run-scope stages are {once} in fold {fold.fold_id}, {done} before; ask TrainingData.scope_for")
    if shared:
        checkpoint.restore(shared_path(plan, seed), recognizer)
    path = plan.folder / "checkpoints" / str(seed) / f"{fold.fold_id}.safetensors"
    logs = run_stages(
        recognizer,
        own,
        seed=fold_seed,
        machine=plan.machine,
        test_subjects=fold.test_subjects,
        forbidden=() if fold.train_ids is None else set(labelled_clips(data, plan.kind).sample_ids) - set(fold.train_ids),
        watch=(lambda network: positions(network, tested, plan.machine)) if plan.audit else None,
        checkpoints=path,
        every_seconds=plan.checkpoint_seconds,
        keep=False,
        progress=progress,
    )
    for name, before in untrained.items():
        if all(torch.equal(value.cpu(), before[key].cpu()) for key, value in recognizer.auxiliary[name].state_dict().items()):
            del recognizer.auxiliary[name]  # type: ignore[attr-defined]  # no stage trained it, and nobody should read what it says
    record = {
        "test_subjects": list(fold.test_subjects),
        "stages": [*shared, *(log.summary() for log in logs)],
        "state_sha256": state_hash(recognizer),
        "predictions": predict_clips(recognizer, tested, plan.machine),
    }
    if outputs := scored_outputs(recognizer):
        record["auxiliary_outputs"] = outputs
    if plan.perturb:
        record["perturbed"] = predict_perturbed(recognizer, tested, plan.machine, plan.perturb)
    if plan.audit:
        record |= audited(recognizer, tested, plan.machine, record)
        if logs:
            record["oracle"] = {"stage": logs[-1].name, "epochs": logs[-1].epochs}
    path.unlink(missing_ok=True)
    return record


def test_clips(data: ClipData, fold: Fold, kind: str = "micro", labelled: Clips | None = None) -> Clips:
    """The clips that a fold tests. labelled: all labelled clips of the kind, where they have been looked up.

    Raises `LeakageError` where it tests somebody whom it does not list as a test subject, `DataError` for samples that the data set does not have, or not
    with a label.
    """
    tested = chosen(labelled_clips(data, kind) if labelled is None else labelled, fold.test_ids, "tests")
    unlisted = tested.subjects - frozenset(fold.test_subjects)
    if unlisted:
        raise LeakageError(f"fold {fold.fold_id}, which does not list everybody it tests", unlisted)
    return tested


def check_folds(data: ClipData, folds: Protocol) -> None:
    """Look at every fold before one is trained: that it tests clips which are there, lists everybody it tests, trains on none of them and on somebody.

    Raises `LeakageError` and `DataError`, as the fold itself would, and `DataError` for a fold that leaves nothing to train on.
    """
    labelled = labelled_clips(data, folds.kind)
    for fold in folds.folds:
        test_clips(data, fold, folds.kind, labelled)
        training = labelled if fold.train_ids is None else chosen(labelled, fold.train_ids, "trains on")
        if fold.train_ids is not None:
            training.check(fold.test_subjects, f"training clips of fold {fold.fold_id}")
        if not training.subjects - set(fold.test_subjects):
            raise DataError(f"fold {fold.fold_id} keeps away everybody who has a labelled {folds.kind} clip, so nothing is left to train on; list fewer people")


test_clips.__test__ = False  # type: ignore[attr-defined]  # "test" as in test data: not for pytest to collect
