"""Models made by a name that says how, wherever a model's name is asked for.

    BACKBONE+HEAD+STRATEGY[+TASK…]     parts of any papers, each with the options it has in the model it comes from
    MODEL,PART.OPTION=VALUE[,…]        a model with other options; PART is backbone, head, strategy, preprocessing or an auxiliary task

as in `lightmannet+linear+ma2mi+future-frame` and `miacnet-ma2mi,backbone.branches=action`. Nothing here imports torch, but for the side of the crops of a
backbone that no model has.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from merzoo.entries import Entry, Kind
from merzoo.errors import UsageError
from merzoo.specs import Config, ModelSpec, Preprocessing, Preset
from merzoo.text import plain

if TYPE_CHECKING:
    from merzoo.registry import Registry

PARTS: tuple[Kind, Kind, Kind] = ("backbone", "head", "strategy")
_OPTION = re.compile(r",(?=[a-z0-9_.-]+\.\w+=)")  # a comma inside a value is followed by no PART.OPTION=
_PYTHON = {"True": True, "False": False, "None": None}
MAX_NAME = 300  # characters, as run folders take names
_FIRST = re.compile(r"[a-z0-9_-]+\.[\w.-]+=")


def is_composed(name: str) -> bool:
    """Whether a name is one of this module's; no registered name holds a + or a comma."""
    return "+" in name or "," in name


def network_of(name: str) -> str:
    """The name without what is set of the training: models of one network can take each other's weights."""
    base, comma, settings = name.partition(",")
    kept = [setting for setting in _OPTION.split(settings) if not setting.startswith("strategy.")] if comma else []
    return ",".join((base, *kept))


def texts_set(name: str) -> Iterator[str]:
    """Every text that such a name sets an option to, those inside lists and objects included."""
    _, comma, settings = name.partition(",")
    values = [_value(setting.partition("=")[2]) for setting in _OPTION.split(settings)] if comma else []
    while values:
        value = values.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            values += [*value, *value.values()]
        elif isinstance(value, list):
            values += value


def composed(zoo: Registry, name: str) -> ModelSpec:
    """The specification that such a name stands for. Raises `UnknownNameError` for a part or model nobody registered, `UsageError` for a name that is none
    of the two forms or an option that cannot be set."""
    base, comma, settings = name.partition(",")
    spec = _crossed(zoo, base) if "+" in base else zoo.model(base)
    return with_options(spec, _OPTION.split(settings)) if comma else spec


def _crossed(zoo: Registry, name: str) -> ModelSpec:
    """A model of these parts: backbone, head, strategy, auxiliary tasks; with the presets of the model that the backbone comes from."""
    names = name.split("+")
    if len(names) < len(PARTS) or len(set(names[3:])) < len(names[3:]) or not all(names):
        lacks = f"; it lacks a {PARTS[len(names)]}" if all(names) and len(names) < len(PARTS) else ""
        raise UsageError(f"'{plain(name, 120)}' is not BACKBONE+HEAD+STRATEGY[+TASK…]{lacks} (`merzoo list --kind backbone`); give each once")
    entries = [*(zoo.get(kind, part) for kind, part in zip(PARTS, names, strict=False)), *(zoo.get("auxiliary-task", task) for task in names[3:])]
    own = lender(zoo, entries[0])
    backbone, head, strategy, *tasks = ((entry, lender(zoo, entry, own)) for entry in entries)
    presets = {}
    for preset in backbone[1].presets if backbone[1] else {"full": Preset()}:
        options = [_options(*part, preset) for part in (backbone, head, strategy)]
        crops = backbone[1].presets[preset].preprocessing if backbone[1] else Preprocessing(size=_crop(backbone[0]))
        presets[preset] = Preset(options[0], options[1], {task[0].name: _options(*task, preset) for task in tasks}, options[2], crops)
    summary = f"{names[0]} + {names[1]}, trained by {names[2]}" + "".join(f" with {task}" for task in names[3:])
    spec = ModelSpec(name, summary, names[0], names[1], tuple(names[3:]), names[2], presets=presets)
    if backbone[1] is None:
        return spec
    return replace(spec, train_views=backbone[1].train_views, test_views=backbone[1].test_views, reduce=backbone[1].reduce)


