"""The clip store: built once, whole or not at all, keyed by what decides its content; what is damaged is refused with the remedy."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import pickle
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from filelock import FileLock

from merzoo.data.prepare import BadClips
from merzoo.data.skipping import read_skip
from merzoo.data.store import ClipStore, open_store, plan, store_key, verify
from merzoo.errors import DataError, MerzooError, MerzooWarning
from merzoo.files import cache_folder
from merzoo.specs import Preprocessing
from merzoo.text import byte_count

SMALL = Preprocessing(size=8)
FRAME = 8 * 8 * 3  # bytes

TOY = '''
"""A source of clips for tests, importable by worker processes; `fault` says what goes wrong at the third of its six clips."""

import json
import multiprocessing
import os
import signal
import sys
import time

import cv2
import numpy as np

from merzoo.errors import DataError, UnknownNameError


class Toy:
    name = "toy"

    def __init__(self, fault="", source="1"):
        self.fault, self.source_hash = fault, source

    def lengths(self):
        return {f"toy:{i}": 3 + i for i in range(6)}

    def crops(self, sample_id, preprocessing):
        number = int(sample_id.split(":")[1])
        if number == 2:
            self.fail(sample_id)
        if self.fault == "many" and number % 2:
            raise DataError("gone")
        if self.fault == "killed late" and number == 4:
            time.sleep(1)
            os.kill(getattr(multiprocessing.parent_process(), "pid", os.getpid()), signal.SIGKILL)
            time.sleep(600)
        shape = (3 + number, preprocessing.size, preprocessing.size, 3)
        frames = np.random.default_rng(number).integers(0, 256, shape, dtype=np.uint8)
        if number == 2 and self.fault in ("short", "floats"):
            return frames[1:] if self.fault == "short" else frames.astype("float32")
        return frames

    def fail(self, sample_id):
        if self.fault == "raises":
            raise RuntimeError("a bug of the data set")
        if self.fault == "unknown":
            raise UnknownNameError("clip", sample_id, ["toy:1"])
        if self.fault == "missing picture":
            raise FileNotFoundError(2, "No such file or directory", "img_002.jpg")
        if self.fault == "exits":
            os._exit(3)
        if self.fault == "opencv":
            cv2.resize(np.zeros((0, 0, 3), np.uint8), (8, 8))
        if self.fault == "slow":
            time.sleep(0.2)
        if self.fault == "very slow":
            time.sleep(3)


class Reversed(Toy):
    """Clips of 5, 6, 7, 8 frames, each a chunk of its own."""

    def lengths(self):
        return {f"toy:{i}": 3 + i for i in (2, 3, 4, 5)}


class Watched(Toy):
    """Tells of the process that decodes its clips."""

    def __init__(self, log):
        super().__init__()
        self.log, self.unpickled, self.clips = log, 0, 0

    def __setstate__(self, state):
        self.__dict__.update(state)
        self.unpickled += 1

    def crops(self, sample_id, preprocessing):
        self.clips += 1
        facts = {"clips": self.clips, "torch": "torch" in sys.modules, "threads": cv2.getNumThreads(), "unpickled": self.unpickled}
        (self.log / str(os.getpid())).write_text(json.dumps(facts))
        return super().crops(sample_id, preprocessing)
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


def opened(source, preprocessing: Preprocessing = SMALL, **options) -> ClipStore:
    return open_store(source, preprocessing, **options)


def left_over(cache: Path) -> list[str]:
    """What lies among the stores, but for locks, which stay."""
    return sorted(p.name for p in (cache / "stores").iterdir() if not p.name.endswith(".lock")) if (cache / "stores").is_dir() else []


def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    """name -> (inode, content): a file that was written anew has another inode."""
    return {p.name: (p.stat().st_ino, p.read_bytes()) for p in folder.iterdir()}


def whole(store: ClipStore, source) -> bool:
    return all(np.array_equal(store.clip(sample), source.crops(sample, SMALL)) for sample in source.lengths())


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 8 frames: the toy's 3, 4, 5, 6, 7 and 8 frames lie in five."""
    monkeypatch.setattr("merzoo.data.store.CHUNK_BYTES", 8 * FRAME)


