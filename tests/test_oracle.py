from __future__ import annotations

from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from merzoo.cli.evaluate import show
from merzoo.evaluation import scores
from merzoo.evaluation.coin_flips import CLASSES, MEGC2019, coin_flips, main, megc2019_shape
from merzoo.evaluation.oracle import oracle
from merzoo.evaluation.runs import RunFolder, predictions, result
from merzoo.testing.runs import LABELS, clip_table, record, write_run

TABLE = clip_table(subjects=5)
EPOCHS = 7


def plain_oracle(run: RunFolder, seed: int) -> dict[str, object]:
    """The same two choices of one seed, written as loops."""
    folds = [run.read_fold(seed, fold.fold_id) for fold in run.protocol.folds]
    truth = [[LABELS.index(p["label"]) for p in fold["predictions"]] for fold in folds]
    kept, best, chosen = [], -1.0, 0
    for fold, labels in zip(folds, truth, strict=True):
        right = [sum(a == b for a, b in zip(epoch, labels, strict=True)) for epoch in fold["oracle"]["epochs"]]
        kept += fold["oracle"]["epochs"][right.index(max(right))]
    pooled = [*chain(*truth)]
    for epoch in range(EPOCHS):
        uf1 = scores(pooled, [*chain(*(fold["oracle"]["epochs"][epoch] for fold in folds))], [0, 1, 2]).uf1
        if uf1 > best:
            best, chosen = uf1, epoch + 1
    return {"for_all": best, "epoch": chosen, "per_fold": scores(pooled, kept, [0, 1, 2])}


def test_equal_to_a_plain_loop_and_mean_over_seeds(tmp_path: Path) -> None:
    run = write_run(tmp_path, TABLE, skill=0.0, epochs=EPOCHS, seeds=[0, 3])
    made, plain = result(run)["oracle"], [plain_oracle(run, seed) for seed in run.seeds]
    assert made["epochs"] == EPOCHS
    assert made["headline"]["uf1"] == pytest.approx(result(run)["scores"]["uf1"]["value"], abs=1e-12)
    assert made["best_epoch_for_all"]["epoch"] == [one["epoch"] for one in plain]
    assert made["best_epoch_for_all"]["uf1"] == pytest.approx(np.mean([one["for_all"] for one in plain]), abs=1e-12)
    for metric in ("uf1", "uar", "accuracy"):
        assert made["best_epoch_per_fold"][metric] == pytest.approx(np.mean([getattr(one["per_fold"], metric) for one in plain]), abs=1e-12)
        gained = made["best_epoch_per_fold"][metric] - made["headline"][metric]
        assert made["inflation"]["best_epoch_per_fold"][metric] == pytest.approx(gained, abs=1e-12)
    assert made["headline"]["uf1"] < made["best_epoch_for_all"]["uf1"]
    assert "no result" in made["note"]


def test_the_earliest_of_equal_epochs_is_taken(tmp_path: Path) -> None:
    """Twice the same epochs choose the same."""
    run, twice = write_run(tmp_path / "a", TABLE, epochs=EPOCHS), write_run(tmp_path / "b", TABLE, folds=0)
    for fold in twice.protocol.folds:
        made = record(TABLE, fold, 0, epochs=EPOCHS)
        made["oracle"]["epochs"] *= 2
        twice.write_fold(0, fold.fold_id, made)
    once, again = result(run)["oracle"], result(twice)["oracle"]
    assert again["epochs"] == 2 * EPOCHS
    assert {**again, "epochs": EPOCHS} == once


def test_folds_of_fewer_epochs_bound_what_is_chosen_for_all(tmp_path: Path) -> None:
    run = write_run(tmp_path, TABLE, folds=0)
    for n, fold in enumerate(run.protocol.folds):
        run.write_fold(0, fold.fold_id, record(TABLE, fold, 0, epochs=EPOCHS + n))
    made = result(run)["oracle"]
    assert made["epochs"] == EPOCHS
    assert made["best_epoch_for_all"]["epoch"][0] <= EPOCHS


@pytest.mark.parametrize("epochs", [1, 2])
def test_each_fold_keeps_its_own_best_of_one_or_two_epochs(tmp_path: Path, epochs: int) -> None:
    """Reading no further than the first, or past the last, would show here."""
    run = write_run(tmp_path, TABLE, folds=0)
    right = []
    for n, fold in enumerate(run.protocol.folds):
        made = record(TABLE, fold, 0, skill=1.0, epochs=epochs)
        truth = made["oracle"]["epochs"][-1]
        worse = [(position + 1) % 3 for position in truth]
        best_is_first = epochs == 2 and n % 2 == 0
        kept = [truth, worse] if best_is_first else [worse, truth][-epochs:]
        if best_is_first:
            for p, position in zip(made["predictions"], worse, strict=True):
                p["probabilities"] = np.eye(3)[position].tolist()
        made["oracle"]["epochs"] = kept
        run.write_fold(0, fold.fold_id, made)
        right.append(not best_is_first)
    found = result(run)["oracle"]
    share = np.mean([right[n] for n, fold in enumerate(run.protocol.folds) for _ in fold.test_ids])
    assert found["epochs"] == epochs and found["best_epoch_per_fold"]["accuracy"] == 1.0 and found["headline"]["accuracy"] == pytest.approx(share)
    assert (share < 1) == (epochs == 2) and found["inflation"]["best_epoch_per_fold"]["accuracy"] == pytest.approx(1 - share)