def lender(zoo: Registry, part: Entry, first: ModelSpec | None = None) -> ModelSpec | None:
    """The model whose options a part takes along: `first`, where that has it; else of its own plugin the one of its name, that of the plugin's name, or the
    first by name; None where there is none."""
    if first is not None and part.name in _names(first, part.kind):
        return first
    found = []
    for entry in zoo.entries("model"):
        if entry.spec is not None and entry.plugin == part.plugin and part.name in _names(entry.spec, part.kind):
            found.append(entry.spec)
    return min(found, key=lambda spec: (spec.name != part.name, spec.name != part.plugin.removeprefix("merzoo-"), spec.name), default=None)


def _names(spec: ModelSpec, kind: str) -> Sequence[str]:
    return {"backbone": (spec.backbone,), "head": (spec.head,), "strategy": (spec.strategy,), "auxiliary-task": spec.auxiliary}[kind]


def _options(part: Entry, model: ModelSpec | None, preset: str) -> Config:
    if model is None or preset not in model.presets:
        return {}
    of = model.presets[preset]
    return of.auxiliary.get(part.name, {}) if part.kind == "auxiliary-task" else {"backbone": of.backbone, "head": of.head, "strategy": of.strategy}[part.kind]


def _crop(backbone: Entry) -> int:
    """The side in px of the crops of a backbone that no model has, told by building it without memory."""
    import torch

    from merzoo.making import make
    from merzoo.recognizer import crop_for

    with torch.device("meta"):
        return crop_for(make(backbone.load(), f"backbone '{backbone.name}'", {}).inputs)


def with_options(spec: ModelSpec, settings: Iterable[str]) -> ModelSpec:
    """The model with other options in all its presets, under a name that says so; it has weights only where nothing but its training is other, and no number
    of its paper's is about it. settings: "PART.OPTION=VALUE" each, the value as JSON or plain text; further
    dots reach into an option that is itself a mapping, as in strategy.fine_tuning.epochs=5. Whether a part knows the option is told when it is built.

    Raises `UsageError` for anything else and a part that the model does not have.
    """
    name, presets, changed = spec.name, dict(spec.presets), set()
    for setting in settings:
        if not _FIRST.match(setting):
            raise UsageError(f"'{plain(setting, 120)}' is not PART.OPTION=VALUE, as in backbone.size=112")
        path, _, text = setting.partition("=")
        part, *keys = path.split(".")
        known = (*PARTS, "preprocessing", *spec.auxiliary)
        if part not in known or not all(keys):
            raise UsageError(f"{spec.name} has no part '{part}' to set {'.'.join(keys)} of; its parts: {', '.join(known)}")
        presets = {preset: _with(options, part, keys, _value(text)) for preset, options in presets.items()}
        name += f",{setting}"
        changed.add(part)
    if len(name) > MAX_NAME:
        raise UsageError(f"'{plain(name, 60)}' with all its options has {len(name)} characters, at most {MAX_NAME} fit; make a ModelSpec of it in Python")
    paper = replace(spec.paper, reported=()) if spec.paper else None
    return replace(spec, name=name, presets=presets, paper=paper, weights=spec.weights if changed <= {"strategy"} else ())


def _value(text: str) -> Any:
    """JSON, or Python's True, False and None, else the text itself. Raises `UsageError` for what is no number."""
    if text in _PYTHON:
        return _PYTHON[text]
    try:
        return json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return text


def _no_number(text: str) -> Any:
    raise UsageError(f"{text} is no number that an option can take; give a finite one")


def _with(preset: Preset, part: str, keys: list[str], value: Any) -> Preset:
    if part == "preprocessing":
        facts = {"aligner": preset.preprocessing.aligner, "size": preset.preprocessing.size}
        if keys not in (["aligner"], ["size"]) or (keys == ["size"] and (not isinstance(value, int) or value < 1)):
            raise UsageError(f"preprocessing.{'.'.join(keys)}={value!r} cannot be set; give aligner=NAME or size=PIXELS")
        return replace(preset, preprocessing=Preprocessing(**{**facts, keys[0]: value}))
    if part in PARTS:
        return replace(preset, **{part: _set(getattr(preset, part), keys, value)})  # type: ignore[arg-type]
    return replace(preset, auxiliary={**preset.auxiliary, part: _set(preset.auxiliary.get(part, {}), keys, value)})


def _set(options: Config, keys: list[str], value: Any) -> Config:
    key, *deeper = keys
    if deeper:
        inner = options.get(key, {})
        value = _set(inner if isinstance(inner, Mapping) else {}, deeper, value)
    return {**options, key: value}
