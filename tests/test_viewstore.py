"""Costly views on the disk: computed once for all processes and later runs, and never taken from another clip, interval, option or version."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from merzoo.data.clips import ClipData, Clips, IntervalJitter
from merzoo.data.synthetic import SyntheticFaces
from merzoo.data.viewstore import ViewFile, view_key
from merzoo.errors import LeakageError, MerzooWarning
from merzoo.files import cache_folder
from merzoo.interval import Interval
from merzoo.registry import registry
from merzoo.specs import Preprocessing, View
from merzoo.views.motion import Flow

CPU = torch.device("cpu")
FLOW = View("flow")
JITTER = IntervalJitter(variants=2)


@pytest.fixture
def calls(tiny: ClipData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Interval]]:
    """Every interval that a flow is computed of, with the session's clip stores and a folder of views of one's own."""
    seen: list[Interval] = []
    prepare = Flow.prepare

    def counted(self: Flow, frames: np.ndarray, interval: Interval) -> np.ndarray:
        seen.append(interval)
        return prepare(self, frames, interval)

    monkeypatch.setattr(Flow, "prepare", counted)
    monkeypatch.setattr("merzoo.data.viewstore.cache_folder", lambda: tmp_path)
    yield seen


def fresh() -> ClipData:
    return ClipData(SyntheticFaces("tiny"), Preprocessing(size=64))


def files(folder: Path) -> list[Path]:
    return sorted((folder / "views").glob("*.npy"))


def picked(data: ClipData, view: View = FLOW, jitter: IntervalJitter | None = None, kind: str = "micro") -> torch.Tensor:
    return Clips(data, kind).stored({"x": view}, torch.arange(len(Clips(data, kind))), CPU, jitter)["x"]


def test_a_second_opening_computes_nothing_and_reads_no_frame(calls: list[Interval], tmp_path: Path) -> None:
    first = picked(fresh())
    assert len(calls) == 16 + 1  # one to know the size of all
    again = fresh()
    assert torch.equal(picked(again), first) and len(calls) == 17 and again.reads == 0
    assert len(files(tmp_path)) == 1 and first.shape == (16, 2, 64, 64) and first.dtype == torch.float16


def test_what_decides_the_arrays_gives_another_file(calls: list[Interval], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = [
        lambda: picked(fresh()),
        lambda: picked(fresh(), jitter=JITTER),
        lambda: picked(fresh(), jitter=IntervalJitter((-0.3, 0.3), variants=2)),
        lambda: picked(fresh(), jitter=IntervalJitter(variants=3)),
        lambda: picked(fresh(), kind="macro"),
        lambda: picked(fresh(), View("strain")),
        lambda: picked(ClipData(SyntheticFaces("tiny"), Preprocessing(size=80))),
        lambda: _moved(),
        lambda: (monkeypatch.setattr(Flow, "version", 99), picked(fresh())),
        lambda: (monkeypatch.setattr("cv2.__version__", "4.99"), picked(fresh())),
    ]
    for number, change in enumerate(changes, start=1):
        change()
        assert len(files(tmp_path)) == number


def _moved() -> torch.Tensor:
    """The same clips, one of them annotated a frame later."""
    data = fresh()
    data._moments[3, 1] += 1
    return picked(data)


def test_options_are_part_of_the_key_and_so_is_the_code() -> None:
    class Other(Flow):
        pass

    clips = [("a", [Interval(1, 2, 3)])]
    keys = [view_key(["s"], view, kind, clips) for view, kind in (("flow", Flow()), ('flow{"method": "tvl1"}', Flow()), ("flow", Other()))]
    assert len(set(keys)) == 3 and keys[0] == view_key(["s"], "flow", Flow(), clips)


HARMS: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda whole: whole[:-7],
    "empty": lambda whole: b"",
    "bit": lambda whole: whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:],
    "magic": lambda whole: b"x" + whole[1:],
    "brace": lambda whole: whole.replace(b"}", b" ", 1),  # tokenize.TokenError
    "quote": lambda whole: whole.replace(b"'descr'", b"'descr ", 1),
    "dtype": lambda whole: whole.replace(b"<f2", b"<q9", 1),
    "shape": lambda whole: whole.replace(b"(16,", b"(99,", 1),
    "fewer": lambda whole: whole.replace(b"(16,", b"(10,", 1),
    "number": lambda whole: whole.replace(b"(16,", b"('a'", 1),
    "nulls": lambda whole: whole[:10] + bytes(118) + whole[128:],
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_file_is_made_anew(calls: list[Interval], tmp_path: Path, harm: str) -> None:
    wanted = picked(fresh())
    (path,) = files(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(HARMS[harm](whole))
    assert path.read_bytes() != whole
    before = len(calls)
    assert torch.equal(picked(fresh()), wanted) and len(calls) >= before + 16
    assert [p.read_bytes() for p in files(tmp_path)] == [whole]


def test_what_a_killed_writer_left_is_nobodys_file(calls: list[Interval], tmp_path: Path) -> None:
    def killed() -> np.ndarray:
        raise KeyboardInterrupt

    file = ViewFile("ab" * 32)
    with pytest.raises(KeyboardInterrupt):
        file.arrays(killed)
    (tmp_path / "views" / f".{file.key}.part").write_bytes(b"half")
    assert file.nbytes() is None and not files(tmp_path)
    assert np.array_equal(file.arrays(lambda: np.arange(6)), np.arange(6)) and len(files(tmp_path)) == 1
    assert not list((tmp_path / "views").glob(".*.part"))


def test_arrays_that_are_read_cannot_change_the_file(calls: list[Interval], tmp_path: Path) -> None:
    data = fresh()
    wanted = picked(data).clone()
    data.prepared(FLOW, "micro", None, CPU).zero_()  # writes into this process's copy
    assert torch.equal(picked(fresh()), wanted)


def test_views_that_are_cheap_or_too_large_to_keep_write_no_file(calls: list[Interval], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picked(fresh(), View("keyframes", {"moments": ["start", "peak"]}))
    picked(fresh(), View("difference"))
    assert not files(tmp_path)
    wanted = picked(fresh())
    monkeypatch.setattr("merzoo.data.clips.KEPT_BYTES", 100)
    monkeypatch.setattr("merzoo.data.viewstore.cache_folder", lambda: tmp_path / "elsewhere")
    assert torch.equal(picked(fresh()), wanted) and not files(tmp_path / "elsewhere")


def test_the_budget_is_that_of_the_file_that_is_there(calls: list[Interval], monkeypatch: pytest.MonkeyPatch) -> None:
    wanted, before = picked(fresh()), len(calls)
    monkeypatch.setattr("merzoo.data.clips.KEPT_BYTES", wanted.nbytes)
    assert torch.equal(picked(fresh()), wanted) and len(calls) == before
    monkeypatch.setattr("merzoo.data.clips.KEPT_BYTES", wanted.nbytes - 1)
    assert torch.equal(picked(fresh()), wanted) and len(calls) == before + 16  # streamed


def test_a_folder_that_cannot_be_written_costs_time_and_no_run(calls: list[Interval], tmp_path: Path) -> None:
    wanted = picked(fresh())
    for path in (tmp_path / "views").iterdir():
        path.unlink()
    (tmp_path / "views").rmdir()
    (tmp_path / "views").write_text("in the way")
    with pytest.warns(MerzooWarning, match=r"views.* cannot be written \(File exists\); free space, or set MERZOO_CACHE"):
        assert torch.equal(picked(fresh()), wanted)


def test_two_who_want_the_same_compute_it_once(calls: list[Interval], tmp_path: Path) -> None:
    found: list[torch.Tensor] = []
    opened = [fresh(), fresh()]
    threads = [threading.Thread(target=lambda d=d: found.append(d.prepared(FLOW, "micro", JITTER, CPU))) for d in opened]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert torch.equal(*found) and len(calls) == 32 and len(files(tmp_path)) == 1


def _in_a_process(folder: str, barrier: object, made: object) -> None:
    os.environ["MERZOO_CACHE"] = folder
    prepare = Flow.prepare

    def counted(self: Flow, frames: np.ndarray, interval: Interval) -> np.ndarray:
        with made.get_lock():
            made.value += 1
        return prepare(self, frames, interval)

    Flow.prepare = counted
    data = fresh()
    barrier.wait(60)
    data.prepared(FLOW, "micro", None, CPU)


def test_two_processes_compute_it_once(tiny: ClipData, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    (folder / "stores").symlink_to(cache_folder() / "stores")
    context = multiprocessing.get_context("fork")
    barrier, made = context.Barrier(2), context.Value("i", 0)
    workers = [context.Process(target=_in_a_process, args=(str(folder), barrier, made)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert made.value == 16 and len(files(folder)) == 1


def test_the_guard_sees_clips_whose_views_come_from_the_disk(calls: list[Interval]) -> None:
    picked(fresh())
    data = fresh()
    micro = Clips(data, "micro")
    micro.stored({"x": FLOW}, torch.tensor([5]), CPU)
    assert data.drawn == {5}
    with pytest.raises(LeakageError):
        data.check_drawn([micro.subject_of[5]], "stage")


@pytest.mark.parametrize(("name", "costly"), [("keyframes", False), ("difference", False), ("flow", True), ("strain", True), ("dynamic-image", True)])
def test_which_views_are_kept_on_the_disk(name: str, costly: bool) -> None:
    kind = registry().get("view", name).load()()
    assert kind.costly == costly and isinstance(kind.version, int)
