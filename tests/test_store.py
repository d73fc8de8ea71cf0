"""The clip store: built once, whole or not at all, keyed by what decides its content; what is damaged is refused with the remedy."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from merzoo.data.store import ClipStore, cache_folder, open_store, store_key
from merzoo.errors import DataError, MerzooError, UnknownNameError
from merzoo.specs import Preprocessing

SMALL = Preprocessing(size=8)

TOY = '''
"""A data set for tests, importable by worker processes; `fault` says what goes wrong at the third of its six clips."""

import os
import signal
import time

import numpy as np
import pandas as pd

from merzoo.errors import UnknownNameError


class Toy:
    name, part, labels = "toy", "", ("calm",)

    def __init__(self, fault="", manifest="1"):
        self.fault, self.manifest_hash = fault, manifest

    def table(self):
        rows = [{"sample_id": f"toy:{i}", "subject": f"toy:s{i % 3}", "frames": 3 + i} for i in range(6)]
        return pd.DataFrame(rows)

    def crops(self, sample_id, preprocessing):
        number = int(sample_id.split(":")[1])
        if number == 2:
            self.fail(sample_id)
        shape = (3 + number, preprocessing.size, preprocessing.size, 3)
        return np.random.default_rng(number).integers(0, 256, shape, dtype=np.uint8)

    def fail(self, sample_id):
        if self.fault == "raises":
            raise RuntimeError("a bug of the data set")
        if self.fault == "unknown":
            raise UnknownNameError("clip", sample_id, ["toy:1"])
        if self.fault == "missing picture":
            raise FileNotFoundError(2, "No such file or directory", "img_002.jpg")
        if self.fault == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fault == "exits":
            os._exit(3)
        if self.fault == "slow":
            time.sleep(0.2)


class Short(Toy):
    def crops(self, sample_id, preprocessing):
        return super().crops(sample_id, preprocessing)[1:]


class Floats(Toy):
    def crops(self, sample_id, preprocessing):
        return super().crops(sample_id, preprocessing).astype("float32")
'''


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    folder = tmp_path_factory.mktemp("toy")
    (folder / "toy_faces.py").write_text(TOY)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield importlib.import_module("toy_faces")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MERZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def opened(dataset, preprocessing: Preprocessing = SMALL, **options) -> ClipStore:
    return open_store(dataset, dataset.table(), preprocessing, **options)


def left_over(cache: Path) -> list[str]:
    return sorted(p.name for p in (cache / "stores").iterdir()) if (cache / "stores").is_dir() else []


def test_a_store_holds_every_frame_of_every_clip(toy: ModuleType, cache: Path) -> None:
    dataset, told = toy.Toy(), []
    store = opened(dataset, progress=lambda done, total: told.append((done, total)))
    for row, sample in enumerate(dataset.table()["sample_id"]):
        assert np.array_equal(store.clip(row), dataset.crops(sample, SMALL))
    assert store.size == 8 and not store.frames.flags.writeable
    assert told == [(2, 6), (4, 6), (6, 6)] and left_over(cache) == [store.key[:24]]


def test_a_store_that_is_there_is_opened_and_not_built(toy: ModuleType, cache: Path) -> None:
    opened(toy.Toy())
    assert opened(toy.Toy("raises")).clip(5).shape == (8, 8, 8, 3)


def test_two_processes_write_the_same_bytes_as_one(toy: ModuleType, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = opened(toy.Toy())
    monkeypatch.setenv("MERZOO_CACHE", str(tmp_path / "other"))
    two = opened(toy.Toy(), jobs=2)
    assert one.key == two.key and bytes(one.frames) == bytes(two.frames)


# The key


def test_the_key_changes_with_whatever_decides_the_frames(toy: ModuleType) -> None:
    base = store_key(toy.Toy(), SMALL)
    others = [store_key(toy.Toy(manifest="2"), SMALL)]
    others += [store_key(toy.Toy(), dataclasses.replace(SMALL, **change)) for change in ({"size": 9}, {"aligner": "mouth"})]
    assert store_key(toy.Toy("slow"), Preprocessing(size=8)) == base
    assert len({base, *others}) == 4


def test_every_field_of_the_preprocessing_is_in_the_key() -> None:
    assert {f.name for f in dataclasses.fields(Preprocessing)} == {"aligner", "size"}  # a new field: add it to the test above


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MERZOO_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "merzoo"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home/.cache/merzoo"
    monkeypatch.setenv("MERZOO_CACHE", "~/mine")
    assert cache_folder() == tmp_path / "home/mine"


# Whole or not at all


@pytest.mark.parametrize(
    ("fault", "error", "jobs"),
    [("raises", RuntimeError, 1), ("unknown", UnknownNameError, 1), ("unknown", UnknownNameError, 2), ("missing picture", DataError, 2)],
)
def test_a_build_that_fails_leaves_nothing(toy: ModuleType, cache: Path, fault: str, error: type[Exception], jobs: int) -> None:
    with pytest.raises(error) as caught:
        opened(toy.Toy(fault), jobs=jobs)
    assert "\n" not in str(caught.value) and left_over(cache) == []
    assert opened(toy.Toy()).clip(2).shape == (5, 8, 8, 3)


def test_a_missing_picture_is_not_taken_for_a_fault_of_the_cache(toy: ModuleType, cache: Path) -> None:
    with pytest.raises(DataError, match=r"toy:2: its frames cannot be read .*img_002.jpg"):
        opened(toy.Toy("missing picture"))


def test_a_builder_that_is_killed_leaves_no_store(toy: ModuleType, cache: Path) -> None:
    code = "from toy_faces import Toy\nfrom merzoo.data.store import open_store\nfrom merzoo.specs import Preprocessing\n"
    code += "d = Toy('killed')\nopen_store(d, d.table(), Preprocessing(size=8))"
    path = str(Path(toy.__file__ or "").parent)
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True, timeout=120, check=False)
    assert done.returncode == -9 and len(left_over(cache)) == 1 and left_over(cache)[0].startswith(".")
    store = opened(toy.Toy())
    assert np.array_equal(store.clip(2), toy.Toy().crops("toy:2", SMALL))


def test_what_a_killed_builder_left_goes_after_a_day(toy: ModuleType, cache: Path) -> None:
    key = store_key(toy.Toy(), SMALL)[:24]
    yesterday = time.time() - 2 * 86400
    for name, when in ((f".{key}-old", yesterday), (f".{key}-new", time.time()), (".another-old", yesterday)):
        (cache / "stores" / name).mkdir(parents=True)
        (cache / "stores" / name / "frames.u8").touch()
        os.utime(cache / "stores" / name / "frames.u8", (when, when))
    opened(toy.Toy())
    assert left_over(cache) == sorted([".another-old", f".{key}-new", key])


def test_a_worker_that_dies_is_one_line(toy: ModuleType, cache: Path) -> None:
    with pytest.raises(DataError, match="one of 2 processes ended early; use fewer jobs"):
        opened(toy.Toy("exits"), jobs=2)
    assert left_over(cache) == []


def test_two_builders_at_once_do_not_disturb_each_other(toy: ModuleType, cache: Path) -> None:
    found: list[ClipStore | Exception] = []

    def build() -> None:
        try:
            found.append(opened(toy.Toy("slow")))
        except Exception as error:
            found.append(error)

    builders = [threading.Thread(target=build) for _ in range(3)]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join()
    assert [type(f) for f in found] == [ClipStore] * 3, found
    assert len({bytes(f.frames) for f in found if isinstance(f, ClipStore)}) == 1
    assert len(left_over(cache)) == 1


@pytest.mark.parametrize("kind", ["Short", "Floats"])
def test_frames_that_do_not_fit_the_table_are_refused(toy: ModuleType, cache: Path, kind: str) -> None:
    with pytest.raises(DataError, match=r"toy:0: .* do not fit the table's 3 of 8 px"):
        opened(getattr(toy, kind)())
    assert left_over(cache) == []


# Damage


def truncate(folder: Path) -> None:
    os.truncate(folder / "frames.u8", 100)


def other_facts(folder: Path) -> None:
    facts = json.loads((folder / "store.json").read_text())
    (folder / "store.json").write_text(json.dumps({**facts, "key": "0" * 64}))


DAMAGE = {
    "frames cut off": truncate,
    "frames too many": lambda folder: os.truncate(folder / "frames.u8", (folder / "frames.u8").stat().st_size + 192),
    "frames gone": lambda folder: (folder / "frames.u8").unlink(),
    "facts gone": lambda folder: (folder / "store.json").unlink(),
    "facts cut off": lambda folder: os.truncate(folder / "store.json", 10),
    "facts are no text": lambda folder: (folder / "store.json").write_bytes(b"\xff\xfe\x00"),
    "facts of another store": other_facts,
    "facts are a list": lambda folder: (folder / "store.json").write_text("[]"),
    "a file in its place": lambda folder: (shutil.rmtree(folder), folder.touch()),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_store_is_refused_with_the_remedy(toy: ModuleType, cache: Path, case: str) -> None:
    folder = cache / "stores" / opened(toy.Toy()).key[:24]
    DAMAGE[case](folder)
    with pytest.raises(DataError, match="is damaged; delete that folder and it is built anew") as caught:
        opened(toy.Toy())
    assert str(folder) in str(caught.value) and "\n" not in str(caught.value)


# A cache that cannot be written


def test_a_cache_that_cannot_be_written_is_one_line(toy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MERZOO_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(MerzooError, match=r"cannot be written \(Not a directory\); set MERZOO_CACHE") as caught:
        opened(toy.Toy())
    assert "\n" not in str(caught.value)


def test_a_disk_that_is_full_is_one_line_and_leaves_nothing(toy: ModuleType, cache: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(DataError, match=r"cannot be written .* free space, or set MERZOO_CACHE"):
            opened(toy.Toy())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert left_over(cache) == []
