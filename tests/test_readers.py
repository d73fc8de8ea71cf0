"""What holds for every reader: a table that passes the checks, sources that move and pickle, strangers' trees in one line, and no row lost without a word."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from merzoo.data.clips import ClipData
from merzoo.data.readers.base import Recorded
from merzoo.data.readers.casme2 import CasmeII
from merzoo.data.readers.labels import exclusions, label_sets, published
from merzoo.data.readers.mmew import Mmew
from merzoo.data.readers.samm import Samm
from merzoo.data.readers.smic import Smic
from merzoo.data.sources import open_dataset
from merzoo.data.table import checked
from merzoo.errors import DataError, UnknownNameError
from merzoo.registry import registry
from merzoo.specs import Preprocessing
from merzoo.testing import trees
from merzoo.testing.trees import CROP, Annotated, Short

pytest.importorskip("openpyxl")
Build = Callable[[Path], Path]


def _casme2(root: Path) -> Path:
    words = ["disgust", "happiness", "repression", "surprise", "others"]
    return trees.casme2(root, [Annotated(n, "EP02_01f", 46, 48, 50, "4+L10", word) for n, word in enumerate(words, 1)])


def _samm(root: Path) -> Path:
    words = ["Anger", "Contempt", "Happiness", "Surprise", "Other"]
    return trees.samm(root, [Annotated(n, f"{n:03d}_1_2", 5560, 5562, 5564, "4", word) for n, word in enumerate(words, 6)], size=CROP)


def _smic(root: Path) -> Path:
    return trees.smic(root, [Short(n, code, 1, (1, 2, 3, 4, 5)) for n, code in enumerate(["ne", "po", "sur"], 1)])


def _mmew(root: Path) -> Path:
    words = ["happiness", "surprise", "disgust", "fear", "sadness", "anger", "others"]
    rows = [Annotated(n, f"S{n:02d}-01-001", 1, 3, 5, "6+12", word) for n, word in enumerate(words, 1)]
    return trees.mmew(root, rows, stills=["S03/happiness/S03-01-001"])


READERS: dict[str, tuple[type[Recorded], Build]] = {
    "casme2": (CasmeII, _casme2),
    "samm": (Samm, _samm),
    "smic": (Smic, _smic),
    "mmew": (Mmew, _mmew),
}
each = pytest.mark.parametrize("name", list(READERS))


def opened(name: str, root: Path, part: str = "") -> Recorded:
    kind, build = READERS[name]
    return kind(root if root.is_dir() and any(root.iterdir()) else build(root), part)


@each
def test_every_part_is_a_clip_table(name: str, tmp_path: Path) -> None:
    for part in READERS[name][0].parts():
        data = opened(name, tmp_path, part)
        table = checked(data.table(), data.labels, data.task)
        assert set(table["dataset"]) == {name}
        assert all(sample.startswith(f"{subject}/") for sample, subject in zip(table["sample_id"], table["subject"], strict=True))
        assert len(data.reading.recordings) == len(table) + len(data.left_out())


@each
def test_registered_under_its_name_with_what_it_provides(name: str, tmp_path: Path) -> None:
    READERS[name][1](tmp_path)
    entry = registry().get("dataset", name)
    for part in READERS[name][0].parts():
        data = open_dataset(f"{name}:{part}", roots={name: tmp_path})
        assert isinstance(data, READERS[name][0])
        assert (data.part, sorted(data.provides)) == (part, sorted(entry.provides))


@each
def test_a_dataset_is_sent_to_other_processes(name: str, tmp_path: Path) -> None:
    data = opened(name, tmp_path)
    for before in (data, opened(name, tmp_path)):  # with the tree read, and before
        after = pickle.loads(pickle.dumps(before))
        assert after.manifest_hash == data.manifest_hash
        assert after.table().equals(data.table())
        assert after.sources[0].lengths() == data.sources[0].lengths()


@each
def test_the_source_is_the_same_in_every_place_and_part(name: str, tmp_path: Path) -> None:
    here = opened(name, tmp_path / "here")
    shutil.copytree(tmp_path / "here", tmp_path / "far" / "deeper" / "there")
    there = opened(name, tmp_path / "far" / "deeper" / "there")
    assert there.sources[0].source_hash == here.sources[0].source_hash
    assert there.manifest_hash == here.manifest_hash
    for part in here.parts():
        other = opened(name, tmp_path / "here", part)
        assert other.sources[0].source_hash == here.sources[0].source_hash
        assert (other.manifest_hash == here.manifest_hash) == (part == here.part)


@each
def test_the_source_is_the_same_from_a_folder_higher_up(name: str, tmp_path: Path) -> None:
    low = opened(name, tmp_path / "shelf" / name)
    high = READERS[name][0](tmp_path)
    assert high.root != low.root
    assert (high.sources[0].source_hash, high.manifest_hash) == (low.sources[0].source_hash, low.manifest_hash)


@each
def test_every_frame_counts(name: str, tmp_path: Path) -> None:
    data = opened(name, tmp_path)
    clip = max(data.reading.recordings.values(), key=lambda clip: len(clip.names))
    seen = {data.sources[0].source_hash}
    for picture in clip.names:
        with (clip.folder / picture).open("ab") as file:
            file.write(b"\0")
        seen.add(opened(name, tmp_path).sources[0].source_hash)
    assert len(seen) == 1 + len(clip.names) > 3


@each
@pytest.mark.parametrize("change", ["bytes", "gone", "more"])
def test_the_source_tells_other_frames(name: str, change: str, tmp_path: Path) -> None:
    data = opened(name, tmp_path)
    before = data.sources[0].source_hash
    clip = next(iter(data.reading.recordings.values()))
    picture = clip.folder / clip.names[2]
    if change == "bytes":
        picture.write_bytes(picture.read_bytes() + b"\0")
    elif change == "gone":
        picture.unlink()
    else:
        last = clip.folder / clip.names[-1]
        digits = last.stem[len(last.stem.rstrip("0123456789")) :]
        shutil.copy(last, last.with_name(last.name.replace(digits, f"{int(digits) + 1:0{len(digits)}d}")))
    assert opened(name, tmp_path).sources[0].source_hash != before


@each
def test_lengths_and_crops_agree_with_the_table(name: str, tmp_path: Path) -> None:
    data = opened(name, tmp_path)
    (source,) = data.sources
    lengths = source.lengths()
    for row in data.table().itertuples():
        assert lengths[row.sample_id] == row.frames
        crops = source.crops(row.sample_id, Preprocessing(size=32))
        assert (crops.shape, crops.dtype) == ((row.frames, 32, 32, 3), np.uint8)


def test_from_tree_to_tensors(tmp_path: Path) -> None:
    data = ClipData(opened("casme2", tmp_path, "megc2019"), Preprocessing(size=32))
    assert [data.frames(row).shape for row in range(4)] == [(5, 32, 32, 3)] * 4
    five = ClipData(opened("casme2", tmp_path), Preprocessing(size=32))
    assert len(five.table) == 5
    assert np.array_equal(five.frames(0), data.frames(0))
    assert five.interval(0).peak == 2


@each
def test_a_root_at_any_height(name: str, tmp_path: Path) -> None:
    opened(name, tmp_path / "archives" / name)
    assert opened(name, tmp_path).table()["sample_id"].tolist() == opened(name, tmp_path / "archives").table()["sample_id"].tolist()


@each
def test_wrong_roots_are_one_line_with_the_remedy(name: str, tmp_path: Path) -> None:
    kind = READERS[name][0]
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    for root in ("nowhere", "file"):
        with pytest.raises(DataError, match=rf"{name}: .*{root} is no folder; give the folder in which .* with --root"):
            kind(tmp_path / root)
    with pytest.raises(DataError, match=rf"^{name}: no .* below .*; (give|extract) [^\n]+$"):
        _ = kind(tmp_path / "empty").reading
    with pytest.raises(UnknownNameError, match=rf"part of {name} '99' \(its parts: .*\)"):
        kind(tmp_path / "empty", "99")


@each
def test_another_data_set_is_no_root(name: str, tmp_path: Path) -> None:
    opened(name, tmp_path)
    for other, (kind, _) in READERS.items():
        if other != name:
            with pytest.raises(DataError, match=r"^[^\n]+; [^\n]+$"):
                kind(tmp_path).table()


@pytest.mark.parametrize("name", ["casme2", "samm", "mmew"])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, b"%PDF-1.4", b"a,b\n1,2\n"])
def test_sheets_that_are_none_are_one_line(name: str, content: bytes, tmp_path: Path) -> None:
    opened(name, tmp_path)
    sheet = next(tmp_path.glob("*.xlsx"))
    sheet.write_bytes(content)
    with pytest.raises(DataError, match=rf"^[^\n]*{sheet.name}[^\n]+$"):
        opened(name, tmp_path).table()


@pytest.mark.parametrize("name", ["casme2", "samm", "mmew"])
def test_a_sheet_without_rows_is_one_line(name: str, tmp_path: Path) -> None:
    opened(name, tmp_path)
    sheet = next(tmp_path.glob("*.xlsx"))
    trees.workbook(sheet, [["Subject", "Filename", "Onset", "Apex", "Offset", "Estimated Emotion"]])
    with pytest.raises(DataError, match=rf"{sheet.name} has no rows under its header; get a fresh copy"):
        opened(name, tmp_path).table()


@each
def test_litter_is_no_frame(name: str, tmp_path: Path) -> None:
    data = opened(name, tmp_path)
    clip = next(iter(data.reading.recordings.values()))
    for litter in ("Thumbs.db", "._" + clip.names[0], ".DS_Store", "notes.txt"):
        (clip.folder / litter).write_bytes(b"litter")
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "~$CASME2-coding-99999999.xlsx").write_bytes(b"lock")
    assert opened(name, tmp_path).table().equals(data.table())


cell = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 200), st.integers(), st.floats(allow_nan=False),
    st.sampled_from(["/", "46", " 50 ", "EP02_01f", "disgust", "=1+", ""]),
    st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF), max_size=12),
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(cell, cell, cell, cell, cell, cell, cell), min_size=1, max_size=6))
def test_no_row_is_lost_without_a_word(tmp_path: Path, rows: list[tuple[object, ...]]) -> None:
    root = tmp_path / "tree"
    if not root.exists():
        trees.casme2(root, [Annotated(1, "EP02_01f", 46, 48, 50, "4", "disgust")])
    header = ["Subject", "Filename", None, "OnsetFrame", "ApexFrame", "OffsetFrame", None, "Action Units", "Estimated Emotion"]
    good = [1, "EP02_01f", None, 46, 48, 50, None, "4", "disgust"]
    cells = [[a, b, "row", c, d, e, None, f, g] for a, b, c, d, e, f, g in rows]  # the nameless column is filled, so that no row is empty
    trees.workbook(root / "CASME2-coding-updated.xlsx", [header, good, *cells])
    data = CasmeII(root)
    reading = data.reading
    assert reading.rows == len(rows) + 1 == len(reading.recordings) + len(reading.dropped)
    assert all(row.why and row.where and "\n" not in row.what + row.why for row in reading.dropped)
    table = checked(data.table(), data.labels, data.task)
    assert len(table) + len(data.left_out()) == len(reading.recordings)


def test_label_sets_and_counts_are_of_one_piece() -> None:
    for name, (kind, _) in READERS.items():
        for part in kind.parts():
            labels = opened_labels(name, part)
            counts = [p for p in published(name) if p.part == part]
            assert all(not p.label or p.label in labels for p in counts)
            for total in [p for p in counts if not p.label]:
                mine = [p.samples for p in counts if p.label and p.sheet == total.sheet]
                assert not mine or sum(mine) == total.samples
        assert all(part in label_sets(name) for part in {"3"} if exclusions(name, part))


def opened_labels(name: str, part: str) -> set[str]:
    return set(label_sets(name).get(part, {}).values())


def test_label_sets_agree_across_data_sets() -> None:
    for name in READERS:
        part = "megc2019" if name == "casme2" else "3"
        assert list(dict.fromkeys(label_sets(name)[part].values())) == ["negative", "positive", "surprise"]


def test_two_releases_of_one_clip_keep_their_stores_apart(tmp_path: Path) -> None:
    rows = [Annotated(1, "EP02_01f", 46, 48, 50, "4", "disgust")]
    cropped = CasmeII(trees.casme2(tmp_path / "a", rows))
    raw = CasmeII(trees.casme2(tmp_path / "b", rows, releases=("CASME2_RAW_selected",)))
    moved = CasmeII(trees.casme2(tmp_path / "c", [replace(rows[0], offset=49, disk=(46, 47, 48, 49, 50))]))
    assert cropped.table()["sample_id"].tolist() == raw.table()["sample_id"].tolist()
    assert len({data.sources[0].source_hash for data in (cropped, raw)}) == 2
    assert moved.sources[0].source_hash == cropped.sources[0].source_hash  # the same frames serve another reading of the interval
    assert moved.manifest_hash != cropped.manifest_hash
