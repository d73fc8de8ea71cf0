"""MMEW (Ben et al. 2021): 90 fps, frames counted in the clip, macro-expressions of the same people as stills."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import ClassVar

from merzoo.data.readers.annotation import COLUMNS, Times, add_rows, read_annotation
from merzoo.data.readers.base import Recorded
from merzoo.data.readers.frames import FrameList
from merzoo.data.readers.parse import parse_emotion, parse_int
from merzoo.data.readers.reading import Reading
from merzoo.data.readers.tree import below, find_folders, find_sheets, pictures_below, release_of, walk
from merzoo.errors import DataError

NAME = re.compile(r"S0*(\d{1,4})-\d+-\d+", re.IGNORECASE)  # person, emotion, sample
SAME = {"repression": "others"}  # one class, under both names in circulation


class Mmew(Recorded):
    """Sheet `MMEW_Micro_Exp.xlsx`; frames `Micro_Expression/happiness/S01-01-001/1.jpg` or `Micro_Expression/S01/happiness/S01-01-001/1.jpg`; stills of
    macro-expressions `Macro_Expression/S03/happiness/S03-01-001.jpg`, one frame each, of the kind "macro".

    Times in the sheet are clamped to the frames on disk, because those of some fifteen rows are wrong (our choice; each noted, and frames beyond the last on
    disk counted as missing).
    """

    name = "mmew"
    title = "MMEW"
    ask = "sign the licence agreement on the MMEW page of Shandong University (Xianye Ben) and mail it from an academic address"
    fps = 90.0
    default_part: ClassVar[str] = "6"
    closed: ClassVar[str] = NAME.pattern

    def read(self) -> Reading:
        """One recording a row of the sheet that has frames, and one a still."""
        sheets = find_sheets(self, "MMEW*Micro*", "*.xlsx", "*.xls")
        folder = next(iter(find_folders(self, ("Micro_Expression",))), self.root)
        there: dict[tuple[int, str], Path] = {}
        emotions = {}
        for path, is_folder in walk(folder, 4, self.unread, self.closed):
            name = NAME.fullmatch(path.name)
            if is_folder and name:
                key = (int(name[1]), path.name.lower())
                there.setdefault(key, path)
                emotions[path] = _emotion_of(folder, path)
        if not there:
            raise DataError(f"{self.name}: no clip folder such as Micro_Expression/happiness/S01-01-001 below {folder}; extract {self.title} there, completely")
        reading = Reading(self.name, self.fps, release_of(next(iter(there.values()))))
        spare = add_rows(reading, read_annotation(reading, sheets, COLUMNS), there, digits=2, emotion=_emotion, mend=_clamped)
        reading.unlabelled += [below(self.root, path) for path in spare]
        self._compare(reading, emotions)
        self._stills(reading)
        return reading

    def _compare(self, reading: Reading, emotions: dict[Path, str]) -> None:
        """Remark the clips whose folder is that of another emotion than their row says: the row counts."""
        for clip in reading.recordings.values():
            if emotions[clip.folder] not in ("", clip.emotion):
                reading.remarks.append(f"{clip.sample_id} is {clip.emotion} in the sheet, and lies in {below(self.root, clip.folder)}")

    def _stills(self, reading: Reading) -> None:
        """Macro-expressions: pictures in folders of emotions, below those of people or the other way about."""
        found = find_folders(self, ("Macro_Expression",))
        if not found:
            return
        release = None
        for path in sorted(file for files in pictures_below(found[0], self.unread) for file in files):
            name = NAME.fullmatch(path.stem)
            if not name or not os.path.isfile(path):  # noqa: PTH113  (where Path's raises for a link to itself, this says no)
                reading.drop(below(self.root, path), path.stem, "its name is not person-emotion-sample" if not name else "it is no file")
                continue
            release = release or release_of(found[0])
            reading.add(
                below(self.root, path), f"{int(name[1]):02d}", f"macro/{path.stem}", FrameList(path.parent, (1,), (path.name,)), (1, 1, 1),
                emotion=_emotion_of(found[0], path), kind="macro", release=release,
            )  # fmt: skip


def _emotion(cell: object) -> str:
    emotion = parse_emotion(cell)
    return SAME.get(emotion, emotion)


def _emotion_of(top: Path, path: Path) -> str:
    """The folder of an emotion above a clip: the nearest that is not a person's."""
    for part in reversed(path.relative_to(top).parts[:-1]):
        if not re.fullmatch(r"S\d+", part, re.IGNORECASE):
            return _emotion(part)
    return ""


def _clamped(frames: FrameList, times: Times) -> tuple[Times, tuple[str, ...], int]:
    """Onset and offset within the frames on disk: one that is none, outside, or not in order becomes the first or last frame. The number is that of the frames
    that the sheet has and the disk has not: whether the sheet is wrong or the clip was extracted by half cannot be told, so they count as missing."""
    first, last = frames.numbers[0], frames.numbers[-1]
    onset, offset = parse_int(times[0]), parse_int(times[2])
    gone = max(0, offset - max(last, (onset or 0) - 1)) if offset is not None else 0
    notes = []
    if onset is None or not first <= onset < last:
        notes.append(f"onset {_told(times[0])} -> {first}, the first frame on disk (our choice)")
        onset = first
    if offset is None or not onset < offset <= last:
        notes.append(f"offset {_told(times[2])} -> {last}, the last frame on disk (our choice)")
        offset = last
    return (onset, times[1], offset), tuple(notes), gone


def _told(cell: object) -> str:
    return "empty" if cell is None else repr(cell)[:20]
