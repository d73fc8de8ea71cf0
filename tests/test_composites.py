"""Composites of the field, from small trees with the published numbers of clips and people."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from merzoo.cli import main
from merzoo.data.composite import Composite
from merzoo.data.roots import members, remember, remembered, root_of
from merzoo.data.sources import open_dataset, parse, parse_roots
from merzoo.data.table import checked
from merzoo.data.verify import verify
from merzoo.errors import DataError, UnknownNameError, UsageError
from merzoo.evaluation.catalogue import protocol_by_name
from merzoo.testing.more_trees import casme3, casme3_rows
from merzoo.testing.published import casme2_rows, mmew_rows, samm_rows, smic_clips
from merzoo.testing.trees import Annotated, Short, casme2, mmew, samm, smic

pytest.importorskip("openpyxl")


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the data sets by name."""
    shelf = tmp_path_factory.mktemp("shelf")
    casme2(shelf / "casme2", casme2_rows())
    samm(shelf / "samm", samm_rows())
    smic(shelf / "smic", smic_clips())
    mmew(shelf / "mmew", mmew_rows(), stills=["S03/happiness/S03-01-001", "S03/fear/S03-04-001"])
    casme3(shelf / "casme3", casme3_rows())
    return shelf


@pytest.fixture(autouse=True)
def nothing_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MERZOO_CACHE", str(tmp_path / "cache"))


def test_megc2019_has_442_clips_of_68_subjects(shelf: Path) -> None:
    data = open_dataset("megc2019", roots={"": shelf})
    table = checked(data.table(), data.labels)
    assert (len(table), table["subject"].nunique()) == (442, 68)
    assert table["emotion"].value_counts().to_dict() == {"negative": 250, "positive": 109, "surprise": 83}
    assert table.groupby("dataset").size().to_dict() == {"smic": 164, "casme2": 145, "samm": 133}
    assert len(protocol_by_name("loso")(table).folds) == 68
    again = pickle.loads(pickle.dumps(data))
    assert again.manifest_hash == data.manifest_hash
    report = verify(data)
    assert report["agrees"], report["differs"]


def test_other_totals_are_refused_unless_asked_for(shelf: Path, tmp_path: Path) -> None:
    roots = {"": shelf, "smic": smic(tmp_path / "short", smic_clips()[:-4])}
    with pytest.raises(DataError, match=r"442 clips of 68 subjects, found are 438 of 68 .*smic 160.*megc2019:partial"):
        open_dataset("megc2019", roots=roots)
    partial = open_dataset("megc2019:partial", roots=roots)
    assert partial.part == "partial" and len(partial.table()) == 438
    report = verify(partial)
    assert not report["agrees"] and any(line.startswith("megc2019:3: 438 clips") for line in report["differs"])


def test_casme2_samm_mmew_has_512_clips(shelf: Path) -> None:
    table = open_dataset("casme2-samm-mmew", roots={"": shelf}).table().query("kind == 'micro'")
    assert table.groupby("dataset").size().to_dict() == {"casme2": 145, "samm": 133, "mmew": 234}


def test_leave_one_data_set_out_on_emotions_and_on_action_units(shelf: Path) -> None:
    emotions = open_dataset("cross-emotions:casme2,samm,smic", roots={"": shelf})
    folds = protocol_by_name("lodo")(checked(emotions.table(), emotions.labels))
    assert [fold.fold_id for fold in folds.folds] == ["casme2", "samm", "smic"]
    units = open_dataset("cross-aus:casme2,samm,mmew,casme3", roots={"": shelf})
    assert units.task == "multi-label" and len(units.labels) == 12
    table = checked(units.table(), units.labels, units.task)
    folds = protocol_by_name("lodo", "multi-label")(table)
    assert len(folds.folds) == 4
    for fold in folds.folds:
        assert {subject.partition(":")[0] for subject in fold.test_subjects} == {fold.fold_id}
    with pytest.raises(DataError, match="two or more"):
        open_dataset("cross-aus:samm", roots={"": shelf})
    with pytest.raises(DataError, match="no part 'smic'"):
        open_dataset("cross-aus:samm,smic", roots={"": shelf})


