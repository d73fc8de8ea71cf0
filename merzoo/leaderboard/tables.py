"""The board as Markdown. All text in it is strangers' text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from merzoo.evaluation.scores import TITLES
from merzoo.leaderboard.wording import clips_tested, count, duration, interval, training
from merzoo.text import plain


def markdown(board: dict[str, Any]) -> str:
    """The same tables as Markdown."""
    return "\n".join(_markdown_lines(board)) + "\n"


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
