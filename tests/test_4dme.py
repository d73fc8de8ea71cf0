"""4DME: several emotions a clip, static and swapped action units, and what is tolerated because its layout could not be verified."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from merzoo.data.readers.fourdme import FourDME
from merzoo.data.readers.labels import published_for
from merzoo.data.sources import open_dataset
from merzoo.data.table import checked
from merzoo.errors import DataError
from merzoo.testing.more_trees import fourdme, fourdme_rows
from merzoo.testing.trees import Annotated, pictures, workbook

pytest.importorskip("openpyxl")
ROWS = [
    Annotated(1, "m1", 1826, 1830, 1836, "AU4+AU7(k)", "Negative"),
    Annotated(1, "m2", 10, 15, 20, "AU12", "Surprise+Positive"),
    Annotated(2, "m1", 5, 7, 9, "AU1 + AU2", "Others"),
    Annotated(3, "m1", 5, 7, 9, "4", "Repression+Negative"),
]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> FourDME:
    return FourDME(fourdme(tmp_path_factory.mktemp("full"), fourdme_rows()))


def emotions(dataset: FourDME) -> dict[str, str]:
    table = checked(dataset.table(), dataset.labels, dataset.task)
    return dict(zip(table["sample_id"], table["emotion"], strict=True))


def test_published_count(full: FourDME) -> None:
    wanted = published_for("4dme", full.reading.sheets[0].name, "sheet")
    assert wanted is not None and len(full.reading.annotated) == len(full.reading.recordings) == wanted.samples == 267
    assert full.reading.sheets[0].name == "4DME_Labelling_Micro_release v1.xlsx" and not full.reading.dropped


def test_several_emotions_a_clip(tmp_path: Path) -> None:
    dataset = FourDME(fourdme(tmp_path, ROWS))
    assert (dataset.task, dataset.labels) == ("multi-label", ("positive", "negative", "surprise", "repression", "others"))
    assert emotions(dataset) == {
        "4dme:01/m1@1826": "negative", "4dme:01/m2@10": "positive+surprise", "4dme:02/m1@5": "others", "4dme:03/m1@5": "negative+repression",
    }  # fmt: skip


def test_part_3_keeps_clips_with_exactly_one_of_three(tmp_path: Path) -> None:
    dataset = FourDME(fourdme(tmp_path, ROWS), "3")
    assert (dataset.task, sorted(dataset.labels)) == ("classes", ["negative", "positive", "surprise"])
    assert emotions(dataset) == {"4dme:01/m1@1826": "negative", "4dme:03/m1@5": "negative"}


def test_static_action_units_are_left_out(tmp_path: Path) -> None:
    dataset = FourDME(fourdme(tmp_path, ROWS), "aus")
    assert emotions(dataset)["4dme:01/m1@1826"] == "AU4"
    assert any("AU7(k) (static)" in note for note in dataset.reading.recordings["4dme:01/m1@1826"].notes)
    assert not dataset.reading.remarks


def test_swapped_action_units_of_two_rows(full: FourDME) -> None:
    by_clip = {clip.clip_id.partition("@")[0]: clip for clip in full.reading.recordings.values()}
    assert (by_clip["clip_144"].aus, by_clip["clip_145"].aus, by_clip["clip_146"].aus) == ("4+7", "12", "1")
    assert [(applied.number, applied.applied) for applied in full.reading.corrections] == [(146, True), (147, True)]
    assert "meb" in " ".join(by_clip["clip_144"].notes)


def test_apex_of_the_older_sheet(tmp_path: Path) -> None:
    rows = [replace(row, apex=99) if at == 26 else row for at, row in enumerate(fourdme_rows()[:30])]
    rows[26] = replace(rows[26], onset=2485, offset=2495, disk=None)
    older = FourDME(fourdme(tmp_path / "older", rows, sheet="4DME_Labelling_Micro.xlsx")).reading
    clip = older.recordings["4dme:27/clip_026@2485"]
    assert clip.names[clip.peak] == "Frame_000002490.jpg" and not older.apexes
    newer = FourDME(fourdme(tmp_path / "newer", rows)).reading
    clip = newer.recordings["4dme:27/clip_026@2485"]
    assert newer.apexes == {clip.sample_id: "99 is outside 2485 to 2495"}


def test_frames_with_nine_digits(tmp_path: Path) -> None:
    clip = FourDME(fourdme(tmp_path, ROWS)).reading.recordings["4dme:01/m1@1826"]
    assert [clip.names[frame] for frame in (clip.start, clip.peak, clip.stop)] == ["Frame_000001826.jpg", "Frame_000001830.jpg", "Frame_000001836.jpg"]


def test_frames_numbered_anew(tmp_path: Path) -> None:
    clip = FourDME(fourdme(tmp_path, ROWS, first=1)).reading.recordings["4dme:01/m1@1826"]
    assert [clip.names[frame] for frame in (clip.start, clip.peak, clip.stop)] == ["Frame_000000001.jpg", "Frame_000000005.jpg", "Frame_000000011.jpg"]
    assert any("files 1 to 11" in note for note in clip.notes)


@pytest.mark.parametrize("subject", ["{:03d}", "s{}", "Sub{:02d}", "subject_{}"])
def test_subjects_are_found_by_their_number(tmp_path: Path, subject: str) -> None:
    assert len(FourDME(fourdme(tmp_path, ROWS, subject=subject)).reading.recordings) == 4


def test_subjects_without_numbers(tmp_path: Path) -> None:
    rows = [replace(row, subject=name) for row, name in zip(ROWS, ("F001", "F001", "M001", "m 2"), strict=True)]
    dataset = FourDME(fourdme(tmp_path, rows))
    assert set(dataset.table()["subject"]) == {"4dme:f001", "4dme:m001", "4dme:m_2"}


def test_nobody_gets_the_frames_of_another(tmp_path: Path) -> None:
    rows = [Annotated(who, f"m{at}", 5, 7, 9, "4", "Negative", disk=None if who == 3 else ()) for who in (1, 2, 3) for at in (1, 2, 3)]
    reading = FourDME(fourdme(tmp_path, rows)).reading
    assert set(reading.recordings) == {f"4dme:03/m{at}@5" for at in (1, 2, 3)}
    assert len(reading.dropped) == 6
    assert reading.dropped[0].why == "no frames on disk below 1; 3/m1 has its name, and is not known to be the same person's"


def test_a_path_that_leads_to_another_is_not_followed(tmp_path: Path) -> None:
    root = fourdme(tmp_path, [*ROWS, Annotated(5, "3/m1", 5, 7, 9, "4", "Negative", disk=())])
    assert not any(sample.startswith("4dme:05") for sample in FourDME(root).reading.recordings)


def test_folders_that_may_be_anybodys_are_not_guessed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no clip of 4 annotations has its frames .*person-1/m1 has its name"):
        FourDME(fourdme(tmp_path, ROWS, subject="person-{}")).reading  # noqa: B018


def test_a_subject_in_two_folders_is_not_guessed(tmp_path: Path) -> None:
    root = fourdme(tmp_path, ROWS, subject="s{}")
    pictures(root / "gray_micro/Sub001/m1", ["Frame_000001826.jpg"])
    assert [row.why for row in FourDME(root).reading.dropped] == ["2 folders could be it, Sub001/m1 and s1/m1 among them"]


def test_marks_stand_in_for_empty_cells(tmp_path: Path) -> None:
    header = ["sub_ID", "fold_name", "Emotion", "Onset", "Apex", "Offset", "AUs", "Positive", "Negative", "Surprise", "AU 4", "AU12", "video emo'"]
    root = fourdme(tmp_path, ROWS[:2])
    rows = [[1, "m1", None, 1826, 1830, 1836, None, 0, 1, 1, 1, 0, "x"], [1, "m2", "Positive", 10, 15, 20, "AU12", 0, 1, 0, 1, 1, "x"]]
    workbook(root / "4DME_Labelling_Micro_release v1.xlsx", [header, *rows])
    dataset = FourDME(root)
    assert emotions(dataset) == {"4dme:01/m1@1826": "negative+surprise", "4dme:01/m2@10": "positive"}
    assert [clip.aus for clip in dataset.reading.recordings.values()] == ["4", "12"]
    told = "\n".join(dataset.reading.remarks)
    assert "Emotion and the columns of emotions disagree in 2 rows" in told and "AUs and the columns of action units disagree in 1 rows (first: 3)" in told


def test_blank_marks_say_nothing(tmp_path: Path) -> None:
    header = ["sub_ID", "fold_name", "Emotion", "Onset", "Apex", "Offset", "AUs", "AU4", "AU12"]
    root = fourdme(tmp_path, ROWS[:2])
    rows = [[1, "m1", "Negative", 1826, 1830, 1836, None, None, None], [1, "m2", "Positive", 10, 15, 20, None, 0, None]]
    workbook(root / "4DME_Labelling_Micro_release v1.xlsx", [header, *rows])
    assert [clip.aus for clip in FourDME(root).reading.recordings.values()] == [None, ""]
    assert emotions(FourDME(root, "aus")) == {"4dme:01/m2@10": ""}


def test_unknown_emotions_are_told(tmp_path: Path) -> None:
    dataset = FourDME(fourdme(tmp_path, [*ROWS, Annotated(4, "m9", 1, 2, 3, "4", "Bored")]))
    assert "4dme:04/m9@1" in dataset.left_out() and "4dme:04/m9@1" not in emotions(dataset)


def test_pickled_and_opened_by_name(tmp_path: Path) -> None:
    root = fourdme(tmp_path, ROWS)
    dataset = pickle.loads(pickle.dumps(open_dataset("4dme:3", roots={"": root})))
    assert len(dataset.table()) == 2 and dataset.provides == ("emotion-labels", "au-labels")


def test_bad_trees(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no annotation file"):
        FourDME(tmp_path).reading  # noqa: B018
    sheet = tmp_path / "4DME_Labelling_Micro_release v1.xlsx"
    workbook(sheet, [["sub_ID", "fold_name", "Onset"], [1, "m1", 5]])
    with pytest.raises(DataError, match="none of the folders gray_micro_crop, gray_micro_cropped, gray_micro is below"):
        FourDME(tmp_path).reading  # noqa: B018
    fourdme(tmp_path, ROWS)
    workbook(sheet, [["sub_ID", "fold_name", "Onset"], [1, "m1", 5]])
    with pytest.raises(DataError, match="lacks the column 'offset'"):
        FourDME(tmp_path).reading  # noqa: B018
    sheet.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"))
    with pytest.raises(DataError, match="is password protected"):
        FourDME(tmp_path).reading  # noqa: B018
    half = fourdme(tmp_path / "half", [replace(ROWS[0], disk=(1826,)), *(replace(row, disk=()) for row in ROWS[1:])])
    with pytest.raises(DataError, match=r"no clip of 4 annotations has its frames .*extract them again"):
        FourDME(half).reading  # noqa: B018
