"""MMEW: both layouts, frames counted in the clip, wrong times clamped to what is on disk, macro-expressions as stills."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from merzoo.data.readers.mmew import Mmew
from merzoo.data.verify import verify
from merzoo.errors import DataError
from merzoo.specs import Preprocessing
from merzoo.testing.published import mmew_rows
from merzoo.testing.trees import WIDE, Annotated, mmew, pictures

pytest.importorskip("openpyxl")
VIDEO = Path(__file__).resolve().parents[2] / "shared/data/faces/single_face.mp4"
ROW = Annotated(1, "S01-01-001", 1, 4, 9, "6+12", "happiness")
STILLS = ["S03/happiness/S03-01-001", "S03/anger/S03-06-001", "S04/neutral/S04-07-001"]


@pytest.mark.parametrize("by_subject", [False, True])
@pytest.mark.parametrize("others", ["others", "repression"])
def test_published_counts_in_both_layouts(tmp_path: Path, by_subject: bool, others: str) -> None:
    root = mmew(tmp_path, mmew_rows(), by_subject=by_subject, others=others)
    report = verify(Mmew(root))
    assert report["agrees"], report["differs"]
    assert {r["part"]: (r["samples"], r["subjects"]) for r in report["counts"] if not r["label"]} == {
        "sheet": (300, 30), "3": (234, 30), "4": (263, 30), "6": (234, 30), "7": (300, 30),
    }  # fmt: skip
    assert Mmew(root, "7").table()["emotion"].value_counts()["others"] == 66
    assert not report["unlabelled"]
    assert not report["dropped"]
    assert not Mmew(root).reading.remarks


def test_repression_in_the_sheet_is_others_too(tmp_path: Path) -> None:
    root = mmew(tmp_path, [replace(ROW, emotion="Repression"), replace(ROW, clip="S01-07-001", emotion="others")])
    assert Mmew(root, "7").table()["emotion"].tolist() == ["others", "others"]
    assert Mmew(root, "6").part == "6"
    with pytest.raises(DataError, match=r"mmew: part 6 has none of the 2 clips found"):
        Mmew(root, "6").table()


def test_frames_count_in_the_clip(tmp_path: Path) -> None:
    data = Mmew(mmew(tmp_path, [replace(ROW, disk=tuple(range(1, 13)))]))
    row = data.table().iloc[0]
    assert row[["start", "peak", "stop", "frames"]].tolist() == [0, 3, 8, 12]
    assert data.reading.recordings["mmew:01/S01-01-001"].names == tuple(f"{n}.jpg" for n in range(1, 13))


@pytest.mark.parametrize(
    ("onset", "apex", "offset", "read", "notes"),
    [
        (1, 40, 80, (0, 5, 11), ["offset 80 -> 12, the last frame on disk (our choice)", "apex: 40 is outside 1 to 12", "68 frames missing"]),
        (1, 4, 0, (0, 3, 11), ["offset 0 -> 12, the last frame on disk (our choice)"]),
        (1, 9, 5, (0, 2, 4), ["apex: 9 is outside 1 to 5"]),
        (0, 4, 5, (0, 3, 4), ["onset 0 -> 1, the first frame on disk (our choice)"]),
        (300, 310, 320, (0, 5, 11), ["onset 300 -> 1", "offset 320 -> 12", "apex: 310 is outside 1 to 12", "21 frames missing"]),
        (None, None, None, (0, 5, 11), ["onset empty -> 1", "offset empty -> 12", "apex: missing"]),
    ],
)
def test_wrong_times_are_clamped_and_noted(tmp_path: Path, onset: object, apex: object, offset: object, read: tuple[int, ...], notes: list[str]) -> None:
    data = Mmew(mmew(tmp_path, [replace(ROW, onset=onset, apex=apex, offset=offset, disk=tuple(range(1, 13)))]))
    row = data.table().iloc[0]
    assert (row["start"], row["peak"], row["stop"]) == read
    assert all(note in row["corrections"] for note in notes)
    assert row["corrections"].count(";") == len(notes) - 1


def test_clips_extracted_by_half_are_told(tmp_path: Path) -> None:
    reading = Mmew(mmew(tmp_path, [replace(ROW, disk=(1, 2)), replace(ROW, clip="S01-01-002", disk=(1, 2))])).reading
    assert reading.missing == {"mmew:01/S01-01-001": 7, "mmew:01/S01-01-002": 7}
    made = verify(Mmew(tmp_path))
    assert made["missing"] == reading.missing
    assert made["notes"]["mmew:01/S01-01-001"] == ["offset 9 -> 2, the last frame on disk (our choice)"]  # the apex and the number are told elsewhere


def test_stills_below_links_are_found_once(tmp_path: Path) -> None:
    root = mmew(tmp_path / "tree", [ROW], stills=STILLS[:2])
    macro = root / "MMEW_Final/Macro_Expression"
    (macro / "S03").rename(tmp_path / "elsewhere")
    (macro / "S03").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/back").symlink_to(macro)
    (tmp_path / "elsewhere/anger/S03-06-002.jpg").symlink_to("S03-06-002.jpg")
    reading = Mmew(root).reading
    assert sum(clip.kind == "macro" for clip in reading.recordings.values()) == 2
    assert [row.why for row in reading.dropped] == ["it is no file"]


def test_right_times_are_left_alone(tmp_path: Path) -> None:
    data = Mmew(mmew(tmp_path, [replace(ROW, disk=tuple(range(1, 13)))]))
    assert data.table()["corrections"].tolist() == [""]


def test_stills_are_macro_clips_of_one_frame(tmp_path: Path) -> None:
    row = replace(ROW, subject=3, clip="S03-01-001")
    data = Mmew(mmew(tmp_path, [row], stills=STILLS))
    table = data.table().set_index("sample_id")
    assert list(table.index) == ["mmew:03/S03-01-001", "mmew:03/macro/S03-06-001", "mmew:03/macro/S03-01-001", "mmew:04/macro/S04-07-001"]
    macro = table[table["kind"] == "macro"]
    assert macro[["start", "peak", "stop", "frames"]].to_numpy().tolist() == [[0, 0, 0, 1]] * 3
    assert macro["emotion"].tolist() == ["anger", "happiness", ""]  # "neutral" is no class of the part
    assert macro["subject"].tolist() == ["mmew:03", "mmew:03", "mmew:04"]
    assert macro["aus"].isna().all()
    assert "macro-clips" not in data.provides  # one picture has no motion
    assert "mmew:04/macro/S04-07-001" not in data.left_out()


def test_stills_of_another_shape_than_the_clips(tmp_path: Path) -> None:
    root = mmew(tmp_path, [ROW])
    pictures(root / "MMEW_Final/Macro_Expression/S03/anger", ["S03-06-001.jpg", "notes-01.jpg"], WIDE)
    reading = Mmew(root).reading
    assert reading.release == "cropped"
    assert reading.recordings["mmew:03/macro/S03-06-001"].release == "raw"
    assert [d.why for d in reading.dropped] == ["its name is not person-emotion-sample"]


def test_subject_30_and_orphans(tmp_path: Path) -> None:
    rows = [replace(ROW, subject=30, clip="S30-01-001"), replace(ROW, subject=2, clip="S02-01-001", disk=())]
    reading = Mmew(mmew(tmp_path, rows, spare=["anger/S31-06-001"])).reading
    assert list(reading.recordings) == ["mmew:30/S30-01-001"]
    assert [(d.what, d.why) for d in reading.dropped] == [("02/S02-01-001", "no frames on disk")]
    assert reading.unlabelled == ["MMEW_Final/Micro_Expression/anger/S31-06-001"]


def test_a_folder_against_its_row_is_remarked(tmp_path: Path) -> None:
    root = mmew(tmp_path, [ROW])
    top = root / "MMEW_Final/Micro_Expression"
    shutil.move(top / "happiness", top / "surprise")
    data = Mmew(root)
    assert data.table()["emotion"].tolist() == ["happiness"]
    assert data.reading.remarks == ["mmew:01/S01-01-001 is happiness in the sheet, and lies in MMEW_Final/Micro_Expression/surprise/S01-01-001"]


def test_half_extracted_trees_are_one_line(tmp_path: Path) -> None:
    root = mmew(tmp_path, [replace(ROW, disk=())])
    with pytest.raises(DataError, match=r"no clip folder such as Micro_Expression/happiness/S01-01-001 below .*; extract MMEW there"):
        _ = Mmew(root).reading


def test_a_still_of_the_camera_goes_through_the_face_pipeline(tmp_path: Path) -> None:
    if not VIDEO.exists():
        pytest.skip(f"the real face video is not at {VIDEO}")
    import cv2

    root = mmew(tmp_path, [ROW], stills=STILLS[:1])
    cv2.imwrite(str(root / f"MMEW_Final/Macro_Expression/{STILLS[0]}.jpg"), cv2.VideoCapture(str(VIDEO)).read()[1])
    (source,) = Mmew(root).sources
    still, clip = (source.crops(name, Preprocessing(size=64)) for name in ("mmew:03/macro/S03-01-001", "mmew:01/S01-01-001"))
    assert (still.shape, clip.shape) == ((1, 64, 64, 3), (9, 64, 64, 3))
    assert still.std() > 20
