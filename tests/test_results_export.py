from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from merzoo.cli import main
from merzoo.errors import MerzooError, ResultError, RunError, UsageError
from merzoo.evaluation.runs import RunFolder, result
from merzoo.results.checking import check
from merzoo.results.desk import Desk
from merzoo.results.export import export
from merzoo.results.pack import pack
from merzoo.results.packed import hidden, opened
from merzoo.results.reading import read
from merzoo.testing.runs import clip_table, write_run, write_synthetic_run

Capsys = pytest.CaptureFixture[str]


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return write_synthetic_run(tmp_path / "run", skill=0.7, seeds=[0, 1], model="toy")


def test_the_claim_is_that_of_the_run(run: RunFolder) -> None:
    value = pack(run, "Ada")
    assert value["result"] == json.loads(json.dumps(result(run)))
    assert (value["schema"], value["kind"], value["by"], value["joined"], value["created"]) == (1, "scores", "Ada", True, run.facts["created"])
    assert value["run"] == dict(run.facts) and value["environment"] == run.facts["environment"]
    assert value["data"]["manifest_hash"] == run.facts["data"]["manifest_hash"]
    assert pack(run, "Ada") == value


def test_probabilities_are_short_where_that_decides_nothing(run: RunFolder) -> None:
    fold = run.protocol.folds[0]
    path = run.fold_path(0, fold.fold_id)
    record = json.loads(path.read_text())
    record["predictions"][0]["probabilities"] = [0.2, 0.2 + 3e-7, 0.2 + 2e-7, 0.2 - 3e-7, 0.2 - 2e-7]  # the second class, which rounding would make the first
    record["predictions"][1]["probabilities"] = [0.123456789, 0.5, 0.3, 0.05, 0.026543211]
    path.write_text(json.dumps(record))
    kept = next(r for r in pack(run)["folds"] if (r["seed"], r["fold_id"]) == (0, fold.fold_id))["predictions"]
    assert kept[0]["probabilities"] == record["predictions"][0]["probabilities"]
    assert kept[1]["probabilities"] == [0.123457, 0.5, 0.3, 0.05, 0.026543]
    assert pack(run)["result"]["scores"] == json.loads(json.dumps(result(run)))["scores"]


def test_thresholds_of_labels_stay_where_they_are(tmp_path: Path) -> None:
    run = write_synthetic_run(tmp_path / "units", task="multi-label")
    path = run.fold_path(0, run.protocol.folds[0].fold_id)
    record = json.loads(path.read_text())
    record["predictions"][0]["probabilities"] = [0.4999999, 0.1, 0.1, 0.9, 0.1]
    path.write_text(json.dumps(record))
    assert pack(run)["folds"][0]["predictions"][0]["probabilities"] == [0.4999999, 0.1, 0.1, 0.9, 0.1]


def test_hashed_files_carry_no_sample_and_no_label(run: RunFolder, tmp_path: Path) -> None:
    value = pack(run, joined=False)
    text = json.dumps({key: entry for key, entry in value.items() if key not in ("result", "paper", "fidelity")})
    tested = [sample for fold in run.protocol.folds for sample in fold.test_ids]
    assert not any(sample in text for sample in tested) and '"label"' not in text
    assert all(hidden(run.facts["data"]["manifest_hash"], sample) in text for sample in tested)
    desk = Desk()
    verdict = check(value, tmp_path / "file.json", desk)
    assert (verdict.status, verdict.reason) == ("consistent", "")
    truth = desk.truth(value["data"])
    assert not isinstance(truth, str)
    assert {**result(opened(value, tmp_path / "file.json", truth)), "seconds": 0} == {**result(run), "seconds": 0}


def test_what_auxiliary_tasks_tell_is_left_out_with_the_labels(tmp_path: Path) -> None:
    run = write_synthetic_run(tmp_path / "run")
    for fold in run.protocol.folds:
        path = run.fold_path(0, fold.fold_id)
        record = json.loads(path.read_text())
        record["auxiliary_outputs"] = {"units": {"aus": ["AU1", "AU2"]}}
        for p in record["predictions"]:
            p |= {"auxiliary": {"units": {"aus": [0.1234567, 0.9]}}, "auxiliary_truth": {"units": {"aus": [0, 1]}}}
        path.write_text(json.dumps(record))
    joined, hashed = pack(run), pack(run, joined=False)
    assert joined["result"]["auxiliary"]["units"]["aus"]["samples"] == 16
    assert joined["folds"][0]["predictions"][0]["auxiliary"] == {"units": {"aus": [0.123457, 0.9]}}
    assert "auxiliary" not in json.dumps(hashed["folds"]) and "auxiliary" not in hashed["result"]
    assert check(hashed, tmp_path / "x.json", Desk()).status == check(joined, tmp_path / "x.json", Desk()).status == "consistent"


