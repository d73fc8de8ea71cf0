"""Models that are fitted and not trained: what they cannot begin from."""

from __future__ import annotations

from pathlib import Path

import pytest

from merzoo.errors import UsageError
from merzoo.evaluation.evaluate import evaluate
from merzoo.evaluation.folds import Start
from merzoo.evaluation.starting import NamedStart, refuse_no_effect
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
