"""4DME, its micro-expressions (Li et al. 2022): several emotions a clip, FACS-coded; of its four kinds of video the grey one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from merzoo.data.readers.annotation import read_annotation
from merzoo.data.readers.base import Recorded
from merzoo.data.readers.frames import frames_in
from merzoo.data.readers.labels import label_sets
from merzoo.data.readers.parse import parse_aus, parse_emotion, parse_int, parse_text
from merzoo.data.readers.reading import Reading, Recording, renumbered
from merzoo.data.readers.sheets import Row
from merzoo.data.readers.tree import below, clip_folders, find_folder, find_sheets, other_release, release_of
from merzoo.text import plain

EMOTIONS = ("positive", "negative", "surprise", "repression", "others")
UNITS = tuple(f"au{number}" for number in range(1, 47))
COLUMNS = {
    "subject": ("sub_ID", "Subject"),
    "filename": ("fold_name", "Filename"),
    "onset": ("Onset", "OnsetFrame"),
    "apex": ("Apex", "ApexFrame"),
    "offset": ("Offset", "OffsetFrame"),
    "aus": ("AUs", "AU", "Action Units"),
    "emotion": ("Emotion",),
    **{emotion: (emotion,) for emotion in EMOTIONS},
    **{unit: (unit,) for unit in UNITS},
}
FOLDERS = {"cropped": ("gray_micro_crop", "gray_micro_cropped"), "raw": ("gray_micro",)}
NUMBERED = re.compile(r"(?:s|sub|subject)?[ _-]?0*([0-9]{1,6})", re.IGNORECASE)
EXCLUSIVE = "3"  # the part of one class a clip


class FourDME(Recorded):
    """Sheet `4DME_Labelling_Micro_release v1.xlsx`; frames `gray_micro/<sub_ID>/<fold_name>/Frame_000001826.*`.

    A clip may have several emotions ("Surprise+Positive"): part 5 keeps them all, part 3 keeps the clips that have exactly one of negative, positive and
    surprise (our choice). Action units marked "(k)" are static and left out. The column AUs counts; the columns of single units, and those of single
    emotions, are read where it, or Emotion, is empty, and a remark tells where they disagree. Other columns (eye blink; self-report and video emotion of the
    extras file, whose names end in an apostrophe) are not read.

    Not verified, because only loaders by others and no copy of the data were seen: that fold_name is the name of the clip's folder (meb reads it so); how
    sub_ID is written (a folder "3", "s03" or "Sub003" is that of subject 3, and any other name must be the same in both); that frames carry the numbers of the
    recording that Onset and Offset use (clips that count from 0 or 1 are taken too, if they have as many frames as their interval); 60 frames a second.
    """

    name = "4dme"
    title = "4DME"
    ask = "sign the licence agreement on the 4DME page of the Center for Machine Vision and Signal Analysis, University of Oulu"
    fps = 60.0
    default_part: ClassVar[str] = "5"
    multi_label: ClassVar[tuple[str, ...]] = ("5",)

    def read(self) -> Reading:
        """One recording a row of the sheet that has frames."""
        sheets = find_sheets(self, "4DME*Label*Micro*", "4DME*Micro*")
        folder, _ = find_folder(self, FOLDERS)
        reading = Reading(self.name, self.fps, release_of(folder), remarks=other_release(self, FOLDERS, folder))
        there = clip_folders(folder, 2, self.unread)
        used: set[Path] = set()
        rows = read_annotation(reading, sheets, COLUMNS)
        for row in rows:
            where = f"{reading.sheets[0].name} row {row.number}"
            subject, clip = _subject(row.cells.get("subject")), parse_text(row.cells.get("filename")).replace("\\", "/").strip("/")
            if not subject or not clip:
                reading.unnamed(where, f"{subject}/{clip}", "no subject or no folder name")
                continue
            on_disk, fault = _folder(there, subject, parse_text(row.cells.get("subject")), clip)
            used |= {on_disk} if on_disk else set()
            _add(reading, row, where, subject, clip, on_disk, fault)
        reading.remarks += _remarks(reading, rows)
        reading.unlabelled += [below(self.root, path) for path in there.values() if path not in used]
        return reading

    def label_of(self, clip: Recording) -> str | None:
        """In part 3 the one class that a clip has of three; see the base class for the others."""
        if self.part != EXCLUSIVE:
            return super().label_of(clip)
        mapping = label_sets(self.name)[self.part]
        found = {mapping[emotion] for emotion in clip.emotion.split("+") if emotion in mapping}
        return found.pop() if len(found) == 1 else None


def _add(reading: Reading, row: Row, where: str, subject: str, clip: str, folder: Path | None, fault: str) -> None:
    cells = row.cells
    onset, offset = parse_int(cells.get("onset")), parse_int(cells.get("offset"))
    frames, note = frames_in(folder) if folder else None, ""
    if frames and onset is not None and offset is not None:
        frames, note = renumbered(frames, onset, offset)
    aus = cells.get("aus")
    if parse_aus(aus) is None and any(parse_text(cells.get(unit)) for unit in UNITS):
        aus = "+".join(map(str, _marked_units(row))) or "none"
    reading.add(
        where,
        subject,
        f"{re.sub(r'/', '_', clip)}@{onset if onset is not None else parse_text(cells.get('onset'))}",
        frames,
        (cells.get("onset"), cells.get("apex"), cells.get("offset")),
        emotion="+".join(_emotions(cells.get("emotion")) or _marked_emotions(row)),
        raw_emotion=parse_text(cells.get("emotion")),
        aus=aus,
        notes=(*row.notes, *((note,) if note else ())),
        fault=fault,
    )


def _subject(cell: object) -> str:
    """The padded number of a subject, or its name where it is none."""
    text = parse_text(cell)
    number = NUMBERED.fullmatch(text)
    return f"{int(number[1]):02d}" if number else re.sub(r"[^\w.-]+", "_", text.lower())


def _folder(there: dict[str, Path], subject: str, written: str, clip: str) -> tuple[Path | None, str]:
    """(the folder of a clip, "") or (None, why not). Below the subject as written, or by number, and below nobody else: the names of clips are used again from
    person to person, and another's frames under this one's name would be trained on where that one is tested."""
    wanted = clip.lower()
    named = [path for key, path in there.items() if key == wanted or path.name.lower() == wanted]
    mine = [path for path in named if _subject(path.parent.name) == subject]
    exact = [path for path in mine if path.parent.name.lower() == written.lower()]
    for found in (exact, mine):
        if len(found) == 1:
            return found[0], ""
    if mine:
        return None, f"{len(mine)} folders could be it, {mine[0].parent.name}/{mine[0].name} and {mine[1].parent.name}/{mine[1].name} among them"
    if named:
        return None, f"no frames on disk below {written}; {named[0].parent.name}/{named[0].name} has its name, and is not known to be the same person's"
    return None, ""


def _emotions(cell: object) -> list[str]:
    """Emotions of a cell in the order of `EMOTIONS`, other words after them."""
    words = {parse_emotion(word) for word in re.split(r"[+,;/&、，；＋]", parse_text(cell))} - {""}
    return [*(emotion for emotion in EMOTIONS if emotion in words), *sorted(plain(word, 40) for word in words - set(EMOTIONS))]


def _marked_emotions(row: Row) -> list[str]:
    return [emotion for emotion in EMOTIONS if (parse_int(row.cells.get(emotion)) or 0) > 0]


def _marked_units(row: Row) -> list[int]:
    return [int(unit.removeprefix("au")) for unit in UNITS if (parse_int(row.cells.get(unit)) or 0) > 0]


def _remarks(reading: Reading, rows: Sequence[Row]) -> list[str]:
    """Rows whose words and marks differ. Rows whose action units were corrected are not compared: the correction is of the words alone."""
    name, remarks = reading.sheets[0].name, []
    differing = [row.number for row in rows if any(e in row.cells for e in EMOTIONS) and set(_emotions(row.cells.get("emotion"))) != set(_marked_emotions(row))]
    if differing:
        remarks.append(f"{name}: column Emotion and the columns of emotions disagree in {len(differing)} rows (first: {differing[0]}); Emotion is followed")
    differing = []
    for row in rows:
        found = parse_aus(row.cells.get("aus"))
        if found is not None and any(unit in row.cells for unit in UNITS) and not any(note.startswith("aus ") for note in row.notes):
            static = {int(number) for token in found.skipped if token.endswith("(static)") for number in re.findall(r"[0-9]+", token)}
            if set(found.aus) != set(_marked_units(row)) - static:
                differing.append(row.number)
    if differing:
        remarks.append(f"{name}: column AUs and the columns of action units disagree in {len(differing)} rows (first: {differing[0]}); AUs is followed")
    return remarks
