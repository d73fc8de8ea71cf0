"""From a folder of runs and result files to a board: everything is made again and checked, and what cannot be trusted is left out with its reason."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from merzoo.errors import UsageError
from merzoo.evaluation.bootstrap import RESAMPLES
from merzoo.files import make_folder, write_atomically
from merzoo.leaderboard.entries import Entry, candidates
from merzoo.leaderboard.judging import Report, judged
from merzoo.leaderboard.page import html
from merzoo.leaderboard.reruns import merge
from merzoo.leaderboard.tables import costs_csv, markdown, scores_csv
from merzoo.results.desk import Desk
from merzoo.text import plain

SCHEMA = 2
SHARED = ("data", "protocol", "task", "labels", "tested", "truth_sha256")  # of all rows of a group


def build(
    source: Path | str,
    site: Path | str,
    resamples: int = RESAMPLES,
    *,
    roots: Mapping[str, Path] | None = None,
    jobs: int = 1,
    report: Report | None = None,
) -> dict[str, Any]:
    """Write index.html, board.json, board.md, board.csv and costs.csv into `site` and return the board (see `collect`).

    Raises `UsageError` where `source` is no folder or holds neither a result file nor an evaluation run, `RunError` where `site` cannot be written.
    """
    source, site = Path(source), Path(site)
    board = collect(source, resamples, roots=roots, jobs=jobs, report=report)
    try:
        texts = _texts(board)
    except Exception:  # a stranger's file must not take the board down with it
        board = _drawable(board)
        texts = _texts(board)
    make_folder(site)
    for name, text in texts.items():
        write_atomically(site / name, text)
    return board


def _texts(board: dict[str, Any]) -> dict[str, str]:
    """What each file of a site says."""
    made = {"index.html": html, "board.json": _dumps, "board.md": markdown, "board.csv": scores_csv, "costs.csv": costs_csv}
    return {name: text(board) for name, text in made.items()}


def _drawable(board: dict[str, Any]) -> dict[str, Any]:
    """The board without the rows and costs that cannot be drawn on one of their own: these are left out, with the reason."""
    left_out = []

    def drawn(name: str, groups: list[dict[str, Any]], costs: list[dict[str, Any]]) -> bool:
        try:
            _texts({"schema": SCHEMA, "groups": groups, "costs": costs, "left_out": []})
        except Exception as error:
            left_out.append({"run": plain(name), "reason": plain(f"it cannot be drawn: {type(error).__name__}: {error}", 400)})
            return False
        return True

    groups = []
    for group in board["groups"]:
        empty = {**group, "rows": [], "references": []}
        kept = {side: [row for row in group[side] if drawn(row["run"], [{**empty, side: [row]}], [])] for side in ("rows", "references")}
        if any(kept.values()):
            groups.append({**group, **kept})
    costs = [cost for cost in board["costs"] if drawn(cost["source"], [], [cost])]
    return {**board, "groups": groups, "costs": costs, "left_out": sorted(board["left_out"] + left_out, key=lambda out: out["run"])}


def _dumps(board: dict[str, Any]) -> str:
    """On one line: with line ends, the standard library takes ten times as long."""
    return json.dumps(board, sort_keys=True, allow_nan=False, ensure_ascii=False, separators=(",", ":")) + "\n"


def collect(
    source: Path, resamples: int = RESAMPLES, *, roots: Mapping[str, Path] | None = None, jobs: int = 1, report: Report | None = None
) -> dict[str, Any]:
    """{"schema", "groups": [{"data", "protocol", "task", "labels", "tested", "truth_sha256", "metrics", "rows", "references"}], "costs", "left_out": [{"run",
    "reason"}]}.

    A group holds the runs that may be compared: same data manifest, same folds, same class list, same truth. Rows are results (`merzoo.evaluation.runs.
    result`) with "run" and "source", the folder or file below `source`; "status": "consistent", "re-run" or "own run" (docs/results.md); "by", "created",
    "options", "paper", "fidelity"; "rerun" (`merzoo.leaderboard.reruns.merge`). Best first by the first metric (UF1, or AU F1 where clips have several labels);
    those whose run.json says "reference": true stand apart. Costs are what `cost` files say, without the single times and the measurements at fault, in
    order of model, preset and device. A run that is there twice, as a folder and a file or as a copy, is there once.
    resamples: of run folders and of differences; a file's claim is made again as it was made. roots: where data sets lie, by name. jobs: processes among
    which many results are shared (a script that asks for several needs `if __name__ == "__main__":`). report: told what is done, how much and of how much.
    The same folder gives the same board, wherever it lies and whenever it is made.
    """
    if not source.is_dir():
        raise UsageError(f"{source} is not a folder; give the folder that holds the results")
    desk = Desk(roots, each=True)
    with threadpool_limits(1, user_api="blas"):  # products of small matrices, which threads only make wait for one another
        found = judged([*candidates(source)], source, desk, resamples, jobs, report or (lambda what, done, total: None))
        return _board(found, source, desk, resamples)


def _board(found: Sequence[Entry], source: Path, desk: Desk, resamples: int) -> dict[str, Any]:
    if not found:
        remedy = "make one with merzoo evaluate or merzoo leaderboard export"
        raise UsageError(f"neither a result file nor an evaluation run lies below {source} (folders with run.json and folds); {remedy}")
    kept, left_out = _once(found)
    costs = sorted((one.cost for one in kept if one.cost), key=lambda cost: (cost["model"], cost["preset"], cost["device"], cost["created"], cost["source"]))
    groups, apart = _groups([one for one in kept if one.row], source, desk, resamples)
    left_out += apart
    shown = [{"run": plain(name), "reason": _reason(reason, source)} for name, reason in sorted(left_out)]
    return {"schema": SCHEMA, "groups": groups, "costs": costs, "left_out": shown}


def _once(found: Sequence[Entry]) -> tuple[list[Entry], list[tuple[str, str]]]:
    """Every run and every measurement once, the one made first, and what is left out, with the reason."""
    kept: dict[str, Entry] = {}
    left_out = [(one.name, one.reason) for one in found if one.reason]
    for one in sorted(found, key=lambda one: (one.row or one.cost or {}).get("created", "")):
        if not one.reason and (first := kept.setdefault(one.run, one)) is not one:
            left_out.append((one.name, f"{one.name} is the very same as {first.name}, which is on the board"))
    return [*kept.values()], left_out


def _reason(reason: str, source: Path) -> str:
    """One line without the place where the folder happens to lie."""
    return plain(reason.replace(f"{source}{os.sep}", ""), 400)


def _groups(entries: Sequence[Entry], source: Path, desk: Desk, resamples: int) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    """The groups, and what could not be compared within one, with the reason."""
    found: dict[str, list[Entry]] = {}
    for one in entries:
        found.setdefault(json.dumps([(one.row or {})[key] for key in SHARED], sort_keys=True), []).append(one)
    groups, left_out = [], []
    for key, same in found.items():
        rows, apart = merge(same, source, desk, resamples)
        left_out += apart
        ordered, metrics = _ranked(rows)
        sides = {"rows": [r for r in ordered if not r["reference"]], "references": [r for r in ordered if r["reference"]]}
        groups.append((key, {**{name: ordered[0][name] for name in SHARED}, "metrics": metrics, **sides}))

    def order(item: tuple[str, dict[str, Any]]) -> tuple[Any, ...]:
        key, group = item
        return group["data"]["name"], group["protocol"]["name"], -len(group["rows"]) - len(group["references"]), key

    return [group for _, group in sorted(groups, key=order)], left_out


def _ranked(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows of one task, best first by the first of its metrics, and the metrics."""
    metrics = [*rows[0]["scores"]]
    return sorted(rows, key=lambda row: (-row["scores"][metrics[0]]["value"], row["model"], row["run"])), metrics
