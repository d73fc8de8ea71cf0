"""Finding a data set's sheets and frame folders below its root, wherever exactly it was extracted."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from merzoo.data.readers.crops import Release
from merzoo.data.readers.frames import IMAGES, is_folder
from merzoo.errors import DataError
from merzoo.faces.stills import decoded
from merzoo.text import plain

if TYPE_CHECKING:
    from merzoo.data.readers.base import Recorded

SHEETS = (".xlsx", ".xls", ".csv")
Unread = dict[Path, str]  # folders that could not be read -> why
DEPTH = 4  # levels below the root that are searched: archives often add one or two of their own


def find_sheets(dataset: Recorded, *patterns: str) -> list[Path]:
    """The annotation files that fit the first pattern that any file fits, case aside: the highest first, then the last by name (the newest).

    Raises `DataError` that says what is looked for.
    """
    every = walk(dataset.root, DEPTH, dataset.unread, dataset.closed)
    files = [path for path, inner in every if not inner and path.suffix.lower() in SHEETS and not path.name.startswith("~$")]
    for pattern in patterns:
        found = [path for path in files if fnmatch(path.name.lower(), pattern.lower())]
        if found:
            return sorted(found, key=lambda path: (-len(path.parts), path.name, path.as_posix()), reverse=True)
    raise DataError(f"{dataset.name}: no annotation file ({' or '.join(patterns)}) below {dataset.root}; give the folder with the extracted {dataset.title}")


def find_folder(dataset: Recorded, names: Mapping[str, Sequence[str]], like: str = "") -> tuple[Path, Release]:
    """The folder of frames and its release: names = {"cropped": folder names, "raw": folder names}, the first release there wins; the root itself may be one.

    like: a regular expression for names of folders in it (those of subjects); a folder that has some comes before one that has none, and where none bears one
    of the names, any folder that has some will do, its release told by the shape of a picture. Raises `DataError` that says what is looked for.
    """
    for release in ("cropped", "raw"):
        found = find_folders(dataset, names.get(release, ()), like)
        if found:
            return found[0], release  # type: ignore[return-value]
    wanted = [name for group in names.values() for name in group]
    folder = holding(dataset, wanted, like)
    return folder, release_of(folder)


def other_release(dataset: Recorded, names: Mapping[str, Sequence[str]], read: Path, like: str = "") -> list[str]:
    """A remark on each folder of the other release that is there too, and is not the one read, in it or around it."""
    found = [path for release in names for path in find_folders(dataset, names[release], like)]
    others = [path for path in found if path != read and path not in read.parents and read not in path.parents]
    count, here = (lambda path: len(clip_folders(path, 2, {}))), below(dataset.root, read)
    return [
        f"{here} is read ({count(read)} folders of clips), {below(dataset.root, other)} is not ({count(other)}); "
        f"to use that one, give a --root that holds it and the sheet, and not {read.name}"
        for other in others
    ]


def find_folders(dataset: Recorded, names: Sequence[str], like: str = "") -> list[Path]:
    """Folders of one of these names (case aside) that have folders like `like` in them, by the order of names, then the highest first."""
    wanted = [name.lower() for name in names]
    found = [path for path in folders(dataset) if path.name.lower() in wanted and _holds(path, like)]
    return sorted(found, key=lambda path: (wanted.index(path.name.lower()), len(path.parts), path.as_posix()))


def holding(dataset: Recorded, names: Sequence[str], like: str) -> Path:
    """The highest folder that has folders like `like` in it, whatever its name. Raises `DataError`, which tells empty from missing."""
    if like:
        found = [path for path in folders(dataset) if _holds(path, like)]
        if found:
            return min(found, key=lambda path: (len(path.parts), path.as_posix()))
    empty = find_folders(dataset, names)
    if empty:
        raise DataError(f"{dataset.name}: {empty[0]} has no folders of subjects in it; extract the archive of {dataset.title} again, completely")
    raise DataError(f"{dataset.name}: none of the folders {', '.join(names)} is below {dataset.root}; extract the frames of {dataset.title} there")


def folders(dataset: Recorded) -> list[Path]:
    """The root and the folders below it, to the depth that is searched."""
    return [dataset.root, *(path for path, inner in walk(dataset.root, DEPTH, dataset.unread, dataset.closed) if inner)]


def _holds(folder: Path, like: str) -> bool:
    """Whether a folder has folders of such a name."""
    return not like or any(inner and re.fullmatch(like, path.name, re.IGNORECASE) for path, inner in walk(folder, 1, {}))


def release_of(folder: Path) -> Release:
    """ "raw" where the first picture below a folder is wider than 1.2 times its height, else "cropped" (our choice: crops of faces are upright or square, the
    cameras of all data sets are not). Raises `DataError` where no picture can be read."""
    for pictures in pictures_below(folder, {}):
        for file in pictures[:3]:
            picture = decoded(file, cv2.IMREAD_REDUCED_GRAYSCALE_8)
            if picture is not None:
                return "raw" if picture.shape[1] > 1.2 * picture.shape[0] else "cropped"
    raise DataError(f"{folder} has no picture that can be read; extract the archive again")


def pictures_below(folder: Path, unread: Unread, depth: int = 6, seen: set[tuple[int, int]] | None = None) -> Iterator[list[Path]]:
    """The pictures of a folder and of those below it, `depth` levels in all, folder by folder, sorted: every machine looks at the same one first.

    Links are followed; a folder that was met already, under whatever name, is passed over, so that links in a circle end. unread: see `walk`.
    """
    seen = set() if seen is None else seen
    try:
        state = folder.stat()
        if (state.st_dev, state.st_ino) in seen:
            return
        seen.add((state.st_dev, state.st_ino))
        with os.scandir(folder) as entries:
            listed = sorted((e.name, is_folder(e)) for e in entries if not e.name.startswith(".") and e.name != "__MACOSX")
    except OSError as error:
        unread[folder] = error.strerror or "unknown error"
        return
    yield [folder / name for name, inner in listed if not inner and name.lower().endswith(IMAGES)]
    for name, inner in listed:
        if inner and depth > 1:
            yield from pictures_below(folder / name, unread, depth - 1, seen)


def clip_folders(folder: Path, depth: int, unread: Unread) -> dict[str, Path]:
    """{"subject/clip" in lower case: folder} of all folders `depth` levels below `folder`."""
    found = {}
    for path, inner in walk(folder, depth, unread):
        relative = path.relative_to(folder)
        if inner and len(relative.parts) == depth:
            found[relative.as_posix().lower()] = path
    return found


def numbered_clips(folder: Path, like: str, unread: Unread) -> dict[tuple[int, str], Path]:
    """{(number of the subject, name of the clip in lower case): folder} of subject/clip below `folder`, padded or not.

    like: a regular expression for folders of subjects, whose first group is the number. Of two folders for one clip (sub1, sub01) the first by name stays.
    """
    found: dict[tuple[int, str], Path] = {}
    for path in clip_folders(folder, 2, unread).values():
        subject = re.fullmatch(like, path.parent.name, re.IGNORECASE)
        if subject:
            found.setdefault((int(subject[1]), path.name.lower()), path)
    return found


def below(root: Path, path: Path) -> str:
    """A path as it is told: from the root on."""
    return plain(path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix())


def walk(folder: Path, depth: int, unread: Unread, closed: str = "") -> Iterator[tuple[Path, bool]]:
    """(path, whether it is a folder) of everything but pictures and hidden files up to `depth` levels below a folder, sorted.

    unread: takes the folders that cannot be read, each with the reason. closed: folders of such a name (regular expression, case aside) are given and not
    entered.
    """
    try:
        with os.scandir(folder) as entries:
            # Pictures are most of a tree: left out before anything is made of them.
            kept = [e for e in entries if not e.name.lower().endswith(IMAGES) and not e.name.startswith(".") and e.name != "__MACOSX"]
            listed = sorted((e.name, e.path, is_folder(e)) for e in kept)
    except OSError as error:
        unread[folder] = error.strerror or "unknown error"
        return
    for name, path, inner in listed:
        yield Path(path), inner
        if inner and depth > 1 and not (closed and re.fullmatch(closed, name, re.IGNORECASE)):
            yield from walk(Path(path), depth - 1, unread, closed)
