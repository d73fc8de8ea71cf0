"""Writing chunks of a clip store, in this process or in several; nothing here imports torch, which would cost every process a second and half a gigabyte."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

import numpy as np

from merzoo.data.store import Chunk
from merzoo.data.table import ClipSource
from merzoo.errors import MerzooError
from merzoo.specs import Preprocessing


@dataclass(frozen=True)
class Written:
    """What became of a chunk: its hash where it is on the disk, else the reasons of the clips that are to blame."""

    number: int
    clips: int
    sha256: str = ""
    faults: dict[str, str] = field(default_factory=dict)


class Stopped(Exception):
    """Nobody waits for this chunk any more."""


@dataclass(frozen=True)
class Writer:
    """All that a process needs to write chunks; it is handed over once, when the process starts."""

    source: ClipSource
    preprocessing: Preprocessing
    folder: Path
    stop: Any  # an event between processes; None in this one

    def __call__(self, chunk: Chunk) -> Written:
        """Write one chunk, a clip at a time: memory holds one clip. Raises `OSError` where it cannot be written, and no other."""
        faults: dict[str, str] = {}
        digest = hashlib.sha256()

        def pieces() -> Iterator[memoryview]:
            for sample, frames in chunk.clips:
                if self.stop is not None and self.stop.is_set():
                    raise Stopped
                try:
                    piece = self._clip(sample, frames)
                except _Unusable as error:
                    faults[sample] = str(error)  # on with the others, so that all that is wrong is said at once
                    continue
                if not faults:
                    digest.update(piece)
                    yield piece

        temporary = self.folder / f"{chunk.number:05d}.{os.getpid()}.tmp"
        with _removed(temporary):
            with temporary.open("wb") as file:  # written, not mapped: a full disk is an error here and would be the end of the process there
                for piece in pieces():
                    file.write(piece)
                file.flush()
                if not faults:
                    os.fsync(file.fileno())
            if faults:
                return Written(chunk.number, len(chunk.clips), faults=faults)
            temporary.replace(self.folder / chunk.file(digest.hexdigest()))
        return Written(chunk.number, len(chunk.clips), digest.hexdigest())

    def _clip(self, sample: str, wanted: int) -> memoryview:
        import cv2

        try:
            frames = self.source.crops(sample, self.preprocessing)
        except (MerzooError, OSError, cv2.error) as error:  # an OSError of the source's files must not be taken for one of the cache
            raise _Unusable(" ".join(str(error).split())) from error
        size = self.preprocessing.size
        if frames.shape != (wanted, size, size, 3) or frames.dtype != np.uint8:
            raise _Unusable(f"{frames.dtype} frames {list(frames.shape)} where {wanted} of {size} px were announced")
        return np.ascontiguousarray(frames).reshape(-1).data


class _Unusable(Exception):
    """A clip whose frames are not there."""


@contextlib.contextmanager
def _removed(path: Path) -> Iterator[None]:
    """Whatever ends the block, a file of this name is not left; its space may be what is missing."""
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def synced(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with _removed(temporary):
        with temporary.open("wb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)


@contextlib.contextmanager
def running(source: ClipSource, preprocessing: Preprocessing, folder: Path, jobs: int) -> Iterator[Callable[[list[Chunk]], Iterable[Written]]]:
    """A function that writes chunks and gives the results as they come, in this process or in several, which are told to stop when the block is left."""
    if jobs <= 1:
        writer = Writer(source, preprocessing, folder, None)
        yield lambda chunks: map(writer, chunks)
        return
    context = get_context("spawn")  # a fork would copy whatever threads torch and OpenCV hold by then
    stop = context.Event()
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_start, initargs=(Writer(source, preprocessing, folder, stop),))
    try:
        yield lambda chunks: (future.result() for future in as_completed([pool.submit(_write, chunk) for chunk in chunks]))
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


_writer: Writer | None = None


def _start(writer: Writer) -> None:
    """In a new process: one thread, since there is a process for each core; leave Ctrl-C to the parent, and end when the parent is gone, however it went."""
    global _writer
    import cv2

    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None  # this is a child

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    _writer = writer


def _write(chunk: Chunk) -> Written:
    assert _writer is not None  # the initializer ran
    return _writer(chunk)
