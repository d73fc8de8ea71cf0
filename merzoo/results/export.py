"""A run, packed, checked as a board would check it, and written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from merzoo.errors import MerzooError, ResultError, UsageError
from merzoo.evaluation.runs import RunFolder
from merzoo.files import make_folder, write_atomically
from merzoo.results.checking import check
from merzoo.results.desk import Desk
from merzoo.results.pack import file_name, names_of_people, pack
from merzoo.results.reading import check_envelope, dumps, parse, read
from merzoo.results.verdict import Verdict
from merzoo.text import plain


def export(
    run: Path, out: Path, desk: Desk, *, by: str = "", joined: bool | None = None, force: bool = False, publish_subjects: bool = False
) -> tuple[Path, dict[str, Any], Verdict]:
    """Write the result file of a finished run; returns its path, its content, and what a board here makes of it.

    out: a folder, or a path that ends in .json. force: write over a file that holds something else.
    Raises `ResultError` for a run that a board would refuse (says why), `UsageError` where ids of people in it may be names (unless `publish_subjects`) or
    another result lies there, `RunError` where the run or the place is not as it should be. What cannot be checked here, since the data are elsewhere, is
    written all the same.
    """
    folder = RunFolder.open(run)
    value = pack(folder, by, joined)
    if not publish_subjects and (people := names_of_people(folder)):
        told = f"the result carries the ids of {len(people)} people in data of your own, such as {plain(people[0], 60)}"
        raise UsageError(f"{told}; if these are no names, give --publish-subjects, else give people codes in your table and evaluate again")
    path = out if out.suffix == ".json" else out / file_name(value)
    text = dumps(value, str(path))
    verdict = check(check_envelope(parse(text.encode(), str(path)), str(path)), path, desk)
    if any(one.status == "failed" for one in verdict.checks):
        raise ResultError(f"{run} would be refused by a board ({plain(verdict.reason, 400)}); see merzoo audit {run}, and evaluate again")
    if not force and path.exists() and not _is(path, value):
        raise UsageError(f"{path} is there and holds something else; give another --out, or --force to write over it")
    make_folder(path.parent)
    write_atomically(path, text)
    return path, value, verdict


def _is(path: Path, value: dict[str, Any]) -> bool:
    try:
        return read(path) == value
    except MerzooError:
        return False
