"""Finding a data set's sheets and frame folders below its root, wherever exactly it was extracted."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from merzoo.data.readers.crops import Release
from merzoo.errors import DataError

if TYPE_CHECKING:
    from merzoo.data.readers.base import Recorded

SHEETS = (".xlsx", ".xls", ".csv")
PICTURES = (".jpg", ".jpeg", ".png", ".bmp")
DEPTH = 4  # levels below the root that are searched: archives often add one or two of their own


def find_sheet(dataset: Recorded, *patterns: str) -> Path:
    """The annotation file: the last by name (so the newest release) that fits the first pattern that any file fits, case aside.

    Raises `DataError` that says what is looked for.
    """
    files = [path for path, is_folder in walk(dataset.root, DEPTH) if not is_folder and path.suffix.lower() in SHEETS and not path.name.startswith("~$")]
    for pattern in patterns:
        found = [path for path in files if fnmatch(path.name.lower(), pattern.lower())]
        if found:
            return max(found, key=lambda path: (-len(path.parts), path.name))
    wanted = " or ".join(patterns)
    raise DataError(f"{dataset.name}: no annotation file ({wanted}) below {dataset.root}; give the folder in which {dataset.title} was extracted")


def find_folder(dataset: Recorded, names: Mapping[str, Sequence[str]]) -> tuple[Path, Release]:
    """The folder of frames and its release: names = {"cropped": folder names, "raw": folder names}, the first release there wins; the root itself may be one.

    Raises `DataError` that says what is looked for.
    """
    folders = [dataset.root, *(path for path, is_folder in walk(dataset.root, DEPTH) if is_folder)]
    for release in ("cropped", "raw"):
        for name in names.get(release, ()):
            found = [path for path in folders if path.name.lower() == name.lower()]
            if found:
                return min(found, key=lambda path: len(path.parts)), release  # type: ignore[return-value]
    wanted = ", ".join(name for group in names.values() for name in group)
    raise DataError(f"{dataset.name}: none of the folders {wanted} is below {dataset.root}; extract the frames there")


def clip_folders(folder: Path, depth: int) -> dict[str, Path]:
    """{"subject/clip" in lower case: folder} of all folders `depth` levels below `folder`."""
    found = {}
    for path, is_folder in walk(folder, depth):
        relative = path.relative_to(folder)
        if is_folder and len(relative.parts) == depth:
            found[relative.as_posix().lower()] = path
    return found


def walk(folder: Path, depth: int) -> Iterator[tuple[Path, bool]]:
    """(path, whether it is a folder) of everything but pictures and hidden files up to `depth` levels below a folder, sorted."""
    try:
        with os.scandir(folder) as entries:
            # Pictures are most of a tree: left out before anything is made of them.
            kept = [e for e in entries if not e.name.lower().endswith(PICTURES) and not e.name.startswith(".") and e.name != "__MACOSX"]
            listed = sorted((e.name, e.path, e.is_dir()) for e in kept)
    except OSError as error:
        raise DataError(f"{folder} cannot be read ({error.strerror}); check its permissions") from None
    for _, path, is_folder in listed:
        yield Path(path), is_folder
        if is_folder and depth > 1:
            yield from walk(Path(path), depth - 1)
