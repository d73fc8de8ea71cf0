"""A model with weights, by name: the plugin's own, a file's, or what somebody published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from merzoo.errors import UsageError
from merzoo.fits import from_scratch
from merzoo.hub import is_published, open_published
from merzoo.recognizer import Recognizer, assemble, fill
from merzoo.registry import registry
from merzoo.specs import ModelSpec, WeightsSpec
from merzoo.weights import open_weights, read_published


def load(
    name: str,
    weights: str | Path | None = "default",
    *,
    preset: str | None = None,
    labels: Sequence[str] | None = None,
    device: str | torch.device = "cpu",
) -> Recognizer:
    """A model by name, ready to predict: `load("miacnet-ma2mi")`, `load("miacnet-ma2mi@tag")`, or one that somebody published and whose plugin is installed:
    `load("hf-hub:org/repo@revision")`, `load("local-dir:PATH")`. Nothing of a repository is run.

    A tag is given once, by @ or as `weights`.

    weights: "default" takes the model's first weights (those it comes with); a tag; a path to a .safetensors file; a published model, by the same two
    spellings; None for random weights of the full preset. labels and preset go with weights=None; weights know theirs.

    Raises `UnknownNameError`, `WeightsError`, `NeedsError`, `UsageError`.
    """
    if is_published(name):
        if weights != "default":
            raise UsageError(f"{name} names its weights itself; leave {str(weights)!r} out")
        return _published(name, preset, labels).to(device)
    name, _, tag = name.partition("@")
    spec = registry().model(name)
    if tag and weights != "default":
        raise UsageError(f"{name}: weights are given twice, '{tag}' and {str(weights)!r}; leave one out")
    weights = tag or weights
    if weights is None:
        if labels is None:
            raise UsageError(f"{name}: random weights know no labels; give labels=[…]")
        return assemble(spec, preset or _first_preset(spec), labels).eval().to(device)
    found, tensors = open_weights(spec, weights)
    return _filled(spec, found, tensors, preset, labels).to(device)


def _published(where: str, preset: str | None, labels: Sequence[str] | None) -> Recognizer:
    found = open_published(where)
    spec, tensors = read_published(found)
    return _filled(spec, found.weights, tensors, preset, labels, foreign=True)


def _filled(
    spec: ModelSpec, found: WeightsSpec, tensors: Mapping[str, Tensor], preset: str | None, labels: Sequence[str] | None, foreign: bool = False
) -> Recognizer:
    """The recogniser that these weights are of, with them, ready to predict. foreign: they may make no part take more memory than they hold."""
    for what, asked, own in (("preset", preset, found.preset), ("labels", None if labels is None else tuple(labels), found.labels)):
        if asked is not None and asked != own:
            raise UsageError(f"{spec.name}: weights '{found.tag}' are of {what} {own!r}, not {asked!r}; leave the {what} out, or use weights=None")
    sizes = tensors if foreign else None
    recognizer = assemble(from_scratch(spec, found.preset), found.preset, found.labels, found.task, for_training=False, sizes=sizes)
    fill(recognizer, tensors, found.tag)
    recognizer.spec, recognizer.weights = spec, found
    return recognizer.eval()


def _first_preset(spec: ModelSpec) -> str:
    return "full" if "full" in spec.presets else next(iter(spec.presets))
