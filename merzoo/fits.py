"""Whether a published model is the network that its name means here, told before that takes any memory: a stranger's config may name its options."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from merzoo.describe import tree
from merzoo.entries import last_line
from merzoo.errors import UnknownNameError, UsageError, WeightsError
from merzoo.interfaces import Backbone
from merzoo.making import make
from merzoo.published import Config
from merzoo.registry import registry
from merzoo.specs import ModelSpec
from merzoo.text import plain

COMPARED = {"options": ("backbone", "head", "auxiliary"), "preprocessing": ("aligner", "size"), "views": ("test", "reduce")}  # training may change


def fitting(config: Config, tensors: Mapping[str, Tensor], where: str) -> ModelSpec:
    """The specification of a published model as it is installed here.

    Raises `WeightsError` where its plugin is not installed, another network or other views are meant by its name today, or its backbone has other sizes.
    """
    from merzoo.weights import differences

    spec = _known(config, where)
    backbone = _weightless(spec, config.preset)
    if other := _differences(config, network_facts(spec, config.preset, backbone)):
        versions = ", ".join(plain(f"{name} {version}", 80) for name, version in config.plugins.items())
        raise WeightsError(f"{where} was published with other settings of {spec.name} ({config.preset}): {other}; install the versions it names ({versions})")
    given = {key: value for key, value in tensors.items() if key.startswith("backbone.")}
    differences({f"backbone.{key}": value for key, value in backbone.state_dict().items()}, given, f"{spec.name}, as {where} has them,")
    return spec


def network_facts(spec: ModelSpec, preset: str, backbone: Backbone) -> dict[str, Any]:
    """Options, views and preprocessing that a preset stands for, as plain data; views are the backbone's own where the model names none.

    Raises `UnknownNameError` for a preset that is none.
    """
    options = tree(spec.preset(preset))
    preprocessing = options.pop("preprocessing")
    train = spec.train_views or {name: (view,) for name, view in backbone.views.items()}
    views = {"train": tree(train), "test": tree(spec.test_views or train), "reduce": spec.reduce}
    return {"options": options, "views": views, "preprocessing": preprocessing}


def from_scratch(spec: ModelSpec, preset: str) -> ModelSpec:
    """The specification without `pretrained`: what its backbone would begin with, and maybe download, is replaced by the weights at hand."""
    options = spec.preset(preset)
    backbone = {name: value for name, value in options.backbone.items() if name != "pretrained"}
    return dataclasses.replace(spec, presets={**spec.presets, preset: dataclasses.replace(options, backbone=backbone)})


def _known(config: Config, where: str) -> ModelSpec:
    try:
        spec = registry().model(config.model)
        registry().parts(spec)
    except UnknownNameError as error:
        named = " and ".join(plain(f"{name} {version}".strip(), 80) for name, version in config.plugins.items() if name != "merzoo")
        remedy = f"install the plugin, if you trust it (its config names {named or 'none'})"
        raise WeightsError(f"{where} is a model '{plain(config.model, 80)}', which is not known here ({plain(error, 200)}); {remedy}") from None
    return spec


def _weightless(spec: ModelSpec, preset: str) -> Backbone:
    """The backbone on the meta device: names and shapes without numbers."""
    options = from_scratch(spec, preset).preset(preset).backbone
    try:
        with torch.device("meta"):
            backbone: Backbone = make(registry().parts(spec)[0].load(), f"backbone '{spec.backbone}'", options)
    except (RuntimeError, NotImplementedError) as error:
        raise UsageError(f"backbone '{spec.backbone}' cannot be built without memory ({last_line(error)}); its plugin fails `merzoo check-plugin`") from error
    return backbone


def _differences(config: Config, here: Mapping[str, Any]) -> str:
    """In what the network or its inputs were other when they were published."""
    there = {"options": config.options, "views": config.views, "preprocessing": config.preprocessing}
    found = []
    for name, keys in COMPARED.items():
        for key in keys:
            if there[name].get(key) != here[name].get(key):
                found.append(f"{name}.{key} was {plain(json.dumps(there[name].get(key)), 120)}, here it is {plain(json.dumps(here[name].get(key)), 120)}")
    return "; ".join(found)
