"""Predictions of harder clips: made like those of the clips as they are, and scored from the fold records alone."""

from __future__ import annotations

import pytest
import torch

from merzoo.data.clips import Clips
from merzoo.data.perturb import Perturbation
from merzoo.errors import RunError, UsageError
from merzoo.evaluation.predicting import predict_clips
from merzoo.evaluation.robustness import predict_perturbed
from merzoo.evaluation.runs import RunFolder, result
from merzoo.recognizer import build
from merzoo.testing.runs import clip_table, facts, record
from merzoo.training.machine import Machine

CPU = Machine.of("cpu", "fp32", 1)
CONDITIONS = ("pixel-noise=10", "jitter=2")


def test_as_little_as_nothing_changes_nothing_and_more_does(tiny):
    torch.manual_seed(0)
    net, clips = build(("timm/test_resnet", {"view": "difference", "size": 56}), labels=tiny.labels), Clips(tiny, "micro")
    plain = [row["probabilities"] for row in predict_clips(net, clips, CPU)]
    found = predict_perturbed(net, clips, CPU, [Perturbation("pixel-noise", 0.01), Perturbation("pixel-noise", 40)])
    assert list(found) == ["pixel-noise=0.01", "pixel-noise=40"]
    assert found["pixel-noise=0.01"] == plain
    noisy = torch.tensor(found["pixel-noise=40"])
    assert noisy.shape == torch.tensor(plain).shape and (noisy - torch.tensor(plain)).abs().max() > 1e-3


def test_a_clip_is_perturbed_alike_whoever_stands_beside_it(tiny):
    net, clips = build(("timm/test_resnet", {"view": "difference", "size": 56}), labels=tiny.labels), Clips(tiny, "micro")
    some = clips.where(clips.positions >= 5)
    for text in CONDITIONS:
        (all_of_them,) = predict_perturbed(net, clips, CPU, [Perturbation.parse(text)], batch_size=4).values()
        (later,) = predict_perturbed(net, some, CPU, [Perturbation.parse(text)]).values()
        torch.testing.assert_close(torch.tensor(all_of_them[5:]), torch.tensor(later), atol=1e-5, rtol=0)


def perturbed_run(path, break_fold=None):
    table = clip_table()
    run = RunFolder.create(path, facts(table, perturb=list(CONDITIONS)))
    for number, fold in enumerate(run.protocol.folds):
        made = record(table, fold, 0)
        right = [[float(label == p["label"]) for label in run.labels] for p in made["predictions"]]
        made["perturbed"] = {CONDITIONS[0]: [p["probabilities"] for p in made["predictions"]], CONDITIONS[1]: right}
        if number == break_fold:
            del made["perturbed"][CONDITIONS[1]]
        run.write_fold(0, fold.fold_id, made)
    return run


def test_each_condition_is_scored_from_its_own_predictions(tmp_path):
    found = result(perturbed_run(tmp_path / "run"), resamples=200)
    assert list(found["perturbed"]) == list(CONDITIONS)
    assert found["perturbed"][CONDITIONS[0]] == found["scores"] and found["scores"]["uf1"]["value"] < 1
    assert found["perturbed"][CONDITIONS[1]]["uf1"] == {"value": 1.0, "low": pytest.approx(1, abs=0.4), "high": 1.0}


def test_a_fold_without_a_condition_that_was_asked_for(tmp_path):
    with pytest.raises(RunError, match="not predicted under jitter=2"):
        result(perturbed_run(tmp_path / "run", break_fold=2), resamples=10)


@pytest.mark.parametrize("conditions", ["pixel-noise=10", [3], ["a", "a"], [str(n) for n in range(101)], None])
def test_conditions_that_make_no_run(tmp_path, conditions):
    with pytest.raises(RunError, match="perturb"):
        RunFolder.create(tmp_path / "run", facts(clip_table(), perturb=conditions))


@pytest.mark.slow
def test_an_evaluation_with_harder_clips(tmp_path):
    from merzoo.evaluation.evaluate import evaluate

    common = {"model": "flow-svm", "data": "synthetic:tiny", "preset": "small", "device": "cpu"}
    found = evaluate(**common, out=tmp_path / "run", perturb=["frame-rate", "occlusion=0.4"])
    plain = evaluate(**common, out=tmp_path / "plain")
    assert list(found["perturbed"]) == ["frame-rate=2", "frame-rate=4", "occlusion=0.4"] and found["scores"] == plain["scores"]
    assert "perturbed" not in plain and any(scores != found["scores"] for scores in found["perturbed"].values())
    again = evaluate(**common, out=tmp_path / "run", perturb=["frame-rate", "occlusion=0.4"], resume=True)
    assert again["perturbed"] == found["perturbed"]
    with pytest.raises(RunError, match="perturb"):
        evaluate(**common, out=tmp_path / "run", perturb=["frame-rate"], resume=True)
    with pytest.raises(UsageError, match="frame-rate"):
        evaluate(**common, out=tmp_path / "other", perturb=["frame-rate=1"])
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
def test_the_verb_prints_a_row_a_condition(tmp_path, capsys):
    from merzoo.cli import main

    common = ["evaluate", "flow-svm", "--data", "synthetic:tiny", "--preset", "small", "--jobs", "1", "--device", "cpu", "--out", str(tmp_path / "run")]
    assert main([*common, "--perturb", "pixel-noise=20", "--perturb", "jitter=1"]) == 0
    rows = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert [row for row in rows if "=" in row] == ["pixel-noise=20", "jitter=1"]
    assert main([*common, "--perturb", "pixel-nose=20"]) == 2
    assert "did you mean pixel-noise" in capsys.readouterr().err
