"""Where licensed data lie on this machine: said on the command line, or remembered from the last `merzoo data prepare` or `verify`."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from merzoo.errors import DataError, MerzooError
from merzoo.files import cache_folder, dumps, write_atomically


def root_of(name: str, given: Mapping[str, Path]) -> Path:
    """The folder (or file) of a data set: given by its name, or under "", or remembered. Raises `DataError` with the remedy where nothing is known."""
    for key in (name, ""):
        if key in given:
            return given[key]
    known = remembered().get(name)
    if known is None:
        raise DataError(f"where {name} lies is not known; give --root DIR, or say it once for all with: merzoo data prepare {name} --root DIR")
    return Path(known)


def members(given: Mapping[str, Path], names: Iterable[str]) -> dict[str, Path]:
    """Roots for the members of a composite, {name: root}: by name as given, else below the nameless root in a folder of that name in any case.

    Without a nameless root, those not given are left to be remembered. Raises `DataError` for a member that does not lie below it: what is remembered would
    be other data than those pointed at.
    """
    names = tuple(names)
    roots = {name: given[name] for name in names if name in given}
    if "" not in given:
        return roots
    shelf = given[""]
    try:
        folders = sorted(path for path in shelf.iterdir() if path.is_dir())
    except OSError as error:
        why = "is no folder" if not shelf.is_dir() else f"cannot be read ({error.strerror})"
        raise DataError(f"{shelf} {why}; give one that holds the data sets by name, or --root NAME=DIR for each") from None
    for name in names:
        if name not in roots:
            roots[name] = _below(shelf, folders, name)
    return roots


def _below(shelf: Path, folders: Iterable[Path], name: str) -> Path:
    fits = [path for path in folders if path.name.casefold() == name.casefold()]
    exact = [path for path in fits if path.name == name]
    if len(exact or fits) == 1:
        return (exact or fits)[0]
    what = f"both {fits[0].name} and {fits[1].name} are there" if fits else f"there is no folder {shelf / name}, however written"
    raise DataError(f"{name} is not found below {shelf}: {what}; rename its folder, or give --root {name}=DIR")


def remembered() -> dict[str, str]:
    """{data set: root} as last told; empty where nothing can be read."""
    with contextlib.suppress(OSError, ValueError, UnicodeDecodeError, RecursionError):
        known = json.loads(_file().read_text(encoding="utf-8"))
        if isinstance(known, dict):
            return {name: root for name, root in known.items() if isinstance(name, str) and isinstance(root, str)}
    return {}


def remember(roots: Mapping[str, Path]) -> None:
    """Keep where data sets lie, {name: root}, beside what is known of others. Where that cannot be written, it is asked for again next time."""
    from filelock import FileLock, Timeout

    file = _file()
    with contextlib.suppress(OSError, MerzooError, Timeout):
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_name(f".{file.name}.lock"), timeout=10):  # or what another process adds between reading and writing would be lost
            write_atomically(file, dumps(remembered() | {name: str(root.resolve()) for name, root in roots.items()}))


def _file() -> Path:
    return cache_folder() / "roots.json"
