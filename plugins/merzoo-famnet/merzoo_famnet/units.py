"""Which action units are detected: the lists of the data sets, and what a clip's coding says of them."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence

from merzoo.errors import UsageError

LARGEST = 46  # the last action unit of the face in FACS
CROSS = "cross"
# Our choice: of each data set those with at least 10 positive clips; across data sets those of CD6ME (arXiv 2211.11425).
LISTS: Mapping[str, tuple[int, ...]] = {
    "casme2": (1, 2, 4, 7, 12, 14, 15, 17),
    "samm": (2, 4, 7, 12),
    "mmew": (1, 2, 4, 5, 7, 10, 12, 14),
    CROSS: (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17),
}


def chosen(aus: str | Sequence[int]) -> tuple[int, ...]:
    """The action units meant by a data set's name, by "cross", or by a list of their numbers.

    Raises `UsageError` for a name without a list, and for a list that is empty, repeats one or holds what is no action unit.
    """
    if isinstance(aus, str):
        if aus not in LISTS:
            near = difflib.get_close_matches(aus, LISTS, n=1)
            raise UsageError(f"aus: no list for '{aus}'{f', did you mean {near[0]}?' if near else ';'} give one of {', '.join(LISTS)}, or numbers")
        return LISTS[aus]
    if not isinstance(aus, list | tuple) or not aus:
        raise UsageError(f"aus {aus!r} must be one of {', '.join(LISTS)}, or a list of one or more numbers of action units")
    wrong = [au for au in aus if not isinstance(au, int) or isinstance(au, bool) or not 1 <= au <= LARGEST]
    if wrong:
        raise UsageError(f"aus: {wrong[0]!r} is no action unit; give whole numbers from 1 to {LARGEST}")
    if len(set(aus)) != len(aus):
        raise UsageError(f"aus {list(aus)}: one is there twice; give each once")
    return tuple(aus)


def coded(cell: object, dataset: str, units: Sequence[int], across: bool) -> list[float]:
    """1, 0 or NaN of each action unit for a clip: its cell "4+12" of the table, "" where none is active, anything but a text where nobody coded it.

    across: units that are not in the list of the clip's own data set are NaN, where it has a list. With fewer than 10 positive clips they teach little more
    than "never", and would teach it to a detector that other data sets show the unit (our choice). These NaN are the truth of tests too: what is not trained
    on of a data set is not scored on it either, although somebody coded it.
    """
    if not isinstance(cell, str):
        return [math.nan] * len(units)
    active = {text.strip() for text in cell.split("+")}
    known = LISTS.get(dataset, units) if across else units
    return [float(str(unit) in active) if unit in known else math.nan for unit in units]
