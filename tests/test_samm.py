"""SAMM: a sheet below text, subjects without padding, frame names of four digits, action units that leave a choice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from merzoo.data.readers.samm import Samm
from merzoo.data.verify import verify
from merzoo.errors import DataError
from merzoo.specs import Preprocessing
from merzoo.testing.published import SAMM_FOUR_DIGITS, SAMM_OR, samm_rows
from merzoo.testing.trees import CROP, Annotated, pictures, samm, workbook

openpyxl = pytest.importorskip("openpyxl")
VIDEO = Path(__file__).resolve().parents[2] / "shared/data/faces/single_face.mp4"


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return samm(tmp_path_factory.mktemp("samm"), samm_rows(), four_digits=SAMM_FOUR_DIGITS)


def test_published_counts(full: Path) -> None:
    report = verify(Samm(full))
    assert report["agrees"], report["differs"]
    assert {r["part"]: (r["samples"], r["subjects"]) for r in report["counts"] if not r["label"]} == {
        "sheet": (159, 29), "3": (133, 28), "5": (136, 28), "8": (159, 29),
    }  # fmt: skip
    three = Samm(full, "3").table()
    assert three["emotion"].value_counts().to_dict() == {"negative": 92, "positive": 26, "surprise": 15}
    assert "samm:025" not in set(three["subject"])
    assert "samm:024" not in set(Samm(full, "5").table()["subject"])


def test_the_header_stands_below_13_rows_of_text_with_spaces_in_its_names(full: Path) -> None:
    page = openpyxl.load_workbook(full / "SAMM_Micro_FACS_Codes_v2.xlsx").active
    assert page["A14"].value == "Subject"
    assert page["D14"].value == "Onset Frame"
    assert Samm(full).reading.rows == 159


def test_subjects_are_padded(full: Path) -> None:
    page = openpyxl.load_workbook(full / "SAMM_Micro_FACS_Codes_v2.xlsx").active
    assert page["A15"].value == 6
    subjects = set(Samm(full, "8").table()["subject"])
    assert {"samm:006", "samm:037"} < subjects
    assert all(len(subject) == len("samm:006") for subject in subjects)


@pytest.mark.parametrize(("subject", "clip"), [(6, "6_1_2"), ("006", "006_1_2"), ("6", "006_1_2"), (6.0, "06_1_2")])
def test_however_the_sheet_pads(tmp_path: Path, subject: object, clip: str) -> None:
    root = samm(tmp_path, [Annotated(subject, clip, 5562, 5563, 5564, "4", "Anger", disk=())])
    pictures(root / "SAMM" / "006" / "006_1_2", [f"006_{n:05d}.jpg" for n in (5562, 5563, 5564)])
    assert list(Samm(root).table()["sample_id"]) == ["samm:006/006_1_2"]


def test_four_digit_names_and_the_number_after_the_last_underscore(full: Path) -> None:
    reading = Samm(full).reading
    assert not reading.missing
    for name in SAMM_FOUR_DIGITS:
        assert reading.recordings[f"samm:{name[:3]}/{name}"].names[0] == f"{name[:3]}_5560.jpg"
    assert any(clip.names[0] == "006_05560.jpg" for clip in reading.recordings.values())


def test_frames_beyond_four_digits_stay_in_order(tmp_path: Path) -> None:
    root = samm(tmp_path, [Annotated(13, "013_1_8", 9998, 10000, 10002, "4", "Anger")], four_digits=["013_1_8"])
    clip = Samm(root).reading.recordings["samm:013/013_1_8"]
    assert clip.names == ("013_9998.jpg", "013_9999.jpg", "013_10000.jpg", "013_10001.jpg", "013_10002.jpg")
    assert clip.peak == 2


def test_other_and_others_are_one_class(full: Path) -> None:
    raw = {clip.raw_emotion for clip in Samm(full).reading.recordings.values()}
    assert {"Other", "Others"} <= raw
    assert Samm(full, "5").table()["emotion"].value_counts()["others"] == 26


def test_fear_and_sadness_stay_in_three_classes(full: Path) -> None:
    three = Samm(full, "3")
    kept = set(three.table()["sample_id"])
    feared = {clip.sample_id for clip in three.reading.recordings.values() if clip.raw_emotion in ("Fear", "Sadness")}
    assert len(feared) == 14
    assert feared <= kept


def test_action_units_with_or_are_left_out_and_noted(full: Path) -> None:
    table = Samm(full, "8").table()
    assert table.iloc[0]["aus"] == "4+12"  # "4 + R12B"
    assert table.loc[list(SAMM_OR), "aus"].tolist() == ["4"] * 5  # "12 or 14+L4A"
    assert table.loc[15, "corrections"] == "AUs left out: 12 or 14 (undecided)"


def test_known_mistakes_are_corrected(full: Path) -> None:
    data = Samm(full, "8")
    assert sorted((a.correction.row, a.correction.field, a.found, a.new) for a in data.reading.corrections if a.applied) == [
        (56, "offset", "573", "5739"), (125, "apex", "", "1105"), (132, "apex", "0", "4945"), (133, "apex", "/", "5130"),
    ]  # fmt: skip
    table = data.table()
    assert table.loc[[125, 132, 133], "peak"].tolist() == [1, 1, 1]
    assert not data.reading.apexes


def test_right_values_in_these_rows_stay(tmp_path: Path) -> None:
    rows = samm_rows()
    rows[56], rows[125] = replace(rows[56], offset=5740), replace(rows[125], apex=1104)
    done = {a.correction.row: a for a in Samm(samm(tmp_path, rows)).reading.corrections}
    assert not done[56].applied
    assert "found 5740" in done[56].why_not
    assert not done[125].applied
    assert done[132].applied


def test_a_late_apex_is_the_middle_frame(tmp_path: Path) -> None:
    root = samm(tmp_path, [Annotated(28, "028_4_1", 3000, 3100, 3010, "4", "Anger")])
    data = Samm(root)
    assert data.table().iloc[0][["start", "peak", "stop"]].tolist() == [0, 5, 10]
    assert data.reading.apexes == {"samm:028/028_4_1": "3100 is outside 3000 to 3010"}


def test_orphans_both_ways(tmp_path: Path) -> None:
    rows = [Annotated(6, "006_1_2", 1, 2, 3, "4", "Anger"), Annotated(7, "007_1_1", 1, 2, 3, "4", "Anger", disk=())]
    reading = Samm(samm(tmp_path, rows, spare=["008_1_1"])).reading
    assert [(d.where, d.what) for d in reading.dropped] == [("SAMM_Micro_FACS_Codes_v2.xlsx row 16", "007/007_1_1")]
    assert reading.unlabelled == ["SAMM/008/008_1_1"]


def test_full_frames_and_crops_are_told_by_their_shape(tmp_path: Path) -> None:
    rows = [Annotated(6, "006_1_2", 1, 2, 3, "4", "Anger")]
    assert Samm(samm(tmp_path / "a", rows)).reading.release == "raw"
    crops = samm(tmp_path / "b", rows, size=CROP)
    assert Samm(crops).reading.release == "cropped"
    (crops / "SAMM").rename(crops / "faces")
    assert Samm(crops).reading.release == "cropped"


def test_pictures_that_cannot_be_read_are_one_line(tmp_path: Path) -> None:
    root = samm(tmp_path, [Annotated(6, "006_1_2", 1, 2, 3, "4", "Anger")])
    for picture in root.rglob("*.jpg"):
        picture.write_bytes(b"")
    with pytest.raises(DataError, match=r"SAMM has no picture that can be read; extract the archive again"):
        _ = Samm(root).reading


def test_a_sheet_without_its_emotions_is_one_line(tmp_path: Path) -> None:
    root = samm(tmp_path, [Annotated(6, "006_1_2", 1, 2, 3, "4", "Anger")])
    workbook(root / "SAMM_Micro_FACS_Codes_v2.xlsx", [["text"], ["Subject", "Filename", "Onset Frame", "Offset Frame"], [6, "006_1_2", 1, 3]])
    with pytest.raises(DataError, match=r"lacks the column 'emotion' \(as 'Estimated Emotion' or 'Emotion'\)"):
        _ = Samm(root).reading


def test_grey_full_frames_go_through_the_face_pipeline(tmp_path: Path) -> None:
    if not VIDEO.exists():
        pytest.skip(f"the real face video is not at {VIDEO}")
    import cv2

    root = samm(tmp_path, [Annotated(6, "006_1_2", 5562, 5566, 5573, "12", "Happiness")])
    film = cv2.VideoCapture(str(VIDEO))
    for number in range(5562, 5574):
        assert film.grab()
        cv2.imwrite(str(root / f"SAMM/006/006_1_2/006_{number:05d}.jpg"), cv2.cvtColor(film.retrieve()[1], cv2.COLOR_BGR2GRAY))
    crops = Samm(root).sources[0].crops("samm:006/006_1_2", Preprocessing(size=64))
    assert crops.shape == (12, 64, 64, 3)
    assert (crops[..., 0] == crops[..., 1]).all()
    assert crops[0].std() > 20  # a face, not a corner of the wall
