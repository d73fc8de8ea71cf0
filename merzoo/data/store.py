"""The clip store: every clip of a source decoded and aligned once, in memory-mapped chunks of uint8 frames."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from merzoo.data.table import ClipSource
from merzoo.errors import DataError
from merzoo.files import cache_folder
from merzoo.specs import Preprocessing

LAYOUT = 2  # raised when the files below change their meaning
CHUNK_BYTES = 16 * 2**20  # a chunk is written, hashed and resumed as one; its limits are part of the key, since they decide where a clip lies
CHUNK_FRAMES = 512  # and of small frames: time goes by frames, and every process should have several chunks
MAPS = 128  # chunks that a store holds open at once: each takes a file descriptor, of which a process has about a thousand
INDEX = "store.json"

Progress = Callable[[int, int], None]  # clips (or chunks) done, of how many


def store_key(source: ClipSource, preprocessing: Preprocessing) -> str:
    """sha256 over all that decides the frames and where they lie: the source, the preprocessing and the layout."""
    facts = {"source": source.source_hash, "preprocessing": asdict(preprocessing), "layout": LAYOUT, "chunk": [CHUNK_BYTES, CHUNK_FRAMES]}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Chunk:
    """Consecutive clips in one file: (sample id, frames) of each."""

    number: int
    clips: tuple[tuple[str, int], ...]

    @property
    def frames(self) -> int:
        """How many in all."""
        return sum(frames for _, frames in self.clips)

    def file(self, sha256: str) -> str:
        """Its name, which holds its hash, so that one found after a crash can be told from one half written."""
        return f"{self.number:05d}-{sha256}.u8"


def plan(source: ClipSource, size: int) -> list[Chunk]:
    """The chunks of a source: as many clips as fit, at least one. Raises `DataError` for a source without clips or a clip without frames."""
    lengths = source.lengths()
    empty = next((sample for sample, frames in lengths.items() if frames < 1), None)
    if not lengths or empty is not None:
        raise DataError(f"{source.name}: {f'clip {empty} has no frame' if empty else 'there is no clip'}; complete the data")
    most = min(CHUNK_FRAMES, CHUNK_BYTES // (size * size * 3))
    groups: list[list[tuple[str, int]]] = []
    room = -1
    for sample, frames in lengths.items():
        room -= frames
        if room < 0:
            groups.append([])
            room = most - frames
        groups[-1].append((sample, int(frames)))
    return [Chunk(number, tuple(clips)) for number, clips in enumerate(groups)]


def index(chunks: list[Chunk]) -> dict[str, list[int]]:
    """sample id -> [chunk, first frame in it, frames]."""
    out = {}
    for chunk in chunks:
        first = 0
        for sample, frames in chunk.clips:
            out[sample] = [chunk.number, first, frames]
            first += frames
    return out


class ClipStore:
    """Frames of all clips of a source, memory-mapped: `clip(sample_id)` is uint8 [T, size, size, 3], read-only, without a copy.

    hashes: sha256 of each chunk, as it was when it was written.
    """

    def __init__(self, folder: Path, key: str, size: int, chunks: list[Chunk], hashes: list[str]) -> None:
        self.folder, self.key, self.size, self.chunks, self.hashes = folder, key, size, chunks, hashes
        self._index = index(chunks)
        self._map = lru_cache(MAPS)(self._open)

    def __contains__(self, sample_id: str) -> bool:
        return sample_id in self._index

    def frames(self, sample_id: str) -> int:
        """How many frames a clip has. Raises `DataError` for a clip that is not here."""
        return self._place(sample_id)[2]

    def clip(self, sample_id: str) -> np.ndarray:
        """Frames of one clip. Raises `DataError` for a clip that is not here, or a chunk that has gone since."""
        number, first, frames = self._place(sample_id)
        return self._map(number)[first : first + frames]

    def path(self, number: int) -> Path:
        """The file of a chunk."""
        return self.folder / self.chunks[number].file(self.hashes[number])

    def _place(self, sample_id: str) -> list[int]:
        try:
            return self._index[sample_id]
        except KeyError:
            raise DataError(f"clip store {self.folder} has no clip '{sample_id}'; ask for one of its source") from None

    def _open(self, number: int) -> np.ndarray:
        try:
            return np.asarray(np.memmap(self.path(number), np.uint8, "r", shape=(self.chunks[number].frames, self.size, self.size, 3)))
        except (OSError, ValueError) as error:
            raise _damaged(self.folder, self.path(number).name) from error


def open_store(source: ClipSource, preprocessing: Preprocessing, *, jobs: int = 1, progress: Progress | None = None) -> ClipStore:
    """Open the store of a source, preparing it first where there is none, or going on where an earlier attempt stopped.

    A store gets its place and its index only when every chunk is on the disk, so one that opens is complete. Sizes of files are checked, hashes by `verify`.
    jobs: processes (more than one needs an importable main module, as multiprocessing does). progress(done, total) is told of clips.
    Raises `DataError` where the folder cannot be written, clips cannot be decoded (`merzoo.data.prepare.BadClips`), or what lies there is no whole store.
    """
    key = store_key(source, preprocessing)
    folder = cache_folder() / "stores" / key[:24]
    chunks = plan(source, preprocessing.size)
    if not there(folder):
        from merzoo.data.prepare import prepare

        prepare(source, preprocessing, folder, key, chunks, jobs, progress)
    try:
        facts = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        if (facts["key"], facts["clips"]) != (key, index(chunks)):
            raise ValueError("of other clips")
        hashes = [_hash(sha) for sha in facts["chunks"]]
        sizes = {entry.name: entry.stat().st_size for entry in os.scandir(folder)}
        wanted = {chunk.file(sha): chunk.frames * preprocessing.size**2 * 3 for chunk, sha in zip(chunks, hashes, strict=True)}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(folder, INDEX) from error
    wrong = next((name for name, size in wanted.items() if sizes.get(name) != size), None)
    if wrong:
        raise _damaged(folder, wrong)
    return ClipStore(folder, key, preprocessing.size, chunks, hashes)


def verify(store: ClipStore, progress: Progress | None = None) -> None:
    """Read every chunk and compare its hash with that from when it was written. Raises `DataError` for one that differs. progress is told of chunks."""
    for done, chunk in enumerate(store.chunks, start=1):
        path = store.path(chunk.number)
        if sha256_of(path) != store.hashes[chunk.number]:
            raise _damaged(store.folder, path.name)
        if progress:
            progress(done, len(store.chunks))


def sha256_of(file: os.PathLike[str]) -> str:
    """The hash of a chunk as it lies on the disk, "" where it cannot be read."""
    try:
        with Path(file).open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError:
        return ""


def facts_of(key: str, source: ClipSource, preprocessing: Preprocessing, chunks: list[Chunk], hashes: Mapping[int, str]) -> dict[str, Any]:
    """What `store.json` holds. The source and the preprocessing are there for who looks into the folder; the key stands for both."""
    told = {"source": source.name, "source_hash": source.source_hash, "preprocessing": asdict(preprocessing)}
    return {"key": key, **told, "chunks": [hashes[chunk.number] for chunk in chunks], "clips": index(chunks)}


def there(folder: Path) -> bool:
    """Whether something lies in a store's place."""
    try:
        return folder.exists()
    except OSError:  # a folder that may not even be looked into: making it fails with the reason
        return False


def _hash(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch("[0-9a-f]{64}", value):  # it becomes part of a file's name
        raise ValueError("no sha256")
    return value


def _damaged(folder: Path, what: str) -> DataError:
    return DataError(f"clip store {folder} is damaged ({what}); delete that folder and it is built anew")
