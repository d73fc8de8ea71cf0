"""Composites of the field, from small trees with the published numbers of clips and people."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from merzoo.cli import main
from merzoo.data.clips import _targets
from merzoo.data.composite import Composite
from merzoo.data.roots import members, remember, remembered, root_of
from merzoo.data.sources import open_dataset, parse, parse_roots
from merzoo.data.table import Task, checked
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
    text = r"in all 438 clips of 68 subjects \(published 442 of 68\), smic 160 clips of 16 subjects \(published 164 of 16\), smic [a-z]+ .*megc2019:partial$"
    with pytest.raises(DataError, match=text) as caught:
        open_dataset("megc2019", roots=roots)
    assert "casme2" not in str(caught.value) and "\n" not in str(caught.value)
    partial = open_dataset("megc2019:partial", roots=roots)
    assert partial.part == "partial" and len(partial.table()) == 438
    report = verify(partial)
    assert not report["agrees"] and any(line.startswith("megc2019:3: 438 clips") for line in report["differs"])


def test_relabelled_clips_are_refused_though_the_totals_agree(shelf: Path, tmp_path: Path) -> None:
    clips = smic_clips()
    negative = [at for at, clip in enumerate(clips) if clip.code == "ne"][:10]
    for at in negative:
        clips[at] = replace(clips[at], code="po", number=clips[at].number + 50)
    with pytest.raises(DataError) as caught:
        open_dataset("megc2019", roots={"": shelf, "smic": smic(tmp_path / "relabelled", clips)})
    told = "megc2019 is not as published: smic negative 60 clips (published 70), smic positive 61 clips (published 51); see"
    assert str(caught.value).startswith(told) and "\n" not in str(caught.value)


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
    remember({"casme2": shelf / "casme2"})
    assert open_dataset("casme2:3").table().shape[0] == 148
    assert root_of("casme2", {"": Path("elsewhere")}) == Path("elsewhere")
    assert members({"": shelf, "samm": Path("x")}, ("smic", "samm")) == {"smic": shelf / "smic", "samm": Path("x")}
    with pytest.raises(UsageError, match=r"--root casme=…: no data set of that name is read for casme2; give --root DIR, or NAME=DIR with one of casme2"):
        open_dataset("casme2", roots={"casme": shelf / "casme2"})
    with pytest.raises(UsageError, match=r"--root mmew=…: .* read for cross-emotions:casme2,samm; .* one of casme2, samm"):
        open_dataset("cross-emotions:casme2,samm", roots={"": shelf, "mmew": shelf / "mmew"})
    with pytest.raises(UsageError, match="read for casme2 and samm"):
        open_dataset("casme2", roots={"": shelf / "casme2", "smic": shelf}, macro="samm")
    with pytest.raises(UsageError, match=r"clips.csv is where the table lies; leave out --root"):
        open_dataset("clips.csv", roots={"": shelf})
    with pytest.raises(UsageError, match="leave out --root"):
        open_dataset("synthetic:tiny", roots={"": shelf})
    with pytest.raises(UsageError, match="leave out --root"):
        open_dataset("synthetic:tiny", roots={"synthetic": shelf})
    with pytest.raises(UsageError, match="--remap is for"):
        open_dataset("casme2", roots={"": shelf / "casme2"}, remap=Path("labels.csv"))
    with pytest.raises(UnknownNameError, match="part of casme2"):
        open_dataset("casme2:6", roots={"": shelf / "casme2"})


def test_members_lie_below_one_root_whatever_their_case_and_nowhere_else(shelf: Path, tmp_path: Path) -> None:
    remember({"smic": shelf / "smic"})  # it must not stand in for one that is not below the root given
    other = tmp_path / "other"
    for name in ("CASME2", "Samm"):
        (other / name).mkdir(parents=True)
    assert members({"": other}, ("casme2", "samm")) == {"casme2": other / "CASME2", "samm": other / "Samm"}
    with pytest.raises(DataError, match=rf"^smic is not found below {other}: there is no folder {other / 'smic'}, however written; .*--root smic=DIR$"):
        open_dataset("cross-emotions:casme2,smic", roots={"": other})
    (other / "casMe2").mkdir()
    with pytest.raises(DataError, match=r"both CASME2 and casMe2 are there; rename its folder, or give --root casme2=DIR"):
        members({"": other}, ("casme2",))
    (other / "casme2").mkdir()
    assert members({"": other}, ("casme2",)) == {"casme2": other / "casme2"}
    with pytest.raises(DataError, match="nowhere is no folder; give one that holds the data sets by name"):
        open_dataset("megc2019", roots={"": tmp_path / "nowhere"})


def test_no_memory_is_lost_where_two_processes_write(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from merzoo.data.roots import remember\nfor n in range(30): remember({f'{sys.argv[1]}{n}': Path('.')})"
    running = [subprocess.Popen([sys.executable, "-c", code, name]) for name in ("a", "b", "c")]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    assert remembered().keys() == {f"{name}{n}" for name in "abc" for n in range(30)}


@pytest.mark.parametrize("content", ["{", "[]", '{"casme2": 3}', "\udcff"])
def test_a_broken_memory_is_no_memory(content: str, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    (folder / "roots.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    assert remembered() == {}
    remember({"samm": tmp_path})
    assert json.loads((folder / "roots.json").read_text()) == {"samm": str(tmp_path.resolve())}


def test_names_and_roots_as_typed(tmp_path: Path) -> None:
    assert parse("casme2:5") == ("casme2", "5", None)
    assert parse("my/clips.csv:aus") == ("csv", "aus", Path("my/clips.csv"))
    assert parse("clips.TSV") == ("csv", "", Path("clips.TSV"))
    assert parse_roots(["samm=a", "b"]) == {"samm": Path("a"), "": Path("b")}
    odd = tmp_path / "a=b"
    odd.mkdir()
    assert parse_roots([str(odd)]) == {"": odd}
    for given in ([""], [" "], ["samm="], ["=a"], ["a", "b"], ["samm=a", "samm=b"]):
        with pytest.raises(UsageError, match=r"--root .*; give "):
            parse_roots(given)


MULTI = ("smile", "frown")


class Few:
    """A data set of three macro clips and a micro clip, with the labels given."""

    sources, provides, manifest_hash = (), ("macro-clips",), "ab" * 32

    def __init__(self, name: str, task: Task, labels: tuple[str, ...], emotions: tuple[str | None, ...]) -> None:
        self.name, self.part, self.task, self.labels, self.emotions = name, "", task, labels, emotions

    def table(self) -> pd.DataFrame:
        rows = []
        for number, emotion in enumerate(self.emotions):
            who = f"{self.name}:{number}"
            moments = {"start": 0, "peak": 1, "stop": 2, "fps": 30.0, "frames": 3}
            row = {"sample_id": f"{who}/a", "dataset": self.name, "subject": who, "clip_id": "a", "kind": "macro" if number else "micro", **moments}
            rows.append({**row, "emotion": emotion, "aus": None, "corrections": ""})
        return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("other", "expected"),
    [  # a label it has; none of a list that covers ours, or a missing one; a label that is not ours
        (Few("m", "multi-label", (*MULTI, "yawn"), ("smile", "frown+smile", "", "yawn")), ([1, 1], [0, 0], None)),
        (Few("m", "multi-label", ("smile", "yawn"), ("smile", "smile", "", "smile+yawn")), ([1, 0], None, None)),  # nobody looked for a frown
        (Few("m", "classes", ("smile", "joy"), ("smile", "smile", "joy", "")), ([1, 0], None, None)),
    ],
)
def test_macro_clips_of_which_a_label_is_unknown_are_not_of_none(other: Few, expected: tuple[list[int] | None, ...]) -> None:
    data = Composite("both", "", [Few("f", "multi-label", MULTI, ("smile", "", None, "frown"))], macro=[other])
    table = checked(data.table(), data.labels, data.task)
    targets = _targets(table["emotion"].to_list(), data.labels, data.task)
    wanted = [[1, 0], [0, 0], None, [0, 1], *expected]
    assert np.array_equal(targets, np.array([[np.nan, np.nan] if row is None else row for row in wanted], np.float32), equal_nan=True)


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
    assert main(["audit", str(tmp_path / "run"), "--root", str(tmp_path)]) == 1  # the trees' people share their pictures
    assert "failed       near-duplicate clips across folds" in capsys.readouterr().out
