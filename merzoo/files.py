"""JSON files that are read with distrust and written whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from pathlib import Path
from typing import Any

from merzoo.errors import RunError
from merzoo.text import plain

MAX_BYTES = 64 * 2**20  # one JSON file; a fold of 3,000 samples and 7 classes has about 1 MiB


def cache_folder() -> Path:
    """Where everything lies that can be made again, such as clip stores: `MERZOO_CACHE`, else the user's cache folder."""
    base = os.environ.get("MERZOO_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "merzoo"
    return Path(base).expanduser()


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises `RunError` for a file that is missing, too large, no JSON, not an object, or holds what JSON cannot (NaN, infinite
    numbers, lone surrogates)."""
    try:
        if not path.is_file():
            raise RunError(f"{path} is missing or no regular file; restore it or run again")
        if path.stat().st_size > MAX_BYTES:
            raise RunError(f"{path} is larger than {MAX_BYTES >> 20} MiB; no run folder of merzoo holds such a file")
        value = json.loads(path.read_bytes().decode("utf-8"))
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()  # NaN, 1e999 and lone surrogates could not be written again
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path} cannot be read as JSON ({plain(error, 120)}); restore it, or delete it and resume the run") from None
    if not isinstance(value, dict):
        raise RunError(f"{path} holds no JSON object; restore it, or delete it and resume the run")
    return value


def dumps(value: Any) -> str:
    """JSON as this project writes it: sorted keys, no NaN, a line end. Raises `RunError` for what JSON cannot hold."""
    try:
        return json.dumps(value, sort_keys=True, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    except (TypeError, ValueError) as error:
        raise RunError(f"a record cannot be written as JSON ({error}); give plain numbers, text, lists and dicts") from None


def write_atomically(path: Path, text: str) -> None:
    """Write a file whole or not at all: a temporary file beside it, flushed to disk, then renamed. Raises `RunError` where it cannot be written."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, UnicodeEncodeError) as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise RunError(f"{path} cannot be written ({getattr(error, 'strerror', None) or error}); choose another folder or free the disk") from None


def make_folder(path: Path) -> None:
    """Make a folder and check that files can be put there. Raises `RunError` with the reason where not."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{path} cannot be made a folder ({error.strerror}); choose another place") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise RunError(f"{path} cannot be written (no permission); choose another place")


def is_leftover(entry: Path) -> bool:
    """A temporary file of a writer that was killed."""
    return entry.name.startswith(".") and entry.name.endswith(".tmp")
