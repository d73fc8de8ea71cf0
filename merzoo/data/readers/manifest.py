"""Anyone's own clips, listed in a table: a path, a person and a label a row."""

from __future__ import annotations

import difflib
import hashlib
import math
import re
from collections.abc import Mapping
from pathlib import Path, PurePath

from merzoo.data.readers.crops import Release
from merzoo.data.readers.frames import FrameList
from merzoo.data.readers.labels import AUS
from merzoo.data.readers.media import LONGEST, Media, open_media, whole
from merzoo.data.readers.own import Own, labels_in, warn
from merzoo.data.readers.parse import parse_int, parse_text
from merzoo.data.readers.reading import MARGIN, Reading
from merzoo.data.readers.sheets import Row, Sheet, folded, read_sheet
from merzoo.data.skipping import Skip
from merzoo.errors import DataError, UsageError
from merzoo.text import plain

COLUMNS = {
    "path": ("path", "file", "folder", "video"),
    "subject": ("subject", "person", "participant"),
    "emotion": ("emotion", "label"),
    "onset": ("onset", "onset frame"),
    "apex": ("apex", "apex frame"),
    "offset": ("offset", "offset frame"),
    "kind": ("kind",),
    "fps": ("fps", "frame rate"),
    "aus": ("aus", "au", "action units"),
    "dataset": ("dataset", "data set"),
    "fold": ("fold",),
    "clip": ("clip", "clip id"),
    "release": ("release",),
}
RELEASES: tuple[Release, ...] = ("raw", "cropped")
DATASET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,59}")


class Manifest(Own):
    """A .csv, .tsv or .xlsx with the columns path, subject and emotion (or label), and as many of the others in `COLUMNS` as there are.

    path: a folder of frames or a video, absolute or from the table's folder; it may lead outside, since whoever opens the table chose it, but nothing of an
    outside path gets into ids. onset, apex, offset: frame numbers, as in the frames' names, or from 0 in videos; without onset and offset the whole clip,
    without apex the middle. kind: micro (default) or macro. release: raw (default; faces are found and aligned) or cropped; the argument is for rows that do
    not say. dataset: qualifies subjects ("csv" by default). clip: an id; by default the path with the onset. fold: for the protocol "folds".

    Raises `DataError` for a table that cannot be read or lacks columns, and where no row can be used; rows that cannot are in `reading.dropped`.
    """

    name = "csv"
    title = "a table of your clips"
    layout = "each row needs a path to a folder of frames or a video, a subject and a label"

    def __init__(self, root: Path | str, part: str = "", remap: Path | str | None = None, release: Release = "raw", skip: Skip | None = None) -> None:
        if release not in RELEASES:
            raise UsageError(f"release is {release!r}; give raw (whole frames) or cropped (aligned crops of the face)")
        self.release: Release = release
        super().__init__(root, part, remap, skip)

    def check_root(self) -> None:
        """Raise `DataError` where the root is no file."""
        if not self.root.is_file():
            what = "is a folder" if self.root.is_dir() else "is not there"
            raise DataError(
                f"csv: {self.root} {what}; give the path of your table of clips (.csv, .tsv or .xlsx), or `--data folder --root DIR` for a folder tree"
            )

    @classmethod
    def parts(cls) -> tuple[str, ...]:
        """Emotions ("") and action units."""
        return ("", AUS)

    def read(self) -> Reading:
        """One recording a row that can be used."""
        label = "aus" if self.part == AUS else "emotion"
        sheet = read_sheet(self.root, COLUMNS, required=("path", "subject", label))
        self._check_columns(sheet)
        reading = Reading(self.name, self.fps, self.release, [self.root])
        places = [(_path(row.cells.get("path")), row) for row in sheet.rows]
        asked: dict[str, int] = {}
        for text, row in places:
            asked[text] = max(asked.get(text, 0), _frames_asked(row))
        found = {text: open_media(self._place(text), frames) for text, frames in asked.items() if text}
        for text, row in places:
            self._add(reading, f"{self.root.name} row {row.number}", text, row.cells, found.get(text))
        releases = {clip.release for clip in reading.recordings.values()}
        if releases == {"cropped"}:
            reading.release = "cropped"
        return reading

    def _check_columns(self, sheet: Sheet) -> None:
        """Warn of a column that is nearly one of those read: it is probably misspelt, and without effect."""
        known = {folded(alias): alias for aliases in COLUMNS.values() for alias in aliases}
        for column in filter(lambda column: column and folded(column) not in known, sheet.columns):
            near = difflib.get_close_matches(folded(column), known, n=1, cutoff=0.8)
            if near:
                warn(f"{self.root.name}: the column {plain(repr(column), 40)} is not read; write {known[near[0]]!r} if that is meant")

    def _place(self, text: str) -> Path:
        """Where a path leads. One written with backslashes, on a machine that has none, is read as it was meant."""
        place = self.root.parent / Path(text).expanduser() if text.startswith("~/") else self.root.parent / text
        if "\\" in text and not _there(place):
            return self.root.parent / text.replace("\\", "/")
        return place

    def _add(self, reading: Reading, where: str, text: str, cells: Mapping[str, object], media: Media | None) -> None:
        """One row: a recording, or a reason."""
        said = {name: parse_text(cells.get(name)) for name in ("subject", "dataset", "kind", "release", "fold", "emotion")}
        said = {**said, "kind": said["kind"].lower() or "micro", "release": said["release"].lower() or self.release}
        clip, dataset = _clip_id(text, cells), said["dataset"] or self.name
        fault = _fault(said, clip, dataset, media)
        if fault or media is None or media.frames is None:
            reading.unnamed(where, f"{said['subject']}/{text}", fault)
            return
        frames, interval, notes = _interval(media.frames, cells)
        fps, rate_note = _rate(cells.get("fps"))
        onset, offset = parse_int(interval[0]), parse_int(interval[2])
        long = onset is not None and offset is not None and offset - onset >= LONGEST
        reading.add(
            where,
            said["subject"],
            clip,
            frames,
            interval,
            emotion=labels_in(cells.get("emotion")),
            raw_emotion=said["emotion"],
            aus=cells.get("aus"),
            kind=said["kind"],
            fold=said["fold"],
            notes=(*notes, *rate_note),
            release="cropped" if said["release"] == "cropped" else "raw",
            fault=f"it has more than {LONGEST:,} frames; give its onset and offset, or cut it" if long else "",
            dataset=dataset,
            fps=fps or media.fps,
            video=media.video,
        )


