"""Small trees in the published layouts of licensed data sets, for tests of readers: grey squares instead of faces, sheets with the rows a test wants."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np

CROP, WIDE = (28, 34), (64, 48)  # px: shapes of a released crop and of a camera's picture


@dataclass(frozen=True)
class Annotated:
    """A row of a sheet, cell by cell, and what is on disk for it. disk: frame numbers; None for all from onset to offset, () for no folder."""

    subject: object
    clip: str
    onset: object
    apex: object
    offset: object
    aus: object = None
    emotion: object = "others"
    disk: tuple[int, ...] | None = None

    @property
    def frames(self) -> tuple[int, ...]:
        """Frame numbers on disk."""
        if self.disk is not None:
            return self.disk
        return tuple(range(int(str(self.onset)), int(str(self.offset)) + 1))


def pictures(folder: Path, names: Iterable[str], size: tuple[int, int] = (40, 48)) -> None:
    """Write one small picture a name (its suffix is the format), each of its own grey; size: width and height in px."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        (folder / name).write_bytes(_encoded(Path(name).suffix, size, number % 200))


@cache
def _encoded(suffix: str, size: tuple[int, int], shade: int) -> bytes:
    picture = np.full((size[1], size[0], 3), 30 + shade, np.uint8)
    picture[: size[1] // 2] += 20
    return bytes(cv2.imencode(suffix, picture)[1].tobytes())


def workbook(path: Path, rows: Sequence[Sequence[object]], sheet: str = "Sheet1", more: dict[str, Sequence[Sequence[object]]] | None = None) -> Path:
    """Write an .xlsx whose sheets hold these rows of cells; needs openpyxl."""
    import openpyxl

    path.parent.mkdir(parents=True, exist_ok=True)
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, cells in {sheet: rows, **(more or {})}.items():
        page = book.create_sheet(title)
        for row in cells:
            page.append(list(row))
    book.save(path)
    return path


def casme2(
    root: Path, rows: Sequence[Annotated], *, sheet: str = "CASME2-coding-updated.xlsx", releases: Sequence[str] = ("Cropped",), spare: Sequence[str] = ()
) -> Path:
    """CASME II. releases: "Cropped" and/or "CASME2_RAW_selected". spare: folders of frames that no row names, such as "sub09/EP02_02f"."""
    header = ["Subject", "Filename", None, "OnsetFrame", "ApexFrame", "OffsetFrame", None, "Action Units", "Estimated Emotion"]
    workbook(root / sheet, [header, *([r.subject, r.clip, None, r.onset, r.apex, r.offset, None, r.aus, r.emotion] for r in rows)])
    for release in releases:
        prefix, size = ("reg_img", CROP) if release == "Cropped" else ("img", WIDE)
        clips = {f"sub{int(str(r.subject)):02d}/{r.clip}": r.frames for r in rows if r.disk != ()} | dict.fromkeys(spare, (1, 2, 3))
        for name, numbers in clips.items():
            pictures(root / release / name, [f"{prefix}{n}.jpg" for n in numbers], size)
    return root


def samm(root: Path, rows: Sequence[Annotated], *, four_digits: Sequence[str] = (), spare: Sequence[str] = (), size: tuple[int, int] = WIDE) -> Path:
    """SAMM: 13 rows of text above the header, subjects as numbers; frames of the clips in `four_digits` with one digit less."""
    header = [
        "Subject", "Filename", "Inducement Code", "Onset Frame", "Apex Frame", "Offset Frame", "Duration", "Micro", "Action Units", "Estimated Emotion",
        "Objective Classes", "Notes",
    ]  # fmt: skip
    text: list[list[object]] = [["SAMM Micro-Movements"], [], ["Subject: the participant"], ["Onset Frame, Apex Frame, Offset Frame: frame numbers"]]
    text += [[f"Explanation {n}"] for n in range(13 - len(text))]
    cells = [[r.subject, r.clip, 1, r.onset, r.apex, r.offset, 3, "Micro - 1/2", r.aus, r.emotion, 1, None] for r in rows]
    workbook(root / "SAMM_Micro_FACS_Codes_v2.xlsx", [*text, header, *cells])
    for name, numbers in {**{r.clip: r.frames for r in rows if r.disk != ()}, **dict.fromkeys(spare, (10000, 10001))}.items():
        digits = 4 if name in four_digits else 5
        pictures(root / "SAMM" / name[:3] / name, [f"{name[:3]}_{n:0{digits}d}.jpg" for n in numbers], size)
    return root


@dataclass(frozen=True)
class Short:
    """A clip of SMIC-HS: subject 1, code "ne", "po" or "sur", number, frame numbers on disk."""

    subject: int
    code: str
    number: int
    frames: tuple[int, ...] = (1, 2, 3)

    @property
    def name(self) -> str:
        """As the folder is called."""
        return f"s{self.subject}_{self.code}_{self.number:02d}"


def smic(root: Path, clips: Sequence[Short], *, top: str = "SMIC_all_cropped", camera: str = "HS") -> Path:
    """SMIC by folders of emotions, each subject with a clip without micro-expression beside them; not cropped under another `top`."""
    emotions = {"ne": "negative", "po": "positive", "sur": "surprise"}
    prefix, size = ("reg_image", CROP) if "cropped" in top else ("image", WIDE)
    for clip in clips:
        home = root / top / camera / f"s{clip.subject}"
        pictures(home / "micro" / emotions[clip.code] / clip.name, [f"{prefix}{n:06d}.bmp" for n in clip.frames], size)
        pictures(home / "non_micro" / f"s{clip.subject}_non_01", [f"{prefix}{n:06d}.bmp" for n in (1, 2)], size)
    return root


def smic_long(root: Path, rows: Sequence[Sequence[object]], disk: dict[str, Iterable[int]]) -> Path:
    """SMIC-HS-E: rows of Subject, Filename, OnsetF, OffsetF, TotalMF1, Emotion, FirstF, LastF, TotalVL and up to two further onsets, offsets and lengths."""
    header = ["Subject", "Filename", "OnsetF", "OffsetF", "TotalMF1", "Emotion", "FirstF", "LastF", "TotalVL"]
    header += ["Onset2F", "Offset2F", "TotalMF2", "Onset3F", "Offset3F", "TotalMF3"]
    workbook(root / "SMIC-HS-E_annotation_2019.xlsx", [header, *rows])
    for name, numbers in disk.items():
        pictures(root / "SMIC-HS-E" / name, [f"image{n:06d}.jpg" for n in numbers], WIDE)
    return root


def mmew(
    root: Path, rows: Sequence[Annotated], *, by_subject: bool = False, others: str = "others", stills: Sequence[str] = (), spare: Sequence[str] = ()
) -> Path:
    """MMEW, micro by emotion or by subject. others: the folder of the residual class. stills: "S03/happiness/S03-01-001" of macro-expressions."""
    header = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "Estimated Emotion", "remarks"]
    workbook(root / "MMEW_Micro_Exp.xlsx", [header, *([r.subject, r.clip, r.onset, r.apex, r.offset, r.aus, r.emotion, None] for r in rows)])
    top = root / "MMEW_Final" / "Micro_Expression"
    clips = {f"{others if r.emotion == 'others' else r.emotion}/{r.clip}": r.frames for r in rows if r.disk != ()} | dict.fromkeys(spare, (1, 2))
    for name, numbers in clips.items():
        home = top / name.rpartition("/")[2][:3] if by_subject else top
        pictures(home / name, [f"{n}.jpg" for n in numbers], (30, 30))
    for name in stills:
        path = root / "MMEW_Final" / "Macro_Expression" / f"{name}.jpg"
        pictures(path.parent, [path.name], (30, 30))
    return root
