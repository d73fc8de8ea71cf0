"""Clips that a file leaves out: of every part and member, in both hashes, and never without a word."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from merzoo.cli import main
from merzoo.data.skipping import read_skip
from merzoo.data.sources import open_dataset
from merzoo.errors import DataError, MerzooWarning, UsageError
from merzoo.testing.published import casme2_rows, samm_rows, smic_clips
from merzoo.testing.trees import Annotated, casme2, samm, smic

pytest.importorskip("openpyxl")
BAD = "casme2:02/EP01_01f"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MERZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """CASME II with four clips."""
    words = ("happiness", "disgust", "surprise", "others")
    return casme2(tmp_path / "casme2", [Annotated(n, "EP01_01f", 1, 3, 5, "4", word) for n, word in enumerate(words, 1)])


def listed(tmp_path: Path, *lines: str, name: str = "skip.txt") -> Path:
    file = tmp_path / name
    file.write_text("\n".join(lines))
    return file


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main([*arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_the_file(tmp_path: Path) -> None:
    file = listed(tmp_path, "\ufeff# blurred", "casme2:01/a  # why", "", "  casme2:01/b", "csv:anna/take#1", "casme2:01/a")
    assert read_skip(file).lines == {"casme2:01/a": 2, "casme2:01/b": 4, "csv:anna/take#1": 5}
    file.write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "nowhere", tmp_path, file):
        with pytest.raises(DataError, match=r"--skip .* with a sample id a line$") as caught:
            read_skip(path)
        assert "\n" not in str(caught.value)


def test_named_clips_are_in_no_part_and_in_both_hashes(tmp_path: Path, root: Path) -> None:
    skip = listed(tmp_path, BAD)
    for part in ("3", "5", "aus"):
        whole, less = (open_dataset(f"casme2:{part}", roots={"": root}, skip=given) for given in (None, skip))
        assert set(whole.table()["sample_id"]) - set(less.table()["sample_id"]) == {BAD}
        assert less.manifest_hash != whole.manifest_hash and less.sources[0].source_hash != whole.sources[0].source_hash
        assert set(whole.sources[0].lengths()) - set(less.sources[0].lengths()) == {BAD}  # so it is not decoded


def test_ids_that_are_not_there_are_told(tmp_path: Path, root: Path) -> None:
    skip = listed(tmp_path, BAD, "casme2:02/EP01")
    with pytest.warns(MerzooWarning, match=r"skip.txt: 1 of 2 ids are of no clip that is here \(first: line 2: casme2:02/EP01\); check their spelling"):
        open_dataset("casme2", roots={"": root}, skip=skip)


def test_members_of_composites_and_macro_sets_leave_theirs_out(tmp_path: Path, root: Path) -> None:
    samm(tmp_path / "samm", [Annotated(n, f"{n:03d}_1_2", 1, 2, 4, "4", word) for n, word in enumerate(("Anger", "Happiness", "Surprise"), 6)])
    skip = listed(tmp_path, BAD, "samm:007/007_1_2")
    data = open_dataset("cross-emotions:casme2,samm", roots={"": tmp_path}, skip=skip)
    assert not {BAD, "samm:007/007_1_2"} & set(data.table()["sample_id"]) and len(data.table()) == 4
    added = open_dataset("casme2", roots={"casme2": root, "samm": tmp_path / "samm"}, macro="samm", skip=skip)
    assert [len(source.lengths()) for source in added.sources] == [3, 2]
    assert added.manifest_hash != open_dataset("casme2", roots={"casme2": root, "samm": tmp_path / "samm"}, macro="samm").manifest_hash


def test_a_published_composite_may_not_be_made_smaller_under_its_name(tmp_path: Path) -> None:
    casme2(tmp_path / "casme2", casme2_rows())
    samm(tmp_path / "samm", samm_rows())
    smic(tmp_path / "smic", smic_clips())
    sample = open_dataset("smic", roots={"": tmp_path / "smic"}).table()["sample_id"].iloc[0]
    skip = listed(tmp_path, sample)
    with pytest.raises(DataError, match=r"in all 441 clips .*megc2019:partial"):
        open_dataset("megc2019", roots={"": tmp_path}, skip=skip)
    assert len(open_dataset("megc2019:partial", roots={"": tmp_path}, skip=skip).table()) == 441


def test_what_is_made_leaves_nothing_out(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="leave out --skip"):
        open_dataset("synthetic:tiny", skip=listed(tmp_path, "synthetic:s5000/c00"))


def test_a_bad_clip_is_left_out_by_the_file_that_names_it(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "Cropped/sub02/EP01_01f/reg_img3.jpg").write_bytes(b"no picture")
    prepare = ("data", "prepare", "casme2", "--root", str(root), "--size", "32", "--jobs", "1")
    code, _, err = run(capsys, *prepare)
    assert code == 2 and err.count("\n") == 1 and "1 of 4 clips cannot be prepared" in err
    file = err.strip().rpartition("leave them out with --skip ")[2]
    code, out, err = run(capsys, *prepare, "--skip", file)
    assert (code, err) == (0, "") and "3 clips" in out
    code, out, _ = run(capsys, "data", "verify", "casme2", "--skip", file, "--json")
    name = Path(file).name
    assert json.loads(out)["dropped"] == [{"where": f"{name} line 2", "what": BAD, "why": f"left out by {name}"}]


def test_evaluate_and_train_and_audit_take_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "mine"
    rows = ["path,subject,label,release"]
    for person in ("anna", "ben", "cleo"):
        for label in ("smile", "frown"):
            clip = folder / person / label
            clip.mkdir(parents=True)
            for number in range(5):
                picture = np.random.default_rng(number).integers(0, 255, (64, 64, 3), dtype=np.uint8)
                (clip / f"img{number}.jpg").write_bytes(cv2.imencode(".jpg", picture)[1].tobytes())
            rows.append(f"{person}/{label},{person},{label},cropped")
    broken = folder / "ben/smile/img2.jpg"
    broken.write_bytes(b"no picture")
    (folder / "clips.csv").write_text("\n".join(rows))
    skip = str(listed(tmp_path, "csv:ben/ben/smile"))
    how = ("flow-svm", "--preset", "small", "--data", str(folder / "clips.csv"))
    code, _, err = run(capsys, "evaluate", *how, "--jobs", "1", "--out", str(tmp_path / "no"))
    assert code == 2 and "csv:ben/ben/smile" in err
    assert run(capsys, "evaluate", *how, "--jobs", "1", "--skip", skip, "--out", str(tmp_path / "run"))[0] == 0
    assert json.loads((tmp_path / "run/run.json").read_text())["data"]["samples"] == 5
    assert run(capsys, "train", *how, "--skip", skip, "--out", str(tmp_path / "weights"))[0] == 0
    same = ("--root", str(folder / "clips.csv"), "--skip", skip)
    for arguments, text in (
        (same, "near-duplicate clips across folds: "),
        (same[:2], "the data set here is not the one of the run (its manifest differs); give --root"),
        ((), "csv cannot be opened here: where csv lies is not known"),
    ):
        code, out, err = run(capsys, "audit", str(tmp_path / "run"), *arguments)
        (line,) = [line for line in out.splitlines() if "near-duplicate clips" in line]
        assert text in line and ("not checked" in line) == (arguments != same), line
