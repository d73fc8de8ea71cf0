"""The network and the model: cues, sizes, and what the plugin registers."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from merzoo_lightmannet.backbone import LightmanNet
from merzoo_lightmannet.cost import CASES, STEPS, Case, batch, network, peak, step
from torch.utils.flop_counter import FlopCounterMode

from merzoo.errors import UsageError
from merzoo.recognizer import assemble
from merzoo.registry import registry
from merzoo.training.machine import Machine

README = Path(__file__).parents[1] / "README.md"
LABELS = ("happiness", "surprise", "disgust", "repression", "others")


def test_registering_imports_no_torch():
    code = "import merzoo.registry as r, sys; r.registry().model('lightmannet'); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"


def test_the_cues_are_the_apex_and_its_difference_to_the_onset():
    frames = torch.rand(2, 2, 3, 64, 64)
    cues = LightmanNet(size=64, width=8, groups=2, difference_scale=4.0).cues(frames)
    assert torch.allclose(cues[:, :3], frames[:, 1] * 2 - 1) and torch.allclose(cues[:, 3:], 8 * (frames[:, 1] - frames[:, 0]), atol=1e-6)
    pooled = LightmanNet(size=64, width=8, groups=2, difference_scale=4.0, pool=2).cues(frames)
    assert torch.allclose(pooled, torch.nn.functional.avg_pool2d(cues, 2), atol=1e-6)
    without = LightmanNet(size=64, width=8, groups=2, spatial_scale=0.0)
    assert float(without.cues(frames)[:, :3].abs().max()) == 0


def test_the_full_network_is_resnet_18():
    recognizer = assemble(registry().model("lightmannet"), "full", LABELS)
    # ResNet-18 without its classifier has 11,176,512 parameters; three more input channels of a 7 x 7 stem are 9,408, the head 513 a class.
    assert sum(v.numel() for v in recognizer.saved().values()) == 11_176_512 + 9_408 + 5 * 513
    assert sum(p.numel() for p in recognizer.auxiliary.parameters()) == 512 * 256 + 256 + 256 * 128 + 128
    assert {type(m).__name__ for m in recognizer.modules() if "Norm" in type(m).__name__} == {"GroupNorm"} and not list(recognizer.buffers())
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        recognizer({"keyframes": torch.rand(1, 2, 3, 224, 224)})
    assert f"{counted.get_total_flops() / 1e9:.2f} G" in README.read_text(encoding="utf-8")
    seen = recognizer.backbone({"keyframes": torch.rand(1, 2, 3, 224, 224)})
    assert seen.pooled["code"].shape == (1, 512) and seen.extras["pair-code"].shape == (1, 512, 7, 7)


def test_the_small_preset_is_small():
    recognizer = assemble(registry().model("lightmannet"), "small", LABELS)
    parameters = sum(v.numel() for v in recognizer.saved().values())
    assert parameters < 9e5 and f"{parameters:,}" in README.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "options",
    [{"layers": [1, 1]}, {"layers": 4}, {"layers": [1, 1, 1, "one"]}, {"width": 10, "groups": 4}, {"size": 50, "pool": 4}, {"size": -2}, {"size": 112.5},
     {"groups": 0}, {"pool": True}, {"difference_scale": math.nan}, {"spatial_scale": math.inf}],
)  # fmt: skip
def test_options_that_cannot_be(options):
    with pytest.raises(UsageError, match=f"^lightmannet: {next(iter(options))}") as caught:
        LightmanNet(**options)
    assert "\n" not in str(caught.value)


def test_no_number_is_called_the_papers():
    paper = registry().model("lightmannet").paper
    assert paper.arxiv == "2404.12024" and paper.reported == ()


def test_the_steps_whose_cost_is_measured_all_reach_the_backbone():
    machine = Machine("cpu", "fp32", 1)
    recognizer = network(CASES[1], machine)
    seen = batch(CASES[1], recognizer, "cpu")
    assert {part: len(side["label"]) for part, side in seen["tasks"][0].items()} == {part: 5 * shots for part, shots in CASES[1].shots.items()}
    for options in STEPS.values():
        step(recognizer, options, seen, machine)()
        assert all(float(p.grad.abs().max()) > 0 for p in recognizer.parameters())


def test_the_memory_of_a_step_is_counted_and_repeats():
    machine, shots = Machine("cpu", "fp32", 1), {"support": 1, "query": 1, "macro": 1}
    case = Case("tiny", {"size": 48, "width": 8, "groups": 2, "layers": [1, 1, 1, 1]}, shots)
    found = peak(case, machine)
    parameters = sum(4 * p.numel() for p in network(case, machine).parameters()) / 2**20
    assert parameters < found["plain"] < found["second order"] < 20 * found["plain"]  # gradients at least; the graph of the inner step on top
    assert peak(case, machine) == pytest.approx(found, rel=0.01)
    larger = peak(Case("more clips", case.network, dict.fromkeys(shots, 4)), machine)
    assert all(larger[name] > 1.5 * found[name] for name in STEPS)
