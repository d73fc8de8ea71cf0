"""MIACNet: shapes, sizes, branches, and what the head makes of it."""

from __future__ import annotations

import pytest
import torch
from merzoo_ma2mi.heads import FlattenHead
from merzoo_ma2mi.miacnet import ContinuousAttention, MIACNet
from merzoo_ma2mi.models import SMALL_NETWORK

from merzoo.errors import UsageError
from merzoo.recognizer import feature_shapes

TINY = {"size": 48, "stem": [[8, 2]], "blocks": [[12, 1], [16, 2], [16, 1]], "depth": 1, "heads": 2}


def count(*modules: torch.nn.Module) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


def pair(size: int = 48, batch: int = 2) -> dict[str, torch.Tensor]:
    return {"keyframes": torch.rand(batch, 2, 3, size, size, generator=torch.Generator().manual_seed(1))}


def test_full_size_is_mmnets():
    network = MIACNet()
    shapes = feature_shapes(network)
    assert shapes.extras["pair-code"].shape == (1, 512, 14, 14)
    assert shapes.extras["attention"].shape == (1, 1, 14, 14)
    assert 9.35e6 < count(network, FlattenHead(shapes, 5)) < 9.5e6


def test_small_size_fits_the_embedded_limit():
    network = MIACNet(**SMALL_NETWORK)
    assert 4 * count(network, FlattenHead(feature_shapes(network), 5)) < 4e6


@pytest.mark.parametrize("options", [{}, {"fusion": "concat"}, {"fusion": "cross-attention"}, {"branches": "action"}, {"position_grid": 3}])
def test_meta_shapes_are_the_real_ones(options):
    network = MIACNet(**TINY, **options).eval()
    planned, real = feature_shapes(network), network(pair())
    for kind in ("pooled", "maps", "extras"):
        assert {k: v.shape[1:] for k, v in getattr(planned, kind).items()} == {k: v.shape[1:] for k, v in getattr(real, kind).items()}
    assert real.extras["pair-code"].shape == (2, 16, 12, 12)
    assert torch.allclose(real.extras["attention"][:, 0], real.maps["action"].square().sum(1).sqrt(), rtol=1e-4)


def test_equal_frames_give_an_action_that_does_not_depend_on_them():
    network = MIACNet(**TINY, branches="action").eval()
    still = pair()["keyframes"][:, :1].expand(-1, 2, -1, -1, -1)
    code = network({"keyframes": still}).maps["code"]
    assert torch.equal(code[0], code[1])
    assert not torch.equal(*network(pair()).maps["code"])


def test_position_branch_sees_only_the_shrunken_first_frame():
    network = MIACNet(**TINY).eval()
    frames = pair(batch=1)["keyframes"]
    swapped = frames.clone()
    swapped[:, 0, :, :4, :4] = frames[:, 0, :, :4, :4].flip(-1)  # a texture change inside one cell of 4 px
    swapped[:, 1] += swapped[:, 0] - frames[:, 0]  # the difference stays
    assert torch.allclose(network({"keyframes": frames}).maps["code"], network({"keyframes": swapped}).maps["code"], atol=1e-4)


def test_attention_of_a_block_is_bounded_by_the_one_before():
    block = ContinuousAttention(4, 6, 2, first=False).eval()
    before = torch.rand(1, 1, 8, 8) * 0.1
    _, after = block(torch.randn(1, 4, 8, 8), before)
    assert after.shape == (1, 1, 4, 4) and after.max() <= before.max()


@pytest.mark.parametrize("fusion", ["add", "concat", "cross-attention"])
def test_gradients_reach_every_parameter(fusion):
    network = MIACNet(**TINY, fusion=fusion)
    head = FlattenHead(feature_shapes(network), 3)
    torch.nn.functional.cross_entropy(head(network(pair(batch=4))), torch.tensor([0, 1, 2, 0])).backward()
    dead = [name for name, p in [*network.named_parameters(), *head.named_parameters()] if p.grad is None or not p.grad.any()]
    assert not dead


def test_options_that_do_not_fit_are_one_line():
    for options in ({"fusion": "multiply"}, {"branches": "position"}, {"normalise": "no"}, {"blocks": [[10, 2]], "heads": 4}):
        with pytest.raises(UsageError, match="miacnet"):
            MIACNet(**{**TINY, **options})


def test_flatten_head_weighs_every_cell_and_starts_small():
    shapes = feature_shapes(MIACNet(**TINY))
    head = FlattenHead(shapes, 5, init_std=0.005)
    assert head.linear.weight.shape == (5, 16 * 12 * 12)
    assert float(head.linear.weight.detach().std()) == pytest.approx(0.005, rel=0.1) and not head.linear.bias.any()
    with pytest.raises(UsageError, match="no map 'x'"):
        FlattenHead(shapes, 5, map="x")
