"""Building a registered part with options that a stranger may have written."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

from merzoo.entries import last_line
from merzoo.errors import MerzooError, UsageError
from merzoo.specs import View
from merzoo.text import plain


def make(target: Callable[..., Any], what: str, options: Mapping[str, Any], *args: Any) -> Any:
    """Call the target of a part with `args` and its options.

    Raises `UsageError`, which names the part, for an option that it does not know (with those that it knows) and for a value that it cannot use: an option
    annotated with plain types (int, float, bool, str, None) takes values of these alone, and finite numbers. A part that fails without any option has a
    fault of its own, which stays as it is.
    """
    if not isinstance(options, Mapping):
        raise UsageError(f"{what}: options must be a mapping of names to values, not {plain(options, 60)}")
    known = _known(target, len(args))
    unknown = [] if known is None else [name for name in options if name not in known]
    if unknown:
        raise UsageError(f"{what} has no option {plain(unknown[0], 60)}; its options: {', '.join(known or ()) or 'none'}")
    try:
        made = target(*args, **options)  # first, since what a part says of its own options is better told
    except MerzooError:
        raise
    except Exception as error:
        if not options:
            raise
        _check_types(target, what, options)
        shown = ", ".join(f"{name}={value!r}" for name, value in options.items())
        raise UsageError(f"{what} cannot be built with {plain(shown, 160)}: {last_line(error)}") from error
    _check_types(target, what, options)
    return made


_PLAIN: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "int": ("a whole number", lambda value: isinstance(value, int) and not isinstance(value, bool)),
    "float": ("a finite number", lambda value: isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)),
    "bool": ("true or false", lambda value: isinstance(value, bool)),
    "str": ("text", lambda value: isinstance(value, str)),
    "None": ("null", lambda value: value is None),
}


def _check_types(target: Callable[..., Any], what: str, options: Mapping[str, Any]) -> None:
    """Raise `UsageError` for a value of another type than its option's annotation. Annotations of other than plain types are left to the part."""
    parameters = inspect.signature(target).parameters
    for name in options.keys() & parameters.keys():
        annotation = parameters[name].annotation
        words = (annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")).replace(" ", "").split("|")
        if all(word in _PLAIN for word in words) and not any(_PLAIN[word][1](options[name]) for word in words):
            raise UsageError(f"{what}: {name} must be {' or '.join(_PLAIN[word][0] for word in words)}, not {plain(repr(options[name]), 60)}")


def make_view(view: View) -> Any:
    """The registered view kind behind a spec. Raises like `make`, and `UnknownNameError`."""
    from merzoo.registry import registry

    return make(registry().get("view", view.kind).load(), f"view '{view.kind}'", view.options)


def _known(target: Callable[..., Any], given: int) -> list[str] | None:
    """Names that may be given as options, after the first `given` arguments; None where anything may."""
    parameters = list(inspect.signature(target).parameters.values())[given:]
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
