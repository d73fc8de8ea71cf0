"""Trees with links in a circle, links to nothing, folders that may not be read, and folders in which two things lie: a reader goes on, and says so."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from merzoo.cli import main
from merzoo.data.readers.base import Recorded
from merzoo.data.readers.casme2 import CasmeII
from merzoo.data.readers.casme3 import CasmeIII
from merzoo.data.readers.folder import FolderTree
from merzoo.data.readers.fourdme import FourDME
from merzoo.data.readers.mmew import Mmew
from merzoo.data.readers.samm import Samm
from merzoo.data.readers.smic import Smic
from merzoo.data.readers.tree import pictures_below, release_of
from merzoo.data.verify import verify
from merzoo.errors import DataError
from merzoo.testing import more_trees, trees
from merzoo.testing.trees import WIDE, Annotated, Short, pictures

pytest.importorskip("openpyxl")
ROWS = [Annotated(n, "EP02_01f", 46, 48, 50, "4", "disgust") for n in (1, 2)]
MICRO = [Annotated("spNO.1", "a", onset, onset + 4, onset + 10, "4", "fear") for onset in (5, 50, 100)]
BUILD: dict[str, tuple[type[Recorded], Callable[[Path], Path]]] = {
    "casme2": (CasmeII, lambda root: trees.casme2(root, ROWS)),
    "samm": (Samm, lambda root: trees.samm(root, [Annotated(6, "006_1_2", 5560, 5562, 5564, "4", "Anger")])),
    "smic": (Smic, lambda root: trees.smic(root, [Short(1, "ne", 1)])),
    "mmew": (Mmew, lambda root: trees.mmew(root, [Annotated(1, "S01-01-001", 1, 3, 5, "6", "happiness")], stills=["S03/happiness/S03-01-001"])),
    "casme3": (CasmeIII, lambda root: more_trees.casme3(root, MICRO)),
    "4dme": (FourDME, lambda root: more_trees.fourdme(root, [Annotated(1, "m1", 5, 7, 9, "4", "Negative")])),
}
each = pytest.mark.parametrize("name", list(BUILD))


@each
def test_links_to_themselves_to_nothing_and_in_a_circle(name: str, tmp_path: Path) -> None:
    kind, build = BUILD[name]
    clean = kind(build(tmp_path)).reading
    for folder in [path for path in (tmp_path, *tmp_path.rglob("*")) if path.is_dir()]:
        (folder / "itself").symlink_to("itself")
        (folder / "nothing").symlink_to("gone")
        (folder / "itself.jpg").symlink_to("itself.jpg")
    (next(iter(clean.recordings.values())).folder / "loop").symlink_to(tmp_path)
    found = kind(tmp_path).reading
    assert found.recordings.keys() == clean.recordings.keys()
    assert not any("cannot be read" in remark for remark in found.remarks)


def test_a_root_that_is_a_link_to_itself(tmp_path: Path) -> None:
    (tmp_path / "x").symlink_to("x")
    for kind in (CasmeII, FolderTree):
        with pytest.raises(DataError, match="is no folder; give"):
            kind(tmp_path / "x")


def test_links_in_own_trees(tmp_path: Path) -> None:
    for subject in ("s1", "s2"):
        pictures(tmp_path / subject / "happy" / "c1", [f"img{n}.jpg" for n in range(4)])
        for folder in (tmp_path, tmp_path / subject, tmp_path / subject / "happy"):
            if not (folder / "itself").is_symlink():
                (folder / "itself").symlink_to("itself")
    assert len(FolderTree(tmp_path).reading.recordings) == 2


def test_a_person_under_two_names_by_a_link(tmp_path: Path) -> None:
    pictures(tmp_path / "s1" / "happy" / "c1", [f"img{n}.jpg" for n in range(4)])
    (tmp_path / "s2").symlink_to("s1")
    with pytest.raises(DataError, match=r"s1/happy \(folder:s1\) and s2/happy \(folder:s2\) give the same frames to two people"):
        FolderTree(tmp_path).reading  # noqa: B018


def test_folders_linked_in_circles_are_passed_once(tmp_path: Path) -> None:
    for name in "abcdef":
        (tmp_path / name).mkdir()
        for other in "abcdef":
            (tmp_path / name / f"to-{other}").symlink_to(tmp_path / other)
    assert len(list(pictures_below(tmp_path, {}, 5))) == 7
    with pytest.raises(DataError, match="no picture that can be read"):
        release_of(tmp_path)
    pictures(tmp_path / "f", ["1.jpg"], WIDE)
    assert release_of(tmp_path) == "raw"


@pytest.fixture
def nobody() -> Iterator[Path]:
    """A folder of somebody who may not read everything."""
    home = Path(tempfile.mkdtemp())
    before = os.geteuid()
    if before == 0:
        os.chown(home, 65534, -1)
        os.seteuid(65534)
    try:
        yield home
    finally:
        for path in (home, *home.rglob("*")):
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o755)
        os.seteuid(before)
        shutil.rmtree(home)


@each
def test_a_folder_that_may_not_be_read_is_remarked(name: str, nobody: Path) -> None:
    kind, build = BUILD[name]
    clean = kind(build(nobody)).reading
    (nobody / "lost+found").mkdir(0)
    found = kind(nobody).reading
    assert found.recordings == clean.recordings
    assert found.remarks == [*clean.remarks, "lost+found cannot be read (Permission denied) and is passed over"]


def test_a_clip_that_may_not_be_read_is_dropped_with_its_reason(nobody: Path) -> None:
    trees.casme2(nobody, ROWS)
    (nobody / "Cropped/sub02/EP02_01f").chmod(0)
    reading = CasmeII(nobody).reading
    assert list(reading.recordings) == ["casme2:01/EP02_01f"]
    assert [(row.what, row.why.partition(" in ")[0]) for row in reading.dropped] == [("02/EP02_01f", "cannot list the frames")]
    assert "Permission denied" in reading.dropped[0].why
    nobody.chmod(0)
    with pytest.raises(DataError, match=r"cannot be read \(Permission denied\); check its permissions"):
        CasmeII(nobody)


def test_pictures_passed_over_are_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = trees.casme2(tmp_path, ROWS)
    pictures(root / "Cropped/sub01/EP02_01f", ["cover.jpg", "other47.jpg"])
    notes = verify(CasmeII(root))["notes"]
    assert list(notes) == ["casme2:01/EP02_01f"]
    assert [note.partition(" ")[0] for note in notes["casme2:01/EP02_01f"]] == ["frames", "pictures", "pictures"]
    assert main(["data", "verify", "casme2", "--root", str(root)]) == 1
    out = capsys.readouterr().out
    assert "notes on clips: 1\n  casme2:01/EP02_01f: frames bear 2 series of names" in out and "cover.jpg" in out


def test_what_is_told_elsewhere_is_no_note(tmp_path: Path) -> None:
    rows = more_trees.fourdme_rows()
    made = verify(FourDME(more_trees.fourdme(tmp_path, rows)))
    corrected = [row["correction"]["field"] for row in made["corrections"] if not row["why_not"]]
    assert len(corrected) == 2 and not any("->" in note for notes in made["notes"].values() for note in notes)
    assert all(note == "AUs left out: AU2(k) (static)" for notes in made["notes"].values() for note in notes)


def test_depth_alone_does_not_hide_the_clips(tmp_path: Path) -> None:
    root = more_trees.casme3(tmp_path, MICRO, [Annotated("spNO.1", "a", 5, 9, 90, "4")], clips=True)
    pictures(root / "part_A/spNO.1/a/depth", ["5.png"], WIDE)
    reading = CasmeIII(root).reading
    assert {clip.folder.parent.name for clip in reading.recordings.values()} == {"frame"} and len(reading.recordings) == 3
    assert any("1 macro-expressions" in remark for remark in reading.remarks) and not reading.dropped


def test_a_video_without_the_interval_does_not_hide_the_clip(tmp_path: Path) -> None:
    root = more_trees.casme3(tmp_path, MICRO, clips=True)
    pictures(root / "part_A/spNO.1/a/color", [f"{n}.jpg" for n in range(1, 30)], WIDE)
    folders = {clip.clip_id: clip.folder.name for clip in CasmeIII(root).reading.recordings.values()}
    assert folders == {"a@5": "color", "a@50": "spNO.1_a_50", "a@100": "spNO.1_a_100"}


def test_rows_of_a_video_are_in_their_order(tmp_path: Path) -> None:
    rows = [Annotated("spNO.1", "a", 20 * n, 20 * n + 4, 20 * n + 10, "4", "fear") for n in range(1, 105)]
    clips = list(CasmeIII(more_trees.casme3(tmp_path, rows)).reading.recordings.values())
    assert [clip.clip_id for clip in clips] == [f"a@{20 * n}" for n in range(1, 105)]


def test_broken_pictures_are_not_complained_of(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pictures(tmp_path, ["2.png", "3.jpg"], WIDE)
    whole = (tmp_path / "2.png").read_bytes()
    (tmp_path / "1.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "0.jpg").write_bytes((tmp_path / "3.jpg").read_bytes()[:100])
    assert release_of(tmp_path) == "raw"
    assert capfd.readouterr().err == ""
