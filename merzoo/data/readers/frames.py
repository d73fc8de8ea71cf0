"""Frames in a folder, in the order of time: file names end in a frame number, padded or not."""

from __future__ import annotations

import os
import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from pathlib import Path

from merzoo.data.readers.parse import LARGEST
from merzoo.errors import DataError
from merzoo.text import plain

IMAGES = (".jpg", ".jpeg", ".png", ".bmp")
LITTER = {"thumbs.db", "desktop.ini"}
MISSING_LISTED = 10_000  # frames: one absurd interval must not fill the memory

_LAST_NUMBER = re.compile(r"([0-9]+)[^0-9]*$")


@dataclass(frozen=True)
class FrameList:
    """Frames of one clip. numbers: ascending. names: file names in that order. duplicates: files whose number another file already has. ignored: other
    files, images without a number among them."""

    folder: Path
    numbers: tuple[int, ...]
    names: tuple[str, ...]
    duplicates: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


def list_frames(folder: Path) -> FrameList:
    """The images in a folder (.jpg, .jpeg, .png, .bmp in any case), not in its sub-folders, by the last run of digits in their stem: "006_05562" is 5562,
    and "img9" comes before "img10".

    Of two files with one number the first by name is kept. Hidden files ("._x" of macOS among them) and Thumbs.db are not even listed. Links to files are
    followed, wherever they lead: data sets are often trees of links, and the tree is the user's own. Links to nothing are ignored. Raises `DataError` where
    the folder cannot be read.
    """
    numbered, ignored = [], []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                if name.startswith(".") or name.lower() in LITTER or entry.is_dir():
                    continue
                stem, suffix = os.path.splitext(name)  # noqa: PTH122  (a Path a frame makes this four times slower)
                match = _LAST_NUMBER.search(stem) if suffix.lower() in IMAGES and entry.is_file() else None
                if match and int(match[1]) < LARGEST:
                    numbered.append((int(match[1]), name))
                else:
                    ignored.append(name)
    except OSError as error:
        raise DataError(f"cannot list the frames in {plain(folder)} ({error.strerror}); check that the folder is there and can be read") from error
    numbers: list[int] = []
    names: list[str] = []
    duplicates: list[str] = []
    for number, name in sorted(numbered):
        if numbers and numbers[-1] == number:
            duplicates.append(name)
        else:
            numbers.append(number)
            names.append(name)
    return FrameList(Path(folder), tuple(numbers), tuple(names), tuple(duplicates), tuple(sorted(ignored)))


def pick(frames: FrameList, first: int, last: int) -> tuple[slice, tuple[int, ...]]:
    """The frames with numbers in [first, last]: a slice for `frames.numbers` and `frames.names`, and the numbers that are not there (the first 10,000).

    Gaps are common (cameras and extractors drop frames), so they are reported and nothing fails; the slice is empty where no frame is inside.
    """
    part = slice(bisect_left(frames.numbers, first), max(bisect_right(frames.numbers, last), bisect_left(frames.numbers, first)))
    missing: list[int] = []
    expected = first
    for number in (*frames.numbers[part], last + 1):
        missing.extend(range(expected, min(number, expected + MISSING_LISTED - len(missing))))
        expected = number + 1
    return part, tuple(missing)
