"""A forward pass of every registered model at its preset small, with random weights and inputs, in fp32."""

import pytest
import torch

import merzoo
from merzoo.registry import registry

LABELS = ("negative", "positive", "surprise")


@pytest.mark.parametrize("batch", [1, 16])
@pytest.mark.parametrize("model", [entry.name for entry in registry().entries("model")])
def bench_pass(benchmark, model, batch):
    torch.manual_seed(0)
    recognizer = merzoo.load(model, None, preset="small", labels=LABELS)
    inputs = {name: torch.rand(batch, *shape) for name, shape in recognizer.backbone.inputs.items()}
    with torch.inference_mode():
        logits = benchmark(recognizer, inputs)
    assert logits.shape == (batch, len(LABELS))
