from __future__ import annotations

import json
from pathlib import Path

import pytest

from merzoo.cli import main
from merzoo.errors import DataError, MerzooWarning
from merzoo.evaluation.compare import compare
from merzoo.testing.runs import clip_table, write_run

TABLE = clip_table(subjects=20)


def test_a_better_run_wins_and_a_run_ties_with_itself(tmp_path: Path) -> None:
    good, poor = write_run(tmp_path / "good", TABLE, skill=0.9, seeds=[0, 1]), write_run(tmp_path / "poor", TABLE, skill=0.1)
    made = compare(good, poor, 500)
    for name in ("uf1", "uar", "accuracy"):
        d = made["difference"][name]
        assert d["value"] == pytest.approx(made["a"]["scores"][name]["value"] - made["b"]["scores"][name]["value"], abs=1e-12)
        assert d["excludes_zero"]
        assert d["low"] > 0
    assert made["verdict"].endswith("excludes 0")
    assert compare(poor, poor, 100)["verdict"].endswith("includes 0")
    assert compare(poor, good, 500)["difference"]["uf1"]["high"] < 0


def test_runs_on_other_data_are_refused(tmp_path: Path) -> None:
    other = clip_table(subjects=20, seed=1)
    with pytest.raises(DataError, match="another label"):
        compare(write_run(tmp_path / "a", TABLE), write_run(tmp_path / "b", other), 10)


def test_flipped_labels_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = write_run(tmp_path / "a", TABLE, flip_labels=0.25), write_run(tmp_path / "b", TABLE)
    assert [compare(a, b, 10)[side]["flip_labels"] for side in "ab"] == [0.25, 0.0]
    assert main(["compare", str(a.path), str(b.path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "an experiment: a share of 0.25 of the training labels is wrong" in lines[0] and "experiment" not in lines[1]


def test_an_unfinished_run_is_warned_of(tmp_path: Path) -> None:
    half = write_run(tmp_path / "half", TABLE, folds=9)
    with pytest.warns(MerzooWarning, match="11 folds to do"):
        compare(half, half, 10)


def test_the_verb_prints_lines_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = (str(write_run(tmp_path / name, TABLE, skill=skill).path) for name, skill in (("a", 0.9), ("b", 0.1)))
    assert main(["compare", a, b]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[3:6]] == ["UF1", "UAR", "accuracy"]
    assert "the interval excludes 0" in lines[6]
    assert main(["compare", a, b, "--json"]) == 0
    assert 0 < json.loads(capsys.readouterr().out)["difference"]["uf1"]["p_bootstrap"] < 0.01


def test_a_folder_without_a_run_is_one_line_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(tmp_path), str(tmp_path / "none")]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert "holds no run" in said.err
