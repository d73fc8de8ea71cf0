"""Values of options that somebody typed, for parts of any plugin: what cannot be is refused in one line when the part is built, not at the first step."""

from __future__ import annotations

import math

from merzoo.errors import UsageError


def check_number(what: str, value: object, least: float = 0, *, above: bool = False, whole: bool = False) -> None:
    """Raise `UsageError` unless this is a finite number of at least `least` (more than it, with `above`), and a whole one where `whole`; True is none."""
    kinds = int if whole else int | float
    if isinstance(value, bool) or not isinstance(value, kinds) or not math.isfinite(value) or value < least or (above and value == least):
        raise UsageError(f"{what} {value!r} must be a {'whole' if whole else 'finite'} number {'above' if above else 'of at least'} {least}")


def check_flag(what: str, value: object) -> None:
    """Raise `UsageError` for anything but True and False: a text such as "no" would count as true."""
    if not isinstance(value, bool):
        raise UsageError(f"{what} {value!r} must be true or false")
