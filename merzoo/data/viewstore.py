"""Views that are costly to compute, kept on the disk beside the clip stores: made once for all processes and later runs.

They lie in a folder of their own and not inside a store's: a view is of the rows of a data set, which may come from several stores, several data sets may
select from one store, and a store's folder is written once and never again.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import os
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from merzoo.data.store import sha256_of
from merzoo.errors import MerzooWarning
from merzoo.files import cache_folder
from merzoo.interval import Interval
from merzoo.text import plain
from merzoo.views.base import ViewKind

LAYOUT = 1  # raised when the files below change their meaning


def view_key(stores: Sequence[str], view: str, kind: ViewKind, clips: Sequence[tuple[str, Sequence[Interval]]]) -> str:
    """sha256 over all that decides the arrays: the keys of the stores, the view's name and options, the code and the libraries that compute it, and each
    clip's id with the readings of its interval."""
    of = type(kind)
    facts = {
        "layout": LAYOUT,
        "stores": sorted(stores),
        "view": view,
        "code": [of.__module__, of.__qualname__, kind.version],
        "libraries": {name: str(importlib.import_module(name).__version__) for name in kind.libraries},
        "clips": [[sample, [[i.start, i.peak, i.stop] for i in readings]] for sample, readings in clips],
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


class ViewFile:
    """The file of one view of some clips. Its name holds its hash, so that one that is short or was changed is told from a whole one, and made anew."""

    def __init__(self, key: str) -> None:
        self.key = key[:24]
        self.folder = cache_folder() / "views"

    def nbytes(self) -> int | None:
        """How large the arrays are, where they are there; known without reading them. None where a header cannot be read: the file is made anew then."""
        with contextlib.suppress(Exception):  # numpy parses a header as Python, and a damaged one can fail in any way: TokenError, TypeError, MemoryError, …
            for path in self._candidates():
                return int(np.load(path, mmap_mode="r", allow_pickle=False).nbytes)
        return None

    def arrays(self, make: Callable[[], np.ndarray]) -> np.ndarray:
        """The arrays, memory-mapped: from the file, or from `make` and then written, by one process while others that want the same wait for it.

        Where the folder cannot be written they are made all the same, with a warning.
        """
        if (found := self._open()) is not None:
            return found
        made: np.ndarray | None = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._alone():
                if (found := self._open()) is not None:  # by whom this process waited for
                    return found
                made = make()
                self._write(made)
            found = self._open()
        except OSError as error:
            why = error.strerror or plain(error, 120)
            warnings.warn(f"views are computed again in every run: {self.folder} cannot be written ({why}); free space, or set MERZOO_CACHE", MerzooWarning, 4)
        return found if found is not None else made if made is not None else make()

    def _candidates(self) -> Iterator[Path]:
        return (path for path in self.folder.glob(f"{self.key}-*.npy") if re.fullmatch(r"[0-9a-f]{64}", path.stem.partition("-")[2]))

    def _open(self) -> np.ndarray | None:
        with contextlib.suppress(OSError, ValueError, EOFError):
            for path in self._candidates():
                if sha256_of(path) == path.stem.partition("-")[2]:
                    # Copy on write: processes share the pages, and torch takes an array that it could write into.
                    return np.asarray(np.load(path, mmap_mode="c", allow_pickle=False))
        return None

    def _write(self, arrays: np.ndarray) -> None:
        """Whole or not at all; called by the one who holds the lock, so that damaged files and half-written ones of this key are nobody's."""
        for damaged in self.folder.glob(f"{self.key}-*.npy"):
            damaged.unlink()
        scratch = self.folder / f".{self.key}.part"
        with scratch.open("wb") as file:
            np.save(file, np.ascontiguousarray(arrays), allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(self.folder / f"{self.key}-{sha256_of(scratch)}.npy")

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        from filelock import FileLock

        with FileLock(self.folder / f".{self.key}.lock", poll_interval=0.1):
            yield
