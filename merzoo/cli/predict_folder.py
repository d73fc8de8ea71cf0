"""`merzoo predict` on a folder of recordings: a table, one line for each that failed, and exit code 2 if any did."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from merzoo.cli.guard import ERROR, say
from merzoo.cli.output import print_json, print_lines, print_table
from merzoo.cli.progress import progress
from merzoo.errors import MerzooWarning

if TYPE_CHECKING:
    from merzoo.batch import Outcome


def holds_recordings(path: Path, out: Path | None) -> bool:
    """Whether a source is a folder of recordings, and not one itself (or nothing of the kind)."""
    if not path.is_dir():
        return False
    from merzoo.batch import search

    found, note = search(path, out)
    if note and found == [path]:  # where there are several, predicting them says it
        warnings.warn(note, MerzooWarning, stacklevel=2)
    return found not in ([], [path])


def predict_folder(
    folder: Path, model: str | None, weights: str, device: str, json: bool, *, out: Path | None, face: Literal["largest", "all", "none"], **options: Any
) -> int:
    """Predict and print; gives the exit code."""
    from merzoo.batch import check_rate, predict_each
    from merzoo.prediction import note_on, recognizer_of
    from merzoo.tables import TABLE

    check_rate(options.get("fps"))

    outcomes = []
    with progress() as report:
        report("loading the model", 0, 1)
        recognizer = recognizer_of(model, weights, device)
        began = time.perf_counter()
        for outcome in predict_each(folder, recognizer, face=face, out=out, report=report, **options):
            outcomes.append(outcome)
            if outcome.error:
                say(outcome.error if outcome.source in outcome.error else f"{outcome.source}: {outcome.error}")
    seconds, frames = time.perf_counter() - began, sum(outcome.predictions[0]["frames"] for outcome in outcomes if outcome.predictions and not outcome.kept)
    failed = sum(bool(outcome.error) for outcome in outcomes)
    if json:
        print_json([entry for outcome in outcomes for entry in _entries(outcome)])
    else:
        rows = [_row(row, face == "all") for outcome in outcomes for row in outcome.rows if not outcome.error]
        if rows:
            print_table(("source", *(["face"] if face == "all" else []), "emotion", "p", "onset", "apex", "offset", "apex at", ""), rows)
        kept = sum(outcome.kept for outcome in outcomes)
        done = f"{len(outcomes) - failed} of {len(outcomes)} recordings predicted" + (f" ({kept} by an earlier batch)" if kept else "")
        print_lines([done + (f"; {frames} frames at {frames / seconds:,.0f} a second" if frames else "")])
        known = recognizer.weights and recognizer.weights.trained_on.get("data", "")
        print_lines([note_on(known), *([f"written: {out / TABLE}"] if out else [])])
    if failed:
        say(f"{failed} of {len(outcomes)} recordings failed" + (f"; {out / TABLE} says why, and --resume tries them again" if out else ""))
    return ERROR if failed else 0


def _entries(outcome: Outcome) -> list[dict[str, Any]]:
    return [{"source": str(outcome.path), "error": outcome.error}] if outcome.error else outcome.predictions


def _row(row: dict[str, Any], faces: bool) -> tuple[object, ...]:
    which = (row["source"], *([row["face"]] if faces else []))
    if "emotion" not in row:
        return (*which, "-", "", "", "", "", "", "no movement to name")
    time = "-" if row["seconds"] is None else f"{row['seconds']:.2f} s"
    share = f"{row['p_' + row['emotion']]:.0%}"
    return (*which, row["emotion"], share, row["onset"], row["apex"], row["offset"], time, "" if row["confident"] else "no movement stands out")
