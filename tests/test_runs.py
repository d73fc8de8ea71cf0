from __future__ import annotations

import copy
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from merzoo import files as files_module
from merzoo.errors import LeakageError, MerzooWarning, RunError
from merzoo.evaluation import multilabel_scores, scores
from merzoo.evaluation.protocols import Fold, Protocol
from merzoo.evaluation.runs import RunFolder, environment, predictions, result, write_result
from merzoo.evaluation.splits import loso
from merzoo.files import write_atomically
from merzoo.testing.runs import LABELS, clip_table, facts, record, write_run

TABLE = clip_table()


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a" / "run", TABLE, seeds=[3, 1])
    again = RunFolder.open(tmp_path / "a" / "run")
    assert again.facts == run.facts
    assert again.protocol == run.protocol
    assert again.labels == LABELS
    assert [(r["seed"], r["fold_id"]) for r in again.folds()] == [(s, f.fold_id) for s in (3, 1) for f in run.protocol.folds]
    assert again.missing() == []
    assert (tmp_path / "a" / "run" / "folds" / "3" / f"{run.protocol.folds[0].fold_id}.json").is_file()


def test_the_result_is_made_from_the_folds_alone(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", TABLE, seeds=[0, 1], skill=0.8)
    made = write_result(run)
    assert json.loads((tmp_path / "run" / "result.json").read_text()) == made
    pool = predictions(run)
    assert (pool.classes, len(pool), pool.probabilities.shape) == (LABELS, 48, (48, 3))
    each = [scores(pool.label[pool.seed == k], pool.predicted[pool.seed == k], [0, 1, 2]) for k in (0, 1)]
    assert made["scores"]["uf1"]["value"] == pytest.approx(np.mean([s.uf1 for s in each]), abs=1e-12)
    assert [row["uar"] for row in made["per_seed"]] == [s.uar for s in each]
    assert np.mean([c["f1"] for c in made["per_class"].values()]) == pytest.approx(made["scores"]["uf1"]["value"], abs=1e-12)
    assert made["confusion"] == (each[0].confusion + each[1].confusion).tolist()
    assert made["scores"]["uf1"]["low"] < made["scores"]["uf1"]["value"] < made["scores"]["uf1"]["high"]
    assert (made["complete"], made["folds"], made["training_subjects"], made["seconds"]) == (True, {"done": 12, "expected": 12}, 6, 18.0)
    assert made["bootstrap"]["unit"] == "subject"
    before = made.copy()
    (tmp_path / "run" / "result.json").write_text("{}")
    assert result(run) == before


def test_an_unfinished_run_says_so_and_resumes_to_the_same_result(tmp_path: Path) -> None:
    whole = write_run(tmp_path / "whole", TABLE)
    half = write_run(tmp_path / "half", TABLE, folds=2)
    assert result(half)["complete"] is False
    assert result(half)["folds"] == {"done": 2, "expected": 6}
    again = RunFolder.create(tmp_path / "half", facts(TABLE), resume=True)
    assert [fold.fold_id for _, fold in again.missing()] == [fold.fold_id for fold in whole.protocol.folds[2:]]
    for seed, fold in again.missing():
        again.write_fold(seed, fold.fold_id, record(TABLE, fold, seed))
    assert result(again) == result(whole)


def test_a_run_without_a_finished_fold_has_no_result(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no finished fold"):
        result(RunFolder.create(tmp_path / "run", facts(TABLE)))


def test_an_absent_class_is_warned_of_once(tmp_path: Path) -> None:
    with pytest.warns(MerzooWarning, match="no sample of class others") as caught:
        made = result(_four_classes(tmp_path))
    assert len(caught) == 1
    assert made["absent_classes"] == ["others"]
    assert made["bootstrap"]["lacking_a_class"] == made["bootstrap"]["resamples"]


def _four_classes(tmp_path: Path) -> RunFolder:
    run = RunFolder.create(tmp_path / "run", facts(TABLE, labels=[*LABELS, "others"]))
    for fold in run.protocol.folds:
        made = record(TABLE, fold, 0)
        for p in made["predictions"]:
            p["probabilities"].append(0.0)
        run.write_fold(0, fold.fold_id, made)
    return run


# ------------------------------------------------------------------------------------------------------------------- what a result is made of


def write_shuffled(path: Path, seed: int, skill: float) -> RunFolder:
    """The same folds and predictions, folds, samples and table rows in another order."""
    rng = np.random.default_rng(seed)
    protocol = loso(TABLE.sample(frac=1, random_state=seed))
    folds = [replace(fold, test_ids=tuple(rng.permutation(fold.test_ids).tolist())) for fold in protocol.folds]
    mixed = Protocol("loso", tuple(folds[i] for i in rng.permutation(len(folds))))
    run = RunFolder.create(path, facts(TABLE, protocol=mixed.to_json(), seeds=[0, 1]))
    original = loso(TABLE).by_id
    for at in (0, 1):
        for fold in mixed.folds:
            made = record(TABLE, original[fold.fold_id], at, skill)
            rng.shuffle(made["predictions"])
            run.write_fold(at, fold.fold_id, made)
    return run


@pytest.mark.parametrize("skill", [0.5, 1.0])
def test_no_order_of_folds_or_samples_changes_a_result(tmp_path: Path, skill: float) -> None:
    expected = result(write_run(tmp_path / "run", TABLE, skill=skill, seeds=[0, 1]))
    for seed in range(4):
        assert result(write_shuffled(tmp_path / str(seed), seed, skill)) == expected
    assert (expected["scores"]["uf1"]["value"] == expected["scores"]["uar"]["value"] == expected["scores"]["accuracy"]["value"] == 1) == (skill == 1)


def of_sets(table: pd.DataFrame, *sets: str) -> pd.DataFrame:
    """The table with its subjects dealt out to data sets."""
    names = {subject: f"{sets[i % len(sets)]}:{i:02d}" for i, subject in enumerate(table["subject"].unique())}
    return table.assign(subject=table["subject"].map(names))


def test_a_run_over_several_data_sets_is_scored_in_slices_of_the_same_predictions(tmp_path: Path) -> None:
    table = of_sets(TABLE, "samm", "smic")
    run = write_run(tmp_path / "run", table, seeds=[0, 1])
    made, pool = result(run), predictions(run)
    assert list(made["slices"]) == ["samm", "smic"]
    assert "mean_of_slices" not in made  # LOSO
    for name, part in made["slices"].items():
        mine = pool.where(np.array([subject.startswith(name) for subject in pool.subject.tolist()]))
        each = [scores(mine.label[mine.seed == k], mine.predicted[mine.seed == k], [0, 1, 2]) for k in (0, 1)]
        for metric in ("uf1", "uar", "accuracy"):
            assert part["scores"][metric]["value"] == pytest.approx(np.mean([getattr(s, metric) for s in each]), abs=1e-12)
        assert (part["samples"], part["subjects"], part["absent_classes"]) == (12, 3, [])
        assert part["scores"]["uf1"]["low"] < part["scores"]["uf1"]["high"]
    assert "slices" not in result(write_run(tmp_path / "one", of_sets(TABLE, "samm")))
    assert "slices" not in result(write_run(tmp_path / "none", TABLE))


def test_data_sets_left_out_as_a_whole_count_the_same_each(tmp_path: Path) -> None:
    table = of_sets(TABLE, "samm", "smic", "samm")  # 4 and 2 subjects
    micro = table[table["kind"] == "micro"]
    folds = []
    for name in ("samm", "smic"):
        mine = micro[micro["subject"].str.startswith(name)]
        # Somebody of the other set may have to be kept away too: the same person under another name.
        folds.append(Fold(name, tuple(mine["sample_id"]), (*mine["subject"].unique(), *(["smic:01"] if name == "samm" else []))))
    protocol = Protocol("leave-one-data-set-out", tuple(folds))
    run = write_run(tmp_path / "run", table, protocol=protocol.to_json())
    made = result(run)
    each = [part["scores"]["uf1"]["value"] for part in made["slices"].values()]
    assert made["mean_of_slices"] == {"metric": "uf1", "value": pytest.approx(np.mean(each), abs=1e-12)}
    assert made["mean_of_slices"]["value"] != pytest.approx(made["scores"]["uf1"]["value"], abs=1e-6)
    half = write_run(tmp_path / "half", table, folds=1, protocol=protocol.to_json())
    assert "mean_of_slices" not in result(half)


def test_several_draws_are_pooled_each_by_itself(tmp_path: Path) -> None:
    once = loso(TABLE)
    again = tuple(replace(fold, fold_id=f"{fold.fold_id}_again", draw=1) for fold in once.folds[:4])
    run = write_run(tmp_path / "run", TABLE, seeds=[0, 1], protocol=Protocol("few-shot", once.folds + again).to_json())
    made, pool = result(run), predictions(run)
    pairs = [(k, d) for k in (0, 1) for d in (0, 1)]
    each = {pair: pool.where((pool.seed == pair[0]) & (pool.draw == pair[1])) for pair in pairs}
    assert [len(part) for part in each.values()] == [24, 16, 24, 16]
    uf1 = {pair: scores(part.label, part.predicted, [0, 1, 2]).uf1 for pair, part in each.items()}
    assert made["scores"]["uf1"]["value"] == pytest.approx(np.mean([*uf1.values()]), abs=1e-12)
    assert [row["uf1"] for row in made["per_seed"]] == pytest.approx([(uf1[k, 0] + uf1[k, 1]) / 2 for k in (0, 1)], abs=1e-12)
    assert (made["draws"], made["tested"]["samples"], sum(c["support"] for c in made["per_class"].values())) == (2, 24, 24)


UNITS = ("AU1", "AU4", "AU12")


def units_run(path: Path) -> RunFolder:
    """Action units: the truth is drawn at random, every fourth decision is wrong."""
    run = RunFolder.create(path, facts(TABLE, task="multi-label", labels=list(UNITS)))
    for n, fold in enumerate(run.protocol.folds):
        made, rng = record(TABLE, fold, 0), np.random.default_rng(n)
        for p in made["predictions"]:
            truth = rng.random(3) < 0.5
            p["label"] = "+".join(rng.permutation([unit for unit, there in zip(UNITS, truth, strict=True) if there]))
            p["probabilities"] = np.where((rng.random(3) < 0.75) == truth, 0.5, 0.49).tolist()
        run.write_fold(0, fold.fold_id, made)
    return run


def test_a_multi_label_run_is_scored_by_the_mean_f1_of_its_units(tmp_path: Path) -> None:
    run = units_run(tmp_path)
    made, pool = result(run), predictions(run)
    rows = [p for r in run.folds() for p in r["predictions"]]
    truth = [[unit in p["label"].split("+") for unit in UNITS] for p in rows]
    plain = multilabel_scores(truth, [[share >= 0.5 for share in p["probabilities"]] for p in rows], UNITS)
    assert pool.label.tolist() == truth
    assert [*made["scores"]] == ["au_f1"]
    assert made["scores"]["au_f1"]["value"] == pytest.approx(plain.au_f1, abs=1e-12)
    assert made["per_class"] == plain.per_class
    assert (made["task"], made["confusion"]) == ("multi-label", None)
    assert 0 < made["scores"]["au_f1"]["low"] < made["scores"]["au_f1"]["value"] < made["scores"]["au_f1"]["high"] < 1


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"label": "AU1+AU1"}, "label of"),
        ({"label": "AU1+"}, "label of"),
        ({"label": "AU9"}, "label of"),
        ({"label": ["AU1"]}, "label of"),
        ({"label": None}, "label of"),
        ({"probabilities": [0.5, 1.5, 0]}, "from 0 to 1"),
        ({"probabilities": [0.5, 0.5]}, "3 numbers"),
    ],
)
def test_a_multi_label_fold_that_is_not_as_it_should_be(tmp_path: Path, change: dict, word: str) -> None:
    run = units_run(tmp_path)
    path = run.fold_path(0, run.protocol.folds[0].fold_id)
    made = json.loads(path.read_text())
    _first(made).update(change)
    path.write_text(json.dumps(made))
    with pytest.raises(RunError, match=word):
        predictions(run)


