"""SMIC (Li et al. 2013), the high-speed camera: 100 fps; emotions are folders, no action units, no apex."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

from merzoo.data.readers.base import Recorded
from merzoo.data.readers.frames import FrameList, frames_in
from merzoo.data.readers.parse import parse_emotion, parse_int, parse_text
from merzoo.data.readers.reading import Reading
from merzoo.data.readers.sheets import Row, read_sheet
from merzoo.data.readers.tree import below, find_folders, find_sheets, folders, holding, numbered_clips, release_of, walk
from merzoo.errors import DataError

SUBJECT = r"s0*(\d{1,4})"
CLIP = re.compile(SUBJECT + r"_([a-z]+)_0*(\d{1,4})", re.IGNORECASE)
CODES = {"ne": "negative", "po": "positive", "sur": "surprise"}
MICRO = "micro"  # beside it lies non_micro, whose clips show no micro-expression
OTHER_CAMERAS = ("vis", "nir")  # laid out alike, at 25 fps
LONG_SHEET = "SMIC*HS-E*annotation*"
LONG_FOLDERS = ("SMIC-HS-E", "SMIC_HS_E", "HS-E")
LONG_COLUMNS = {
    "subject": ("Subject",),
    "filename": ("Filename",),
    "emotion": ("Emotion",),
    "first": ("FirstF",),
    "onset": ("OnsetF",),
    "offset": ("OffsetF",),
    "onset2": ("Onset2F",),
    "offset2": ("Offset2F",),
    "onset3": ("Onset3F",),
    "offset3": ("Offset3F",),
}


class Smic(Recorded):
    """Clips `HS/s1/micro/negative/s1_ne_01/reg_image000001.bmp`, labelled by their folders; or, where only these are there, the long clips of SMIC-HS-E with
    their sheet, up to three micro-expressions each.

    A clip is known as "s01_ne_01", as the list of MEGC2019 has it, whatever its folder is called. No apex is annotated: it is the middle frame, flagged.
    """

    name = "smic"
    title = "SMIC"
    ask = "sign the licence agreement on the SMIC page of the Center for Machine Vision and Signal Analysis, University of Oulu"
    fps = 100.0
    default_part: ClassVar[str] = "3"
    has_aus: ClassVar[bool] = False
    closed: ClassVar[str] = SUBJECT

    def read(self) -> Reading:
        """The short clips, or where there are none, the long ones."""
        found = [folder for folder in find_folders(self, ("HS", "SMIC_HS", "SMIC-HS"), SUBJECT) if _has_micro(folder)]
        found = found or [folder for folder in folders(self) if folder.name.lower() not in OTHER_CAMERAS and _has_micro(folder)]
        if found:
            releases = {folder: release_of(folder) for folder in found}
            return self._short(min(found, key=lambda folder: (releases[folder], found.index(folder))))  # "cropped" before "raw"
        try:
            sheets = find_sheets(self, LONG_SHEET)
        except DataError:
            raise DataError(
                f"{self.name}: no folder HS/s1/micro/negative below {self.root} (nor a sheet {LONG_SHEET} for SMIC-HS-E); "
                f"give the folder in which {self.title} was extracted, completely"
            ) from None
        return self._long(sheets[0])

    def _short(self, folder: Path) -> Reading:
        reading = Reading(self.name, self.fps, release_of(folder))
        for path, is_folder in walk(folder, 4, self.unread):
            parts = path.relative_to(folder).parts
            subject = re.fullmatch(SUBJECT, parts[0], re.IGNORECASE)
            if not is_folder or not subject or len(parts) != 4 or parts[1].lower() != MICRO:
                continue
            emotion, frames = parse_emotion(parts[2]), frames_in(path)
            numbers = frames.numbers or (0,)
            code = CLIP.fullmatch(path.name)
            said = CODES.get(code[2].lower(), emotion) if code else emotion
            notes = (f"its name says {said}",) if said != emotion else ()
            reading.add(
                below(self.root, path), f"{int(subject[1]):02d}", _known_as(path.name), frames, (numbers[0], None, numbers[-1]),
                emotion=emotion, raw_emotion=parts[2], notes=notes,
            )  # fmt: skip
        return reading

    def _long(self, sheet: Path) -> Reading:
        folder = next(iter(find_folders(self, LONG_FOLDERS, SUBJECT)), None) or holding(self, LONG_FOLDERS, SUBJECT)
        reading = Reading(self.name, self.fps, release_of(folder), [sheet])
        there, used = numbered_clips(folder, SUBJECT, self.unread), set()
        known = {(subject, _known_as(name)): path for (subject, name), path in there.items()}
        for row in read_sheet(sheet, LONG_COLUMNS, required=("subject", "filename", "onset", "offset", "emotion")).rows:
            where, name = f"{sheet.name} row {row.number}", _known_as(parse_text(row.cells.get("filename")))
            subject = re.fullmatch(rf"(?:{SUBJECT}|0*(\d{{1,4}}))", parse_text(row.cells.get("subject")), re.IGNORECASE)
            if not subject or not name:
                reading.unnamed(where, f"{parse_text(row.cells.get('subject'))}/{name}", "no subject number or no file name")
                continue
            number = int(subject[1] or subject[2])
            used.add((number, name))
            path = known.get((number, name))
            _add_long(reading, where, f"{number:02d}", name, frames_in(path) if path else None, row)
        reading.unlabelled += [below(self.root, path) for clip, path in known.items() if clip not in used]
        return reading


def _add_long(reading: Reading, where: str, subject: str, name: str, frames: FrameList | None, row: Row) -> None:
    """The one to three micro-expressions of a long clip; the second and third are known as "s01_ne_01-2" and "-3"."""
    emotion = parse_text(row.cells.get("emotion"))
    for count, suffix in enumerate(("", "2", "3"), 1):
        onset, offset = row.cells.get(f"onset{suffix}"), row.cells.get(f"offset{suffix}")
        if suffix and not parse_int(onset) and not parse_int(offset):  # empty or 0: the clip has no more
            continue
        times, notes = _on_disk(frames, onset, offset, row.cells.get("first"))
        reading.add(
            where, subject, name if count == 1 else f"{name}-{count}", frames, (times[0], None, times[1]),
            emotion=CODES.get(emotion.lower(), parse_emotion(emotion)), raw_emotion=emotion, notes=notes,
        )  # fmt: skip


def _on_disk(frames: FrameList | None, onset: object, offset: object, first: object) -> tuple[tuple[object, object], tuple[str, ...]]:
    """Onset and offset as the files count: the sheet counts in the recording, files perhaps from 1, then taken for the clip's first (our choice)."""
    start, stop, zero = parse_int(onset), parse_int(offset), parse_int(first)
    if not frames or not frames.numbers or start is None or stop is None or zero is None or frames.numbers[0] <= start <= stop <= frames.numbers[-1]:
        return (onset, offset), ()
    moved = frames.numbers[0] - zero
    return (start + moved, stop + moved), (f"frames counted from the clip's first frame {zero}",)


def _known_as(name: str) -> str:
    """ "s1_ne_01" as "s01_ne_01"; what does not look so in lower case."""
    found = CLIP.fullmatch(name)
    return f"s{int(found[1]):02d}_{found[2].lower()}_{int(found[3]):02d}" if found else name.lower()


def _has_micro(folder: Path) -> bool:
    """Whether a folder holds subjects with a folder "micro" each."""
    return any(
        is_folder and len(parts := path.relative_to(folder).parts) == 2 and re.fullmatch(SUBJECT, parts[0], re.IGNORECASE) and parts[1].lower() == MICRO
        for path, is_folder in walk(folder, 2, {})
    )
