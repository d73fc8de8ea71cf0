"""Making a clip store: chunk by chunk, in several processes, so that it can be stopped anywhere and goes on from there."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import re
import shutil
import time
import warnings
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from merzoo.data.chunks import Written, running, synced
from merzoo.data.store import INDEX, Chunk, Progress, facts_of, sha256_of, there
from merzoo.data.table import ClipSource
from merzoo.errors import DataError, MerzooError, MerzooWarning
from merzoo.files import write_atomically
from merzoo.specs import Preprocessing
from merzoo.text import byte_count, plain

KEEP_DAYS = 7  # how long what a stopped attempt left is kept for resuming


class BadClips(DataError):
    """Clips whose frames cannot be had; holds the reason of each, {sample id: reason}, in the source's order. All others are kept for the next attempt.

    listed: a text file that names them, to be given as `--skip`, where one could be written.
    """

    def __init__(self, name: str, total: int, faults: dict[str, str], listed: Path | None) -> None:
        self.faults, self.listed = faults, listed
        sample, reason = next(iter(faults.items()))
        first = f"{sample}: {plain(reason, 400)}"
        remedy = f"restore their files and prepare again, the rest is kept, or leave them out with --skip {listed or 'FILE'}"
        super().__init__(f"{name}: {len(faults)} of {total} clips cannot be prepared (first: {first}); {remedy}")


def prepare(
    source: ClipSource, preprocessing: Preprocessing, folder: Path, key: str, chunks: list[Chunk], jobs: int = 1, progress: Progress | None = None
) -> None:
    """Make the store in `folder`; where another process is at it, wait for that one and return.

    Finished chunks lie in a partial folder beside it until the last is there. Raises `BadClips`, and `DataError` where the folder cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            if not there(folder):
                _sweep(folder)
                _complete(source, preprocessing, folder, key, chunks, jobs, progress)
    except OSError as error:
        why = error.strerror or plain(error, 120)
        raise DataError(f"clip store {folder} cannot be written ({why}); free space, or set MERZOO_CACHE elsewhere; what is done is kept") from error
    except BrokenProcessPool as error:
        why = f"one of {jobs} processes ended early, as when memory runs out; use fewer jobs (in a script below `if __name__ == '__main__':`)"
        raise DataError(f"clip store {folder}: {why}; what is done is kept") from error


def _complete(source: ClipSource, preprocessing: Preprocessing, folder: Path, key: str, chunks: list[Chunk], jobs: int, progress: Progress | None) -> None:
    partial, frame = _partial(folder), preprocessing.size**2 * 3
    partial.mkdir(exist_ok=True)
    hashes = _finished(partial, chunks, frame)
    todo = [chunk for chunk in chunks if chunk.number not in hashes]
    _room(folder, sum(chunk.frames for chunk in todo) * frame)
    total = sum(len(chunk.clips) for chunk in chunks)
    done = total - sum(len(chunk.clips) for chunk in todo)
    faults: dict[int, dict[str, str]] = {}

    def told(result: Written) -> None:
        nonlocal done
        done += result.clips
        if result.sha256:
            hashes[result.number] = result.sha256
        else:
            faults[result.number] = result.faults
        if progress:
            progress(done, total)

    if progress:
        progress(done, total)
    with running(source, preprocessing, partial, min(jobs, len(todo))) as run:
        for result in run(todo):
            told(result)
    listed = folder.parent.parent / "bad-clips" / f"{folder.name}.txt"
    if faults:
        bad = {sample: reason for number in sorted(faults) for sample, reason in faults[number].items()}
        raise BadClips(source.name, total, bad, listed if _list(listed, bad) else None)
    listed.unlink(missing_ok=True)  # an earlier attempt's
    synced(partial / INDEX, [json.dumps(facts_of(key, source, preprocessing, chunks, hashes)).encode()])
    _settle(partial)
    partial.replace(folder)
    _settle(folder.parent)


def _list(file: Path, bad: dict[str, str]) -> bool:
    """Name the clips in a file that `--skip` takes; whether that could be written."""
    with contextlib.suppress(OSError, MerzooError):
        file.parent.mkdir(exist_ok=True)
        write_atomically(file, "".join(f"# {plain(reason, 400)}\n{sample}\n" for sample, reason in bad.items()))
        return True
    return False


def _partial(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.partial")


def _finished(partial: Path, chunks: list[Chunk], frame: int) -> dict[int, str]:
    """{number: sha256} of the chunks that are there whole; what a killed process left half written, or a disk has changed since, is removed."""
    found = {}
    for entry in os.scandir(partial):
        match = re.fullmatch(r"(\d{5,})-([0-9a-f]{64})\.u8", entry.name)
        number = int(match[1]) if match else len(chunks)
        if match and number < len(chunks) and number not in found and entry.stat().st_size == chunks[number].frames * frame and sha256_of(entry) == match[2]:
            found[number] = match[2]
        else:
            Path(entry.path).unlink()
    return found


def _room(folder: Path, wanted: int) -> None:
    """Say at the start what would otherwise be said after an hour."""
    free = shutil.disk_usage(folder.parent).free
    if wanted > free:
        needs = f"{byte_count(wanted)}, and {byte_count(free)} are free"
        raise DataError(f"clip store {folder} needs {needs}; free space, or set MERZOO_CACHE to a folder with room")


def _settle(folder: Path) -> None:
    """Have the names in a folder on the disk, and not only in memory."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the store's lock, which ends with its process; say so where it has to be waited for."""
    from filelock import FileLock, Timeout

    lock = FileLock(_lock(folder))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        # A script without `if __name__ == "__main__":` runs again in each of its processes, which would wait here for their own parent for ever.
        if getattr(multiprocessing.current_process(), "_inheriting", False):
            raise DataError(f"clip store {folder} is being prepared by this very script; put its work below `if __name__ == '__main__':`") from None
        warnings.warn(f"clip store {folder} is being prepared by another process; waiting for it", MerzooWarning, stacklevel=5)
        lock.acquire(poll_interval=0.2)
    try:
        yield
    finally:
        lock.release()


def _lock(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.lock")


def _sweep(folder: Path) -> None:
    """Remove what attempts at other stores left, where nobody has added to it for `KEEP_DAYS` and nobody is at it. This store's own is resumed, however old."""
    from filelock import FileLock, Timeout

    for partial in folder.parent.glob(".*.partial"):
        with contextlib.suppress(OSError, Timeout):
            old = time.time() - partial.stat().st_mtime > KEEP_DAYS * 86400  # a folder's time is that of its last chunk
            if old and partial != _partial(folder):
                with FileLock(partial.with_suffix(".lock"), blocking=False):
                    shutil.rmtree(partial)