def _fault(said: Mapping[str, str], clip: str, dataset: str, media: Media | None) -> str:
    """Why a row cannot be used, or ""."""
    if media is None:
        return "the row has no path; give a folder of frames or a video"
    if not said["subject"] or "/" in said["subject"]:
        return f"the subject {said['subject']!r} is no name; give one without '/', so that nobody is trained on who is tested"
    if not clip:
        return "its clip id begins with '/' or holds '..'; choose a plain name"
    if not DATASET.fullmatch(dataset):
        return f"the dataset {dataset!r} is no name; use letters, digits, - _ and ."
    if said["kind"] not in ("micro", "macro"):
        return f"the kind {said['kind']!r} is neither micro nor macro"
    if said["release"] not in RELEASES:
        return f"the release {said['release']!r} is neither raw nor cropped"
    return media.why


def _path(cell: object) -> str:
    """A path as written; a folder called 01 that a spreadsheet program made a number is 1."""
    return cell.strip() if isinstance(cell, str) else parse_text(cell)


def _there(place: Path) -> bool:
    try:
        return place.exists()
    except (OSError, ValueError):
        return False


def _frames_asked(row: Row) -> int:
    """How many frames of its video a row needs."""
    offset = parse_int(row.cells.get("offset"))
    return LONGEST + 1 if offset is None else max(0, offset) + MARGIN + 1


def _interval(frames: FrameList, cells: Mapping[str, object]) -> tuple[FrameList, tuple[object, object, object], tuple[str, ...]]:
    """Frames, (onset, apex, offset) and what had to be supposed."""
    onset, apex, offset = (None if parse_text(cells.get(name)) == "" else cells.get(name) for name in ("onset", "apex", "offset"))
    if onset is None and apex is None and offset is None:
        frames = whole(frames)
    notes: tuple[str, ...] = ()
    if (onset is None) != (offset is None):
        notes = (f"{'onset' if onset is None else 'offset'}: not given, the clip's {'first' if onset is None else 'last'} frame is taken",)
    return frames, (frames.numbers[0] if onset is None else onset, apex, frames.numbers[-1] if offset is None else offset), notes


def _clip_id(text: str, cells: Mapping[str, object]) -> str:
    """The id of a row's clip in its subject, "" where the one given looks like a path that leads out."""
    given = parse_text(cells.get("clip"))
    if given:
        return "" if given.startswith("/") or ".." in PurePath(given).parts else given
    onset = parse_int(cells.get("onset"))
    written = text.replace("\\", "/").removeprefix("./").rstrip("/")
    name = parse_text(written)
    parts = PurePath(name).parts
    if name != written or not parts or name[0] in "/~" or ":" in parts[0] or ".." in parts:
        # What lies elsewhere is known by its last name and a hash of the rest: ids are in results, and where somebody's data lie is nobody's business.
        name = f"{parts[-1] if parts else ''}-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
    return name if onset is None else f"{name}/{onset}"


def _rate(cell: object) -> tuple[float | None, tuple[str, ...]]:
    """Frames per second, and a note where the cell says something else."""
    text = parse_text(cell)
    try:
        fps = float(text.replace(",", ".")) if text else None
    except ValueError:
        fps = math.nan
    if fps is None or 0 < fps < 1e6:
        return fps, ()
    return None, (f"fps: {text[:40]!r} is no rate",)
