"""All that can be said about a name without loading anything: what `merzoo.info` returns and `merzoo info` prints."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from merzoo.entries import Entry
from merzoo.errors import UnknownNameError
from merzoo.needs import any_data, unmet
from merzoo.registry import Registry
from merzoo.specs import ModelSpec, View


def describe(zoo: Registry, name: str, kind: str | None = None) -> dict[str, Any]:
    """Facts about a name as plain dictionaries, lists, strings and numbers. See `merzoo.info`."""
    kinds = [kind] if kind else zoo.kinds_of(name)
    if not kinds:
        raise UnknownNameError("name", name, zoo.near(None, name), f"(see `merzoo list`{zoo.not_loaded()})")
    entry = zoo.get(kinds[0], name)
    facts: dict[str, Any] = {"name": entry.name, "kind": entry.kind, "plugin": entry.plugin, "summary": entry.summary}
    facts["also"] = [other for other in zoo.kinds_of(name) if other != kinds[0]]  # further kinds under this name
    if entry.spec is None:
        return facts | {"target": entry.target, "needs": list(entry.needs), "provides": list(entry.provides)}
    return facts | _model(zoo, entry.spec)


def _model(zoo: Registry, spec: ModelSpec) -> dict[str, Any]:
    parts, views = zoo.parts(spec), zoo.views(spec)
    needs = sorted({need for _, missing in unmet(parts) for need in missing})
    return {
        "parts": [_part(part) for part in parts],
        "needs": needs,  # what is left for the data to provide
        "missing": sorted(set(needs) - any_data()),  # what no data set provides: these parts do not fit
        "provides": sorted({word for part in parts for word in part.provides}),
        "views": {"train": _views(spec.train_views), "test": _views(spec.test_views), "reduce": spec.reduce},
        "view_kinds": [_part(view) for view in views],
        "presets": {name: tree(preset) for name, preset in spec.presets.items()},
        "weights": [tree(weights) for weights in spec.weights],
        "paper": tree(spec.paper),
        "licence": spec.licence,
    }


def _part(entry: Entry) -> dict[str, Any]:
    return {"kind": entry.kind, "name": entry.name, "plugin": entry.plugin, "needs": list(entry.needs), "provides": list(entry.provides)}


def _views(side: Mapping[str, tuple[View, ...]]) -> dict[str, list[Any]]:
    return {name: [tree(view) for view in looks] for name, looks in side.items()}


def named_parts(spec: ModelSpec) -> dict[str, Any]:
    """The names of a model's parts, as run folders and published models keep them."""
    return {"backbone": spec.backbone, "head": spec.head, "auxiliary": list(spec.auxiliary), "strategy": spec.strategy}


def tree(value: Any) -> Any:
    """Data classes, mappings and sequences as plain dictionaries and lists; anything else that JSON has no word for as its text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: tree(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): tree(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [tree(item) for item in (sorted(value, key=str) if isinstance(value, (set, frozenset)) else value)]
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)
