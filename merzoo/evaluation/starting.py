"""What a training or an evaluation starts from, and what run.json says of either."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from merzoo.data.clips import ClipData
from merzoo.data.composite import told
from merzoo.data.table import Dataset
from merzoo.describe import named_parts, tree
from merzoo.errors import LeakageError, MerzooWarning, UsageError
from merzoo.evaluation.folds import Start
from merzoo.evaluation.protocols import Protocol
from merzoo.evaluation.runs import environment
from merzoo.recognizer import Recognizer
from merzoo.specs import ModelSpec
from merzoo.training.data import labelled_clips
from merzoo.training.machine import Machine


@dataclass(frozen=True)
class NamedStart:
    """What training starts from, with the people it has seen before."""

    start: Start
    tag: str = ""
    sha256: str = ""
    subjects: frozenset[str] = frozenset()


LARGE = 1_000_000  # parameters from which training on a CPU takes days


def warn_of_size(spec: ModelSpec, preset: str, machine: Machine, parameters: int) -> None:
    """Warn where a network of the paper's size is trained on a CPU though there is a small one."""
    if machine.device == "cpu" and preset == "full" and "small" in spec.presets and parameters >= LARGE:
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


def refuse_no_effect(network: Recognizer, start: NamedStart) -> None:
    """Raise `UsageError` where weights are named for a model without a parameter: all that it keeps is fitted anew, and nothing of them would remain."""
    if start.tag and not any(True for _ in network.parameters()):
        raise UsageError(f"{network.spec.name} is fitted as a whole, and what is fitted does not begin from weights ('{start.tag}'); leave --from out")


def refuse_overlap(folds: Protocol, start: NamedStart) -> None:
    """Raise `LeakageError` where what training starts from knows somebody whom a fold tests."""
    met = start.subjects & {subject for fold in folds.folds for subject in fold.test_subjects}
    if met:
        raise LeakageError(f"weights '{start.tag}'", met)


def facts_of(
    spec: ModelSpec,
    preset: str,
    clips: ClipData,
    kind: str,
    seeds: Sequence[int],
    machine: Machine,
    start: NamedStart,
    parameters: int,
    where: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """What run.json says of a training or an evaluation: what was asked, on which data and on which machine. kind: of the labelled clips. where: the
    environment in which it runs, if that is not this process."""
    dataset, labelled = clips.dataset, labelled_clips(clips, kind)
    return {
        "model": spec.name,
        "preset": preset,
        "parts": named_parts(spec),
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
        "environment": environment_of(machine) if where is None else where,
    }


def environment_of(machine: Machine) -> dict[str, Any]:
    """What run.json says of a place to compute in this process."""
    device = torch.cuda.get_device_name(machine.device) if machine.device.startswith("cuda") else "cpu"
    return environment(device, machine.threads) | ({"processes": machine.world.size} if machine.world.size > 1 else {})
