"""Predictions of many recordings as one table, a row an event, and the CSV of it: written row by row, and safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from merzoo.errors import RunError
from merzoo.output import write_together
from merzoo.text import plain

TABLE = "predictions.csv"
FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")  # what spreadsheets take for the beginning of a formula


def columns(labels: Sequence[str]) -> tuple[str, ...]:
    """The table's columns for a model's labels.

    source: path below the folder. face: 1 is the largest. rank: 1 is the strongest event. onset, apex, offset: frame numbers. seconds: time of the apex, where
    the recording has a clock. strength: largest displacement, px of a 128 px crop. error: why nothing was predicted.
    """
    shares = (f"p_{label}" for label in labels)
    about = ("fps", "frames", "model", "weights", "error")
    return ("source", "face", "rank", "emotion", *shares, "onset", "apex", "offset", "seconds", "confident", "strength", *about)


def rows(source: str, faces: Sequence[Mapping[str, Any]], error: str, made_with: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of one recording, from `Prediction.to_dict()` of each of its faces; cells without a value are left out.

    A face without events, and a recording without a prediction, have one row all the same: nothing is dropped.
    """
    if error:
        return [{"source": source, **made_with, "error": error}]
    made: list[dict[str, Any]] = []
    for face, found in enumerate(faces, 1):
        about = {"source": source, "face": face, "fps": found["fps"], "frames": found["frames"], **made_with, "error": ""}
        made += [{**about, "rank": rank, **_event(event, found["fps"])} for rank, event in enumerate(found["events"], 1)] or [about]
    return made


def _event(event: Mapping[str, Any], fps: float | None) -> dict[str, Any]:
    kept = {name: event[name] for name in ("emotion", "onset", "apex", "offset", "confident", "strength")}
    return {**kept, **{f"p_{label}": p for label, p in event["probabilities"].items()}, "seconds": event["apex"] / fps if fps else None}


class Table:
    """A CSV (UTF-8) in a folder, begun anew; rows reach the file as soon as they are added, so what stops the work later loses none.

    Raises `RunError` where it cannot be written.
    """

    def __init__(self, folder: Path, columns: Sequence[str]) -> None:
        self.path, self.columns = folder / TABLE, tuple(columns)
        write_together(folder, {TABLE: csv_text([self.columns]).encode("utf-8")})
        self._file: IO[bytes] = self._guarded(lambda: self.path.open("ab", buffering=0))

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append rows; other keys than the columns are refused."""
        made = [dict(row) for row in rows]
        unknown = sorted({key for row in made for key in row} - set(self.columns))
        if unknown:
            raise RunError(f"{self.path} has no column {plain(unknown[0], 60)}; write predictions of models with other labels to another --out")
        text = csv_text([[row.get(name) for name in self.columns] for row in made])
        self._guarded(lambda: self._file.write(text.encode("utf-8")))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _guarded(self, do: Any) -> Any:
        try:
            return do()
        except OSError as error:
            raise RunError(f"{self.path} cannot be written ({error.strerror}); make room or give another --out") from error


def cell(value: object) -> object:
    """A cell of the CSV. Text from strangers stays on one line, and what a spreadsheet would take for a formula begins with an apostrophe."""
    if not isinstance(value, str):
        return "" if value is None else value
    text = plain(value)
    return f"'{text}" if text.lstrip().startswith(FORMULA) else text


def finished(path: Path) -> frozenset[str]:
    """The source cells of a table that have a whole row without an error; none where there is no such table."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            read = csv.DictReader(file)
            found = {row["source"]: row["error"] == "" for row in read if row.get("source") and row.get("error") is not None}
    except (OSError, ValueError, csv.Error):
        return frozenset()
    return frozenset(source for source, fine in found.items() if fine)


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Rows as lines of CSV, every cell safe (see `cell`)."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([[cell(value) for value in row] for row in rows])
    return text.getvalue()
