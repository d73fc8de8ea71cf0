"""Whether a published model is the one that its name means here, told before that takes any memory: a stranger's config may name its options."""

from __future__ import annotations

import dataclasses
import json
import re
import warnings
from collections.abc import Mapping
from typing import Any

from merzoo.compose import texts_set
from merzoo.describe import named_parts, tree
from merzoo.errors import MerzooWarning, UnknownNameError, WeightsError
from merzoo.interfaces import Backbone
from merzoo.published import Config
from merzoo.recognizer import weightless
from merzoo.registry import registry
from merzoo.shapes import own_views
from merzoo.specs import ModelSpec
from merzoo.text import plain

_WORD = re.compile(r"[\w-]*", re.ASCII)  # no dot, slash or colon: no name of a file to speak of
COMPARED = {  # how it was trained may change
    "parts": ("backbone", "head", "auxiliary"),
    "options": ("backbone", "head", "auxiliary"),
    "preprocessing": ("aligner", "size"),
    "views": ("test", "reduce"),
}


def fitting(config: Config, where: str) -> ModelSpec:
    """The specification of a published model as it is installed here; warns where the plugin of a part has another version than when it was published.

    Raises `WeightsError` where its plugin is not installed, its name sets options that could name files, or other parts, options or views are meant by its
    name today.
    """
    spec = _known(config, where)
    parts = registry().parts(spec)
    backbone = weightless(parts[0].load(), f"backbone '{spec.backbone}'", from_scratch(spec, config.preset).preset(config.preset).backbone)
    versions = ", ".join(plain(f"{name} {version}", 80) for name, version in config.plugins.items())
    if other := _differences(config, network_facts(spec, config.preset, backbone)):
        raise WeightsError(f"{where} was published with other settings of {spec.name} ({config.preset}): {other}; install the versions it names ({versions})")
    here = {record.distribution: record.version for record in registry().records if record.distribution != "merzoo"}
    for name, version in config.plugins.items():
        if here.get(name, version) != version:
            warnings.warn(f"{where} was published with {name} {version}, here is {here[name]}: what it computes may differ", MerzooWarning, stacklevel=6)
    return spec


def network_facts(spec: ModelSpec, preset: str, backbone: Backbone) -> dict[str, Any]:
    """Parts, options, views and preprocessing that a preset stands for, as plain data; views are the backbone's own where the model names none.

    Raises `UnknownNameError` for a preset that is none.
    """
    options = tree(spec.preset(preset))
    preprocessing = options.pop("preprocessing")
    train = spec.train_views or {name: (view,) for name, view in own_views(backbone).items()}
    views = {"train": tree(train), "test": tree(spec.test_views or train), "reduce": spec.reduce}
    return {"parts": named_parts(spec), "options": options, "views": views, "preprocessing": preprocessing}


def from_scratch(spec: ModelSpec, preset: str) -> ModelSpec:
    """The specification without `pretrained`: what its backbone would begin with, and maybe download, is replaced by the weights at hand."""
    options = spec.preset(preset)
    backbone = {name: value for name, value in options.backbone.items() if name != "pretrained"}
    return dataclasses.replace(spec, presets={**spec.presets, preset: dataclasses.replace(options, backbone=backbone)})


def _known(config: Config, where: str) -> ModelSpec:
    for text in texts_set(config.model):
        if not _WORD.fullmatch(text):
            raise WeightsError(f"{where}: its model's name sets an option to '{plain(text, 60)}', which might name a file; it may set numbers and words")
    try:
        spec = registry().model(config.model)
        registry().parts(spec)
        if config.preset not in spec.presets:
            raise WeightsError(f"{where}: {spec.name} has no preset '{plain(config.preset, 60)}' here; install the version of its plugin that has it")
    except UnknownNameError as error:
        named = " and ".join(plain(f"{name} {version}".strip(), 80) for name, version in config.plugins.items() if name != "merzoo")
        remedy = f"install the plugin, if you trust it (its config names {named or 'none'})"
        raise WeightsError(f"{where} is a model '{plain(config.model, 80)}', which is not known here ({plain(error, 300)}); {remedy}") from None
    return spec


def _differences(config: Config, here: Mapping[str, Any]) -> str:
    """In what the network or its inputs were other when they were published."""
    there = {"parts": config.parts, "options": config.options, "views": config.views, "preprocessing": config.preprocessing}
    found = []
    for name, keys in COMPARED.items():
        for key in keys:
            if there[name].get(key) != here[name].get(key):
                found.append(f"{name}.{key} was {plain(json.dumps(there[name].get(key)), 120)}, here it is {plain(json.dumps(here[name].get(key)), 120)}")
    return "; ".join(found)
