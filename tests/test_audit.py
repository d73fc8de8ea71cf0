"""The audit finds what was planted: a test subject in training, one person under two names, statistics of test data, copied clips, choice on the test data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from merzoo.cli import main
from merzoo.data.sources import open_dataset
from merzoo.data.synthetic import SyntheticFaces
from merzoo.data.table import Task
from merzoo.errors import RunError, UsageError
from merzoo.evaluation.audit import audit
from merzoo.evaluation.audit_data import open_data, trains
from merzoo.evaluation.protocols import Fold, Protocol
from merzoo.evaluation.runs import RunFolder
from merzoo.evaluation.splits import loso
from merzoo.specs import Preprocessing
from merzoo.testing.runs import LABELS, clip_table, write_run


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


@pytest.mark.parametrize("folds", [1, 5])
def test_a_run_that_lacks_folds_does_not_pass(tmp_path: Path, folds: int) -> None:
    made = audit(write_run(tmp_path / "run", clip_table(), folds=folds))
    found = check(made, "folds")
    assert found["status"] == "failed" and f"{folds} of 6" in found["found"][0] and not made["passed"]


def test_a_fold_that_nobody_asked_for_is_found(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", clip_table())
    for place in ("folds/0/best\x1b.json", "folds/7/s1.json"):
        (run.path / place).parent.mkdir(exist_ok=True)
        (run.path / place).write_text("{}")
    found = check(audit(run), "folds")
    assert found["status"] == "failed" and len(found["found"]) == 2 and "best\\x1b.json" in found["found"][0]


def test_a_chosen_epoch_is_found(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", clip_table(), epochs=4)
    assert check(audit(run), "choice of the epoch")["status"] == "passed"
    edit(run, lambda record: record["oracle"]["epochs"].append([(p + 1) % 3 for p in record["oracle"]["epochs"][-1]]))
    made = audit(run)
    found = check(made, "choice of the epoch")
    assert found["status"] == "failed" and "last epoch" in found["found"][0] and not made["passed"]


def test_epochs_that_some_folds_kept_are_not_called_good(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", clip_table(), epochs=4)
    edit(run, lambda record: record.pop("oracle"))
    found = check(audit(run), "choice of the epoch")
    assert (found["status"], found["text"]) == ("not checked", "1 of 6 folds kept no epochs")


def test_strict_wants_every_check(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", clip_table(), epochs=5)
    assert main(["audit", str(run.path), "--no-data"]) == 0
    assert main(["audit", str(run.path), "--no-data", "--strict"]) == 1


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


@pytest.mark.parametrize("checks", [{"state_unchanged": True}, {"state_unchanged": 1.0, "batch_independent": True}, {"fine": True}])
def test_a_check_that_was_not_tried_does_not_pass(tmp_path: Path, checks: dict[str, Any]) -> None:
    run = write_run(tmp_path / "run", clip_table())
    edit(run, lambda record: record.update(checks=checks))
    assert check(audit(run), "statistics of test data")["status"] == "failed"


def test_a_training_list_is_of_the_labelled_clips() -> None:
    fold = Fold("a", ("t:1/x",), ("t:1",), train_ids=("t:2/x",))
    asked = [("t:2/x", "t:2", "micro"), ("t:2/y", "t:2", "micro"), ("t:2/m", "t:2", "macro"), ("t:1/m", "t:1", "macro")]
    assert [trains(fold, "micro", *clip) for clip in asked] == [True, False, True, False]
    free = Fold("a", ("t:1/x",), ("t:1",))
    assert [trains(free, "micro", *clip) for clip in asked] == [True, True, True, False]
    of_macro = Fold("a", ("t:1/m",), ("t:1",), train_ids=("t:2/m",))
    assert [trains(of_macro, "macro", *clip) for clip in asked] == [False, False, True, False]


# With the data at hand


class Toy:
    """The data set that the random runs are of; it has no pictures."""

    name, part, labels, provides, sources = "toy", "benchmark", LABELS, ("emotion-labels",), ()
    task: Task = "classes"
    manifest_hash = "ab" * 32

    def __init__(self, subjects: int = 6) -> None:
        self.subjects = subjects

    def table(self) -> pd.DataFrame:
        return clip_table(self.subjects)


def test_an_honest_run_agrees_with_its_data(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", clip_table())
    made = audit(run, Toy())
    assert check(made, "labels of the run")["status"] == check(made, "folds of the protocol")["status"] == "passed" and made["passed"]
    assert check(audit(run), "labels of the run")["status"] == "not checked"


def test_labels_that_were_rewritten_are_found(tmp_path: Path) -> None:
    """The predictions are made right by making the truth wrong."""
    run = write_run(tmp_path / "run", clip_table())

    def rewrite(record: dict[str, Any]) -> None:
        first = record["predictions"][0]
        first["label"] = next(label for label in LABELS if label != first["label"])

    edit(run, rewrite)
    made = audit(run, Toy())
    found = check(made, "labels of the run")
    assert found["status"] == "failed" and len(found["found"]) == 1 and found["found"][0].startswith("s1_0: ") and not made["passed"]


def test_clips_people_and_classes_that_are_not_the_data_sets_are_found(tmp_path: Path) -> None:
    table = clip_table()
    cases = {
        "s1_easy: the data set has no micro clip": {"table": table.assign(sample_id=table["sample_id"].replace("s1_0", "s1_easy"))},
        "of toy/else in the run, of toy/s1 in the data set": {"table": table.assign(subject=table["subject"].replace("toy/s1", "toy/else"))},
        "classes positive, negative, surprise": {"table": table, "labels": ["positive", "negative", "surprise"]},
    }
    for at, (text, changed) in enumerate(cases.items()):
        made = check(audit(write_run(tmp_path / str(at), **changed), Toy()), "labels of the run")
        assert made["status"] == "failed" and text in made["found"][0], made


@pytest.mark.parametrize(
    ("name", "kept", "status"),
    [("loso", 2, "failed"), ("mine", 6, "failed"), ("file:loso", 2, "not checked"), ("few-shot-9x500", 6, "failed"), ("subject-9fold", 6, "failed")],
)
def test_a_protocol_that_is_not_what_its_name_says_is_found(tmp_path: Path, name: str, kept: int, status: str) -> None:
    run = write_run(tmp_path / "run", clip_table(), protocol=Protocol(name, loso(clip_table()).folds[:kept]).to_json())
    assert check(audit(run, Toy()), "folds of the protocol")["status"] == status


def test_data_that_are_not_the_runs_are_not_believed_either(tmp_path: Path) -> None:
    other = Toy()
    other.manifest_hash = "cd" * 32
    made = audit(write_run(tmp_path / "run", clip_table()), other)
    for name in ("labels of the run", "folds of the protocol", "near-duplicate clips across folds"):
        assert check(made, name)["status"] == "not checked" and "--root clips.csv and --remap FILE" in check(made, name)["text"]


@pytest.mark.parametrize("options", [[], "x", {"preprocessing": 3}, {"preprocessing": {"size": "big"}}, {"preprocessing": {"size": 10**9}}])
def test_odd_options_are_no_crash(tmp_path: Path, options: Any) -> None:
    found = check(audit(write_run(tmp_path / "run", clip_table(), options=options), Toy()), "near-duplicate clips across folds")
    assert found["status"] == "not checked" and "options.preprocessing" in found["text"]


def test_a_run_on_clips_of_ones_own_is_audited_with_their_table(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MERZOO_CACHE", str(tmp_path / "cache"))
    rng, rows = np.random.default_rng(0), ["path,subject,emotion,release"]
    for person in ("a", "b", "c"):
        for clip, emotion in enumerate(("disgust", "happiness", "surprise")):
            folder = tmp_path / person / str(clip)
            folder.mkdir(parents=True)
            for number in range(4):
                cv2.imwrite(str(folder / f"{number}.png"), rng.integers(0, 255, (64, 64, 3), dtype=np.uint8))
            rows.append(f"{person}/{clip},{person},{emotion},cropped")
    clips, labels = tmp_path / "clips.csv", tmp_path / "labels.csv"
    clips.write_text("\n".join(rows))
    labels.write_text("from,to\ndisgust,negative\nhappiness,positive\nsurprise,surprise\n")
    data = open_dataset(str(clips), remap=labels)
    told = {"name": data.name, "part": None, "manifest_hash": data.manifest_hash, "samples": 9, "subjects": 3}
    run = write_run(tmp_path / "run", data.table(), data=told, labels=list(data.labels), options={"preprocessing": {"aligner": "eyes", "size": 64}})
    assert main(["audit", str(run.path), "--json"]) == 0
    for one in json.loads(capsys.readouterr().out)["checks"][4:7]:
        assert one["status"] == "not checked" and "--root clips.csv and --remap FILE" in one["text"]
    assert main(["audit", str(run.path), "--root", str(clips), "--remap", str(labels), "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    for name in ("labels of the run", "folds of the protocol", "near-duplicate clips across folds"):
        assert check(made, name)["status"] == "passed", made
    labels.write_text("from,to\ndisgust,positive\nhappiness,negative\nsurprise,surprise\n")
    assert main(["audit", str(run.path), "--root", str(clips), "--remap", str(labels), "--json"]) == 0
    assert "manifest differs" in check(json.loads(capsys.readouterr().out), "labels of the run")["text"]


def test_data_of_a_strangers_run_are_opened_by_name_only(tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("path,subject,emotion")
    run = write_run(tmp_path / "run", clip_table())

    def named(name: str, **changed: Any) -> RunFolder:
        return RunFolder(run.path, {**run.facts, "data": {**run.facts["data"], "part": None, "name": name, **changed}})

    for strange, words in (
        (named(str(tmp_path / "secret.csv")), "is a path"),
        (named("synthetic", macro=str(tmp_path / "secret.csv")), "is a path"),
        (named("none-such"), "cannot be opened"),
    ):
        dataset, why = open_data(strange, {})
        assert dataset is None and words in why
    assert open_data(named("synthetic", part="tiny"), {})[0] is not None
    with pytest.raises(UsageError, match="label sets"):
        open_data(named("synthetic", part="tiny"), {}, remap=tmp_path / "secret.csv")


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
