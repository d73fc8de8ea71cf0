"""From a folder of runs to a board: every score recomputed from the predictions, every run that cannot be trusted left out with its reason."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from merzoo.errors import MerzooError, MerzooWarning, RunError, UsageError
from merzoo.evaluation.bootstrap import RESAMPLES
from merzoo.evaluation.runs import RunFolder, result
from merzoo.files import dumps, make_folder, read_json, write_atomically
from merzoo.leaderboard.page import html
from merzoo.leaderboard.tables import markdown
from merzoo.text import plain

SCHEMA = 1


def build(source: Path | str, site: Path | str, resamples: int = RESAMPLES) -> dict[str, Any]:
    """Write index.html, board.json and board.md into `site` and return the board (see `collect`).

    Raises `UsageError` where `source` is no folder or holds no evaluation run, `RunError` where `site` cannot be written.
    """
    source, site = Path(source), Path(site)
    board = collect(source, resamples)
    make_folder(site)
    for name, text in (("index.html", html(board)), ("board.json", dumps(board)), ("board.md", markdown(board))):
        write_atomically(site / name, text)
    return board


def collect(source: Path, resamples: int = RESAMPLES) -> dict[str, Any]:
    """{"schema", "groups": [{"data", "protocol", "task", "labels", "tested", "truth_sha256", "metrics", "rows", "references"}], "left_out": [{"run",
    "reason"}]}.

    A group holds the runs that may be compared: same data manifest, same folds, same class list, same truth. Rows are results (`merzoo.evaluation.runs.
    result`) with "run", the folder below `source`, best first by the first metric (UF1, or AU F1 where clips carry several labels); those whose run.json
    says "reference": true stand apart. The same folder gives the same board, wherever it lies and whenever it is made.
    """
    if not source.is_dir():
        raise UsageError(f"{source} is not a folder; give the folder that holds the runs")
    rows, left_out = [], []
    for path in _run_folders(source):
        name = path.relative_to(source).as_posix()
        try:
            rows.append({"run": name, **_row(path)})
        except MerzooError as error:
            left_out.append({"run": name, "reason": _reason(error, source)})
        except Exception as error:  # a stranger's folder must not take the board down with it; what was raised is shown on the board
            left_out.append({"run": name, "reason": _reason(f"unexpected {type(error).__name__}: {error}", source)})
    if not rows and not left_out:
        raise UsageError(f"no evaluation run below {source} (folders with run.json and folds); make one with merzoo evaluate")
    return {"schema": SCHEMA, "groups": _groups(rows), "left_out": left_out}


def _run_folders(source: Path) -> Iterator[Path]:
    """Folders that hold a run.json, in a fixed order; runs of training are none of the board's business."""
    for folder, below, files in os.walk(source):  # links to folders are not followed
        if "run.json" in files:
            below.clear()
            if not _is_training(Path(folder)):
                yield Path(folder)
        below.sort()


def _is_training(path: Path) -> bool:
    try:
        return read_json(path / "run.json").get("kind") == "training"
    except RunError:
        return False  # left out later, with the reason


def _row(path: Path) -> dict[str, Any]:
    with warnings.catch_warnings():  # absent classes are named on the board
        warnings.simplefilter("ignore", MerzooWarning)
        made = result(RunFolder.open(path))
    if made["flip_labels"]:
        raise RunError(f"{path}: a share of {made['flip_labels']:g} of its training labels was flipped, which is an experiment and no score")
    if not made["complete"]:
        done = made["folds"]
        raise RunError(f"{path}: only {done['done']} of {done['expected']} folds are finished; continue it with --resume")
    return made


def _reason(error: object, source: Path) -> str:
    """One line without the place where the folder happens to lie."""
    return plain(str(error).replace(f"{source}{os.sep}", ""), 400)


def _groups(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    shared = ("data", "protocol", "task", "labels", "tested", "truth_sha256")
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(json.dumps([row[key] for key in shared], sort_keys=True), []).append(row)
    groups = []
    for same in sorted(found.items(), key=lambda item: (item[1][0]["data"]["name"], item[1][0]["protocol"]["name"], -len(item[1]), item[0])):
        ordered, metrics = _ranked(same[1])
        sides = {"rows": [r for r in ordered if not r["reference"]], "references": [r for r in ordered if r["reference"]]}
        groups.append({**{name: ordered[0][name] for name in shared}, "metrics": metrics, **sides})
    return groups


def _ranked(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows of one task, best first by the first of its metrics, and the metrics."""
    metrics = [*rows[0]["scores"]]
    return sorted(rows, key=lambda row: (-row["scores"][metrics[0]]["value"], row["model"], row["run"])), metrics
