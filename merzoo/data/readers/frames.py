"""Frames in a folder, in the order of time: file names end in a frame number, padded or not."""

from __future__ import annotations

import os
import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
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
    """Frames of one clip. numbers: ascending. names: file names in that order. duplicates: pictures whose number another one already has. ignored: pictures
    without a number, or that are links to nothing. series: what the names have beside their numbers, where it is not the same in all ("left_#", "right_#").
    fault: why the folder could not be listed."""

    folder: Path
    numbers: tuple[int, ...]
    names: tuple[str, ...]
    duplicates: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    series: tuple[str, ...] = ()
    fault: str = ""

    @property
    def notes(self) -> tuple[str, ...]:
        """What somebody who looks into the folder would wonder about, in words."""
        told = []
        if self.series:
            told.append(f"frames bear {len(self.series)} series of names ({_some(self.series)}), taken for one in the order of their numbers")
        if self.duplicates:
            told.append(f"pictures left out because another has their number: {_some(self.duplicates)}")
        if self.ignored:
            told.append(f"pictures left out because they have no number or are links to nothing: {_some(self.ignored)}")
        return tuple(told)


def list_frames(folder: Path) -> FrameList:
    """The images in a folder (.jpg, .jpeg, .png, .bmp in any case), not in its sub-folders, by the last run of digits in their stem: "006_05562" is 5562,
    and "img9" comes before "img10".

    Of two files with one number the first by name is kept. Hidden files ("._x" of macOS among them), Thumbs.db and other files than pictures are not even
    listed. Links to files are followed, wherever they lead: data sets are often trees of links, and the tree is the user's own. Links to nothing are ignored.
    Raises `DataError` where the folder cannot be read.
    """
    numbered, ignored, series = [], [], set()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                stem, suffix = os.path.splitext(name)  # noqa: PTH122  (a Path a frame makes this four times slower)
                if name.startswith(".") or suffix.lower() not in IMAGES or is_folder(entry):
                    continue
                match = _LAST_NUMBER.search(stem) if is_file(entry) else None
                if match and int(match[1]) < LARGEST:
                    numbered.append((int(match[1]), name))
                    series.add(stem[: match.start(1)].casefold() + "#" + stem[match.end(1) :].casefold())
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
    found = tuple(sorted(series)) if len(series) > 1 else ()
    return FrameList(Path(folder), tuple(numbers), tuple(names), tuple(duplicates), tuple(sorted(ignored)), found)


def frame_number(name: str) -> int:
    """The number that a frame's file name, or that of a frame in a video, ends in; −1 for none."""
    match = _LAST_NUMBER.search(name.rpartition(".")[0] or name)
    return int(match[1]) if match else -1


def frames_in(folder: Path) -> FrameList:
    """As `list_frames`; a folder that cannot be read has no frames, and a fault: it costs its clip and not the data set."""
    try:
        return list_frames(folder)
    except DataError as error:
        return FrameList(Path(folder), (), (), fault=str(error))


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder, or a link to one; a link to itself, or to what may not be looked at, is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def is_file(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a regular file, or a link to one; see `is_folder`."""
    try:
        return entry.is_file()
    except OSError:
        return False


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return plain(", ".join(names[:3]), 120) + more


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