def test_macro_clips_of_another_data_set(shelf: Path) -> None:
    data = open_dataset("casme2:3", roots={"": shelf / "casme2", "mmew": shelf / "mmew"}, macro="mmew:3")
    table = checked(data.table(), data.labels)
    macro = table.query("kind == 'macro'")
    assert len(table) - len(macro) == 148 and set(macro["dataset"]) == {"mmew"} and set(macro["emotion"]) <= {"negative", "positive", "surprise", ""}
    assert len(data.sources) == 2
    other = open_dataset("casme2:5", roots={"": shelf / "casme2", "mmew": shelf / "mmew"}, macro="mmew:3")
    assert "positive" not in set(other.table()["emotion"])  # it is no class of the five
    with pytest.raises(DataError, match="smic:3 has no macro clips"):
        open_dataset("casme2", roots={"": shelf / "casme2", "smic": shelf / "smic"}, macro="smic").table()


def test_members_must_have_one_class_list(shelf: Path) -> None:
    parts = [open_dataset(name, roots={"": shelf / name.partition(":")[0]}) for name in ("casme2:5", "samm:5")]
    with pytest.raises(DataError, match="casme2:5 and samm:5 have other classes"):
        Composite("both", "", parts)


def test_roots_are_given_or_remembered(shelf: Path) -> None:
    with pytest.raises(DataError, match=r"where casme2 lies is not known; give --root DIR, or .*merzoo data prepare casme2 --root DIR"):
        open_dataset("casme2")
    remember("casme2", shelf / "casme2")
    assert open_dataset("casme2:3").table().shape[0] == 148
    assert root_of("casme2", {"": Path("elsewhere")}) == Path("elsewhere")
    assert members({"": shelf})["smic"] == shelf / "smic"
    with pytest.raises(UsageError, match="leave out --root"):
        open_dataset("synthetic:tiny", roots={"": shelf})
    with pytest.raises(UsageError, match="--remap is for"):
        open_dataset("casme2", roots={"": shelf / "casme2"}, remap=Path("labels.csv"))
    with pytest.raises(UnknownNameError, match="part of casme2"):
        open_dataset("casme2:6", roots={"": shelf / "casme2"})


@pytest.mark.parametrize("content", ["{", "[]", '{"casme2": 3}', "\udcff"])
def test_a_broken_memory_is_no_memory(content: str, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    (folder / "roots.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    assert remembered() == {}
    remember("samm", tmp_path)
    assert json.loads((folder / "roots.json").read_text()) == {"samm": str(tmp_path.resolve())}


def test_names_and_roots_as_typed(tmp_path: Path) -> None:
    assert parse("casme2:5") == ("casme2", "5", None)
    assert parse("my/clips.csv:aus") == ("csv", "aus", Path("my/clips.csv"))
    assert parse("clips.TSV") == ("csv", "", Path("clips.TSV"))
    assert parse_roots(["samm=a", "b"]) == {"samm": Path("a"), "": Path("b")}
    odd = tmp_path / "a=b"
    odd.mkdir()
    assert parse_roots([str(odd)]) == {"": odd}


@pytest.mark.slow
def test_a_composite_is_evaluated_left_out_set_by_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    emotions = ("happiness", "disgust", "surprise")
    casme2(tmp_path / "casme2", [Annotated(who, f"EP0{n}_01", 1, 4, 8, "4", e) for who in (1, 2) for n, e in enumerate(emotions, 1)])
    smic(tmp_path / "smic", [Short(who, code, 1, tuple(range(1, 9))) for who in (1, 2) for code in ("ne", "po", "sur")])
    arguments = ["--data", "cross-emotions:casme2,smic", "--root", str(tmp_path), "--protocol", "lodo", "--preset", "small", "--jobs", "1", "--json"]
    assert main(["evaluate", "flow-svm", *arguments, "--out", str(tmp_path / "run")]) == 0
    result = json.loads(capsys.readouterr().out)
    assert {name: (one["samples"], one["subjects"]) for name, one in result["slices"].items()} == {"casme2": (6, 2), "smic": (6, 2)}
    each = [one["scores"]["uf1"]["value"] for one in result["slices"].values()]
    assert result["mean_of_slices"]["value"] == pytest.approx(sum(each) / 2)
    assert main(["audit", str(tmp_path / "run"), "--root", str(tmp_path)]) == 0
    assert "passed       near-duplicate clips across folds" in capsys.readouterr().out