def test_epochs_of_a_multi_label_fold_are_refused(tmp_path: Path) -> None:
    run = units_run(tmp_path)
    fold = run.protocol.folds[0].fold_id
    with pytest.raises(RunError, match="oracle is not null in a multi-label task"):
        run.write_fold(0, fold, {**run.read_fold(0, fold), "oracle": {"stage": "supervised", "epochs": [[0, 1, 2, 0]]}})


def test_checks_and_harder_clips_are_kept(tmp_path: Path) -> None:
    run = write_run(tmp_path, TABLE)
    fold = run.protocol.folds[0].fold_id
    more = {"checks": {"state_unchanged": True, "batch_independent": 1e-7}, "perturbed": {"noise": [[1.0, 0.0, 0.0]] * 4}}
    run.write_fold(0, fold, {**run.read_fold(0, fold), **more})
    assert more.items() <= run.read_fold(0, fold).items()


def test_a_hundred_conditions_are_kept(tmp_path: Path) -> None:
    run = write_run(tmp_path, TABLE, folds=0, perturb=[f"pixel-noise={n}" for n in range(100)])
    for fold in run.protocol.folds:
        made = record(TABLE, fold, 0)
        run.write_fold(0, fold.fold_id, {**made, "perturbed": {name: [p["probabilities"] for p in made["predictions"]] for name in run.facts["perturb"]}})
    assert len(result(run, resamples=5)["perturbed"]) == 100


