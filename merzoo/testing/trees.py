"""Small trees in the layouts of licensed data sets, for tests of readers: noise instead of faces, sheets with the rows a test wants."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np


def pictures(folder: Path, names: Iterable[str], size: tuple[int, int] = (40, 48)) -> None:
    """Write one small picture a name (its suffix is the format), each of its own grey; size: width and height in px."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        picture = np.full((size[1], size[0], 3), 30 + number % 200, np.uint8)
        picture[: size[1] // 2] += 20
        (folder / name).write_bytes(cv2.imencode(Path(name).suffix, picture)[1].tobytes())


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
