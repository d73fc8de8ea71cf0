"""sha256 of large files, computed once: what was found is remembered with the file's identity, and computed again where anything of that is other."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from pathlib import Path

from merzoo.errors import MerzooError
from merzoo.files import cache_folder, dumps, make_folder, write_atomically

WORTH = 2**20  # bytes; hashing less takes about as long as looking it up
SETTLED = 2.0  # s since the last change: clocks of file systems tick coarsely, and a change within the same tick could not be seen


def stamp(path: Path) -> list[int]:
    """What identifies the content of a file without reading it: device, inode, size, times of the last change of content and of the inode, in ns.

    Tools may set the time of content back (mtime); nobody but the system sets that of the inode (ctime). Raises `OSError`.
    """
    found = path.stat()
    return [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def sha256(path: Path) -> str:
    """sha256 of a file's content in hex; that of a large one is remembered once it has settled. Raises `OSError`."""
    before = stamp(path)
    memory = _memory(path) if before[2] >= WORTH else None
    if memory is not None and (remembered := _known(memory, before)):
        return remembered
    now = time.time_ns()
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if memory is not None and stamp(path) == before and now - max(before[3:]) > SETTLED * 1e9:
        with contextlib.suppress(MerzooError, OSError):  # a cache that cannot be written costs time and nothing else
            make_folder(memory.parent.parent)
            memory.parent.mkdir(mode=0o700, exist_ok=True)
            write_atomically(memory, dumps({"stamp": before, "sha256": found}))
    return found


def _memory(path: Path) -> Path | None:
    """Where the digest of a file is remembered; None where nothing may be: on file systems that do not tell what `stamp` rests on, and for files that somebody
    else may write, since a write through mapped memory need not move any time."""
    if os.name == "nt" or not _mine(path.stat()):  # on Windows, ctime is the time of creation
        return None
    name = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()
    return cache_folder() / "digests" / f"{name}.json"


def _mine(found: os.stat_result) -> bool:
    """Whether nobody but this user, and root, can write it."""
    return found.st_uid in (os.getuid(), 0) and not found.st_mode & 0o022


def _known(memory: Path, now: list[int]) -> str | None:
    """The digest that is remembered, if it is of the very content that lies there now and nobody else can have written it."""
    try:
        if not _mine(memory.parent.lstat()) or memory.is_symlink() or memory.stat().st_uid not in (os.getuid(), 0):
            return None
        kept = json.loads(memory.read_text(encoding="utf-8"))
        digest = kept["sha256"] if kept["stamp"] == now else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return digest if isinstance(digest, str) and len(digest) == 64 else None
