"""The board as a page and as Markdown. All text in it is strangers' text: the page escapes it, and lets no script run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from merzoo.evaluation.scores import TITLES
from merzoo.text import plain


def html(board: dict[str, Any]) -> str:
    """The whole page as one text without a script, an image or a link to another place."""
    environment = Environment(loader=PackageLoader("merzoo.leaderboard", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(interval=interval, count=count, duration=duration, training=training, tested=clips_tested, called=TITLES.__getitem__)
    return environment.get_template("board.html").render(board=board)


def markdown(board: dict[str, Any]) -> str:
    """The same tables as Markdown."""
    return "\n".join(_markdown_lines(board)) + "\n"


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


def _markdown_lines(board: dict[str, Any]) -> Iterator[str]:
    yield "# Micro-expression recognition: the board"
    yield "\nLast epoch of a fixed budget, predictions pooled over folds, mean over seeds; 95 % intervals by bootstrap over subjects."
    yield "Rows can be compared within a table only."
    for group in board["groups"]:
        data, protocol, tested = group["data"], group["protocol"], group["tested"]
        part = f" ({_md(data['part'])})" if data["part"] else ""
        yield f"\n## {_md(data['name'])}{part}, {_md(protocol['name'])}"
        classes = ", ".join(_md(name) for name in group["labels"])
        yield f"\n{clips_tested(group)} samples, {tested['subjects']} subjects, {protocol['folds']} folds; classes: {classes}."
        yield f"Data {_md(data['manifest_hash'][:12])}, protocol {protocol['hash'][:12]}, truth {group['truth_sha256'][:12]}.\n"
        titles = " | ".join(TITLES[m] for m in group["metrics"])
        yield f"| model | preset | training | seeds | {titles} | parameters | training time |"
        yield f"|---|---|---|--:|{'---|' * len(group['metrics'])}--:|--:|"
        for row in group["rows"] + group["references"]:
            scores = [f"{s['value']:.3f} {_md(interval(s))}" for s in (row["scores"][m] for m in group["metrics"])]
            name = _md(row["model"]) + (" (reference)" if row["reference"] else "")
            what = [name, _md(row["preset"]), _md(training(row)), str(len(row["seeds"]))]
            cells = [*what, *scores, count(row["parameters"]), duration(row["seconds"])]
            yield "| " + " | ".join(cells) + " |"
    if board["left_out"]:
        yield "\n## Left out\n"
        yield from (f"* {_md(out['run'])}: {_md(out['reason'])}" for out in board["left_out"])


def _md(text: str) -> str:
    """Text that Markdown takes as it is."""
    return re.sub(r"([\\`*_{}\[\]()<>#+!|~&$:@])", r"\\\1", plain(text))
