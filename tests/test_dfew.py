"""DFEW: both layouts, the official folds, and where its files contradict one another."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from merzoo.data.readers import dfew as module
from merzoo.data.readers.dfew import EMOTIONS, Dfew
from merzoo.data.sources import open_dataset
from merzoo.data.table import checked
from merzoo.data.verify import verify
from merzoo.errors import DataError
from merzoo.specs import Preprocessing
from merzoo.testing.more_trees import dfew
from merzoo.testing.trees import pictures, workbook

LABELS = {clip: clip % 8 for clip in range(1, 41)}  # 5 of each, 0 among them


def cells(dataset: Dfew, column: str) -> dict[str, str]:
    table = checked(dataset.table(), dataset.labels, dataset.task)
    return dict(zip(table["clip_id"], table[column], strict=True))


@pytest.mark.parametrize("layout", ["clip_224x224_16f", "clip_224x224", "authors"])
def test_layouts(tmp_path: Path, layout: str) -> None:
    dataset = Dfew(dfew(tmp_path, LABELS, layout=layout))
    assert cells(dataset, "emotion") == {f"{clip:05d}": EMOTIONS[label] for clip, label in LABELS.items()}
    assert set(cells(dataset, "kind").values()) == {"macro"} and dataset.reading.release == "cropped"
    assert not dataset.reading.dropped and not dataset.reading.missing and not dataset.reading.apexes
    assert dataset.sources[0].crops("dfew:00009/00009", Preprocessing(size=32)).shape == (3, 32, 32, 3)


def test_labels_are_those_of_the_authors(tmp_path: Path) -> None:
    assert EMOTIONS[1:] == ("happiness", "sadness", "neutral", "anger", "surprise", "disgust", "fear")
    assert Dfew(dfew(tmp_path, LABELS)).labels == EMOTIONS[1:]


def test_clips_without_a_single_label_have_none_and_no_fold(tmp_path: Path) -> None:
    dataset = Dfew(dfew(tmp_path, LABELS))
    assert [cells(dataset, column)["00008"] for column in ("emotion", "fold")] == ["", ""]
    assert any("5 of 40 clips have no single label" in remark for remark in dataset.reading.remarks)


def test_label_0_in_a_split(tmp_path: Path) -> None:
    root = dfew(tmp_path, LABELS)
    path = root / "DFEW-part2/EmoLabel_DataSplit/test(single-labeled)/set_1.csv"
    path.write_text(path.read_text() + "8,0\n")
    assert cells(Dfew(root), "emotion")["00008"] == ""


def test_three_classes_leave_neutral_clips_without_a_label(tmp_path: Path) -> None:
    found = cells(Dfew(dfew(tmp_path, LABELS), "3"), "emotion")
    assert [found[f"{clip:05d}"] for clip in range(1, 8)] == ["positive", "negative", "", "negative", "surprise", "negative", "negative"]


def test_fold_is_the_number_of_the_test_set(tmp_path: Path) -> None:
    dataset = Dfew(dfew(tmp_path, LABELS))
    single = [clip for clip, label in LABELS.items() if label]
    assert {clip: fold for clip, fold in cells(dataset, "fold").items() if fold} == {f"{clip:05d}": str(at % 5 + 1) for at, clip in enumerate(single)}
    assert not any("set" in remark.split(":")[0] and "leaves" in remark for remark in dataset.reading.remarks)


def test_every_clip_is_its_own_subject(tmp_path: Path) -> None:
    assert cells(Dfew(dfew(tmp_path, LABELS)), "subject") == {f"{clip:05d}": f"dfew:{clip:05d}" for clip in LABELS}


def test_the_middle_frame_stands_for_the_apex_and_that_is_said_once(tmp_path: Path) -> None:
    dataset = Dfew(dfew(tmp_path, LABELS, frames=5))
    table = dataset.table()
    assert (table["start"].eq(0) & table["peak"].eq(2) & table["stop"].eq(4) & table["corrections"].eq("")).all()
    assert sum("no apex is annotated" in remark for remark in dataset.reading.remarks) == 1


def test_16_frames_of_a_longer_clip_are_kept(tmp_path: Path) -> None:
    dataset = Dfew(dfew(tmp_path, {1: 1, 2: 2, 3: 3, 4: 4, 5: 5}, layout="clip_224x224", frames=100))
    clip = dataset.reading.recordings["dfew:00001/00001"]
    assert (len(clip.names), clip.names[0], clip.names[clip.peak], clip.names[-1]) == (16, "1.jpg", "50.jpg", "100.jpg")


def test_a_train_set_that_is_not_the_rest_is_told(tmp_path: Path) -> None:
    single = [clip for clip, label in LABELS.items() if label]
    rest = [clip for at, clip in enumerate(single) if at % 5 != 1]
    reading = Dfew(dfew(tmp_path, LABELS, trains={2: [*rest[1:], single[1]]})).reading
    assert f"train set 2 is not what test set 2 leaves: 1 clips ({single[1]:05d}) in both" in reading.remarks
    assert f"train set 2 is not what test set 2 leaves: 1 clips ({rest[0]:05d}) in neither" in reading.remarks
    assert not any("set 1 " in remark for remark in reading.remarks)


def test_other_contradictions_are_told(tmp_path: Path) -> None:
    root = dfew(tmp_path, LABELS)
    path = root / "DFEW-part2/EmoLabel_DataSplit/test(single-labeled)/set_2.csv"
    path.write_text(path.read_text() + "1,5\n2,2\nabc,3\n3,9\n2,2\n")
    (path.parent / "set_5.csv").unlink()
    reading = Dfew(root).reading
    told = "\n".join(reading.remarks)
    assert "split files that are not there: test set 5" in told
    assert "1 clips (00001) in it with another label" in told and "and in an earlier test set" in told and "twice" in told
    assert [row.what for row in reading.dropped] == ["abc", "3"]
    assert reading.recordings["dfew:00001/00001"].emotion == "happiness"


def test_votes(tmp_path: Path) -> None:
    pytest.importorskip("openpyxl")
    root = dfew(tmp_path, LABELS, votes=True)
    reading = Dfew(root).reading
    assert reading.recordings["dfew:00001/00001"].raw_emotion == "happy 9, sad 1" and not any("annotation.xlsx" in remark for remark in reading.remarks)
    header = ["order", "1happy", "2sad", "3neutral", "4angry", "5surprise", "6disgust", "7fear", "label"]
    workbook(root / "DFEW-part2/Annotation/annotation.xlsx", [header, [1, 0, 9, 1, 0, 0, 0, 0, 2], ["x", *[0] * 8]])
    reading = Dfew(root).reading
    assert reading.recordings["dfew:00001/00001"].emotion == "happiness"
    assert "annotation.xlsx: 1 clips (00001) with another label than in the splits, which are followed" in reading.remarks
    assert [row.what for row in reading.dropped] == ["x"]


def test_half_extracted_tree(tmp_path: Path) -> None:
    root = dfew(tmp_path, LABELS, clips=[clip for clip in LABELS if clip > 3])
    (root / "DFEW-part2/Clip/clip_224x224_16f/00001").mkdir()
    reading = Dfew(root).reading
    assert [(row.what, row.why) for row in reading.dropped] == [(f"0000{n}/0000{n}", "no frames on disk") for n in (1, 2, 3)]
    assert len(reading.recordings) == 37


def test_each_folder_is_listed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed: list[Path] = []
    frames_in = module.frames_in
    monkeypatch.setattr(module, "frames_in", lambda folder: listed.append(folder) or frames_in(folder))
    assert len(Dfew(dfew(tmp_path, LABELS)).reading.recordings) == len(listed) == len(set(listed)) == 40


def test_pickled_and_opened_by_name(tmp_path: Path) -> None:
    root = dfew(tmp_path, LABELS)
    dataset = pickle.loads(pickle.dumps(open_dataset("dfew", roots={"": root})))
    assert dataset.provides == ("macro-clips", "emotion-labels") and dataset.part == "7"
    assert dataset.manifest_hash == Dfew(root).manifest_hash


def test_bad_trees(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no test\(single-labeled\)/set_1.csv .* extract EmoLabel_DataSplit"):
        Dfew(tmp_path).reading  # noqa: B018
    root = dfew(tmp_path / "a", LABELS, clips=[])
    with pytest.raises(DataError, match="none of the folders clip_224x224_16f, clip_224x224, data is below"):
        Dfew(root).reading  # noqa: B018
    pictures(root / "DFEW-part2/Clip/clip_224x224/99999", ["1.jpg"])
    assert len(Dfew(root).reading.recordings) == 1  # a clip that no file names
    path = root / "DFEW-part2/EmoLabel_DataSplit/test(single-labeled)/set_1.csv"
    path.write_text("video_name\n1\n")
    with pytest.raises(DataError, match="lacks the column 'label'"):
        Dfew(root).reading  # noqa: B018
    path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"))
    with pytest.raises(DataError, match="is password protected"):
        Dfew(root).reading  # noqa: B018


def test_verify_counts_every_folder(tmp_path: Path) -> None:
    made = verify(Dfew(dfew(tmp_path, LABELS)))
    assert made["differs"] == ["dfew:sheet: 40 clips found, 16372 published (ids 00001 to 16372)"]
    assert {(c["label"], c["samples"]) for c in made["counts"] if c["part"] == "sheet"} == {("", 40), *((label, 5) for label in EMOTIONS[1:])}