def test_a_store_holds_every_frame_of_every_clip(toy: ModuleType, cache: Path) -> None:
    source, told = toy.Toy(), []
    store = opened(source, progress=lambda done, total: told.append((done, total)))
    assert whole(store, source) and store.size == 8 and "toy:0" in store and "toy:6" not in store
    assert not store.clip("toy:1").flags.writeable and store.frames("toy:1") == 4
    assert told == [(0, 6), (6, 6)] and left_over(cache) == [store.key[:24]]
    with pytest.raises(DataError, match="has no clip 'toy:6'"):
        store.clip("toy:6")


def test_a_store_that_is_there_is_opened_and_not_built(toy: ModuleType, cache: Path) -> None:
    opened(toy.Toy())
    assert opened(toy.Toy("raises")).clip("toy:5").shape == (8, 8, 8, 3)


# Chunks


def test_chunks_are_filled_in_order_and_a_long_clip_has_its_own(toy: ModuleType, small_chunks: None) -> None:
    chunks = plan(toy.Toy(), 8)
    assert [[sample for sample, _ in c.clips] for c in chunks] == [["toy:0", "toy:1"], ["toy:2"], ["toy:3"], ["toy:4"], ["toy:5"]]
    assert [c.frames for c in plan(toy.Toy(), 9)] == [3, 4, 5, 6, 7, 8]  # the last is larger than a chunk
    assert [c.frames for c in plan(toy.Toy(), 4)] == [25, 8]


