"""All results of a folder checked, in one process or in several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from threadpoolctl import threadpool_limits

from merzoo.leaderboard.entries import Entry, entry
from merzoo.results.desk import Desk

MANY = 60  # results from which processes pay: each takes as long to start as checking that many
SHARE = 8  # results that a process takes at a time
Report = Callable[[str, int, int], None]  # what is done, how much, of how much

_desk: Desk | None = None  # of a process that helps


def judged(paths: Sequence[Path], source: Path, desk: Desk, resamples: int, jobs: int, report: Report) -> list[Entry]:
    """What each path brings to a board, in order (see `merzoo.leaderboard.entries.entry`). jobs: processes, this one among them."""
    shares = [paths[at : at + SHARE] for at in range(0, len(paths), SHARE)]
    found: dict[int, list[Entry]] = {}

    def keep(at: int, entries: list[Entry]) -> None:
        found[at] = entries
        report("checking results", min(len(found) * SHARE, len(paths)), len(paths))

    report("checking results", 0, len(paths))
    helpers = min(jobs, len(paths) // MANY + 1) - 1
    if helpers < 1:
        for at, share in enumerate(shares):
            keep(at, _share(share, source, desk, resamples))
    else:
        with ProcessPoolExecutor(helpers, mp_context=get_context("spawn"), initializer=_start, initargs=(desk,)) as pool:
            futures = [pool.submit(_help, share, source, resamples) for share in shares]
            for at in reversed(range(len(shares))):  # helpers begin at the other end
                keep(at, _share(shares[at], source, desk, resamples) if futures[at].cancel() else futures[at].result())
    return [one for at in range(len(shares)) for one in found[at]]


def _share(paths: Sequence[Path], source: Path, desk: Desk, resamples: int) -> list[Entry]:
    made = (entry(path, path.relative_to(source).as_posix(), desk, resamples) for path in paths)
    return [one for one in made if one is not None]


def _start(desk: Desk) -> None:
    global _desk
    _desk = desk
    threadpool_limits(1, user_api="blas")


def _help(paths: Sequence[Path], source: Path, resamples: int) -> list[Entry]:
    assert _desk is not None
    return _share(paths, source, _desk, resamples)