def test_the_training_lists_of_few_shot_draws_are_hashed_too(tmp_path: Path) -> None:
    from merzoo.data.synthetic import SyntheticFaces
    from merzoo.evaluation.catalogue import protocol_by_name

    table = SyntheticFaces("tiny").table()
    made = protocol_by_name("few-shot-1x2")(table)
    run = write_synthetic_run(tmp_path / "run", protocol=made.to_json())
    value = pack(run, joined=False)
    assert "synthetic:s" not in json.dumps([fold["train_ids"] for fold in value["run"]["protocol"]["folds"]])
    assert check(value, tmp_path / "x.json", Desk()).status == "consistent"


def test_data_that_are_not_rendered_are_hashed_unless_asked(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", clip_table())
    assert not pack(run)["joined"] and pack(run, joined=True)["joined"]


def test_data_of_ones_own_do_not_leave_with_names(tmp_path: Path, capsys: Capsys) -> None:
    run = write_run(tmp_path / "run", clip_table())
    out = tmp_path / "out"
    assert main(["leaderboard", "export", str(run.path), "--out", str(out)]) == 2
    assert "the ids of 6 people in data of your own, such as toy/s1" in capsys.readouterr().err and not out.exists()
    assert main(["leaderboard", "export", str(run.path), "--out", str(out), "--publish-subjects"]) == 0
    said = capsys.readouterr().out
    assert "sample ids are hashed" in said and "not all of it could be checked here: data set:" in said
    assert main(["leaderboard", "check", *map(str, out.glob("*.json"))]) == 1
    assert "not checked  data set: toy:benchmark cannot be opened here" in capsys.readouterr().out


def test_where_it_is_written(run: RunFolder, tmp_path: Path) -> None:
    path, value, _ = export(run.path, tmp_path / "out", Desk(), by="Ada L.")
    assert path == tmp_path / "out" / "toy-small-synthetic-tiny-loso-ada-l.json" and read(path) == value
    again, _, _ = export(run.path, tmp_path / "out", Desk(), by="Ada L.")  # the same: nothing is lost
    assert again == path and [*path.parent.iterdir()] == [path]
    with pytest.raises(UsageError, match="holds something else; give another --out, or --force"):
        export(run.path, path, Desk(), by="Grace")
    assert read(path)["by"] == "Ada L."
    export(run.path, path, Desk(), by="Grace", force=True)
    assert read(path)["by"] == "Grace"


def broken(run: RunFolder, change: str) -> None:
    path = run.fold_path(0, run.protocol.folds[0].fold_id)
    record = json.loads(path.read_text())
    if change == "leak":
        record["stages"][0]["subjects"].append(record["test_subjects"][0])
    if change == "labels":
        record["predictions"][0]["label"] = next(name for name in run.labels if name != record["predictions"][0]["label"])
    path.write_text(json.dumps(record))


@pytest.mark.parametrize(("change", "reason"), [("leak", "is in the training data"), ("labels", "another label|differences from the data set")])
def test_what_a_board_would_refuse_is_not_written(change: str, reason: str, tmp_path: Path) -> None:
    run = write_synthetic_run(tmp_path / "run")
    broken(run, change)
    with pytest.raises(MerzooError, match=reason):
        export(run.path, tmp_path / "out", Desk())
    assert not (tmp_path / "out").exists()


def test_runs_that_are_no_score(tmp_path: Path) -> None:
    for name, changed, reason in (
        ("half", {"folds": 2}, "only 2 of 4 folds are finished; continue it with --resume"),
        ("flipped", {"flip_labels": 0.2}, "0.2 of its training labels was flipped"),
        ("training", {"kind": "training", "folds": 0}, "training run without folds"),
    ):
        with pytest.raises((ResultError, RunError), match=reason):
            if name == "training":
                from merzoo.testing.runs import facts

                pack(RunFolder.create(tmp_path / name, {**facts(clip_table()), "kind": "training"}))
            else:
                pack(write_synthetic_run(tmp_path / name, **changed))
    with pytest.raises(ResultError, match="--by is not printable text"):
        pack(write_synthetic_run(tmp_path / "whole"), by="a\nb")


def test_oracles_are_made_again_and_kept(tmp_path: Path) -> None:
    run = write_synthetic_run(tmp_path / "run", epochs=5)
    value = pack(run)
    assert value["result"]["oracle"]["epochs"] == 5
    assert check(value, tmp_path / "x.json", Desk()).status == "consistent"
    assert np.allclose(value["result"]["oracle"]["headline"]["uf1"], value["result"]["scores"]["uf1"]["value"])
