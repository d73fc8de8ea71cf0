"""How numbers and rows of a board are said, on every page of it."""

from __future__ import annotations

import math
from typing import Any


def interval(estimate: dict[str, float]) -> str:
    """`[low, high]` with three decimals."""
    return f"[{estimate['low']:.3f}, {estimate['high']:.3f}]"


def count(number: int | None) -> str:
    """A count as people say it: 950, 412 k, 11.2 M, 2.1 G; a dash where it is not known."""
    if number is None:
        return "–"
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size * 0.9995:
            return f"{number / size:.3g} {unit}" if number < size * 999.5 else f"{number / size:,.0f} {unit}"
    return str(number)


def duration(seconds: float) -> str:
    """Seconds as people say it: 4.2 s, 3.5 min, 2.0 h."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.1f} s"


def training(row: dict[str, Any]) -> str:
    """From what the run began."""
    return f"from weights {row['weights']['tag']}" if row["weights"] else "no weights from outside"


def clips_tested(group: dict[str, Any]) -> str:
    """How many clips the runs of a table tested, and of how many labelled ones where that is fewer."""
    counted, there = group["tested"]["samples"], group["data"]["samples"]
    return f"{counted:,} of {there:,}" if counted < there else f"{counted:,}"


def milliseconds(microseconds: float | None) -> str:
    """Microseconds as milliseconds with three significant digits: 0.385, 2.14, 35.1, 1,240; a dash where they are not known."""
    return "–" if microseconds is None else amount(microseconds / 1e3)


def amount(number: float | None) -> str:
    """Three significant digits, whole numbers from 1,000 on, and what is too small for four decimals as 1.2e-05."""
    if number is None:
        return "–"
    if number == 0 or abs(number) >= 1000:
        return f"{number:,.0f}"
    return f"{number:.2e}" if abs(number) < 1e-3 else f"{number:.{max(0, 2 - math.floor(math.log10(abs(number))))}f}"


def percent(share: float | None) -> str:
    """A share in percent: 0.4 %, 12 %, < 0.1 %."""
    if share is None or 0 < share < 0.0005:
        return "–" if share is None else "< 0.1 %"
    return f"{100 * share:.{1 if share < 0.0995 else 0}f} %"
