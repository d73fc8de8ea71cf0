"""The plugin: what it registers, lazily, and that its models can be put together."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from merzoo_ma2mi import models

from merzoo.recognizer import assemble
from merzoo.registry import registry

LABELS = ("happiness", "surprise", "disgust", "repression", "others")


def test_registering_imports_no_torch():
    code = "import merzoo.registry as r, sys; r.registry().model('miacnet-ma2mi'); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"


@pytest.mark.parametrize("model", ["miacnet", "miacnet-ma2mi"])
def test_small_models_assemble_and_embed(model):
    recognizer = assemble(registry().model(model), "small", LABELS)
    assert sum(4 * v.numel() for v in recognizer.saved().values()) < 4e6
    assert recognizer.strategy is not None


def test_full_models_follow_mmnets_recipe():
    recognizer = assemble(registry().model("miacnet"), "full", LABELS)
    strategy = recognizer.strategy
    assert (strategy.lr, strategy.epochs, strategy.batch_size, strategy.weight_decay) == (8e-4, 74, 32, 0.6)
    assert strategy.schedule.factor(60, 74, 1) == pytest.approx(0.987**50)
    assert 9.35e6 < sum(p.numel() for p in recognizer.parameters()) < 9.5e6
    tuning = assemble(registry().model("miacnet-ma2mi"), "full", LABELS).strategy.fine_tuning
    assert (tuning.backbone_lr, tuning.lr) == (1e-4, 8e-4)


def test_no_number_is_called_the_papers():
    for model in ("miacnet", "miacnet-ma2mi"):
        paper = registry().model(model).paper
        assert paper.arxiv == "2405.16451" and all(row.value is None for row in paper.reported)


def test_weights_come_from_their_cards(tmp_path, monkeypatch):
    monkeypatch.setattr(models, "PACKAGE", tmp_path)
    assert models.miacnet().weights == ()
    (tmp_path / "weights").mkdir()
    for model in ("miacnet", "miacnet-ma2mi"):
        card = {"model": model, "tag": "synthetic", "preset": "small", "source": "package:x/y", "sha256": "0", "labels": list(LABELS)}
        (tmp_path / "weights" / f"{model}-small.json").write_text(json.dumps(card))
    assert [w.labels for w in models.miacnet().weights] == [LABELS]
    assert len(models.miacnet_ma2mi().weights) == 1
