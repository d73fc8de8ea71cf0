"""What one run folder or result file brings to a board, or why it brings nothing."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merzoo.errors import MerzooError, MerzooWarning, ResultError, RunError
from merzoo.evaluation.audit import record_checks
from merzoo.evaluation.audit_data import Truth, folds_check, labels_check
from merzoo.evaluation.checks import Check
from merzoo.evaluation.run import Run
from merzoo.evaluation.runs import RunFolder, predictions, result
from merzoo.files import read_json
from merzoo.results.checking import check
from merzoo.results.cost import on_board
from merzoo.results.desk import Desk
from merzoo.results.pack import check_whole
from merzoo.results.reading import read_if_result
from merzoo.results.scores import starting
from merzoo.results.verdict import Verdict

SHARED = ("by", "created", "model", "preset", "options", "parameters")  # of a cost file, as they stand


@dataclass(frozen=True)
class Entry:
    """name: the folder or file, below the source. One of row (scores), cost and reason (why it is left out) is there.

    run: what makes it the very same run as another. same: what runs have in common of which one may confirm the other.
    """

    name: str
    row: dict[str, Any] | None = None
    cost: dict[str, Any] | None = None
    reason: str = ""
    run: str = ""
    same: str = ""


def candidates(source: Path) -> Iterator[Path]:
    """JSON files, then folders that hold a run.json, in a fixed order; runs of training are none of a board's business."""
    files: list[Path] = []
    folders: list[Path] = []
    for at, below, names in os.walk(source):  # links to folders are not followed
        folder = Path(at)
        if "run.json" in names:
            below.clear()
            if not _is_training(folder):
                folders.append(folder)
            continue
        below.sort()
        files += (folder / name for name in sorted(names) if name.endswith(".json") and not name.startswith("."))
    yield from files
    yield from folders


def entry(path: Path, name: str, desk: Desk, resamples: int) -> Entry | None:
    """What a path of `candidates` brings; None for a JSON file that is no result. A stranger's file must not take the board down with it: whatever it raises
    is the reason that it is left out."""
    try:
        if path.is_dir():
            return _of_folder(path, name, desk, resamples)
        return _of_file(path, name, desk)
    except MerzooError as error:
        return Entry(name, reason=str(error))
    except Exception as error:
        return Entry(name, reason=f"unexpected {type(error).__name__}: {error}")


def _is_training(path: Path) -> bool:
    try:
        return read_json(path / "run.json").get("kind") == "training"
    except RunError:
        return False  # left out later, with the reason


def _of_folder(path: Path, name: str, desk: Desk, resamples: int) -> Entry:
    run = RunFolder.open(path)
    records = check_whole(run)
    checks = [*record_checks(run, records, {"leak": [], "epoch": [], "broken": []}), starting(run, desk)]
    truth = desk.truth(run.facts["data"])
    here = isinstance(truth, Truth) and truth.manifest_hash == run.facts["data"]["manifest_hash"]
    if isinstance(truth, Truth) and here:
        checks += [labels_check(run, records, truth), folds_check(run, truth)]
    if failed := [one for one in checks if one.status == "failed"]:
        raise RunError(f"{path}: {Verdict('scores', failed, frozenset()).reason}")
    with warnings.catch_warnings():  # absent classes are named on the board
        warnings.simplefilter("ignore", MerzooWarning)
        made = result(run, resamples)
    whole = here and checks[-3].status == "passed"
    told = {"by": "", "created": str(run.facts.get("created", "")), **desk.about(run.facts["model"])}
    return _scored(name, made, run, "consistent" if whole else "own run", told)


def _of_file(path: Path, name: str, desk: Desk) -> Entry | None:
    value = read_if_result(path)
    if value is None:
        return None
    verdict = check(value, path, desk)
    if verdict.status != "consistent":
        raise ResultError(verdict.reason)
    if value["kind"] == "cost":
        return _cost(name, value)
    assert verdict.made is not None and verdict.run is not None
    paper = value["paper"]
    if paper is not None and _status(verdict.checks, "reported numbers") != "passed":
        paper = {**paper, "reported": []}  # nobody here can tell
    told = {"by": value["by"], "created": value["created"], "paper": paper, "fidelity": value["fidelity"]}
    return _scored(name, verdict.made, verdict.run, "consistent", told)


def _scored(name: str, made: dict[str, Any], run: Run, status: str, told: Mapping[str, Any]) -> Entry:
    options = run.facts.get("options")
    row = {"run": name, **made, "options": options if isinstance(options, Mapping) else {}, "source": name, "status": status, **told, "rerun": None}
    states, pooled = [record["state_sha256"] for record in run.folds()], predictions(run)
    what = [made[key] for key in ("model", "preset", "data", "protocol", "seeds")]
    # Not when, by whom and where: whoever copies a file can edit those. Probabilities may be rounded, decisions are the same.
    very = json.dumps([what, run.facts.get("options"), states, pooled.sample_id.tolist(), pooled.predicted.tolist()], sort_keys=True)
    same = json.dumps([made[key] for key in ("model", "preset", "parts", "weights")] + [run.facts.get("options"), run.facts.get("views")], sort_keys=True)
    return Entry(name, row=row, run=very, same=same)


def _cost(name: str, value: Mapping[str, Any]) -> Entry:
    measurements, skipped = on_board(value)
    facts = {key: value.get(key) for key in (*SHARED, "parts", "weights", "environment", "flops", "bytes", "looks", "inputs", "roofline", "noise")}
    device = value["environment"]["device"]
    cost = {"source": name, "status": "consistent", **facts, "device": device, "measurements": measurements, "skipped": skipped}
    very = json.dumps([value["created"], value["model"], value["environment"], [one["samples_us"] for one in value["measurements"]]], sort_keys=True)
    return Entry(name, cost=cost, run=very)


def _status(checks: list[Check], name: str) -> str:
    return next((one.status for one in checks if one.name == name), "not checked")
