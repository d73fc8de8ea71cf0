"""The plugin: what it registers, lazily, its models, and what its README says of their cost."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from merzoo.recognizer import assemble
from merzoo.registry import registry

MODELS = ("amnet2d", "amnet3d", "famnet")
LABELS = ("happiness", "surprise", "disgust", "repression", "others")
README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_registering_imports_no_torch():
    code = "import merzoo.registry as r, sys; r.registry().model('famnet'); print([m for m in ('torch', 'timm', 'cv2', 'pandas') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


@pytest.mark.parametrize("model", MODELS)
def test_small_models_assemble_and_embed(model):
    recognizer = assemble(registry().model(model), "small", LABELS)
    assert sum(value.numel() for value in recognizer.saved().values()) < 0.9e6
    assert recognizer.preprocessing.size == 128


@pytest.mark.parametrize("model", MODELS)
def test_full_models_follow_the_recipe_and_cost_what_the_readme_says(model):
    with torch.device("meta"):
        recognizer = assemble(registry().model(model), "full", LABELS)
        strategy = recognizer.strategy
        recipes = [strategy._supervised(branch) for branch in recognizer.backbone.branches] or [strategy._supervised()]
        with FlopCounterMode(display=False) as counter:
            recognizer({name: torch.rand(1, *shape) for name, shape in recognizer.backbone.inputs.items()})
    assert [(r.epochs, r.batch_size, r.lr, r.weight_decay) for r in recipes] == [
        (60, batch, 1e-4, 1e-4) for batch in {"amnet2d": (32,), "amnet3d": (16,), "famnet": (32, 16)}[model]
    ]
    parameters, flops = (float(x) for x in re.findall(rf"\| `{model}` \| ([\d.]+) M \| ([\d.]+) G", README)[0])
    assert parameters == pytest.approx(sum(p.numel() for p in recognizer.parameters()) / 1e6, abs=0.05)
    assert flops == pytest.approx(counter.get_total_flops() / 1e9, abs=0.05)


def test_the_reported_numbers_are_those_of_the_abstract():
    paper = registry().model("famnet").paper
    assert paper.arxiv == "2508.13483"
    assert {(row.data, row.metric): row.value for row in paper.reported} == {
        ("casme2-samm-mmew", "uar"): 0.8375,
        ("casme2-samm-mmew", "uf1"): 0.8403,
        ("casme3:4", "uar"): 0.51,
        ("casme3:4", "uf1"): 0.4342,
    }
    assert all("our choice" in row.note and row.protocol == "loso" for row in paper.reported)
    assert not registry().model("amnet2d").paper.reported