def test_two_classes_as_good_as_equal_may_change_places_between_the_last_epoch_and_the_test(tmp_path: Path) -> None:
    """On a GPU the same network asked twice may differ in the last bits; a fold is not thrown away for that."""
    run = write_run(tmp_path, TABLE, epochs=3)
    fold = run.protocol.folds[0].fold_id
    made = run.read_fold(0, fold)
    made["predictions"][0]["probabilities"], made["oracle"]["epochs"][-1][0] = [0.400001, 0.4, 0.199999], 1
    run.write_fold(0, fold, made)
    made["predictions"][0]["probabilities"] = [0.41, 0.4, 0.19]
    with pytest.raises(RunError, match="last epoch"):
        run.write_fold(0, fold, made)


def test_flipped_labels_are_told_in_the_result(tmp_path: Path) -> None:
    assert result(write_run(tmp_path / "a", TABLE, flip_labels=0.2), resamples=5)["flip_labels"] == 0.2
    assert result(write_run(tmp_path / "b", TABLE), resamples=5)["flip_labels"] == 0.0


def test_a_stage_that_serves_all_folds_is_counted_once(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", facts(TABLE))
    for fold in run.protocol.folds:
        made = record(TABLE, fold, 0)
        made["stages"].insert(0, {"name": "pretext", "scope": "run", "subjects": ["other/s1"], "steps": 5, "seconds": 100.0, "loss": None})
        run.write_fold(0, fold.fold_id, made)
    assert result(run)["seconds"] == 109.0
    assert result(run)["training_subjects"] == 7


def test_training_runs_have_no_folds(tmp_path: Path) -> None:
    asked = facts(TABLE, kind="training")
    del asked["protocol"]
    run = RunFolder.create(tmp_path / "run", asked)
    assert RunFolder.open(run.path).facts["kind"] == "training"
    with pytest.raises(RunError, match="training run"):
        result(run)


# ------------------------------------------------------------------------------------------------------------------- asking again


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"preset": "full"}, "preset is 'small' there and 'full' here"),
        ({"seeds": [0, 1]}, "seeds"),
        ({"weights": {"tag": "synthetic", "sha256": "ab" * 32}}, "weights"),
        ({"parts": {"backbone": "other"}}, "parts.auxiliary is \\[\\] there and None here"),
        ({"protocol": facts(clip_table(seed=0, subjects=5))["protocol"]}, "protocol.hash"),
        ({"parameters": 7}, "parameters"),
    ],
)
@pytest.mark.parametrize("resume", [False, True])
def test_a_run_asked_differently_is_refused(tmp_path: Path, change: dict, field: str, resume: bool) -> None:
    RunFolder.create(tmp_path, facts(TABLE))
    before = (tmp_path / "run.json").read_bytes()
    with pytest.raises(RunError, match=field):
        RunFolder.create(tmp_path, facts(TABLE, **change), resume=resume)
    assert (tmp_path / "run.json").read_bytes() == before


