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

_just_hashed: dict[str, tuple[list[int], str]] = {}  # a download is looked at twice in one breath


def stamp(path: Path) -> list[int]:
    """What identifies the content of a file without reading it: device, inode, size, times of the last change of content and of the inode, in ns.

    Tools may set the time of content back (mtime); nobody but the system sets that of the inode (ctime). Raises `OSError`.
    """
    found = path.stat()
    return [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def sha256(path: Path) -> str:
    """sha256 of a file's content in hex; that of a large one is remembered, in this process at once and in the cache folder once the file has settled.

    Raises `OSError`.
    """
    before = stamp(path)
    if (known := _just_hashed.get(str(path))) and known[0] == before:
        return known[1]
    memory = _memory(path) if before[2] >= WORTH else None
    if memory is not None and (remembered := _known(memory, before)):
        return remembered
    now = time.time_ns()
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if memory is not None and stamp(path) == before:
        _just_hashed[str(path)] = before, found
    if memory is not None and stamp(path) == before and now - max(before[3:]) > SETTLED * 1e9:
        with contextlib.suppress(MerzooError, OSError):  # a cache that cannot be written costs time and nothing else
            make_folder(memory.parent)
            memory.parent.chmod(0o700)
            write_atomically(memory, dumps({"stamp": before, "sha256": found}))
    return found


def _memory(path: Path) -> Path | None:
    """Where the digest of a file is remembered; None where file systems do not tell what `stamp` rests on."""
    if os.name == "nt":  # there, ctime is the time of creation
        return None
    name = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()
    return cache_folder() / "digests" / f"{name}.json"


def _known(memory: Path, now: list[int]) -> str | None:
    """The digest that is remembered, if it is of the very content that lies there now and nobody else can have written it."""
    try:
        folder = memory.parent.lstat()
        if folder.st_uid != os.getuid() or folder.st_mode & 0o022 or memory.is_symlink():
            return None
        kept = json.loads(memory.read_text(encoding="utf-8"))
        digest = kept["sha256"] if kept["stamp"] == now else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return digest if isinstance(digest, str) and len(digest) == 64 else None