def test_small_frames_are_not_all_in_one_chunk(toy: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("merzoo.data.store.CHUNK_FRAMES", 12)
    assert [c.frames for c in plan(toy.Toy(), 8)] == [12, 6, 7, 8]


def test_chunks_hold_what_one_would(toy: ModuleType, cache: Path, small_chunks: None) -> None:
    told: list[tuple[int, int]] = []
    store = opened(toy.Toy(), progress=lambda done, total: told.append((done, total)))
    assert whole(store, toy.Toy()) and told == [(0, 6), (2, 6), (3, 6), (4, 6), (5, 6), (6, 6)]
    assert len(list((cache / "stores" / store.key[:24]).glob("*.u8"))) == 5


def test_a_real_source_brings_no_torch_into_its_processes(tmp_path: Path) -> None:
    """A tree of pictures, with the aligner from the registry."""
    code = """
import sys, pickle
from pathlib import Path
import cv2, numpy as np
from merzoo.data.readers.folder import FolderTree
from merzoo.data.chunks import Writer
from merzoo.data.store import plan
from merzoo.data.synthetic import SyntheticFaces
from merzoo.specs import Preprocessing
root, out = Path(sys.argv[1]) / "tree", Path(sys.argv[1])
(root / "s1/calm/c1").mkdir(parents=True)
for at in range(3):
    picture = np.full((300, 300, 3), 90, np.uint8)
    picture[50:250, 50:250] = SyntheticFaces("tiny").frames("synthetic:s5000/c00", 200, [at])[0]
    cv2.imwrite(str(root / f"s1/calm/c1/{at}.png"), picture[..., ::-1])
(source,) = pickle.loads(pickle.dumps(FolderTree(root).sources))
print(Writer(source, Preprocessing(size=32), out, None)(plan(source, 32)[0]).faults, "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "{} False\n", done


def test_several_processes_write_the_same_bytes_as_one(toy: ModuleType, cache: Path, tmp_path: Path, monkeypatch, small_chunks: None) -> None:
    one = opened(toy.Toy())
    monkeypatch.setenv("MERZOO_CACHE", str(tmp_path / "other"))
    two = opened(toy.Toy(), jobs=3)
    assert one.key == two.key and one.folder != two.folder and whole(two, toy.Toy())
    assert {n: c for n, (_, c) in files(one.folder).items()} == {n: c for n, (_, c) in files(two.folder).items()}


def test_the_source_is_sent_once_a_process_and_none_loads_torch(toy: ModuleType, cache: Path, tmp_path: Path, small_chunks: None) -> None:
    log = tmp_path / "log"
    log.mkdir()
    opened(toy.Watched(log), jobs=2)
    seen = [json.loads(path.read_text()) for path in log.iterdir()]
    assert len(seen) <= 2 and sum(facts["clips"] for facts in seen) == 6
    assert all(facts == {"clips": facts["clips"], "torch": False, "threads": 1, "unpickled": 1} for facts in seen)


def test_more_chunks_than_may_be_open_at_once(toy: ModuleType, cache: Path, small_chunks: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("merzoo.data.store.MAPS", 2)
    store = opened(toy.Toy())
    first = store.clip("toy:0")
    assert whole(store, toy.Toy()) and whole(store, toy.Toy())
    assert np.array_equal(first, toy.Toy().crops("toy:0", SMALL))  # what was handed out stays, though its chunk was let go


@pytest.mark.parametrize(("lengths", "said"), [({}, "there is no clip"), ({"toy:0": 2, "toy:1": 0}, "clip toy:1 has no frame")])
def test_a_source_without_clips_or_frames_is_one_line(toy: ModuleType, cache: Path, lengths: dict[str, int], said: str) -> None:
    source = toy.Toy()
    source.lengths = lambda: lengths
    with pytest.raises(DataError, match=f"toy: {said}; complete the data"):
        opened(source)


# The key


def test_the_key_changes_with_whatever_decides_the_frames(toy: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    base = store_key(toy.Toy(), SMALL)
    others = [store_key(toy.Toy(source="2"), SMALL)]
    others += [store_key(toy.Toy(), dataclasses.replace(SMALL, **change)) for change in ({"size": 9}, {"aligner": "mouth"})]
    assert store_key(toy.Toy("slow"), Preprocessing(size=8)) == base
    monkeypatch.setattr("merzoo.data.store.CHUNK_BYTES", 2**20)
    others.append(store_key(toy.Toy(), SMALL))
    monkeypatch.setattr("merzoo.data.store.CHUNK_FRAMES", 100)
    others.append(store_key(toy.Toy(), SMALL))
    assert len({base, *others}) == 6


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


# Whole or not at all, and on from where it stopped


def kept(cache: Path) -> dict[str, tuple[int, bytes]]:
    """The finished chunks of an attempt that stopped."""
    (folder,) = left_over(cache)
    assert folder.startswith(".") and folder.endswith(".partial")
    return files(cache / "stores" / folder)


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize(
    ("fault", "reason"),
    [("unknown", "unknown clip 'toy:2'"), ("missing picture", "img_002.jpg"), ("opencv", "!ssize.empty"),
     ("short", "uint8 frames [4, 8, 8, 3] where 5 of 8 px"), ("floats", "float32 frames [5, 8, 8, 3] where 5 of 8 px")],
)  # fmt: skip
def test_clips_without_frames_are_counted_and_all_others_kept(toy: ModuleType, cache: Path, fault: str, reason: str, jobs: int, small_chunks: None) -> None:
    with pytest.raises(BadClips) as caught:
        opened(toy.Toy(fault), jobs=jobs)
    assert "toy: 1 of 6 clips cannot be prepared (first: toy:2: " in str(caught.value) and reason in str(caught.value) and "\n" not in str(caught.value)
    listed = caught.value.listed
    assert listed is not None and list(caught.value.faults) == ["toy:2"]
    assert str(caught.value).endswith(f"restore their files and prepare again, the rest is kept, or leave them out with --skip {listed}")
    assert read_skip(listed).lines == {"toy:2": 2}
    before = kept(cache)
    assert len(before) == 4 and all(name.endswith(".u8") for name in before)
    store = opened(toy.Toy())
    assert whole(store, toy.Toy()) and before.items() <= files(store.folder).items() and not listed.exists()


def test_every_bad_clip_is_said_in_the_order_of_the_source(toy: ModuleType, cache: Path) -> None:
    """All lie in one chunk."""
    with pytest.raises(BadClips, match=r"toy: 3 of 6 clips cannot be prepared \(first: toy:1: gone\)") as caught:
        opened(toy.Toy("many"))
    assert caught.value.faults == {f"toy:{i}": "gone" for i in (1, 3, 5)} and kept(cache) == {}
    assert pickle.loads(pickle.dumps(caught.value)).faults == caught.value.faults


def test_a_bug_of_a_source_is_not_taken_for_bad_data(toy: ModuleType, cache: Path) -> None:
    with pytest.raises(RuntimeError, match="a bug"):
        opened(toy.Toy("raises"))
    assert kept(cache) == {}


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_prepare_that_is_killed_goes_on_with_what_is_missing(toy: ModuleType, cache: Path, small_chunks: None, jobs: int) -> None:
    code = "import sys, merzoo.data.store as s\nfrom toy_faces import Toy\nfrom merzoo.specs import Preprocessing\n"
    code += f"s.CHUNK_BYTES = {8 * FRAME}\nif __name__ == '__main__': s.open_store(Toy('killed late'), Preprocessing(size=8), jobs={jobs})"
    script = Path(toy.__file__ or "").parent / "prepare_toy.py"
    script.write_text(code)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, timeout=60, check=False)  # its end is that of its processes: they hold the pipes
    assert done.returncode == -9, done
    before = {name: facts for name, facts in kept(cache).items() if name.endswith(".u8")}
    assert 1 <= len(before) < 5
    told: list[tuple[int, int]] = []
    store = opened(toy.Toy(), progress=lambda done, total: told.append((done, total)))
    assert told[0][0] > 0 and whole(store, toy.Toy()) and before.items() <= files(store.folder).items()
    assert left_over(cache) == [store.key[:24]] and not list(store.folder.glob("*.tmp"))


@pytest.mark.parametrize("damage", ["cut off", "of another plan", "half written", "a byte that changed"])
def test_what_a_stopped_attempt_left_is_used_only_where_it_is_whole(toy: ModuleType, cache: Path, small_chunks: None, damage: str) -> None:
    with pytest.raises(BadClips):
        opened(toy.Toy("missing picture"))
    (partial,) = (cache / "stores").glob(".*.partial")
    chunk = min(partial.iterdir())
    if damage == "cut off":
        os.truncate(chunk, 10)
    elif damage == "of another plan":
        chunk.rename(partial / ("00099" + chunk.name[5:]))
    elif damage == "a byte that changed":
        content = chunk.read_bytes()
        chunk.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    else:
        chunk.rename(partial / "00000.77.tmp")
    store = opened(toy.Toy())
    assert whole(store, toy.Toy()) and len(files(store.folder)) == 6
    verify(store)


def test_a_process_that_dies_is_one_line(toy: ModuleType, cache: Path, small_chunks: None) -> None:
    with pytest.raises(DataError, match=r"one of 2 processes ended early.*use fewer jobs") as caught:
        opened(toy.Toy("exits"), jobs=2)
    assert "\n" not in str(caught.value)


@pytest.fixture
def two_stores(toy: ModuleType, cache: Path, small_chunks: None) -> tuple[Path, Path]:
    """What two attempts at other stores left, the first eight days ago."""
    for source in ("old", "new"):
        with pytest.raises(BadClips):
            opened(toy.Toy("missing picture", source))
    old, new = ((cache / "stores" / f".{store_key(toy.Toy(source=s), SMALL)[:24]}.partial") for s in ("old", "new"))
    os.utime(old, (time.time() - 8 * 86400,) * 2)
    os.utime(new, (time.time() - 6 * 86400,) * 2)
    return old, new


def test_what_nobody_went_on_with_for_a_week_is_removed(toy: ModuleType, two_stores: tuple[Path, Path]) -> None:
    opened(toy.Toy())
    assert [path.exists() for path in two_stores] == [False, True]


def test_old_leftovers_are_still_resumed_and_never_taken_from_who_is_at_them(toy: ModuleType, two_stores: tuple[Path, Path]) -> None:
    old = two_stores[0]
    with FileLock(old.with_suffix(".lock")):
        opened(toy.Toy())
    assert old.exists()
    before = files(old)
    assert before.items() <= files(opened(toy.Toy(source="old")).folder).items()


# Two at once


def test_a_second_prepare_says_that_it_waits_and_opens_what_the_first_made(toy: ModuleType, cache: Path) -> None:
    code = "from toy_faces import Toy\nfrom merzoo.data.store import open_store\nfrom merzoo.specs import Preprocessing\n"
    code += "print('begins', flush=True)\nopen_store(Toy('very slow'), Preprocessing(size=8))"
    environment = {**os.environ, "PYTHONPATH": str(Path(toy.__file__ or "").parent)}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None and first.stdout.readline() == "begins\n"
        deadline = time.monotonic() + 60
        while not list(cache.glob("stores/.*.partial/*.tmp")) and time.monotonic() < deadline:
            time.sleep(0.01)
        with pytest.warns(MerzooWarning, match="is being prepared by another process; waiting for it") as caught:
            store = opened(toy.Toy("raises"))
    assert first.returncode == 0 and whole(store, toy.Toy()) and len(caught) == 1 and "\n" not in str(caught[0].message)


@pytest.mark.filterwarnings("ignore:clip store")
def test_builders_at_the_same_time_end_with_one_store(toy: ModuleType, cache: Path) -> None:
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
    assert all(whole(f, toy.Toy()) for f in found if isinstance(f, ClipStore)) and len(left_over(cache)) == 1


# Damage


def chunk_of(folder: Path) -> Path:
    return next(folder.glob("*.u8"))


def changed(**facts: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        before = json.loads((folder / "store.json").read_text())
        (folder / "store.json").write_text(json.dumps({**before, **facts}))

    return change


DAMAGE = {
    "frames cut off": lambda folder: os.truncate(chunk_of(folder), 100),
    "frames too many": lambda folder: os.truncate(chunk_of(folder), chunk_of(folder).stat().st_size + 192),
    "frames gone": lambda folder: chunk_of(folder).unlink(),
    "facts gone": lambda folder: (folder / "store.json").unlink(),
    "facts cut off": lambda folder: os.truncate(folder / "store.json", 10),
    "facts are no text": lambda folder: (folder / "store.json").write_bytes(b"\xff\xfe\x00"),
    "facts of another store": changed(key="0" * 64),
    "facts of other clips": changed(clips={"toy:0": [0, 0, 3]}),
    "facts without chunks": changed(chunks=[]),
    "a chunk elsewhere": changed(chunks=["../../secret"]),
    "chunks are a number": changed(chunks=7),
    "facts are a list": lambda folder: (folder / "store.json").write_text("[]"),
    "facts too deep": lambda folder: (folder / "store.json").write_text("[" * 100_000),
    "a file in its place": lambda folder: (shutil.rmtree(folder), folder.touch()),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_store_is_refused_with_the_remedy(toy: ModuleType, cache: Path, case: str) -> None:
    folder = opened(toy.Toy()).folder
    DAMAGE[case](folder)
    with pytest.raises(DataError, match=r"is damaged \(.*\); delete that folder and it is built anew") as caught:
        opened(toy.Toy())
    assert str(folder) in str(caught.value) and "\n" not in str(caught.value)


def test_verify_finds_a_byte_that_changed(toy: ModuleType, cache: Path, small_chunks: None) -> None:
    store, told = opened(toy.Toy()), []
    verify(store, lambda done, total: told.append((done, total)))
    assert told == [(i, 5) for i in range(1, 6)]
    with store.path(3).open("r+b") as file:
        file.seek(100)
        byte = file.read(1)[0]
        file.seek(100)
        file.write(bytes([byte ^ 1]))
    store = opened(toy.Toy())
    with pytest.raises(DataError, match=rf"is damaged \({store.path(3).name}\); delete that folder"):
        verify(store)


def test_a_chunk_that_goes_while_the_store_is_open_is_one_line(toy: ModuleType, cache: Path) -> None:
    store = opened(toy.Toy())
    os.truncate(chunk_of(store.folder), 100)
    with pytest.raises(DataError, match="is damaged"):
        store.clip("toy:5")


# A cache that cannot be written


def test_a_cache_that_cannot_be_written_is_one_line(toy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MERZOO_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(MerzooError, match=r"cannot be written \(Not a directory\); free space, or set MERZOO_CACHE") as caught:
        opened(toy.Toy())
    assert "\n" not in str(caught.value)


def test_a_disk_that_is_full_is_one_line_and_keeps_what_is_done(toy: ModuleType, cache: Path, small_chunks: None) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6 * FRAME, hard))  # the chunks of 5 and 6 frames fit, those of 7 and 8 do not
    try:
        with pytest.raises(DataError, match=r"cannot be written .* free space, or set MERZOO_CACHE elsewhere; what is done is kept") as caught:
            opened(toy.Reversed())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value)
    before = kept(cache)
    assert len(before) == 2 and all(name.endswith(".u8") for name in before)
    store = opened(toy.Reversed())
    assert whole(store, toy.Reversed()) and before.items() <= files(store.folder).items()


def test_sizes_are_in_units_that_can_be_read() -> None:
    assert [byte_count(n) for n in (412, 1500, 999_960, 23_000_000, 4_500_000_000, 2**41)] == ["412 bytes", "1.5 kB", "1.0 MB", "23.0 MB", "4.5 GB", "2.2 TB"]


def test_a_disk_without_room_is_said_before_anything_is_decoded(toy: ModuleType, cache: Path) -> None:
    source = toy.Toy("raises")
    source.lengths = lambda: {"toy:0": 2**50}
    with pytest.raises(DataError, match=r"needs 216,172.8 TB, and [0-9.,]+ [TGMk]?B are free; free space, or set MERZOO_CACHE"):
        opened(source)
