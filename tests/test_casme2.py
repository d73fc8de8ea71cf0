"""CASME II: layouts, published counts, and every quirk that is known of its sheet and folders."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from merzoo.data.readers.casme2 import CasmeII
from merzoo.data.readers.labels import published_for
from merzoo.data.verify import verify
from merzoo.errors import DataError, UnknownNameError
from merzoo.specs import Preprocessing
from merzoo.testing.published import casme2_rows
from merzoo.testing.trees import Annotated, casme2, workbook

pytest.importorskip("openpyxl")
VIDEO = Path(__file__).resolve().parents[2] / "shared/data/faces/single_face.mp4"
SPARE = ["sub09/EP02_02f", "sub24/EP02_07"]  # folders that an older sheet has no row for


@pytest.fixture(scope="module")
def updated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return casme2(tmp_path_factory.mktemp("updated"), casme2_rows(), spare=SPARE[:1])


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return casme2(tmp_path_factory.mktemp("released"), casme2_rows(updated=False), sheet="CASME2-coding-20140508.xlsx", spare=SPARE)


def one(tmp_path: Path, **changes: object) -> CasmeII:
    """A tree with two rows, the first of which is changed."""
    row = Annotated(1, "EP02_01f", 46, 59, 65, "12", "happiness")
    return CasmeII(casme2(tmp_path, [replace(row, **changes), Annotated(2, "EP01_01f", 1, 2, 3, "4", "disgust")]))


@pytest.mark.parametrize(("part", "count", "people"), [("megc2019", 145, 24), ("3", 148, 24), ("5", 247, 26), ("7", 256, 26)])
def test_counts_of_the_updated_sheet(updated: Path, part: str, count: int, people: int) -> None:
    table = CasmeII(updated, part).table()
    assert (len(table), table["subject"].nunique()) == (count, people)
    known = published_for("casme2", "CASME2-coding-updated.xlsx", part)
    assert known is None or known.samples == count


def test_counts_of_the_sheet_of_2014(released: Path) -> None:
    assert len(CasmeII(released, "5").table()) == 246
    report = verify(CasmeII(released))
    assert report["agrees"], report["differs"]
    assert report["annotations"] == 255


def test_totals_that_differ_are_told(tmp_path: Path) -> None:
    report = verify(CasmeII(casme2(tmp_path, casme2_rows()[:-2])))
    assert not report["agrees"]
    assert any("254 clips of 26 subjects found, 256 of 26 subjects published" in line for line in report["differs"])


def test_the_challenge_leaves_three_clips_out(updated: Path) -> None:
    part = CasmeII(updated, "megc2019")
    reasons = part.left_out()
    named = {f"casme2:{clip}" for clip in ("04/EP12_01f", "05/EP12_03f", "24/EP02_07")}
    assert {clip for clip, why in reasons.items() if "145" in why} == named
    assert named <= set(CasmeII(updated, "3").table()["sample_id"])
    assert not named & set(part.table()["sample_id"])
    assert part.table()["emotion"].value_counts().to_dict() == {"negative": 88, "positive": 32, "surprise": 25}


def test_subject_18_has_others_alone(updated: Path) -> None:
    full = CasmeII(updated).table()
    assert full.query("subject == 'casme2:18'")["emotion"].tolist() == ["others"] * 3
    three = set(CasmeII(updated, "3").table()["subject"])
    assert not {"casme2:18", "casme2:10"} & three


def test_fear_and_sadness_are_left_out_of_three_classes_in_any_case(tmp_path: Path) -> None:
    rows = [Annotated(n, "EP01_01f", 1, 2, 3, "4", word) for n, word in enumerate(["fear", "Fear", "sadness", "Disgust", "happiness"], 1)]
    root = casme2(tmp_path, rows)
    three = CasmeII(root, "3")
    assert three.table()["emotion"].tolist() == ["negative", "positive"]
    assert three.left_out()["casme2:02/EP01_01f"] == "its emotion is no class of part 3"
    assert CasmeII(root, "7").table()["emotion"].tolist() == ["fear", "fear", "sadness", "disgust", "happiness"]


def test_apex_slash_is_the_middle_frame(updated: Path) -> None:
    reading = CasmeII(updated).reading
    slashes = [clip for clip, why in reading.apexes.items() if why == "'/' is no frame"]
    assert len(slashes) == 21
    table = CasmeII(updated, "7").table().set_index("sample_id")
    assert all((table.loc[c, "start"] + table.loc[c, "stop"]) // 2 == table.loc[c, "peak"] for c in slashes)
    assert "apex: '/' is no frame" in table.loc[slashes[0], "corrections"]


@pytest.mark.parametrize("apex", [45, 66, 0, -3, 59.5, None, "#REF!", 10**12])
def test_apex_outside_or_unreadable_is_the_middle_frame(tmp_path: Path, apex: object) -> None:
    data = one(tmp_path, apex=apex, disk=tuple(range(46, 66)))
    row = data.table().iloc[0]
    assert (row["start"], row["peak"], row["stop"]) == (0, 9, 19)
    assert "casme2:01/EP02_01f" in data.reading.apexes


def test_offset_of_row_60_is_corrected(updated: Path) -> None:
    done = [applied for applied in CasmeII(updated).reading.corrections if applied.applied]
    assert [(a.number, a.correction.field, a.found, a.new) for a in done] == [(62, "offset", "19", "91")]
    table = CasmeII(updated, "7").table()
    row = table[table["corrections"].str.contains("19 -> 91")].iloc[0]
    assert (row["start"], row["peak"], row["stop"], row["frames"]) == (0, 1, 3, 4)
    assert "meb" in row["corrections"]


def test_a_right_offset_in_row_60_stays(tmp_path: Path) -> None:
    rows = casme2_rows()
    rows[60] = replace(rows[60], offset=90)
    reading = CasmeII(casme2(tmp_path, rows)).reading
    assert [a.applied for a in reading.corrections] == [False]
    assert "found 90" in reading.corrections[0].why_not


def test_a_clip_short_of_frames_is_read_and_reported(updated: Path) -> None:
    data = CasmeII(updated, "7")
    assert data.reading.missing == {"casme2:16/EP01_08": 5}
    row = data.table().set_index("sample_id").loc["casme2:16/EP01_08"]
    assert (row["start"], row["peak"], row["stop"], row["frames"]) == (0, 1, 2, 3)
    assert "5 frames missing" in row["corrections"]


def test_an_apex_that_is_not_on_disk_gives_way_to_the_nearest(tmp_path: Path) -> None:
    data = one(tmp_path, disk=(46, 47, 57, 65))
    assert data.table().iloc[0]["peak"] == 2
    assert data.reading.apexes["casme2:01/EP02_01f"] == "59 is not on disk, 57 is the nearest frame"


def test_orphans_both_ways(tmp_path: Path) -> None:
    rows = [Annotated(1, "EP02_01f", 1, 2, 3), Annotated(9, "EP03_01f", 1, 2, 3, disk=())]
    reading = CasmeII(casme2(tmp_path, rows, spare=SPARE)).reading
    assert [(d.where, d.what, d.why) for d in reading.dropped] == [("CASME2-coding-updated.xlsx row 3", "09/EP03_01f", "no frames on disk")]
    assert reading.unlabelled == ["Cropped/sub09/EP02_02f", "Cropped/sub24/EP02_07"]
    assert (reading.rows, len(reading.recordings)) == (2, 1)


def test_frames_are_sorted_by_number_with_a_margin(tmp_path: Path) -> None:
    data = one(tmp_path, onset=9, apex=100, offset=110, disk=tuple(range(130)))
    clip = data.reading.recordings["casme2:01/EP02_01f"]
    assert clip.names[:3] == ("reg_img1.jpg", "reg_img2.jpg", "reg_img3.jpg")
    assert clip.names[-1] == "reg_img118.jpg"
    assert [clip.names[i] for i in (clip.start, clip.peak, clip.stop)] == ["reg_img9.jpg", "reg_img100.jpg", "reg_img110.jpg"]


def test_action_units(tmp_path: Path) -> None:
    cells = ["4+L10", "R12A + 7", "none", None, "/", "AU1+2", "4 7"]
    root = casme2(tmp_path, [Annotated(n, "EP01_01f", 1, 2, 3, cell, "disgust") for n, cell in enumerate(cells, 1)])
    assert [clip.aus for clip in CasmeII(root).reading.recordings.values()] == ["4+10", "7+12", "", None, None, "1+2", "4+7"]
    units = CasmeII(root, "aus")
    assert (units.task, units.labels[0], len(units.labels)) == ("multi-label", "AU1", 12)
    assert units.table()["emotion"].tolist() == ["AU4+AU10", "AU7+AU12", "", "AU1+AU2", "AU4+AU7"]
    assert set(units.left_out().values()) == {"nobody coded its action units"}


@pytest.mark.parametrize(
    ("cell", "aus", "why"),
    [
        ("R12/L12", None, "R12/L12 (undecided)"), ("4or5", None, "4or5 (undecided)"), ("x4y", None, "x4y (not an action unit)"),
        ("14 or 15+4", "4", "14 or 15 (undecided); sure are 4"), ("14 or 15+4(k)", None, "14 or 15 (undecided), 4(k) (static)"),
    ],
)  # fmt: skip
def test_units_that_nobody_decided_on_do_not_count_as_inactive(tmp_path: Path, cell: str, aus: str | None, why: str) -> None:
    data = one(tmp_path, aus=cell, onset=46, disk=tuple(range(46, 66))).with_part("aus")
    clip = data.reading.recordings["casme2:01/EP02_01f"]
    assert clip.aus == aus and any(note.startswith("AUs left out") for note in clip.notes)
    assert data.left_out() == {clip.sample_id: f"its action units are unclear: {why}"}
    assert data.table()["sample_id"].tolist() == ["casme2:02/EP01_01f"]
    assert verify(data)["notes"][clip.sample_id] == list(clip.notes)


@pytest.mark.parametrize(("cell", "label"), [("4(k)", ""), ("12+4(k)", "AU12"), ("4+x9", "AU4")])
def test_static_units_and_notes_beside_units_leave_a_clip_in(tmp_path: Path, cell: str, label: str) -> None:
    assert one(tmp_path, aus=cell).with_part("aus").table()["emotion"].tolist() == [label, "AU4"]


def test_cropped_before_raw(tmp_path: Path) -> None:
    rows = [Annotated(1, "EP02_01f", 46, 59, 65)]
    both = CasmeII(casme2(tmp_path / "both", rows, releases=("CASME2_RAW_selected", "Cropped")))
    raw = CasmeII(casme2(tmp_path / "raw", rows, releases=("CASME2_RAW_selected",)))
    assert (both.reading.release, raw.reading.release) == ("cropped", "raw")
    assert both.reading.recordings["casme2:01/EP02_01f"].names[0] == "reg_img46.jpg"
    assert raw.reading.recordings["casme2:01/EP02_01f"].names[0] == "img46.jpg"
    assert both.sources[0].source_hash != raw.sources[0].source_hash


def test_the_release_that_is_not_read_is_told(tmp_path: Path) -> None:
    rows = [Annotated(n, "EP02_01f", 46, 59, 65) for n in (1, 2, 3)]
    root = casme2(tmp_path, rows, releases=("CASME2_RAW_selected", "Cropped"))
    for name in ("sub02", "sub03"):
        shutil.rmtree(root / "Cropped" / name)
    told = "Cropped is read (1 folders of clips), CASME2_RAW_selected is not (3); to use that one, give a --root that holds it and the sheet, and not Cropped"
    assert CasmeII(root).reading.remarks == [told]
    shutil.rmtree(root / "Cropped")
    assert CasmeII(root).reading.remarks == []


def test_other_names_of_the_raw_folder_and_unpadded_subjects(tmp_path: Path) -> None:
    root = casme2(tmp_path, [Annotated(1, "EP02_01f", 46, 59, 65)], releases=("CASME2_RAW_selected",))
    (root / "CASME2_RAW_selected" / "sub01").rename(root / "CASME2_RAW_selected" / "sub1")
    (root / "CASME2_RAW_selected").rename(root / "CASME2-RAW")
    assert CasmeII(root).reading.release == "raw"
    (root / "CASME2-RAW").rename(root / "my frames")
    assert CasmeII(root).reading.release == "raw"
    assert list(CasmeII(root).reading.recordings) == ["casme2:01/EP02_01f"]


def test_the_newest_sheet_counts_and_the_other_is_told(tmp_path: Path) -> None:
    rows = [Annotated(1, "EP02_01f", 46, 59, 65), Annotated(2, "EP01_01f", 1, 2, 3)]
    casme2(tmp_path, [replace(rows[0], offset=64), Annotated(3, "EP09_09", 1, 2, 3)], sheet="CASME2-coding-20140508.xlsx", releases=())
    reading = CasmeII(casme2(tmp_path, rows, sheet="CASME2-coding-20190701.xlsx")).reading
    assert [path.name for path in reading.sheets] == ["CASME2-coding-20190701.xlsx"]
    assert len(reading.recordings) == 2
    assert reading.remarks == [
        "CASME2-coding-20190701.xlsx is read, CASME2-coding-20140508.xlsx is not: rows that differ: 1 (first: 1/EP02_01f); "
        "rows in the first alone: 1 (first: 2/EP01_01f); rows in the other alone: 1 (first: 3/EP09_09)"
    ]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"offset": 0}, "offset 0 is not after onset 46"),
        ({"onset": "x"}, "onset 'x' and offset 65 are not both frame numbers"),
        ({"disk": (1, 2, 46)}, "1 of its frames 46 to 65 are in EP02_01f; extract them again"),
        ({"clip": "../../EP02_01f"}, "no frames on disk"),
    ],
)
def test_rows_that_are_no_clip_are_dropped_with_a_reason(tmp_path: Path, changes: dict[str, object], why: str) -> None:
    data = one(tmp_path, **{"disk": tuple(range(46, 66)), **changes}) if "clip" not in changes else one(tmp_path, **changes, disk=())
    assert [d.why for d in data.reading.dropped] == [why]
    assert len(data.table()) == 1


def test_a_row_without_a_subject_and_a_clip_named_twice(tmp_path: Path) -> None:
    rows = [Annotated(1, "EP02_01f", 1, 2, 3), Annotated(1, "EP02_01f", 2, 3, 4), Annotated(7, "EP01_01", 1, 2, 3, disk=())]
    root = casme2(tmp_path, rows)
    header = ["Subject", "Filename", None, "OnsetFrame", "ApexFrame", "OffsetFrame", None, "Action Units", "Estimated Emotion"]
    cells = [[r.subject, r.clip, None, r.onset, r.apex, r.offset, None, None, "others"] for r in rows[:2]]
    workbook(root / "CASME2-coding-updated.xlsx", [header, *cells, ["?", "EP01_01", None, 1, 2, 3, None, None, "others"]])
    reading = CasmeII(root).reading
    assert [d.why for d in reading.dropped] == ["the same clip stands in an earlier row", "no subject number or no file name"]
    assert (reading.rows, len(reading.recordings)) == (3, 1)


def test_an_emotion_that_nobody_knows_is_named(tmp_path: Path) -> None:
    data = one(tmp_path, emotion="hapiness")
    assert data.left_out() == {"casme2:01/EP02_01f": "its emotion 'hapiness' is in no label set; mend it in the sheet"}
    assert verify(data)["remarks"] == ["the emotion 'hapiness' is in no label set, so no part has casme2:01/EP02_01f"]


def test_a_half_extracted_tree_is_one_line(tmp_path: Path) -> None:
    root = casme2(tmp_path, [Annotated(1, "EP02_01f", 1, 2, 3, disk=())], releases=())
    with pytest.raises(DataError, match=r"none of the folders Cropped, CASME2_RAW_selected.* extract the frames"):
        _ = CasmeII(root).reading
    (root / "Cropped").mkdir()
    with pytest.raises(DataError, match=r"Cropped has no folders of subjects in it; extract the archive"):
        _ = CasmeII(root).reading
    (root / "Cropped" / "sub01").mkdir()
    with pytest.raises(DataError, match=r"no clip of 1 annotations has its frames below .*no frames on disk.*extract them there"):
        _ = CasmeII(root).reading
    with pytest.raises(UnknownNameError, match=r"part of casme2 '6' \(its parts: 3, megc2019, 4, 5, 7, aus\)"):
        CasmeII(root, "6")


def test_raw_frames_go_through_the_face_pipeline(tmp_path: Path) -> None:
    if not VIDEO.exists():
        pytest.skip(f"the real face video is not at {VIDEO}")
    import cv2

    row = Annotated(1, "EP02_01f", 46, 58, 65, "12", "happiness")
    root = casme2(tmp_path, [row], releases=("CASME2_RAW_selected",))
    folder, film = root / "CASME2_RAW_selected/sub01/EP02_01f", cv2.VideoCapture(str(VIDEO))
    for number in range(46, 66):
        assert film.grab()
        cv2.imwrite(str(folder / f"img{number}.jpg"), film.retrieve()[1])
    (source,) = CasmeII(root).sources
    crops = source.crops("casme2:01/EP02_01f", Preprocessing(size=128))
    assert crops.shape == (20, 128, 128, 3)
    assert crops.dtype == np.uint8
    assert eyes_of(crops[0]) == pytest.approx(np.array([[46.5, 51.0], [81.5, 51.0]]), abs=4)
    assert np.abs(crops[-1].astype(int) - crops[0]).mean() < 12  # held still: the same face at the same place


def eyes_of(crop: np.ndarray) -> np.ndarray:
    """Centres of the eyes, image left first, as another detector than the pipeline's own sees them: OpenCV's cascade for eyes with glasses, on the crop."""
    import cv2

    seek = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_eye_tree_eyeglasses.xml")
    grey = cv2.resize(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), None, fx=3, fy=3)
    boxes = seek.detectMultiScale(grey[:250], 1.05, 4, minSize=(40, 40), maxSize=(130, 130))
    centres = np.array(sorted((x + w / 2, y + h / 2) for x, y, w, h in boxes)) / 3
    return centres[[0, -1]]
