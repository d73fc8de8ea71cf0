"""What a result file says of the model behind it: its paper, and the fidelity table of its plugin's README."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterator
from typing import Any

from merzoo.describe import tree
from merzoo.errors import MerzooError
from merzoo.installed import readme
from merzoo.registry import registry
from merzoo.specs import ModelSpec
from merzoo.text import plain

MAX_ROWS, MAX_CELLS, MAX_CELL = 100, 12, 1000  # of a fidelity table; the last in characters
_HEADING = re.compile(r"#{1,6}\s+(.*?)\s*#*\s*")
_CELLS = re.compile(r"(?<!\\)\|")
_RULE = re.compile(r"\|?[\s:|-]*-[\s:|-]*")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)\s]*\)")
_MARKS = re.compile(r"\*\*|(?<!\w)[*_](?=\S)|(?<=\S)[*_](?!\w)")


def about(model: str) -> dict[str, Any]:
    """{"paper", "fidelity"} as a result file holds them, of an installed model; null and [] where the name is not known here or there is none."""
    try:
        spec = registry().model(model)
        entry = registry().get("model", model.partition(",")[0])
    except MerzooError:
        return {"paper": None, "fidelity": []}
    return {"paper": tree(spec.paper), "fidelity": fidelity(_readme(entry.distribution), spec)}


def fidelity(text: str, spec: ModelSpec) -> list[list[str]]:
    """The rows of the table below the heading "Fidelity" of a README, head first, cells as plain text.

    Where there are several tables it is the one whose introduction names the paper; [] where none does, and where there is none.
    """
    found = [*_tables(text)]
    if len(found) > 1:
        paper = spec.paper
        named = [name for name in (paper.title, paper.arxiv) if name] if paper else []
        found = [(before, rows) for before, rows in found if any(name in before for name in named)]
    return found[0][1] if found else []


def _readme(distribution: str) -> str:
    try:
        return readme(importlib.metadata.distribution(distribution)) if distribution else ""
    except (importlib.metadata.PackageNotFoundError, OSError, ValueError):
        return ""


def _tables(text: str) -> Iterator[tuple[str, list[list[str]]]]:
    """Each table of the section with what stands between it and the one before."""
    before, table, inside = "", [], False
    for line in [*text.splitlines(), "# end"]:
        heading = _HEADING.fullmatch(line)
        if inside and line.lstrip().startswith("|"):
            table.append(line)
            continue
        if table:
            yield before, _rows(table)
            before, table = "", []
        if heading:
            inside = heading[1].lower() == "fidelity" or (inside and line.startswith("###"))
        elif inside:
            before += f"{line}\n"


def _rows(lines: list[str]) -> list[list[str]]:
    kept = [line.strip() for line in lines if not _RULE.fullmatch(line.strip())]
    return [[_cell(cell) for cell in _CELLS.split(line.removeprefix("|").removesuffix("|"))[:MAX_CELLS]] for line in kept[:MAX_ROWS]]


def _cell(text: str) -> str:
    """Markdown as plain text: code, emphasis and links are their words."""
    parts = text.replace("\\|", "|").split("`")
    if len(parts) % 2 == 0:  # a backtick without its other half
        parts = [text]
    parts[::2] = [_MARKS.sub("", _LINK.sub(r"\1", part)) for part in parts[::2]]
    return plain("".join(parts).strip(), MAX_CELL)
