"""What a board makes of a result file, question by question."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from merzoo.evaluation.checks import Check, verdict
from merzoo.evaluation.records import MAX_ENVIRONMENT, MAX_TEXT, is_count, is_number
from merzoo.evaluation.run import Run
from merzoo.results.desk import Desk
from merzoo.text import plain

NEEDED = ("python", "merzoo", "torch", "numpy", "platform", "cpu", "device", "threads")  # of an environment
TEXTS = NEEDED[:-1]
REPORTED = ("data", "protocol", "metric", "value", "table", "note")  # of a number that a paper reports; a page prints each
MAX_ABOUT = 4000  # characters of a cell or of a paper's text


@dataclass(frozen=True)
class Verdict:
    """checks: each question with its answer. needed: names of those without which nothing is believed; a "not checked" among them counts as failed.

    made: of a `scores` file what result.json says, made again, or None. run: of a `scores` file the run, where it could be read.
    """

    kind: str
    checks: list[Check]
    needed: frozenset[str]
    made: dict[str, Any] | None = None
    run: Run | None = field(default=None, compare=False)

    @property
    def status(self) -> str:
        """ "consistent", or "refused"."""
        return "refused" if self.faults else "consistent"

    @property
    def faults(self) -> list[Check]:
        """The checks for which a board would not take it: those that failed, or else what could not be checked and had to be."""
        failed = [check for check in self.checks if check.status == "failed"]
        return failed or [check for check in self.checks if check.status == "not checked" and check.name in self.needed]

    @property
    def reason(self) -> str:
        """Why a board would not take it, on one line; "" where it would."""
        return "; ".join(f"{check.name}: {check.text}" + (f" ({check.found[0]})" if check.found else "") for check in self.faults)


def envelope(value: Mapping[str, Any]) -> Check:
    """What every result file holds is of the kind it should be."""
    found = [*_texts(value, ("model", "preset", "created"), 1), *_texts(value, ("by",), 0)]
    if isinstance(created := value.get("created"), str):
        try:
            moment = datetime.fromisoformat(created)
        except ValueError:
            found.append(f"created is {plain(repr(created), 60)} and no time as ISO 8601 has it")
        else:
            if moment.utcoffset() is None or moment.utcoffset():
                found.append(f"created is {created}, which is not in UTC")
    found += [f"{name} is no object" for name in ("parts", "options", "environment") if not isinstance(value.get(name), Mapping)]
    parts = value["parts"] if isinstance(value.get("parts"), Mapping) else {}
    found += [f"parts.{plain(name, 40)} is no name" for name, part in parts.items() if not all(map(is_text, part if isinstance(part, list) else [part]))]
    found += _paper(value.get("paper"))
    if not _is_table(value.get("fidelity")):
        found.append(f"fidelity is no list of rows of printable cells of at most {MAX_ABOUT} characters")
    return verdict("envelope", found, f"schema {value['schema']}, {value['kind']} of {plain(value.get('model'), 80)}", "fields are not as they should be")


def environment(value: Mapping[str, Any]) -> Check:
    """The machine is told, in words that can be."""
    facts = value.get("environment")
    facts = facts if isinstance(facts, Mapping) else {}
    found = [f"it does not say {name}" for name in NEEDED if name not in facts]
    found += [f"{name} is no text" for name in TEXTS if name in facts and not (isinstance(facts[name], str) and facts[name].strip())]
    if "threads" in facts and not (is_count(facts["threads"]) and 1 <= facts["threads"] <= 4096):
        found.append(f"threads is {plain(repr(facts['threads']), 40)}, no count of threads")
    if len(facts) > MAX_ENVIRONMENT:
        found.append(f"it has {len(facts)} entries, at most {MAX_ENVIRONMENT}")
    for key, entry in facts.items():
        if not (is_text(key) and (entry is None or is_number(entry) or isinstance(entry, bool) or is_text(entry, 0))):
            found.append(f"{plain(key, 40)} is neither printable text nor a number")
    told = f"{plain(facts.get('device'), 60)}, {plain(facts.get('cpu'), 60)}, merzoo {plain(facts.get('merzoo'), 20)}, torch {plain(facts.get('torch'), 20)}"
    return verdict("environment", found, told, "things are wrong with the environment block")


def reported(value: Mapping[str, Any], desk: Desk) -> Check:
    """The numbers that a paper is said to report are those that its plugin knows. value: past `envelope`."""
    name, model = "reported numbers", value["model"]
    if isinstance(desk.model(model), str):
        return Check(name, "not checked", f"{plain(model, 80)} is not installed here, so what its paper reports is not shown")
    said, known = (_numbers(paper) for paper in (value.get("paper"), desk.about(model)["paper"]))
    found = [f"{plain(key, 120)}: {one} in the file, {known.get(key)} in the plugin" for key, one in said.items() if one != known.get(key)]
    return verdict(name, found, f"{len(said)} numbers are those of the installed plugin", "numbers are not what the plugin says that its paper reports")


def _numbers(paper: Any) -> dict[str, Any]:
    """ "data protocol metric …" -> value."""
    if paper is None:
        return {}
    rows = ({"preset": "full", **row} for row in paper["reported"])
    return {" ".join(row[name] for name in ("data", "part", "protocol", "macro", "preset", "metric") if row.get(name)): row.get("value") for row in rows}


def is_text(text: Any, least: int = 1, most: int = MAX_TEXT) -> bool:
    """Whether a value is printable text of that many characters."""
    return isinstance(text, str) and least <= len(text) <= most and text.isprintable()


def _texts(value: Mapping[str, Any], names: Iterable[str], least: int) -> list[str]:
    texts = ((name, value.get(name)) for name in names)
    return [f"{name} is {plain(repr(text), 60)} and no printable text of {least} to {MAX_TEXT} characters" for name, text in texts if not is_text(text, least)]


def _paper(paper: Any) -> list[str]:
    if paper is None:
        return []
    if not isinstance(paper, Mapping) or not isinstance(paper.get("reported"), list):
        return ["paper is neither null nor an object with a list of reported numbers"]
    texts = [(f"paper.{name}", paper.get(name)) for name in ("title", "authors", "arxiv")]
    found = [] if paper.get("year") is None or is_count(paper["year"]) else ["paper.year is neither null nor a year"]
    for row in paper["reported"]:
        if not isinstance(row, Mapping) or not (row.get("value") is None or (is_number(row["value"]) and 0 <= row["value"] <= 1)):
            return [*found, "paper.reported holds a number that is no share from 0 to 1"]
        if lacking := [name for name in REPORTED if name not in row]:
            return [*found, f"paper.reported holds a number that does not say {', '.join(lacking)}"]
        texts += [(f"paper.reported.{name}", row.get(name, "")) for name in ("data", "protocol", "metric", "table", "note", "part", "macro", "preset")]
    return found + [f"{name} is no printable text" for name, text in texts if not is_text(text, 0, MAX_ABOUT)]


def _is_table(rows: Any) -> bool:
    cells = [row for row in rows if isinstance(row, list)] if isinstance(rows, list) else []
    whole = isinstance(rows, list) and len(cells) == len(rows)
    return whole and all(is_text(cell, 0, MAX_ABOUT) for row in cells for cell in row)
