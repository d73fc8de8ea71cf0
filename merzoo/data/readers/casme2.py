"""CASME II (Yan et al. 2014): 200 fps, spontaneous micro-expressions, frames named by their number in the recording."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from merzoo.data.readers.base import Recorded
from merzoo.data.readers.corrections import apply
from merzoo.data.readers.frames import list_frames
from merzoo.data.readers.parse import parse_emotion, parse_int, parse_text
from merzoo.data.readers.reading import Reading
from merzoo.data.readers.sheets import read_sheet
from merzoo.data.readers.tree import clip_folders, find_folder, find_sheet

COLUMNS = {
    "subject": ("Subject",),
    "filename": ("Filename",),
    "onset": ("OnsetFrame", "Onset"),
    "apex": ("ApexFrame", "Apex"),
    "offset": ("OffsetFrame", "Offset"),
    "aus": ("Action Units", "AU"),
    "emotion": ("Estimated Emotion", "Emotion"),
}
FOLDERS = {"cropped": ("Cropped",), "raw": ("CASME2_RAW_selected", "CASME2-RAW", "CASME2_RAW")}


class CasmeII(Recorded):
    """Sheet `CASME2-coding-*.xlsx`; frames `Cropped/sub01/EP02_01f/reg_img46.jpg`, or `CASME2_RAW_selected/sub01/EP02_01f/img46.jpg`.

    Where both releases are there, the cropped one is read; give its folder as root for the other. Emotions are matched as written: the 3-class parts leave
    fear and sadness out, which SAMM keeps.
    """

    name = "casme2"
    title = "CASME II"
    ask = "sign the licence agreement on the CASME II page of the Institute of Psychology, Chinese Academy of Sciences, and mail it from an academic address"
    fps = 200.0
    default_part: ClassVar[str] = "5"

    def read(self) -> Reading:
        """One recording a row of the sheet that has frames."""
        path = find_sheet(self, "CASME2*coding*", "*.xlsx", "*.xls")
        folder, release = find_folder(self, FOLDERS)
        reading = Reading(self.name, self.fps, release, [path])
        sheet = read_sheet(path, COLUMNS, required=("subject", "filename", "onset", "offset", "emotion"))
        rows, reading.corrections[:] = apply(self.name, path, sheet.rows)
        there = clip_folders(folder, depth=2)
        used = set()
        for row in rows:
            where, cells = f"{path.name} row {row.number}", row.cells
            subject, clip = parse_int(cells.get("subject")), parse_text(cells.get("filename"))
            if subject is None or not clip:
                reading.drop(where, f"{cells.get('subject')}/{clip}", "no subject number or file name")
                reading.rows += 1
                continue
            key = f"sub{subject:02d}/{clip}"
            used.add(key.lower())
            on_disk = there.get(key.lower())
            reading.add(
                where,
                f"{subject:02d}",
                clip,
                list_frames(on_disk) if on_disk else None,
                (cells.get("onset"), cells.get("apex"), cells.get("offset")),
                emotion=parse_emotion(cells.get("emotion")),
                raw_emotion=parse_text(cells.get("emotion")),
                aus=cells.get("aus"),
                notes=row.notes,
            )
        reading.unlabelled += [_below(self.root, found) for key, found in there.items() if key not in used]
        return reading


def _below(root: Path, folder: Path) -> str:
    return folder.relative_to(root).as_posix()
