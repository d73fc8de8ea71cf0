"""The clip store: every clip decoded and aligned once, in one memory-mapped file of uint8 frames."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from merzoo.data.table import Dataset
from merzoo.errors import DataError
from merzoo.specs import Preprocessing

if TYPE_CHECKING:
    import pandas as pd

LAYOUT = 1  # raised when the files below change their meaning
DAY = 86400.0  # s


def cache_folder() -> Path:
    """Where stores lie: `MERZOO_CACHE`, else the user's cache folder."""
    base = os.environ.get("MERZOO_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "merzoo"
    return Path(base).expanduser()


def store_key(dataset: Dataset, preprocessing: Preprocessing) -> str:
    """sha256 over all that decides the frames: the data set's manifest, the preprocessing and the layout."""
    facts = {"manifest": dataset.manifest_hash, "preprocessing": asdict(preprocessing), "layout": LAYOUT}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class ClipStore:
    """Frames of all clips of a table, memory-mapped: `clip(i)` is uint8 [T, size, size, 3] of row i, without a copy."""

    key: str
    frames: np.ndarray  # [ΣT, size, size, 3]
    offsets: np.ndarray  # [clips + 1]

    def clip(self, row: int) -> np.ndarray:
        """Frames of row `row` of the table."""
        return self.frames[self.offsets[row] : self.offsets[row + 1]]

    @property
    def size(self) -> int:
        """Side of a frame in pixels."""
        return self.frames.shape[1]


def open_store(
    dataset: Dataset,
    table: pd.DataFrame,
    preprocessing: Preprocessing,
    *,
    jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> ClipStore:
    """Open the store of a data set, building it first where there is none.

    A store is built beside its place and moved there whole, so one that can be opened is complete; two builders do not disturb each other.
    jobs: processes (more than one needs an importable main module, as multiprocessing does). progress(done, total) is told of clips.
    Raises `DataError` where the folder cannot be written, or what lies there is no whole store.
    """
    key = store_key(dataset, preprocessing)
    folder = cache_folder() / "stores" / key[:24]
    offsets = np.concatenate([[0], np.cumsum(table["frames"].to_numpy(dtype=np.int64))])
    shape = (int(offsets[-1]), preprocessing.size, preprocessing.size, 3)
    if not _there(folder):
        _build(folder, key, dataset, table, offsets, preprocessing, jobs, progress)
    try:
        facts = json.loads((folder / "store.json").read_text(encoding="utf-8"))
        if facts != {"key": key, "shape": list(shape)} or (folder / "frames.u8").stat().st_size != int(np.prod(shape)):
            raise ValueError("not what was asked for")
        frames = np.memmap(folder / "frames.u8", np.uint8, "r", shape=shape)
    except (OSError, ValueError) as error:
        raise DataError(f"clip store {folder} is damaged; delete that folder and it is built anew") from error
    return ClipStore(key, frames, offsets)


def _build(
    folder: Path,
    key: str,
    dataset: Dataset,
    table: pd.DataFrame,
    offsets: np.ndarray,
    preprocessing: Preprocessing,
    jobs: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    shape = (int(offsets[-1]), preprocessing.size, preprocessing.size, 3)
    scratch = folder.with_name(f".{folder.name}-{uuid.uuid4().hex}")
    _sweep(folder)
    try:
        scratch.mkdir(parents=True)
    except OSError as error:
        raise DataError(f"clip store {folder.parent} cannot be written ({error.strerror}); set MERZOO_CACHE to a folder that can") from error
    try:
        file = scratch / "frames.u8"
        with file.open("wb") as empty:
            empty.truncate(int(np.prod(shape)))
        # Clips of one subject go to one process: a data set may hold on to what is costly about a subject.
        chunks = [rows.to_list() for _, rows in table.reset_index().groupby("subject", sort=False)["index"]]
        ids = table["sample_id"].to_list()
        work: list[Work] = [(dataset, [(ids[r], int(offsets[r]), int(offsets[r + 1])) for r in rows], preprocessing, file, shape) for rows in chunks]
        done = 0
        with _pool(min(jobs, len(work))) as run:
            for count in run(work):
                done += count
                if progress:
                    progress(done, len(table))
        (scratch / "store.json").write_text(json.dumps({"key": key, "shape": list(shape)}), encoding="utf-8")
        try:
            scratch.replace(folder)
        except OSError:
            if not _there(folder):  # else another builder was first, with the same content
                raise
    except OSError as error:
        raise DataError(f"clip store {folder} cannot be written ({error.strerror}); free space, or set MERZOO_CACHE") from error
    except BrokenProcessPool as error:
        raise DataError(f"clip store {folder}: one of {jobs} processes ended early; use fewer jobs (in a script below `if __name__ == '__main__':`)") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _there(folder: Path) -> bool:
    with contextlib.suppress(OSError):  # a folder that may not even be looked into: making it fails with the reason
        return folder.exists()
    return False


def _sweep(folder: Path) -> None:
    """Remove what builders of this store left that were killed: scratch folders that nobody has written to for a day."""
    for old in folder.parent.glob(f".{folder.name}-*"):
        with contextlib.suppress(OSError):
            if time.time() - (old / "frames.u8").stat().st_mtime > DAY:
                shutil.rmtree(old, ignore_errors=True)


# data set, (sample, first frame, end) of each clip, how they are cropped, file, its shape
Work = tuple[Dataset, list[tuple[str, int, int]], Preprocessing, Path, tuple[int, ...]]


@contextlib.contextmanager
def _pool(jobs: int) -> Iterator[Callable[[list[Work]], Iterable[int]]]:
    """A function that maps `_write` over work, in this process or in several."""
    if jobs <= 1:
        yield lambda work: map(_write, work)
        return
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"))
    try:
        yield lambda work: (future.result() for future in as_completed([pool.submit(_write, item) for item in work]))
    finally:
        pool.shutdown(cancel_futures=True)


def _write(item: Work) -> int:
    dataset, clips, preprocessing, path, shape = item
    with path.open("r+b") as file:  # written, not mapped: a full disk is an error here and would be the end of the process there
        for sample_id, first, last in clips:
            try:
                frames = dataset.crops(sample_id, preprocessing)
            except OSError as error:  # not to be taken for a fault of the cache
                raise DataError(f"{sample_id}: its frames cannot be read ({error}); restore them") from error
            if frames.shape != (last - first, *shape[1:]) or frames.dtype != np.uint8:
                raise DataError(f"{sample_id}: {frames.dtype} frames {frames.shape} do not fit the table's {last - first} of {shape[1]} px")
            file.seek(first * int(np.prod(shape[1:])))
            file.write(np.ascontiguousarray(frames).data)
    return len(clips)
