"""Where licensed data lie on this machine: said on the command line, or remembered from the last `merzoo data prepare` or `verify`."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Mapping
from pathlib import Path

from merzoo.data.store import cache_folder
from merzoo.errors import DataError


def root_of(name: str, given: Mapping[str, Path]) -> Path:
    """The folder (or file) of a data set: given by its name, or under "", or remembered. Raises `DataError` with the remedy where nothing is known."""
    for key in (name, ""):
        if key in given:
            return given[key]
    known = remembered().get(name)
    if known is None:
        raise DataError(f"where {name} lies is not known; give --root DIR, or say it once for all with: merzoo data prepare {name} --root DIR")
    return Path(known)


def members(given: Mapping[str, Path]) -> dict[str, Path]:
    """Roots for the members of a composite: by name as given, and the folders below the nameless root."""
    roots = {name: root for name, root in given.items() if name}
    if "" in given:
        if not given[""].is_dir():
            raise DataError(f"{given['']} is no folder; give one that holds the data sets by name, or --root NAME=DIR for each")
        roots = {path.name: path for path in given[""].iterdir() if path.is_dir()} | roots
    return roots


def remembered() -> dict[str, str]:
    """{data set: root} as last told; empty where nothing can be read."""
    with contextlib.suppress(OSError, ValueError, UnicodeDecodeError):
        known = json.loads(_file().read_text(encoding="utf-8"))
        if isinstance(known, dict):
            return {name: root for name, root in known.items() if isinstance(name, str) and isinstance(root, str)}
    return {}


def remember(name: str, root: Path) -> None:
    """Keep where a data set lies. Where that cannot be written, it is asked for again next time."""
    file = _file()
    temporary = file.with_name(f".{file.name}.{uuid.uuid4().hex}.tmp")
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(remembered() | {name: str(root.resolve())}, indent=1, sort_keys=True), encoding="utf-8")
        temporary.replace(file)


def _file() -> Path:
    return cache_folder() / "roots.json"
