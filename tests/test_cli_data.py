"""`merzoo data`: what is found against what is published, and clips decoded once; every bad tree is one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from merzoo.cli import main
from merzoo.data.roots import remembered
from merzoo.testing.published import casme2_rows, samm_rows, smic_clips
from merzoo.testing.trees import Annotated, casme2, samm, smic

pytest.importorskip("openpyxl")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MERZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """CASME II with three clips, one of which has no frames."""
    rows = [Annotated(1, "EP02_01f", 46, "/", 65, "12", "happiness"), Annotated(2, "EP01_01f", 1, 2, 3, "4", "disgust")]
    return casme2(tmp_path / "few", [*rows, Annotated(3, "EP01_02", 1, 2, 3, "4", "others", ())], spare=["sub09/EP02_02f"])


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["data", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_verify_prints_what_differs_and_why(few: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "verify", "casme2", "--root", str(few))
    assert code == 1 and not err
    for text in (
        "3 annotations in CASME2-coding-updated.xlsx",
        "row 4: 03/EP01_02: no frames on disk",
        "folders without an annotation: 1\n  Cropped/sub09/EP02_02f",
        "apex taken as the middle frame: 1",
        "totals differ from the published ones:",
        "casme2:sheet: 3 clips of 3 subjects found, 256 of 26 subjects published",
    ):
        assert text in out


def test_verify_of_a_whole_set_agrees(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "verify", "samm", "--root", str(samm(tmp_path / "samm", samm_rows())), "--json")
    made = json.loads(out)
    assert code == 0 and made["agrees"] and made["annotations"] == 159
    assert [c["samples"] for c in made["counts"] if (c["part"], c["label"]) == ("3", "")] == [133]
    code, out, _ = run(capsys, "verify", "samm")  # its place is remembered
    assert code == 0 and out.endswith("totals are as published\n")


def test_verify_of_a_composite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    roots = {"casme2": casme2(tmp_path / "casme2", casme2_rows()), "samm": samm(tmp_path / "samm", samm_rows()), "smic": smic(tmp_path / "x", smic_clips())}
    code, out, err = run(capsys, "verify", "megc2019", *(f"--root={name}={root}" for name, root in roots.items()))
    assert (code, err) == (0, "") and "442 of 68 subjects (MEGC2019)" in out


def test_only_what_was_opened_is_remembered(tmp_path: Path, few: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    casme2(shelf / "CASME2", casme2_rows()[:40])
    samm(shelf / "samm", samm_rows()[:40])
    (shelf / "holiday").mkdir()
    smic(shelf / "smic", smic_clips()[:3])
    assert run(capsys, "verify", "cross-emotions:casme2,samm", "--root", str(shelf))[0] == 1
    assert remembered() == {"casme2": str(shelf / "CASME2"), "samm": str(shelf / "samm")}
    assert run(capsys, "verify", "casme2", "--root", str(few / "Cropped"))[0] == 2  # nothing is read there
    assert run(capsys, "verify", "casme2")[0] == 1 and remembered()["casme2"] == str(shelf / "CASME2")


def test_what_is_prepared_is_read_again_and_compared(few: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("prepare", "casme2", "--root", str(few), "--size", "32", "--check")
    code, out, _ = run(capsys, *arguments)
    assert code == 0 and "casme2: 1 chunks read, all as they were written" in out
    (chunk,) = cache.glob("stores/*/*.u8")
    content = chunk.read_bytes()
    chunk.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert run(capsys, *arguments[:-1])[0] == 0  # what a size does not tell
    code, _, err = run(capsys, *arguments)
    assert code == 2 and err.count("\n") == 1 and f"is damaged ({chunk.name}); delete that folder and it is built anew" in err


def test_prepare_twice(few: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "prepare", "casme2", "--root", str(few), "--size", "32", "--json")
    assert (code, err) == (0, "")
    (store,) = json.loads(out)["stores"]
    assert (store["clips"], store["frames"]) == (2, 23)
    before = {path: path.stat().st_mtime_ns for path in Path(store["folder"]).iterdir()}
    code, out, _ = run(capsys, "prepare", "casme2", "--size", "32")
    assert code == 0 and "2 clips, 23 frames at 32 px" in out
    assert before == {path: path.stat().st_mtime_ns for path in Path(store["folder"]).iterdir()}


def test_parts_share_one_store(few: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for part in ("casme2:3", "casme2:7", "casme2:aus"):
        assert run(capsys, "prepare", part, "--root", str(few), "--size", "32")[0] == 0
    assert len([path for path in (cache / "stores").iterdir() if path.is_dir()]) == 1


def spoiled(few: Path, how: str) -> Path:
    """The small tree, damaged."""
    sheet, picture = few / "CASME2-coding-updated.xlsx", few / "Cropped/sub02/EP01_01f/reg_img2.jpg"
    if how == "no root":
        return few / "nowhere"
    if how == "wrong root":
        return few / "Cropped/sub01"
    if how == "no frames":
        shutil.rmtree(few / "Cropped")
    elif how == "empty folders":
        shutil.rmtree(few / "Cropped/sub01")
        shutil.rmtree(few / "Cropped/sub02")
    elif how == "corrupt sheet":
        sheet.write_bytes(sheet.read_bytes()[:2000])
    elif how == "not a sheet":
        sheet.write_bytes(b"\x00\x01")
    elif how == "picture":
        picture.write_bytes(b"no picture")
    elif how == "other size":
        picture.write_bytes((few / "Cropped/sub01/EP02_01f/reg_img46.jpg").read_bytes()[:200])
    return few


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("no root", "is no folder; give the folder in which CASME II was extracted"),
        ("wrong root", "no annotation file"),
        ("no frames", "none of the folders Cropped"),
        ("empty folders", "no clip of 3 annotations has its frames"),
        ("corrupt sheet", "CASME2-coding-updated.xlsx"),
        ("not a sheet", "CASME2-coding-updated.xlsx"),
        ("picture", "reg_img2.jpg is not a readable picture"),
        ("other size", "reg_img2.jpg is not a readable picture"),
    ],
)
def test_bad_trees_are_one_line(few: Path, cache: Path, how: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "prepare", "casme2", "--root", str(spoiled(few, how)), "--size", "32", "--jobs", "1")
    assert code == 2 and not out and text in err and err.count("\n") == 1, err
    assert not any(path.is_dir() and not path.name.startswith(".") for path in (cache / "stores").glob("*"))


def test_a_mended_tree_goes_on(few: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = few / "Cropped/sub02/EP01_01f/reg_img2.jpg"
    whole = picture.read_bytes()
    arguments = ("prepare", "casme2", "--root", str(few), "--size", "32", "--jobs", "1")
    picture.write_bytes(bytes(len(whole)))  # of the same length: nothing but decoding can tell
    assert run(capsys, *arguments)[0] == 2
    picture.write_bytes(whole)
    assert run(capsys, *arguments)[0] == 0


def test_unknown_names_and_parts(few: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, text in (
        (("verify", "casme"), "did you mean"),
        (("verify", "casme2:9", "--root", str(few)), "its parts: 3, megc2019, 4, 5, 7, aus"),
        (("verify", "casme2"), "merzoo data prepare casme2 --root DIR"),
        (("prepare", "synthetic:tiny", "--root", str(few)), "leave out --root"),
        (("prepare", "casme2", "--root", str(few), "--size", "32", "--model", "flow-svm"), "leave out --size"),
    ):
        code, out, err = run(capsys, *arguments)
        assert code == 2 and not out and text in err and err.count("\n") == 1, err


def test_evaluate_on_a_licensed_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = casme2(tmp_path / "more", [Annotated(s, f"EP0{n}_01", 1, 3, 6, "4", e) for s in (1, 2, 3) for n, e in enumerate(("happiness", "disgust"), 1)])
    arguments = ["evaluate", "flow-svm", "--preset", "small", "--data", "casme2:3", "--root", str(root), "--out", str(tmp_path / "run"), "--jobs", "1"]
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert "casme2:3 · " in captured.out and "6 clips, 3 subjects" in captured.out and "no sample of class surprise" in captured.err
    assert main(["audit", str(tmp_path / "run"), "--root", str(root)]) in (0, 1)
