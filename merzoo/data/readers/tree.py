"""Finding a data set's sheets and frame folders below its root, wherever exactly it was extracted."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from merzoo.data.readers.crops import Release
from merzoo.errors import DataError
from merzoo.text import plain

if TYPE_CHECKING:
    import numpy as np

    from merzoo.data.readers.base import Recorded

SHEETS = (".xlsx", ".xls", ".csv")
PICTURES = (".jpg", ".jpeg", ".png", ".bmp")
DEPTH = 4  # levels below the root that are searched: archives often add one or two of their own


def find_sheet(dataset: Recorded, *patterns: str) -> Path:
    """The annotation file: the first of `find_sheets`."""
    return find_sheets(dataset, *patterns)[0]


def find_sheets(dataset: Recorded, *patterns: str) -> list[Path]:
    """The annotation files that fit the first pattern that any file fits, case aside: the highest first, then the last by name (the newest).

    Raises `DataError` that says what is looked for.
    """
    every = walk(dataset.root, DEPTH, dataset.closed)
    files = [path for path, is_folder in every if not is_folder and path.suffix.lower() in SHEETS and not path.name.startswith("~$")]
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
    return [dataset.root, *(path for path, is_folder in walk(dataset.root, DEPTH, dataset.closed) if is_folder)]


def _holds(folder: Path, like: str) -> bool:
    """Whether a folder has folders of such a name."""
    return not like or any(is_folder and re.fullmatch(like, path.name, re.IGNORECASE) for path, is_folder in walk(folder, 1))


def release_of(folder: Path) -> Release:
    """ "raw" where the first picture below a folder is wider than 1.2 times its height, else "cropped" (our choice: crops of faces are upright or square, the
    cameras of all data sets are not). Raises `DataError` where no picture can be read."""
    for place, inner, names in os.walk(folder, followlinks=True):
        inner.sort()  # so that every machine looks at the same picture
        for name in sorted(names)[:3]:
            if name.lower().endswith(PICTURES):
                picture = _grey(Path(place) / name)
                if picture is not None:
                    return "raw" if picture.shape[1] > 1.2 * picture.shape[0] else "cropped"
    raise DataError(f"{folder} has no picture that can be read; extract the archive again")


def _grey(file: Path) -> np.ndarray | None:
    """A picture at an eighth of its size, None where it is none."""
    import cv2
    import numpy as np

    try:
        data = np.frombuffer(file.read_bytes(), np.uint8)
        return cv2.imdecode(data, cv2.IMREAD_REDUCED_GRAYSCALE_8) if data.size else None  # type: ignore[return-value]
    except (OSError, cv2.error):
        return None


def clip_folders(folder: Path, depth: int) -> dict[str, Path]:
    """{"subject/clip" in lower case: folder} of all folders `depth` levels below `folder`."""
    found = {}
    for path, is_folder in walk(folder, depth):
        relative = path.relative_to(folder)
        if is_folder and len(relative.parts) == depth:
            found[relative.as_posix().lower()] = path
    return found


def numbered_clips(folder: Path, like: str) -> dict[tuple[int, str], Path]:
    """{(number of the subject, name of the clip in lower case): folder} of subject/clip below `folder`, padded or not.

    like: a regular expression for folders of subjects, whose first group is the number. Of two folders for one clip (sub1, sub01) the first by name stays.
    """
    found: dict[tuple[int, str], Path] = {}
    for path in clip_folders(folder, 2).values():
        subject = re.fullmatch(like, path.parent.name, re.IGNORECASE)
        if subject:
            found.setdefault((int(subject[1]), path.name.lower()), path)
    return found


def below(root: Path, path: Path) -> str:
    """A path as it is told: from the root on."""
    return plain(path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix())


def walk(folder: Path, depth: int, closed: str = "") -> Iterator[tuple[Path, bool]]:
    """(path, whether it is a folder) of everything but pictures and hidden files up to `depth` levels below a folder, sorted.

    closed: folders of such a name (regular expression, case aside) are given and not entered.
    """
    try:
        with os.scandir(folder) as entries:
            # Pictures are most of a tree: left out before anything is made of them.
            kept = [e for e in entries if not e.name.lower().endswith(PICTURES) and not e.name.startswith(".") and e.name != "__MACOSX"]
            listed = sorted((e.name, e.path, e.is_dir()) for e in kept)
    except OSError as error:
        raise DataError(f"{folder} cannot be read ({error.strerror}); check its permissions") from None
    for name, path, is_folder in listed:
        yield Path(path), is_folder
        if is_folder and depth > 1 and not (closed and re.fullmatch(closed, name, re.IGNORECASE)):
            yield from walk(Path(path), depth - 1, closed)
