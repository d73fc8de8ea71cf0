"""CASME II (Yan et al. 2014): 200 fps, spontaneous micro-expressions, frames named by their number in the recording."""

from __future__ import annotations

from typing import ClassVar

from merzoo.data.readers.annotation import COLUMNS, add_rows, read_annotation
from merzoo.data.readers.base import Recorded
from merzoo.data.readers.reading import Reading
from merzoo.data.readers.tree import below, find_folder, find_sheets, numbered_clips, other_release

FOLDERS = {"cropped": ("Cropped",), "raw": ("CASME2_RAW_selected", "CASME2-RAW", "CASME2_RAW")}
SUBJECT = r"sub0*(\d{1,4})"


class CasmeII(Recorded):
    """Sheet `CASME2-coding-*.xlsx`; frames `Cropped/sub01/EP02_01f/reg_img46.jpg`, or `CASME2_RAW_selected/sub01/EP02_01f/img46.jpg`.

    Where both releases are there, the cropped one is read, with a remark; for the other, give a root that does not hold `Cropped`. Part "3" and "megc2019"
    leave fear and sadness out, which SAMM keeps: decided by data set, whatever the case of the word.
    """

    name = "casme2"
    title = "CASME II"
    ask = "sign the licence agreement on the CASME II page of the Institute of Psychology, Chinese Academy of Sciences, and mail it from an academic address"
    fps = 200.0
    default_part: ClassVar[str] = "5"
    closed: ClassVar[str] = SUBJECT

    def read(self) -> Reading:
        """One recording a row of the sheet that has frames."""
        sheets = find_sheets(self, "CASME2*coding*", "*.xlsx", "*.xls")
        folder, release = find_folder(self, FOLDERS, SUBJECT)
        reading = Reading(self.name, self.fps, release, remarks=other_release(self, FOLDERS, folder, SUBJECT))
        rows = read_annotation(reading, sheets, COLUMNS)
        spare = add_rows(reading, rows, numbered_clips(folder, SUBJECT, self.unread), digits=2)
        reading.unlabelled += [below(self.root, path) for path in spare]
        return reading
