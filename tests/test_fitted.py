"""Models that are fitted and not trained: what they cannot begin from, and what their card says."""

from __future__ import annotations

from pathlib import Path

import pytest

from merzoo.errors import UsageError
from merzoo.evaluation.evaluate import evaluate
from merzoo.evaluation.folds import Start
from merzoo.evaluation.starting import NamedStart, refuse_no_effect
from merzoo.publish.folder import prepare
from merzoo.recognizer import assemble, build
from merzoo.registry import registry
from merzoo.training.train import train

BEGUN = NamedStart(Start(), "synthetic")


def test_what_is_fitted_as_a_whole_does_not_begin_from_weights(tmp_path: Path, clip_cache: Path) -> None:
    with pytest.raises(UsageError, match=r"flow-svm is fitted as a whole.*leave --from out"):
        train("flow-svm", "synthetic:tiny", out=tmp_path / "run", weights="synthetic", device="cpu")
    with pytest.raises(UsageError, match=r"flow-svm is fitted as a whole.*leave --from out"):
        evaluate("flow-svm", "synthetic:tiny", out=tmp_path / "run", weights="synthetic", device="cpu")
    assert not (tmp_path / "run").exists()  # no run.json says that it began from them


def test_a_backbone_below_a_fitted_head_does_begin_from_weights() -> None:
    refuse_no_effect(build("ststnet", "svm", strategy="fit-only", labels=("a", "b")), BEGUN)  # its backbone is what the head is fitted on
    with pytest.raises(UsageError):
        refuse_no_effect(assemble(registry().model("lbp-top-svm"), "full", ("a", "b"), for_training=False), BEGUN)


def test_the_card_of_a_fitted_model_tells_of_no_training_steps(tmp_path: Path, clip_cache: Path) -> None:
    train("flow-svm", "synthetic:tiny", out=tmp_path / "run", device="cpu", threads=1)
    evaluate("flow-svm", "synthetic:tiny", out=tmp_path / "scores", device="cpu", audit=True)
    made = prepare(tmp_path / "run", "a/b", tmp_path / "scores")
    card = made.texts["README.md"]
    for doubtful in ("network", "chosen by a score", "began from", "random weights", "precision", "bf16", "last epoch,", "oracle", "those by default"):
        assert doubtful not in card.replace(" networks: 4", ""), doubtful
    assert "A model for micro-expression recognition: " in card and "Fitted in one go to every labelled clip" in card
    assert "| fitted numbers | 2,021 |" in card and "| strategy | fit-only |" in card and "| machine | cpu (" in card
    assert "| what is fitted | svm: c 0.01 |" in card  # all that could be chosen
    assert "4 other models fitted the same way, each without one person" in card and "which is one more such model" in card
    assert made.config.protocol == "loso on synthetic:tiny: 4 other models fitted the same way"


def test_the_card_of_a_trained_network_tells_how_it_began(trained: Path, evaluated: Path) -> None:
    card = prepare(trained, "a/b", evaluated).texts["README.md"]
    assert "| began from | random weights |" in card and "no epoch was chosen by a score" in card and "| precision and machine | fp32 on cpu" in card
    assert "4 other networks trained the same way" in card and "last epoch" in card and "one best epoch for all" in card
