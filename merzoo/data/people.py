"""People who are known to occur in more than one data set, or twice in one, as data.

To declare one, add a line to shared_subjects.csv beside this module: two qualified subject ids ("casme2:01,samm:006") and where it is stated (a paper with
its page, the data set's own documentation, a letter of its authors). Likeness is no source. Each line changes the folds and the hash of every protocol that
tests one of the two, which is why the table starts without a line: no published statement of a shared subject was found.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

from merzoo.errors import DataError

TABLE = Path(__file__).with_name("shared_subjects.csv")
COLUMNS = ["subject_a", "subject_b", "source"]


def shared_subjects(path: Path = TABLE) -> list[tuple[str, str]]:
    """The declared pairs of subject ids. Raises `DataError` that names the line for a table that is not as the module says."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"table of shared subjects {path} cannot be read ({error}); reinstall merzoo") from None
    if not lines or lines[0] != COLUMNS:
        raise DataError(f"table of shared subjects {path} does not begin with {','.join(COLUMNS)}; restore its first line")
    pairs = []
    for number, line in enumerate(lines[1:], 2):
        if len(line) != 3 or not all(cell.strip() for cell in line) or not all(":" in cell for cell in line[:2]) or line[0] == line[1]:
            raise DataError(f"{path}, line {number}: not two different qualified subjects and a source; write casme2:01,samm:006,SOURCE")
        pairs.append((line[0].strip(), line[1].strip()))
    return pairs


def same_people(pairs: Iterable[tuple[str, str]]) -> Mapping[str, frozenset[str]]:
    """subject -> everybody who is the same person, the subject too; whoever is in no pair is not in it. Who is the same as the same is the same."""
    groups: dict[str, frozenset[str]] = {}
    for a, b in pairs:
        together = groups.get(a, frozenset([a])) | groups.get(b, frozenset([b]))
        groups |= dict.fromkeys(together, together)
    return groups