def test_a_run_that_did_not_keep_every_epoch_has_no_oracle(tmp_path: Path) -> None:
    run = write_run(tmp_path, TABLE, epochs=EPOCHS)
    records = list(run.folds())
    assert oracle(predictions(run), records) is not None
    del records[2]["oracle"]
    assert oracle(predictions(run), records) is None
    assert "oracle" not in result(write_run(tmp_path / "b", TABLE))


# ------------------------------------------------------------------------------------------------------------------- coin flips


def test_the_shape_is_that_of_megc2019() -> None:
    clips = megc2019_shape()
    assert (len(clips), len({subject for _, subject, _ in clips}), len({sample for sample, _, _ in clips})) == (442, 68, 442)
    for part, (subjects, totals) in MEGC2019.items():
        mine = [(subject, label) for _, subject, label in clips if subject.startswith(f"{part}:")]
        assert (len({subject for subject, _ in mine}), tuple(np.bincount([label for _, label in mine]))) == (subjects, totals)
    assert tuple(np.bincount([label for _, _, label in clips])) == (250, 109, 83)
    assert megc2019_shape(1) != clips == megc2019_shape()


def test_coin_flips_reach_what_papers_report_if_each_subject_keeps_its_best(tmp_path: Path) -> None:
    made = coin_flips(tmp_path / "run")
    assert made["complete"]
    assert made["folds"]["done"] == 68
    assert {name: (part["samples"], part["subjects"]) for name, part in made["slices"].items()} == {"casme2": (145, 24), "samm": (133, 28), "smic": (164, 16)}
    assert made["scores"]["uf1"]["value"] == pytest.approx(0.3, abs=0.05)
    assert made["oracle"]["best_epoch_per_fold"]["uf1"] > 0.8
    assert 0.03 < made["oracle"]["inflation"]["best_epoch_for_all"]["uf1"] < 0.12
    run = RunFolder.open(tmp_path / "run")
    assert run.facts["reference"]
    assert len(run.read_fold(0, run.protocol.folds[0].fold_id)["oracle"]["epochs"]) == 800


def test_evaluate_shows_slices_and_what_a_choice_would_have_claimed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = coin_flips(tmp_path / "run", 20)
    show(made, tmp_path / "run")
    lines = capsys.readouterr().out.splitlines()
    samm = made["slices"]["samm"]["scores"]["uar"]
    assert any(line.startswith("samm") and f"{samm['value']:.3f} [{samm['low']:.3f}, {samm['high']:.3f}]" in line for line in lines)
    assert any(line.startswith("oracle: best epoch of each fold") and f"{made['oracle']['best_epoch_per_fold']['uf1']:.3f}" in line for line in lines)
    assert not any("mean of parts" in line for line in lines)
    show({**made, "mean_of_slices": {"metric": "uf1", "value": 0.123}}, tmp_path)
    assert [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("mean of parts")] == [["mean", "of", "parts", "0.123"]]


def test_fewer_flips_inflate_less(tmp_path: Path) -> None:
    made = {draws: coin_flips(tmp_path / str(draws), draws)["oracle"] for draws in (1, 10)}
    assert made[1]["inflation"] == {way: dict.fromkeys(("uf1", "uar", "accuracy"), 0.0) for way in ("best_epoch_for_all", "best_epoch_per_fold")}
    assert 0.1 < made[10]["inflation"]["best_epoch_per_fold"]["uf1"] < 0.4


def test_the_command_prints_the_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--draws", "10", "--out", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().out
    assert [line.split("  ")[0] for line in said.splitlines()[2:5]] == ["last draw (the headline)", "oracle: one draw for all", "oracle: one draw a subject"]
    assert RunFolder.open(tmp_path / "run").labels == CLASSES
    assert main(["--draws", "0"]) == 2
    assert capsys.readouterr().err.splitlines() == ["merzoo: 0 draws choose nothing; ask for at least 1"]
    assert main(["--draws", "10", "--out", str(tmp_path / "run")]) == 2
    assert "already holds this run" in capsys.readouterr().err
