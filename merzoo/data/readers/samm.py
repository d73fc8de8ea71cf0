"""SAMM (Davison et al. 2018): 200 fps, grey full frames, FACS-coded; a sheet that begins with text."""

from __future__ import annotations

import re
from typing import ClassVar

from merzoo.data.readers.annotation import COLUMNS, add_rows, read_annotation
from merzoo.data.readers.base import Recorded
from merzoo.data.readers.parse import parse_text
from merzoo.data.readers.reading import Reading
from merzoo.data.readers.tree import below, find_folder, find_sheets, numbered_clips, other_release, release_of

SPACED = COLUMNS | {"onset": ("Onset Frame", "Onset"), "apex": ("Apex Frame", "Apex"), "offset": ("Offset Frame", "Offset")}  # as messages name them
FOLDERS = {"cropped": ("SAMM_cropped", "Cropped"), "raw": ("SAMM",)}
SUBJECT = r"0*(\d{1,3})"
FILENAME = re.compile(r"0*(\d{1,4})((?:_\d+)+)")


class Samm(Recorded):
    """Sheet `SAMM_Micro_FACS_Codes_v2.xlsx`; frames `SAMM/006/006_1_2/006_05562.jpg`, in some clips with four digits.

    The published frames are whole pictures; crops in the same layout are told by their shape (`release_of`). Subjects may stand unpadded in the sheet.
    """

    name = "samm"
    title = "SAMM"
    ask = "fill in the licence form of SAMM (Manchester Metropolitan University) and mail it from an academic address"
    fps = 200.0
    default_part: ClassVar[str] = "5"
    closed: ClassVar[str] = r"\d{3}"

    def read(self) -> Reading:
        """One recording a row of the sheet that has frames."""
        sheets = find_sheets(self, "SAMM*Micro*FACS*", "SAMM*.xls*", "*.xlsx", "*.xls")
        folder, _ = find_folder(self, FOLDERS, SUBJECT)
        reading = Reading(self.name, self.fps, release_of(folder), remarks=other_release(self, FOLDERS, folder, SUBJECT))
        rows = read_annotation(reading, sheets, SPACED)
        spare = add_rows(reading, rows, numbered_clips(folder, SUBJECT, self.unread), digits=3, named=_padded)
        reading.unlabelled += [below(self.root, path) for path in spare]
        return reading


def _padded(cell: object) -> str:
    """ "6_1_2" as "006_1_2", the name of the folder; what does not look so stays."""
    filename = parse_text(cell)
    found = FILENAME.fullmatch(filename)
    return f"{int(found[1]):03d}{found[2]}" if found else filename
