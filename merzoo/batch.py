"""Many recordings, one model: every video and every folder of frames below a folder, predicted one by one into one table."""

from __future__ import annotations

import json
import math
import os
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merzoo.errors import MediaError, MerzooError, MerzooWarning, UsageError
from merzoo.output import JSON, writable, write_together
from merzoo.prediction import Face, predict, recognizer_of
from merzoo.tables import TABLE, Table, cell, columns, finished, rows

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from merzoo.recognizer import Recognizer

VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".mts", ".m2ts", ".3gp", ".ogv")
ASKED = "batch.json"  # what a batch was asked, beside its table
Report = Callable[[str, int, int], None]  # what is being done, how much of it, of how much


@dataclass(frozen=True)
class Outcome:
    """What became of one recording.

    source: its path below the folder. path: where it lies. predictions: `Prediction.to_dict()` of each face, largest first. error: one line where it failed.
    rows: its rows in the table (see `merzoo.tables.columns`). kept: True where an earlier batch had predicted it.
    """

    source: str
    path: Path
    predictions: list[dict[str, Any]] = field(default_factory=list)
    error: str = ""
    rows: list[dict[str, Any]] = field(default_factory=list)
    kept: bool = False


def recordings(folder: Path, leave_out: Path | None = None) -> list[Path]:
    """Every video file and every folder with pictures directly in it, at any depth, in natural order (clip2 before clip10).

    A folder with pictures directly in it is one recording, itself, and a warning says what lies beside its frames. Hidden files are passed over, and so is
    the folder `leave_out` (results of an earlier batch). A folder that cannot be read is listed, so that reading it says why; links to folders are followed
    once. A warning counts the files that are neither video nor picture by their names.
    """
    paths, note = search(folder, leave_out)
    if note:
        warnings.warn(note, MerzooWarning, stacklevel=2)
    return paths


def search(folder: Path, leave_out: Path | None = None) -> tuple[list[Path], str]:
    """What `recordings` gives, and what it warns of ("" where of nothing), for those who look more than once."""
    from merzoo.faces.video import PICTURES

    found: set[Path] = set()
    others: list[Path] = []
    seen = set() if leave_out is None else {os.path.realpath(leave_out)} - {os.path.realpath(folder)}

    def unreadable(error: OSError) -> None:
        found.add(Path(os.fsdecode(error.filename)))

    for at, below, files in os.walk(folder, onerror=unreadable, followlinks=True):
        if os.path.realpath(at) in seen:
            below.clear()
            continue
        seen.add(os.path.realpath(at))
        below[:] = sorted(name for name in below if not name.startswith("."))
        shown = [name for name in files if not name.startswith(".")]
        found |= {Path(at, name) for name in shown if name.lower().endswith(VIDEOS)}
        others += [Path(at, name) for name in shown if not name.lower().endswith((*VIDEOS, *PICTURES))]
        if any(name.lower().endswith(PICTURES) for name in shown):
            found.add(Path(at))
    if folder in found and len(found) > 1:
        more = len(found) - 1
        return [folder], f"{folder} holds frames and is taken as one recording; {more} more in it are left out: move the frames into a folder of their own"
    note = ""
    if found - {folder} and others:
        note = f"{folder}: files that are no videos by their names are passed over: {len(others)}, as {min(others).relative_to(folder)}"
    return sorted(found, key=lambda path: _natural(path.relative_to(folder))), note


def check_rate(fps: float | None) -> None:
    """Raise `UsageError` for what is no frame rate, which every recording would be refused for."""
    if fps is not None and not (math.isfinite(fps) and fps > 0):
        raise UsageError(f"fps is {fps:g}; give frames per second above 0")


def predict_all(
    sources: str | Path | Sequence[str | Path],
    model: str | Recognizer | None = None,
    *,
    weights: str | Path = "default",
    face: Face = "largest",
    device: str | torch.device = "auto",
    out: str | Path | None = None,
    max_events: int = 5,
    fps: float | None = None,
    resume: bool = False,
    report: Report | None = None,
) -> pd.DataFrame:
    """Predict every recording below a folder (or each of a list of paths) with one model; a table with one row an event (see `merzoo.tables.columns`).

    A recording that fails does not stop the others: its row says why in the column `error`. out: a folder for predictions.csv and, for each recording, a
    folder of its own with prediction.json and prediction.png. resume: see `predict_each`. The other options are those of `merzoo.predict`.

    Raises `MediaError` where there is no recording, `UsageError` for a rate that is none, `RunError` where `out` cannot be written, and what loading the
    model raises.
    """
    import pandas as pd

    check_rate(fps)
    recognizer = recognizer_of(model, weights, device)
    each = predict_each(sources, recognizer, face=face, out=out, max_events=max_events, fps=fps, resume=resume, report=report)
    made = [row for outcome in each for row in outcome.rows]
    return pd.DataFrame(made, columns=list(columns(recognizer.labels)))


