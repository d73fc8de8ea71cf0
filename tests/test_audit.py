"""The audit finds what was planted: a test subject in training, one person under two names, statistics of test data, copied clips, choice on the test data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from merzoo.cli import main
from merzoo.data.synthetic import SyntheticFaces
from merzoo.data.table import Task
from merzoo.errors import RunError
from merzoo.evaluation.audit import audit
from merzoo.evaluation.runs import RunFolder
from merzoo.specs import Preprocessing
from merzoo.testing.runs import clip_table, write_run


def check(made: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in made["checks"] if one["name"] == name)


def edit(run: RunFolder, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the first fold as somebody with an editor would."""
    path = run.fold_path(run.seeds[0], run.protocol.folds[0].fold_id)
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def test_an_honest_run_passes(tmp_path: Path) -> None:
    made = audit(write_run(tmp_path / "run", clip_table(), epochs=5))
    assert made["passed"] and check(made, "test subjects in training")["status"] == "passed"
    assert check(made, "statistics of test data")["status"] == "not checked"
    assert check(made, "near-duplicate clips across folds")["status"] == "not checked"
    assert made["oracle"]["best_epoch_per_fold"]["uf1"] >= made["oracle"]["headline"]["uf1"]
    assert made["oracle"]["headline"]["uf1"] == pytest.approx(made["scores"]["uf1"]["value"])


def test_a_test_subject_in_a_stage_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run", clip_table())
    edit(run, lambda record: record["stages"][0]["subjects"].append(record["test_subjects"][0]))
    made = audit(run)
    assert not made["passed"]
    assert run.protocol.folds[0].test_subjects[0] in check(made, "test subjects in training")["found"][0]
    assert main(["audit", str(run.path), "--no-data"]) == 1
    assert "failed       test subjects in training: 1 stages met a test subject" in capsys.readouterr().out


def test_a_broken_fold_is_found(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", clip_table())
    edit(run, lambda record: record["predictions"].pop())
    assert check(audit(run), "folds")["status"] == "failed"


def test_one_person_under_two_names_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = write_run(tmp_path / "run", clip_table())
    tested, trained = (run.protocol.folds[at].test_subjects[0] for at in (0, 1))
    monkeypatch.setattr("merzoo.evaluation.audit.shared_subjects", lambda: [(tested, trained)])
    found = check(audit(run), "people in two data sets")
    assert found["status"] == "failed" and f"{trained} is {tested}" in found["found"][0]


@pytest.mark.parametrize(("broken", "text"), [("state_unchanged", "network's state"), ("batch_independent", "tested beside")])
def test_statistics_of_test_data_are_found(tmp_path: Path, broken: str, text: str) -> None:
    run = write_run(tmp_path / "run", clip_table())
    for fold in run.protocol.folds:
        path = run.fold_path(0, fold.fold_id)
        record = json.loads(path.read_text()) | {"checks": {"state_unchanged": True, "batch_independent": True}}
        path.write_text(json.dumps(record))
    assert check(audit(run), "statistics of test data")["status"] == "passed"
    edit(run, lambda record: record["checks"].update({broken: False}))
    found = check(audit(run), "statistics of test data")
    assert found["status"] == "failed" and text in found["found"][0]


class Doubled:
    """The tiny synthetic faces, with one clip a second time under the name of another person."""

    name, part, labels, provides = "doubled", "", SyntheticFaces.labels, ("emotion-labels",)
    task: Task = "classes"
    source_hash = manifest_hash = "cd" * 32

    def __init__(self) -> None:
        self.faces = SyntheticFaces("tiny")
        self.sources = (self,)

    def table(self) -> pd.DataFrame:
        rows = self.faces.table().query("kind == 'micro'")
        rows = rows.assign(sample_id=rows["sample_id"].str.replace("synthetic", "doubled"), subject=rows["subject"].str.replace("synthetic", "doubled"))
        other = rows["subject"].iloc[-1]
        return pd.concat([rows, rows.head(1).assign(sample_id=f"{other}/copy", subject=other)], ignore_index=True).assign(dataset="doubled")

    def lengths(self) -> dict[str, int]:
        table = self.table()
        return dict(zip(table["sample_id"], table["frames"], strict=True))

    def crops(self, sample_id: str, preprocessing: Preprocessing) -> np.ndarray:
        first = next(iter(self.lengths()))
        name = first if sample_id.endswith("/copy") else sample_id
        return self.faces.crops(name.replace("doubled", "synthetic"), preprocessing)


def test_a_copied_clip_across_folds_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MERZOO_CACHE", str(tmp_path / "cache"))
    data = Doubled()
    table = data.table()
    facts = {"name": "doubled", "part": None, "manifest_hash": data.manifest_hash, "samples": len(table), "subjects": table["subject"].nunique()}
    run = write_run(tmp_path / "run", table.assign(emotion="positive"), data=facts, options={"preprocessing": {"aligner": "eyes", "size": 64}})
    found = check(audit(run, data), "near-duplicate clips across folds")
    assert found["status"] == "failed" and len(found["found"]) == 1 and "/copy" in found["found"][0]
    other = SyntheticFaces("tiny")
    assert "manifest differs" in check(audit(run, other), "near-duplicate clips across folds")["text"]


def test_a_run_without_folds_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no finished fold to audit"):
        audit(write_run(tmp_path / "run", clip_table(), folds=0))
