"""Clips in folders subject/emotion/clip, and what else lies in such a tree."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from merzoo.data.readers.folder import FolderTree
from merzoo.data.table import checked
from merzoo.errors import DataError, MerzooWarning, UnknownNameError
from merzoo.specs import Preprocessing
from merzoo.testing.trees import pictures

FRAMES = [f"img{n}.jpg" for n in range(8, 14)]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two people with two emotions each, and nothing amiss."""
    for subject in ("s2", "s10"):
        for emotion in ("Happy", "surprise"):
            pictures(tmp_path / subject / emotion / "c1", FRAMES)
    return tmp_path


def test_a_tree(tree: Path) -> None:
    data = FolderTree(tree)
    rows = checked(data.table(), data.labels)
    assert (data.labels, data.task, data.provides) == (("happiness", "surprise"), "classes", ("emotion-labels",))
    assert rows["sample_id"].to_list() == [f"folder:{s}/{e}/c1" for s in ("s2", "s10") for e in ("Happy", "surprise")]
    assert rows[["start", "peak", "stop", "frames"]].to_numpy().tolist() == [[0, 2, 5, 6]] * 4
    assert len(data.reading.apexes) == 4
    names = data.reading.recordings["folder:s2/Happy/c1"].names
    assert names == tuple(FRAMES)  # img9 before img10


def test_frames_that_are_crops(tree: Path) -> None:
    raw, crops = FolderTree(tree), FolderTree(tree, "cropped")
    assert crops.sources[0].crops("folder:s2/Happy/c1", Preprocessing(size=24)).shape == (6, 24, 24, 3)
    with pytest.raises(DataError, match=r"no face is found .*release cropped"):
        raw.sources[0].crops("folder:s2/Happy/c1", Preprocessing(size=24))
    assert raw.sources[0].source_hash != crops.sources[0].source_hash
    assert raw.with_part("cropped").sources[0].source_hash == crops.sources[0].source_hash
    with pytest.raises(UnknownNameError, match="cropped"):
        FolderTree(tree, "aus")


def test_what_else_lies_there(tree: Path) -> None:
    pictures(tree / "s2" / ".hidden" / "c", FRAMES)
    pictures(tree / "s2" / "Happy" / "c1" / ".git", FRAMES)
    (tree / "README.txt").write_text("mine")
    (tree / "s2" / "Happy" / "Thumbs.db").write_text("")
    assert not FolderTree(tree).reading.dropped
    pictures(tree / "s2" / "Happy" / "one", FRAMES[:1])
    (tree / "s2" / "Happy" / "none").mkdir()
    pictures(tree / "s2" / "Happy", FRAMES[:3])
    pictures(tree / "s2", FRAMES[:2])
    (tree / "s2" / "Happy" / "notes.txt").write_text("text")
    (tree / "s10" / "Happy" / "gone").symlink_to(tree / "nowhere")
    os.mkfifo(tree / "s10" / "Happy" / "pipe.avi")
    pictures(tree / "s10" / " " / "c1", FRAMES)
    data = FolderTree(tree)
    dropped = {(row.where, row.what): row.why for row in data.reading.dropped}
    for place, reason in {
        ("s2", "2 files such as img8.jpg"): "beside the folders of emotions",
        ("s2/Happy", "one"): "single frame",
        ("s2/Happy", "none"): "no picture with a number",
        ("s2/Happy", "Happy"): "3 pictures lie where clips should be",
        ("s2/Happy", "notes.txt"): "text, not a video",
        ("s10/Happy", "gone"): "not there",
        ("s10/Happy", "pipe.avi"): "neither a folder nor a regular file",
        ("s10/ ", "c1"): "has no name",
    }.items():
        assert reason in dropped.pop(place)
    assert not dropped and data.reading.rows == 12
    with pytest.warns(MerzooWarning, match=r"8 of 12 clips are left out .*merzoo data verify folder --root"):
        assert len(data.table()) == 4


def test_videos_are_clips(tree: Path) -> None:
    path = tree / "s2" / "surprise" / "v.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25.0, (48, 48))
    for level in range(0, 200, 20):
        writer.write(np.full((48, 48, 3), level, np.uint8))
    writer.release()
    rows = FolderTree(tree, "cropped").table().set_index("sample_id")
    assert rows.loc["folder:s2/surprise/v.avi", ["frames", "fps", "peak"]].to_list() == [10, 25.0, 4]


def test_labels_of_folders(tree: Path, tmp_path: Path) -> None:
    pictures(tree / "s2" / "surprise+happy" / "c1", FRAMES)
    several = FolderTree(tree)
    assert several.task == "multi-label" and several.table()["emotion"].to_list().count("happiness+surprise") == 1
    labels = tmp_path / "labels.csv"
    labels.write_text("from,to\nhappy,positive\nsurprise,other\n")
    assert FolderTree(tree, remap=labels).labels == ("positive", "other")
    assert FolderTree(tree, remap=labels).with_part("cropped").labels == ("positive", "other")


def test_trees_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no folder; give one with --root .*SUBJECT/EMOTION/CLIP"):
        FolderTree(tmp_path / "no")
    with pytest.raises(DataError, match=r"none of 0 clips .*SUBJECT/EMOTION/CLIP"):
        FolderTree(tmp_path).table()
    pictures(tmp_path / "happy" / "c1", FRAMES)  # a level is missing: these are taken for the folders of a subject
    with pytest.raises(DataError, match=r"6 pictures lie where clips should be|beside the folders of emotions") as raised:
        FolderTree(tmp_path).table()
    assert "\n" not in str(raised.value)
    pictures(tmp_path / "S1" / "x" / "c", FRAMES)
    pictures(tmp_path / "s01" / "y" / "c", FRAMES)
    with pytest.raises(DataError, match="may be one person"):
        FolderTree(tmp_path).table()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read(tree: Path) -> None:
    locked = tree / "s2" / "Happy"
    locked.chmod(0)
    try:
        data = FolderTree(tree)
        assert [row.why for row in data.reading.dropped] == ["it cannot be read (Permission denied); check its permissions"]
    finally:
        locked.chmod(0o755)
