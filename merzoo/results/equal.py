"""Whether a claim is what was made again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from merzoo.evaluation.records import is_number
from merzoo.text import plain

TOLERANCE = 1e-9  # absolute, and relative for larger numbers: sums in another order, other versions of numpy


def differences(claim: Any, made: Any, where: str = "", relative: float = TOLERANCE, by: str = "made again") -> Iterator[str]:
    """Each place where a claim is other than what was made again, with both values. Numbers may differ by rounding. by: what the second value is."""
    if claim == made:
        return
    if isinstance(made, dict) and isinstance(claim, dict):
        for key in dict.fromkeys((*made, *claim)):
            inner = f"{where}.{plain(key, 60)}".lstrip(".")
            if key not in claim:
                yield f"{inner} is missing, {by} it is {_shown(made[key])}"
            elif key not in made:
                yield f"{inner} is {_shown(claim[key])}, {by} there is none"
            else:
                yield from differences(claim[key], made[key], inner, relative, by)
    elif isinstance(made, list | tuple) and isinstance(claim, list) and len(made) == len(claim):
        for at, (one, other) in enumerate(zip(claim, made, strict=True)):
            yield from differences(one, other, f"{where}[{at}]", relative, by)
    elif not _same(claim, made, relative):
        yield f"{where} is {_shown(claim)}, {by} it is {_shown(made)}"


def _same(claim: Any, made: Any, relative: float) -> bool:
    if is_number(claim) and is_number(made):
        return bool(abs(claim - made) <= relative * max(1.0, abs(made)))
    return type(claim) is type(made) and bool(claim == made)


def _shown(value: Any) -> str:
    return plain(repr(value) if isinstance(value, float | str) else value, 80)
