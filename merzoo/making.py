"""Building a registered part with options that a stranger may have written."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from merzoo.entries import last_line
from merzoo.errors import MerzooError, UsageError
from merzoo.specs import View
from merzoo.text import plain


def make(target: Callable[..., Any], what: str, options: Mapping[str, Any], *args: Any) -> Any:
    """Call the target of a part with `args` and its options.

    Raises `UsageError`, which names the part, for an option that it does not know (with those that it knows) and for a value that it cannot use. A part that
    fails without any option has a fault of its own, which stays as it is.
    """
    if not isinstance(options, Mapping):
        raise UsageError(f"{what}: options must be a mapping of names to values, not {plain(options, 60)}")
    known = _known(target, len(args))
    unknown = [] if known is None else [name for name in options if name not in known]
    if unknown:
        raise UsageError(f"{what} has no option {plain(unknown[0], 60)}; its options: {', '.join(known or ()) or 'none'}")
    try:
        return target(*args, **options)
    except MerzooError:
        raise
    except Exception as error:
        if not options:
            raise
        shown = ", ".join(f"{name}={value!r}" for name, value in options.items())
        raise UsageError(f"{what} cannot be built with {plain(shown, 160)}: {last_line(error)}") from error


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