def predict_each(
    sources: str | Path | Sequence[str | Path],
    recognizer: Recognizer,
    *,
    face: Face = "largest",
    out: str | Path | None = None,
    max_events: int = 5,
    fps: float | None = None,
    resume: bool = False,
    report: Report | None = None,
) -> Iterator[Outcome]:
    """The outcome of each recording in turn, each in the table under `out` before the next begins.

    resume: keep what an earlier batch into the same `out` has predicted: with the same model, weights (by the hash of all its numbers) and options, without
    an error, and from a recording that has not changed since. All else is predicted. Raises `UsageError` where the table there holds other recordings.
    """
    check_rate(fps)
    root, paths = _listed(sources, None if out is None else Path(out))
    if resume and out is None:
        raise UsageError("resume needs the folder of the earlier results; give --out")
    if out is None:
        yield from _outcomes(root, paths, recognizer, None, frozenset(), report, face=face, max_events=max_events, fps=fps)
        return
    folder = Path(out)
    if lost := finished(folder / TABLE) - {cell(path.relative_to(root).as_posix()) for path in paths}:
        raise UsageError(f"{folder / TABLE} holds {len(lost)} recordings that are not in this batch (first: {min(lost)}); choose another --out")
    with writable(folder):
        asked = _asked(recognizer, face, max_events, fps)
        done = finished(folder / TABLE) if resume and _read(folder / ASKED) == asked else frozenset()
        write_together(folder, {ASKED: (json.dumps(asked, indent=2) + "\n").encode("ascii")})
        with closing(Table(folder, columns(recognizer.labels))) as table:
            for outcome in _outcomes(root, paths, recognizer, folder, done, report, face=face, max_events=max_events, fps=fps):
                table.add(outcome.rows)
                yield outcome


def _outcomes(
    root: Path, paths: Sequence[Path], recognizer: Recognizer, out: Path | None, done: frozenset[str], report: Report | None, **options: Any
) -> Iterator[Outcome]:
    made_with = {"model": recognizer.spec.name, "weights": recognizer.weights.tag if recognizer.weights else "random"}
    tell = report or (lambda what, done, total: None)
    for number, path in enumerate(paths):
        source = path.relative_to(root).as_posix()
        tell("predicting", number, len(paths))
        below = None if out is None else out / source
        kept = _kept(source, path, below, made_with) if below and cell(source) in done else None
        if kept:
            yield kept
            continue
        progress = partial(_within, tell, number, len(paths))
        predictions, error = _predicted(path, recognizer, below, {**options, "progress": progress})
        yield Outcome(source, path, predictions, error, rows(source, predictions, error, made_with))
    tell("predicting", len(paths), len(paths))


def _within(tell: Report, number: int, total: int, step: str) -> None:
    tell(f"predicting ({step})", number, total)


def _predicted(path: Path, recognizer: Recognizer, out: Path | None, options: dict[str, Any]) -> tuple[list[dict[str, Any]], str]:
    """Predictions of one recording, or the line that says why there are none. Whatever a strange file sets off ends here, not the batch."""
    try:
        found = predict(path, recognizer, out=out, **options)
    except MerzooError as error:
        return [], str(error)
    except Exception as error:
        if os.environ.get("MERZOO_DEBUG") == "1":
            raise
        return [], " ".join(f"unexpected {type(error).__name__}: {error}; MERZOO_DEBUG=1 shows where, please report it".split())
    return [one.to_dict() for one in (found if isinstance(found, list) else [found])], ""


def _listed(sources: str | Path | Sequence[str | Path], out: Path | None) -> tuple[Path, list[Path]]:
    """The folder that names are relative to, and the recordings."""
    if isinstance(sources, str | Path):
        root = Path(sources)
        if not root.exists():
            raise MediaError(f"{root} does not exist; give a folder of videos, or of folders of frames")
        if out is not None and os.path.realpath(out) == os.path.realpath(root):
            raise UsageError(f"{root} holds the recordings, so the results need another folder; give another --out")
        paths = recordings(root, out)
        if paths == [root]:
            return root.absolute().parent, [root.absolute()]
        if not paths:
            raise MediaError(f"{root} holds no recording; give a folder of videos, or of folders of frames")
        return root, paths
    paths = list(dict.fromkeys(Path(os.path.abspath(path)) for path in sources))  # noqa: PTH100  (absolute() keeps "..")
    if not paths:
        raise MediaError("no recording is given; give a folder, or a list of videos and folders of frames")
    return Path(os.path.commonpath([path.parent for path in paths])), paths


def _asked(recognizer: Recognizer, face: str, max_events: int, fps: float | None) -> dict[str, Any]:
    from merzoo.training.engine import state_hash

    tag = recognizer.weights.tag if recognizer.weights else None
    what = {"model": recognizer.spec.name, "preset": recognizer.preset, "weights": tag, "state_sha256": state_hash(recognizer)}
    return {**what, "labels": list(recognizer.labels), "face": face, "max_events": max_events, "fps": fps}


def _kept(source: str, path: Path, out: Path, made_with: dict[str, Any]) -> Outcome | None:
    """What an earlier batch said of a recording, or None where that cannot be read or the recording is newer."""
    found = _read(out / JSON)
    try:
        predictions = found if isinstance(found, list) else [found]
        made = rows(source, predictions, "", made_with)
        files = [file for file in path.iterdir() if file.is_file()] if path.is_dir() else []
        fresh = max(entry.stat().st_mtime_ns for entry in (path, *files)) <= (out / JSON).stat().st_mtime_ns
    except (OSError, KeyError, TypeError, ValueError, AttributeError):
        return None
    return Outcome(source, path, predictions, "", made, kept=True) if fresh else None


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def _natural(path: Path) -> list[list[tuple[int, int, str]]]:
    """Sort key: runs of digits as numbers, in every part of a path."""
    parts = ([piece for piece in re.split("([0-9]+)", name) if piece] for name in (*path.parts, ""))
    return [[(0, int(piece), piece) if piece[0] in "0123456789" else (1, 0, piece) for piece in pieces] for pieces in parts]
