"""The future-frame task: what it learns from, which backbones it runs on, and the control without a code."""

from __future__ import annotations

import pytest
import torch
from merzoo_ma2mi.future_frame import PAIR, FutureFrame
from merzoo_ma2mi.miacnet import MIACNet
from merzoo_ma2mi.reconstructor import Reconstructor
from torch import nn

from merzoo.errors import UsageError
from merzoo.interfaces import Backbone, Batch, Features
from merzoo.recognizer import feature_shapes
from merzoo.specs import View

TASK = {"channels": 4, "down": 4, "codec_width": 16, "codec_depth": 1, "width": 32, "depth": 2, "heads": 2, "mlp_ratio": 2.0}


class PlainPair(Backbone):
    """A backbone of somebody else: another input, another grid, another width."""

    def __init__(self, vector: bool = False) -> None:
        super().__init__()
        self.inputs, self.views = {"difference": (3, 40, 40)}, {"difference": View("difference")}
        self.vector = vector
        self.conv = nn.Conv2d(3, 10, 3, 8, 1)

    def forward(self, batch: Batch) -> Features:
        code = self.conv(batch["difference"])
        return Features(extras={"pair-code": code.mean((2, 3)) if self.vector else code})


def pretext(backbone: Backbone, **options: object) -> FutureFrame:
    torch.manual_seed(0)
    return FutureFrame(feature_shapes(backbone), backbone.inputs, **{**TASK, **options})


def batch_of(size: int, n: int = 4) -> Batch:
    rng = torch.Generator().manual_seed(3)
    first = torch.rand(n, 3, size, size, generator=rng)
    second = (first + 0.2 * torch.rand(n, 3, size, size, generator=rng)).clamp(0, 1)
    pair = torch.stack([first, second], 1)
    return {PAIR: pair, "keyframes": pair, "difference": second - first}


def miacnet() -> MIACNet:
    return MIACNet(size=40, stem=[[8, 2]], blocks=[[12, 2], [16, 1]], depth=1, heads=2)


@pytest.mark.parametrize("backbone", [miacnet(), PlainPair(), PlainPair(vector=True)])
@pytest.mark.parametrize("options", [{}, {"squeeze": None}, {"patch": 5}, {"target": "pixel"}])
def test_runs_on_any_backbone_with_a_pair_code(backbone, options):
    task, batch = pretext(backbone, **options), batch_of(40)
    features = backbone(batch)
    loss = task.loss(features, batch)
    assert loss.shape == () and torch.isfinite(loss)
    assert task.copy_ratio(features, batch) == pytest.approx(1.0, abs=1e-5)  # it starts as a copy
    assert not task.predicts and task.predict(features) == {}


@pytest.mark.parametrize(("patch", "taken"), [(2, 2), (3, 2), (4, 2), (5, 5), (9, 5), (99, 10)])
def test_a_patch_that_does_not_divide_the_latent_gives_way_to_the_largest_divisor_below(patch, taken):
    task, batch = pretext(miacnet(), patch=patch), batch_of(40)
    assert task.reconstructor.patch == taken and task.reconstructor.place.shape[1] == (10 // taken) ** 2
    assert torch.isfinite(task.loss(miacnet()(batch), batch))


def test_gradient_reaches_everything_but_the_frozen_codec_after_some_steps():
    backbone = miacnet()
    task, batch = pretext(backbone), batch_of(40)
    task.latent.requires_grad_(False)
    trained = {**dict(backbone.named_parameters()), **{f"task.{k}": p for k, p in task.named_parameters() if p.requires_grad}}
    optimizer = torch.optim.SGD(trained.values(), lr=0.1)
    seen: set[str] = set()
    for step in range(4):
        optimizer.zero_grad()
        task.loss(backbone(batch), batch).backward()
        if step == 0:  # adaLN-Zero: nothing reaches the code before the gates have opened
            assert not any(p.grad is not None and p.grad.any() for p in backbone.parameters())
        seen |= {name for name, p in trained.items() if p.grad is not None and p.grad.any()}
        optimizer.step()
    assert seen == set(trained)
    assert all(p.grad is None for p in task.latent.parameters())


def test_learns_to_rebuild_from_the_code_and_the_control_can_not():
    batch = batch_of(40, n=8)
    errors = {}
    for condition in (True, False):
        torch.manual_seed(0)
        backbone = miacnet()
        task = pretext(backbone, condition=condition, target="pixel")
        optimizer = torch.optim.AdamW([*backbone.parameters(), *task.parameters()], 3e-3)
        last = []
        for step in range(80):
            dimmed = torch.rand(8, 1, 1, 1)  # brightness of the later frame: to be had from the code alone
            batch[PAIR][:, 1] = batch[PAIR][:, 0] * dimmed
            batch["keyframes"] = batch[PAIR]
            error, copy = task.errors(backbone(batch), batch)
            optimizer.zero_grad()
            error.mean().backward()
            optimizer.step()
            if step >= 60:
                last.append(float((error.sum() / copy.sum()).detach()))
        errors[condition] = sum(last) / len(last)
    assert errors[True] < 0.7 * errors[False]


def test_control_ignores_the_code():
    backbone = miacnet()
    task, batch = pretext(backbone, condition=False), batch_of(40)
    nn.init.normal_(task.reconstructor.out.weight)
    assert torch.equal(task.errors(backbone(batch), batch)[0], task.errors(None, batch)[0])
    sighted = pretext(backbone)
    assert {k: v.shape for k, v in sighted.state_dict().items()} == {k: v.shape for k, v in task.state_dict().items()}


def test_code_reaches_only_the_token_at_its_place():
    torch.manual_seed(0)
    network = Reconstructor(4, 8, (3, 4, 4), width=16, depth=0, heads=2, mlp_ratio=2.0)
    for layer in (network.modulation, network.out):
        nn.init.normal_(layer.weight)
    latent, code = torch.randn(1, 4, 8, 8), torch.zeros(1, 3, 4, 4)
    changed = code.clone()
    changed[0, :, 1, 2] = 1
    moved = (network(latent, code) != network(latent, changed)).any(1)[0].nonzero()
    assert {(int(r), int(c)) for r, c in moved} == {(r, c) for r in (2, 3) for c in (4, 5)}


def test_statistics_standardise_each_channel():
    task = pretext(miacnet())
    frames = torch.rand(16, 3, 40, 40)
    task.latent.measure(frames)
    latents = task.latent.encode(frames)
    assert torch.allclose(latents.mean((0, 2, 3)), torch.zeros(4), atol=1e-4)
    assert torch.allclose(latents.std((0, 2, 3)), torch.ones(4), atol=1e-3)


def test_pixel_target_decodes_to_the_frame_itself():
    task = pretext(miacnet(), target="pixel")
    frames = torch.rand(2, 3, 40, 40)
    task.latent.measure(frames)
    assert torch.allclose(task.latent.decode(task.latent.encode(frames)), frames, atol=1e-5)


@pytest.mark.parametrize("options", [{"target": "wavelet"}, {"down": 7}, {"patch": 0}, {"heads": 5}])
def test_options_that_do_not_fit_are_one_line(options):
    with pytest.raises(UsageError, match="future-frame"):
        pretext(miacnet(), **options)


def test_refuses_features_without_a_pair_code():
    with pytest.raises(UsageError, match="pair-code"):
        FutureFrame(Features(pooled={"x": torch.empty(1, 4, device="meta")}), {"keyframes": (1, 3, 40, 40)})
