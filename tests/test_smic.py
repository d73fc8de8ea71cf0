"""SMIC-HS: emotions are folders, no apex; the long clips of HS-E with up to three micro-expressions each."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from merzoo.data.readers.smic import Smic
from merzoo.data.verify import verify
from merzoo.errors import DataError, UnknownNameError
from merzoo.testing.published import smic_clips
from merzoo.testing.trees import Short, pictures, smic, smic_long


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return smic(tmp_path_factory.mktemp("smic"), smic_clips())


def test_published_counts_without_any_sheet(full: Path) -> None:
    report = verify(Smic(full))
    assert report["agrees"], report["differs"]
    table = Smic(full).table()
    assert (len(table), table["subject"].nunique(), report["sheets"]) == (164, 16, [])
    assert table["emotion"].value_counts().to_dict() == {"negative": 70, "positive": 51, "surprise": 43}


def test_every_apex_is_the_middle_frame_and_flagged(tmp_path: Path) -> None:
    data = Smic(smic(tmp_path, [Short(1, "ne", 1, tuple(range(1, 10))), Short(2, "po", 1, tuple(range(1, 13)))]))
    assert data.table()[["start", "peak", "stop"]].to_numpy().tolist() == [[0, 4, 8], [0, 5, 11]]
    assert data.reading.apexes == {"smic:01/s01_ne_01": "missing", "smic:02/s02_po_01": "missing"}
    assert data.table()["corrections"].tolist() == ["apex: missing"] * 2


def test_no_action_units(full: Path) -> None:
    assert Smic(full).table()["aus"].isna().all()
    assert Smic(full).provides == ("emotion-labels",)
    with pytest.raises(UnknownNameError, match=r"its parts: 3\)"):
        Smic(full, "aus")


def test_unpadded_folders_have_padded_ids_as_in_the_list_of_the_challenge(tmp_path: Path) -> None:
    root = smic(tmp_path, [Short(1, "ne", 1), Short(18, "sur", 3)])
    assert (root / "SMIC_all_cropped/HS/s1/micro/negative/s1_ne_01/reg_image000001.bmp").is_file()
    table = Smic(root).table()
    assert table["sample_id"].tolist() == ["smic:01/s01_ne_01", "smic:18/s18_sur_03"]
    assert table["subject"].tolist() == ["smic:01", "smic:18"]
    shutil.move(root / "SMIC_all_cropped/HS/s1", root / "SMIC_all_cropped/HS/s01")
    shutil.move(root / "SMIC_all_cropped/HS/s01/micro/negative/s1_ne_01", root / "SMIC_all_cropped/HS/s01/micro/negative/s01_ne_01")
    assert Smic(root).table()["sample_id"].tolist() == ["smic:01/s01_ne_01", "smic:18/s18_sur_03"]


def test_one_clip_in_two_folders_is_one_clip(tmp_path: Path) -> None:
    root = smic(tmp_path, [Short(1, "ne", 1)])
    shutil.copytree(root / "SMIC_all_cropped/HS/s1/micro/negative/s1_ne_01", root / "SMIC_all_cropped/HS/s1/micro/negative/s01_ne_01")
    reading = Smic(root).reading
    assert list(reading.recordings) == ["smic:01/s01_ne_01"]
    assert [d.why for d in reading.dropped] == ["the same clip stands in an earlier row"]


def test_clips_without_micro_expression_are_not_read(tmp_path: Path) -> None:
    home = smic(tmp_path, [Short(1, "ne", 1)]) / "SMIC_all_cropped/HS/s1/non_micro"
    assert (home / "s1_non_01").is_dir()
    pictures(home / "negative" / "s1_ne_02", ["reg_image000001.bmp", "reg_image000002.bmp"])
    reading = Smic(tmp_path).reading
    assert list(reading.recordings) == ["smic:01/s01_ne_01"]
    assert not reading.unlabelled
    assert not reading.dropped


def test_missing_frames_and_an_empty_folder(tmp_path: Path) -> None:
    clips = [Short(3, "po", 8, (1, 2, 5, 6)), Short(3, "sur", 1, (1, 3, 4)), Short(18, "sur", 3, ())]
    reading = Smic(smic(tmp_path, clips)).reading
    assert reading.missing == {"smic:03/s03_po_08": 2, "smic:03/s03_sur_01": 1}
    assert [(d.what, d.why) for d in reading.dropped] == [("18/s18_sur_03", "no frames on disk")]
    assert reading.rows == 3


def test_a_clip_that_is_not_there_is_missed_in_the_counts(tmp_path: Path) -> None:
    report = verify(Smic(smic(tmp_path, [clip for clip in smic_clips() if clip.name != "s18_sur_01"])))
    assert report["differs"] == [
        "smic:3: 163 clips of 16 subjects found, 164 of 16 subjects published (MEGC2019)",
        "smic:3 surprise: 42 clips found, 43 published (MEGC2019)",
    ]


def test_a_name_against_its_folder_is_noted_and_an_unknown_folder_left_out(tmp_path: Path) -> None:
    root = smic(tmp_path, [Short(1, "ne", 1), Short(1, "po", 1)])
    home = root / "SMIC_all_cropped/HS/s1/micro"
    shutil.move(home / "negative/s1_ne_01", home / "surprise/s1_ne_01")
    pictures(home / "tense" / "s1_te_01", ["reg_image000001.bmp", "reg_image000002.bmp"])
    data = Smic(root)
    first = data.table().set_index("sample_id").loc["smic:01/s01_ne_01"]
    assert first["emotion"] == "surprise"
    assert "its name says negative" in first["corrections"]
    assert data.left_out() == {"smic:01/s01_te_01": "its emotion 'tense' is in no label set; mend it in the sheet"}


def test_raw_and_cropped_and_the_other_cameras(tmp_path: Path) -> None:
    clips = [Short(1, "ne", 1)]
    smic(tmp_path, clips, top="SMIC_all_raw")
    assert Smic(tmp_path).reading.release == "raw"
    smic(tmp_path, [*clips, Short(2, "ne", 1)], top="SMIC_all_cropped", camera="VIS")
    assert list(Smic(tmp_path).reading.recordings) == ["smic:01/s01_ne_01"]
    smic(tmp_path, clips)
    assert Smic(tmp_path).reading.release == "cropped"
    with pytest.raises(DataError, match=r"no folder HS/s1/micro/negative below"):
        _ = Smic(tmp_path / "SMIC_all_cropped" / "VIS").reading


def test_the_folder_hs_itself_is_a_root(full: Path) -> None:
    inner = Smic(full / "SMIC_all_cropped" / "HS")
    assert len(inner.table()) == 164


LONG = [
    [1, "s1_ne_01", 110, 120, 11, "negative", 101, 140, 40],
    [3.0, "s03_po_01", 105, 112, 8, "po", 101, 160, 60, 120, 130, 11, 150, 155, 6],
    ["s04", "s4_sur_02", 5, 9, 5, "Surprise", 1, 20, 20, 0, 0, 0, None, None, None],
]
DISK = {"s01/s1_ne_01": range(101, 141), "s03/s3_po_01": range(1, 61), "s04/s4_sur_02": range(1, 21)}


def test_long_clips_have_up_to_three_micro_expressions(tmp_path: Path) -> None:
    pytest.importorskip("openpyxl")
    data = Smic(smic_long(tmp_path, LONG, DISK))
    table = data.table().set_index("sample_id")
    assert list(table.index) == [
        "smic:01/s01_ne_01", "smic:03/s03_po_01", "smic:03/s03_po_01-2", "smic:03/s03_po_01-3", "smic:04/s04_sur_02",
    ]  # fmt: skip
    assert table["emotion"].tolist() == ["negative", "positive", "positive", "positive", "surprise"]
    clips = data.reading.recordings
    assert clips["smic:01/s01_ne_01"].names[8] == "image000110.jpg"  # the margin before the onset
    third = clips["smic:03/s03_po_01-3"]  # its files count from 1, its sheet from 101
    assert (third.names[third.start], third.names[third.peak], third.names[third.stop]) == ("image000050.jpg", "image000052.jpg", "image000055.jpg")
    assert "frames counted from the clip's first frame 101" in third.notes
    assert data.reading.release == "raw"


def test_short_clips_come_before_long_ones(tmp_path: Path) -> None:
    pytest.importorskip("openpyxl")
    smic_long(smic(tmp_path, [Short(1, "ne", 1)]), LONG, DISK)
    assert Smic(tmp_path).reading.sheets == []
    assert len(Smic(tmp_path).table()) == 1


def test_long_clips_that_are_not_there_are_told(tmp_path: Path) -> None:
    pytest.importorskip("openpyxl")
    rows = [*LONG, ["?", "x", 1, 2, 2, "negative", 1, 5, 5], [9, "s09_ne_01", 1, 9, 9, "negative", 1, 9, 9]]
    reading = Smic(smic_long(tmp_path, rows, {**DISK, "s05/s5_ne_01": range(1, 4)})).reading
    assert [(d.what, d.why) for d in reading.dropped] == [("?/x", "no subject number or no file name"), ("09/s09_ne_01", "no frames on disk")]
    assert reading.unlabelled == ["SMIC-HS-E/s05/s5_ne_01"]