def test_the_same_run_again_needs_resume(tmp_path: Path) -> None:
    RunFolder.create(tmp_path, facts(TABLE))
    with pytest.raises(RunError, match="--resume"):
        RunFolder.create(tmp_path, facts(TABLE))


def test_resuming_elsewhere_warns_and_keeps_what_was_written(tmp_path: Path) -> None:
    first = RunFolder.create(tmp_path, facts(TABLE))
    with pytest.warns(MerzooWarning, match="threads is 1 there and 8 here"):
        again = RunFolder.create(tmp_path, facts(TABLE, environment={**first.facts["environment"], "threads": 8}), resume=True)
    assert again.facts == first.facts


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(RunError, match="not empty and holds no run"):
        RunFolder.create(tmp_path, facts(TABLE), resume=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["thesis.tex"]


def test_what_a_killed_writer_left_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / ".run.json.1234.tmp").write_text("{")
    run = RunFolder.create(tmp_path, facts(TABLE))
    (tmp_path / "folds" / "0").mkdir(parents=True)
    (tmp_path / "folds" / "0" / f".{run.protocol.folds[0].fold_id}.json.77.tmp").write_text("{")
    assert list(run.folds()) == []


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(RunError, match="cannot be made a folder"):
            RunFolder.create(place, facts(TABLE))
    if os.geteuid():
        (tmp_path / "closed").mkdir(mode=0o500)
        with pytest.raises(RunError, match="permission"):
            RunFolder.create(tmp_path / "closed", facts(TABLE))


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_atomically(tmp_path / "a.json", "old\n")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files_module.os, "fsync", full)
    with pytest.raises(RunError, match="No space left"):
        write_atomically(tmp_path / "a.json", "new\n")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.json", "old\n")]


