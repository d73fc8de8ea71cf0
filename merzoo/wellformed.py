"""Whether a model's specification is made of what its annotations say. Plugins write them, and Python checks no annotation: a list where a mapping should
be would break a listing, or another model's look-up, long after."""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from merzoo.specs import ModelSpec, valid_name
from merzoo.text import plain

DEPTH = 16  # of options inside options; one that holds itself has no end
_WORDS = {str: "text", int: "a whole number", float: "a number", types.NoneType: "None"}


def fault(spec: object) -> str:
    """What is wrong with a specification, in words that follow "it"; "" where nothing is. Whether its parts exist is not asked."""
    if not isinstance(spec, ModelSpec):
        return "is no merzoo.specs.ModelSpec"
    if wrong := _wrong(spec, ModelSpec, ""):
        return f"has {wrong}"
    if not spec.presets:
        return "has no presets; give one named 'full'"
    for side, views in (("train_views", spec.train_views), ("test_views", spec.test_views)):
        for name, looks in views.items():
            if not looks:
                return f"has {side}[{plain(repr(name), 60)}] without a view"
    bad = [name for name in _names(spec) if not valid_name(name)]
    return f"uses the name '{plain(bad[0], 80)}', which is not lower-case words joined by - _ or ." if bad else ""


def _names(spec: ModelSpec) -> list[str]:
    views = [view.kind for side in (spec.train_views, spec.test_views) for looks in side.values() for view in looks]
    aligners = [preset.preprocessing.aligner for preset in spec.presets.values()]
    tags = [weights.tag for weights in spec.weights]
    return [spec.name, spec.backbone, spec.head, *spec.auxiliary, spec.strategy, *views, *aligners, *spec.presets, *tags]


def _wrong(value: object, hint: Any, where: str) -> str:
    """The first place inside a value that is not as annotated, in words, or ""."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return _not_plain(value, where, DEPTH)
    if origin is Literal:
        return "" if isinstance(value, str) and value in inner else _not(where, value, f"one of {', '.join(map(str, inner))}")
    if origin in (Union, types.UnionType):
        if any(not _wrong(value, kind, where) for kind in inner):
            return ""
        one = [kind for kind in inner if isinstance(kind, type) and isinstance(value, kind)]  # then the fault lies inside it
        return _wrong(value, one[0], where) if one else _not(where, value, " or ".join(map(_called, inner)))
    if origin is tuple:
        if not isinstance(value, list | tuple):
            return _not(where, value, "a tuple")
        return _first(_wrong(item, inner[0], f"{where}[{number}]") for number, item in enumerate(value))
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            return _not(where, value, "a mapping")
        return _first(_wrong_item(key, item, inner[1], where) for key, item in value.items())
    if not _is(value, hint):
        return _not(where, value, _called(hint))
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _first(_wrong(getattr(value, name), kind, f"{where}.{name}".lstrip(".")) for name, kind in _fields(hint))
    return ""


def _called(kind: type) -> str:
    return _WORDS.get(kind) or f"a merzoo.specs.{kind.__name__}"


def _first(faults: Iterable[str]) -> str:
    return next(filter(None, faults), "")


def _wrong_item(key: object, item: object, hint: Any, where: str) -> str:
    if not isinstance(key, str):
        return f"{where} with the key {_shown(key)}, which is no text"
    return _wrong(item, hint, f"{where}[{plain(repr(key), 60)}]")


def _is(value: object, kind: type) -> bool:
    if kind in (int, float) and isinstance(value, bool):
        return False
    return isinstance(value, int | float) if kind is float else isinstance(value, kind)


def _not_plain(value: object, where: str, depth: int) -> str:
    """Options are numbers, text, and sequences, sets and mappings of them: they are printed, compared and written as JSON."""
    if value is None or isinstance(value, str | int | float):
        return ""
    if depth == 0:
        return f"{where[:80]}, which is nested too deep"
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str | int | float):
                return f"{where} with the key {_shown(key)}, which is no text"
            if wrong := _not_plain(item, f"{where}[{plain(repr(key), 60)}]", depth - 1):
                return wrong
        return ""
    if isinstance(value, list | tuple | set | frozenset):
        return _first(_not_plain(item, f"{where}[…]", depth - 1) for item in value)
    return _not(where, value, "plain data")


@functools.cache
def _fields(kind: type) -> tuple[tuple[str, Any], ...]:
    hints = get_type_hints(kind)
    return tuple((field.name, hints[field.name]) for field in dataclasses.fields(kind))


def _not(where: str, value: object, wanted: str) -> str:
    return f"{where} = {_shown(value)}, which is not {wanted}"


def _shown(value: object) -> str:
    """A value of any type: its text may be made by a stranger's class, so of other than plain data the type is named."""
    if value is None or isinstance(value, str | int | float):
        return plain(repr(value)[:200], 60)
    return f"a {plain(type(value).__name__, 60)}"