def _write_for_ever(path: Path) -> None:
    run, n = RunFolder.open(path), 0
    while True:
        n += 1
        for fold in run.protocol.folds:
            run.write_fold(0, fold.fold_id, record(TABLE, fold, 0))


def test_killing_a_writer_never_leaves_half_a_fold(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", facts(TABLE))
    for wait in (0.05, 0.02, 0.11):
        process = multiprocessing.get_context("fork").Process(target=_write_for_ever, args=(run.path,))
        process.start()
        end = time.monotonic() + 20
        while run.missing() and time.monotonic() < end:
            time.sleep(0.005)
        time.sleep(wait)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert [r["fold_id"] for r in run.folds()] == [f.fold_id for f in run.protocol.folds]


# ------------------------------------------------------------------------------------------------------------------- strangers' files


def _first(made: dict[str, Any]) -> dict[str, Any]:
    return made["predictions"][0]


ATTACKS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no schema": (lambda r: r.pop("schema"), "schema"),
    "true as schema": (lambda r: r.update(schema=True), "schema"),
    "another fold": (lambda r: r.update(fold_id="else"), "fold_id"),
    "another seed": (lambda r: r.update(seed=5), "seed"),
    "predictions no list": (lambda r: r.update(predictions={}), "predictions is not a list"),
    "prediction no object": (lambda r: r["predictions"].append(3), "predictions"),
    "negative probability": (lambda r: _first(r).update(probabilities=[1.5, -0.5, 0.0]), "sum to 1"),
    "sum": (lambda r: _first(r).update(probabilities=[0.5, 0.4, 0.0]), "sum to 1"),
    "too few classes": (lambda r: _first(r).update(probabilities=[0.5, 0.5]), "3 finite numbers"),
    "text for a number": (lambda r: _first(r).update(probabilities=["1", 0, 0]), "finite numbers"),
    "huge integer": (lambda r: _first(r).update(probabilities=[10**400, 0, 0]), "finite numbers"),
    "unknown label": (lambda r: _first(r).update(label="bored"), "label of"),
    "unhashable label": (lambda r: _first(r).update(label=["negative"]), "label of"),
    "sample twice": (lambda r: r["predictions"].append(copy.deepcopy(_first(r))), "given once"),
    "sample left out": (lambda r: r["predictions"].pop(), "exactly the 4 test samples"),
    "sample of another fold": (lambda r: r["predictions"].append({**_first(r), "sample_id": "s3_0"}), "exactly the 4 test samples"),
    "subject of another fold": (lambda r: _first(r).update(subject="toy/s2"), "test subject of this fold"),
    "other test subjects": (lambda r: r.update(test_subjects=["toy/s2"]), "test_subjects"),
    "terminal escape": (lambda r: r["stages"][0].update(name="\x1b[2J"), "printable"),
    "stage no object": (lambda r: r["stages"].append(None), "stages"),
    "scope": (lambda r: r["stages"][0].update(scope="both"), "scope"),
    "infinite loss": (lambda r: r["stages"][0].update(loss=1e400), "JSON|loss"),
    "hash": (lambda r: r.update(state_sha256="zz" * 32), "state_sha256"),
    "oracle": (lambda r: r.update(oracle=[1]), "oracle"),
    "oracle of no epoch": (lambda r: r.update(oracle={"stage": "supervised", "epochs": []}), "oracle.epochs"),
    "oracle of another length": (lambda r: r.update(oracle={"stage": "supervised", "epochs": [[0, 1, 2, 0], [0]]}), "lists of 4 positions"),
    "oracle of no class": (lambda r: r.update(oracle={"stage": "supervised", "epochs": [[0, 1, 3, 0]]}), "positions below 3"),
    "oracle of truth values": (lambda r: r.update(oracle={"stage": "supervised", "epochs": [[0, 1, True, 0]]}), "positions below 3"),
    "oracle of no stage": (lambda r: r.update(oracle={"epochs": [[0, 1, 2, 0]]}), "oracle.stage"),
    "epoch chosen": (lambda r: r["oracle"]["epochs"].append([(last + 1) % 3 for last in r["oracle"]["epochs"][-1]]), "not those of the last epoch"),
    "no stage": (lambda r: r.update(stages=[]), "at least one stage"),
    "stage without subjects": (lambda r: r["stages"][0].update(subjects=[]), "at least one subject"),
    "too many conditions": (lambda r: r.update(perturbed={str(n): [[1, 0, 0]] * 4 for n in range(101)}), "at most 100 entries"),
    "too many checks": (lambda r: r.update(checks={str(n): True for n in range(51)}), "at most 50 entries"),
    "checks no object": (lambda r: r.update(checks=[True]), "checks"),
    "check of a text": (lambda r: r.update(checks={"state_unchanged": "yes"}), "checks.state_unchanged"),
    "perturbed of another length": (lambda r: r.update(perturbed={"noise": [[1, 0, 0]]}), "4 lists of probabilities"),
    "perturbed sum": (lambda r: r.update(perturbed={"noise": [[1, 1, 0]] * 4}), "perturbed.noise"),
    "unprintable condition": (lambda r: r.update(perturbed={"\x1b": [[1, 0, 0]] * 4}), "perturbed"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_a_fold_that_is_not_as_it_should_be_is_refused_by_name(tmp_path: Path, name: str) -> None:
    change, word = ATTACKS[name]
    run = write_run(tmp_path, TABLE, epochs=3)
    path = run.fold_path(0, run.protocol.folds[0].fold_id)
    made = json.loads(path.read_text())
    change(made)
    path.write_text(json.dumps(made))
    with pytest.raises(RunError, match=word) as error:
        predictions(run)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"schema": NaN}', '{"x": 1e999}', '{"x": "\\ud800"}', "[" * 100_000, '{"a": ' + "9" * 5000 + "}", "\ufffe"]
)
def test_files_that_are_no_object(tmp_path: Path, text: str) -> None:
    run = write_run(tmp_path, TABLE)
    path = run.fold_path(0, run.protocol.folds[0].fold_id)
    path.write_bytes(text.encode("utf-16") if text == "\ufffe" else text.encode())
    with pytest.raises(RunError, match=path.name):
        list(run.folds())
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(RunError, match=r"run\.json"):
        RunFolder.open(tmp_path)


def test_a_file_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = write_run(tmp_path, TABLE)
    monkeypatch.setattr(files_module, "MAX_BYTES", 1000)
    with pytest.raises(RunError, match="larger than"):
        list(run.folds())


def test_folds_that_nobody_asked_for(tmp_path: Path) -> None:
    run = write_run(tmp_path, TABLE)
    stray = tmp_path / "folds" / "0" / "stray.json"
    stray.write_text("{}")
    with pytest.raises(RunError, match=r"stray\.json"):
        predictions(run)
    stray.unlink()
    (tmp_path / "folds" / "9").mkdir()
    (tmp_path / "folds" / "9" / "x.json").write_text("{}")
    with pytest.raises(RunError, match=r"x\.json"):
        predictions(run)
    with pytest.raises(RunError, match="has no fold"):
        run.has_fold(0, "../../etc/passwd")


def test_a_test_subject_in_training_is_refused_on_writing_and_on_reading(tmp_path: Path) -> None:
    run = write_run(tmp_path, TABLE)
    fold = run.protocol.folds[0]
    made = record(TABLE, fold, 0)
    made["stages"][0]["subjects"].append("toy/s1")
    with pytest.raises(LeakageError, match="toy/s1"):
        run.write_fold(0, fold.fold_id, made)
    path = run.fold_path(0, fold.fold_id)
    tampered = json.loads(path.read_text())
    tampered["stages"][0]["subjects"].append("toy/s1")
    path.write_text(json.dumps(tampered))
    with pytest.raises(LeakageError, match=path.name):
        result(run)


def test_a_stage_of_the_whole_run_may_meet_nobody_who_is_tested(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path, facts(TABLE))
    fold = run.protocol.folds[0]
    made = record(TABLE, fold, 0)
    made["stages"][0]["scope"] = "run"  # trained on toy/s2 to s6, each of whom another fold tests
    with pytest.raises(LeakageError, match="toy/s2"):
        run.write_fold(0, fold.fold_id, made)


def test_a_label_that_depends_on_the_seed_is_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path, TABLE, seeds=[0, 1])
    path = run.fold_path(1, run.protocol.folds[0].fold_id)
    made = json.loads(path.read_text())
    made["predictions"][0]["label"] = LABELS[(LABELS.index(made["predictions"][0]["label"]) + 1) % 3]
    path.write_text(json.dumps(made))
    with pytest.raises(RunError, match="another label"):
        result(run)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"kind": "dream"}, "kind"),
        ({"task": "regression"}, "task"),
        ({"task": None}, "task"),
        ({"task": "multi-label", "labels": ["AU1", "AU1+AU2"]}, "labels"),
        ({"model": 3}, "model"),
        ({"model": "x" * 301}, "model"),
        ({"labels": ["a", "a"]}, "labels"),
        ({"labels": "ab"}, "labels"),
        ({"seeds": []}, "seeds"),
        ({"seeds": [-1]}, "seeds"),
        ({"seeds": [True]}, "seeds"),
        ({"data": {"name": "toy"}}, "data.manifest_hash"),
        ({"weights": "imagenet"}, "weights"),
        ({"environment": {"cpu": []}}, "environment.cpu"),
        ({"environment": {"cpu": "\ud800"}}, "environment.cpu"),
        ({"environment": {str(i): i for i in range(51)}}, "environment"),
        ({"parts": {"head": 3}}, "parts.head"),
        ({"labels": [str(i) for i in range(101)]}, "labels"),
        ({"parameters": "many"}, "parameters"),
        ({"reference": "yes"}, "reference"),
        ({"protocol": {"name": "loso"}}, "protocol manifest"),
        ({"protocol": facts(TABLE)["protocol"] | {"name": "x" * 301}}, "protocol.name"),
        ({"flip_labels": 1.5}, "flip_labels"),
        ({"flip_labels": True}, "flip_labels"),
        ({"extra": object()}, "JSON"),
        ({"extra": float("inf")}, "JSON"),
    ],
)
def test_facts_that_make_no_run(tmp_path: Path, change: dict, word: str) -> None:
    with pytest.raises(RunError, match=word):
        RunFolder.create(tmp_path / "run", facts(TABLE, **change))
    assert not (tmp_path / "run").exists()


def test_a_trimmed_protocol_is_noticed(tmp_path: Path) -> None:
    run = write_run(tmp_path, TABLE)
    told = json.loads((tmp_path / "run.json").read_text())
    gone = told["protocol"]["folds"].pop()
    (tmp_path / "run.json").write_text(json.dumps(told))
    run.fold_path(0, gone["fold_id"]).unlink()
    with pytest.raises(RunError, match="changed"):
        RunFolder.open(tmp_path)


def test_the_environment_names_what_bits_depend_on() -> None:
    made = environment("cpu", threads=2)
    assert set(made) == {"merzoo", "python", "torch", "numpy", "platform", "cpu", "device", "threads"}
    assert all(made.values())
