"""The networks: sizes, attention, inputs of a branch alone, inflation."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from merzoo_famnet.attention import StageAttention
from merzoo_famnet.backbones import AMNet2D, AMNet3D, FAMNet
from merzoo_famnet.trunk import Trunk, inflated

from merzoo.errors import UsageError, WeightsError
from merzoo.recognizer import build

SMALL = {"widths": [8, 8, 12, 16], "layers": [1, 1, 1, 1], "stem": 8, "reduction": 4}
LABELS = ("a", "b", "c")


def parameters(network: torch.nn.Module) -> float:
    return sum(p.numel() for p in network.parameters()) / 1e6


def test_full_sizes_are_those_of_resnet18_and_its_3d_counterpart():
    with torch.device("meta"):
        flat, deep, both = AMNet2D(), AMNet3D(), FAMNet()
        bare = AMNet2D(attention="none"), AMNet3D(attention="none")
    assert parameters(bare[0]) == pytest.approx(11.1765, abs=1e-3)  # torchvision's resnet18 without its classifier
    assert parameters(bare[1]) == pytest.approx(33.1661, abs=1e-3)  # torchvision's r3d_18 without its classifier, and without pooling the same
    assert parameters(flat) == pytest.approx(11.2, abs=0.05) and parameters(deep) == pytest.approx(33.2, abs=0.05)
    assert parameters(both) == pytest.approx(parameters(flat) + parameters(deep))
    with torch.device("meta"):
        seen = both({"apex": torch.rand(2, 1, 3, 224, 224), "clip": torch.rand(2, 3, 16, 112, 112)})
        stages = [tuple(x.shape[1:]) for x in deep.trunk.stages(torch.rand(1, 3, 16, 112, 112))]
    assert {name: tuple(maps.shape) for name, maps in seen.maps.items()} == {"spatial": (2, 512, 7, 7), "temporal": (2, 512, 4, 4)}
    assert seen.extras["pair-code"].shape == (2, 512, 4, 4)
    assert stages == [(64, 16, 28, 28), (128, 8, 14, 14), (256, 4, 7, 7), (512, 2, 4, 4)]


def test_a_branch_alone_is_what_it_is_among_both(make, batch):
    network = make().backbone.eval()
    whole = network(batch())
    for name, inputs in network.branches.items():
        alone = network({key: value for key, value in batch().items() if key in inputs})
        assert list(alone.pooled) == list(alone.maps) == [name]
        assert torch.equal(alone.pooled[name], whole.pooled[name])
        assert ("pair-code" in alone.extras) == (name == "temporal")
    assert set(whole.pooled) == {"spatial", "temporal"}
    with pytest.raises(UsageError, match="famnet sees apex and clip"):
        network({"label": torch.zeros(3)})


def test_maps_are_what_is_pooled_and_the_pair_code_sees_motion(make, batch):
    network = make("amnet3d").backbone.eval()
    moving = batch()
    still = {"clip": moving["clip"][:, :, :1].expand(-1, -1, 4, -1, -1)}
    seen = network(moving)
    assert torch.allclose(seen.maps["temporal"].mean((2, 3)), seen.pooled["temporal"])
    assert not torch.allclose(seen.extras["pair-code"], network(still).extras["pair-code"], atol=1e-3)


def test_reference_first_takes_away_who_it_is():
    network = AMNet3D(size=40, frames=4, reference="first", gain=5.0, **SMALL)
    clip = torch.rand(2, 3, 4, 40, 40)
    assert torch.allclose(network.seen(clip), 5 * (clip - clip[:, :, :1]))
    assert torch.allclose(network.seen(clip), network.seen(clip + 0.25), atol=1e-5)
    plain = AMNet3D(size=40, frames=4, **SMALL).seen(clip)
    mean, std = (torch.tensor(values).reshape(3, 1, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    assert torch.allclose(plain, (clip - mean) / std, atol=1e-6)


@pytest.mark.parametrize("dims", [2, 3])
def test_attention_is_channel_then_spatial_with_a_residual(dims):
    x = torch.randn(2, 8, *(5, 6, 7)[-dims:])
    torch.manual_seed(0)
    both = StageAttention(8, dims, "cbam")
    weighed = both.channel(x) * x
    assert torch.allclose(both(x), x + both.spatial(weighed) * weighed)
    assert torch.allclose(both.channel(x).flatten(1), torch.sigmoid(both.squeeze(x.flatten(2).mean(2)) + both.squeeze(x.flatten(2).amax(2))), atol=1e-6)
    channel, spatial = StageAttention(8, dims, "channel"), StageAttention(8, dims, "spatial")
    assert torch.allclose(channel(x), x + channel.channel(x) * x)
    assert torch.allclose(spatial(x), x + spatial.spatial(x) * x)


def test_the_attention_option_decides_what_there_is_and_matters():
    count = {kind: parameters(Trunk(attention=kind, **SMALL)) for kind in ("cbam", "channel", "spatial", "none")}
    assert count["none"] < count["spatial"] < count["channel"] < count["cbam"]
    assert count["cbam"] - count["none"] == pytest.approx(count["channel"] + count["spatial"] - 2 * count["none"])
    assert len(Trunk(**SMALL).attention) == 4  # after each stage


@pytest.mark.parametrize(
    "options",
    [{"attention": "cbma"}, {"widths": [8, 8]}, {"layers": [1, 1, 1, 0]}, {"stem": 0}, {"size": 16}, {"size": "big"}, {"depth": 3}, {"size": True},
     {"stem": 1.5}, {"pool": "False"}, {"pretrained": "no"}],
)  # fmt: skip
@pytest.mark.parametrize("name", ["amnet2d", "amnet3d"])
def test_options_that_do_not_fit_are_one_line(name, options):
    with pytest.raises(UsageError) as caught:
        build((name, {**SMALL, **options}), labels=LABELS)
    assert "\n" not in str(caught.value) and str(next(iter(options))) in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [{"spatial": 3}, {"temporal": {"frame": 3}}, {"temporal": {"reference": "last"}}, {"temporal": {"gain": 2.0}}, {"pretrained": "False"},
     {"temporal": {"reference": "first", "gain": math.nan}}, {"temporal": {"reference": "first", "gain": math.inf}}, {"temporal": {"frames": 1}}],
)  # fmt: skip
def test_options_of_a_branch_that_do_not_fit_are_one_line(options):
    with pytest.raises(UsageError) as caught:
        build(("famnet", options), labels=LABELS)
    assert "\n" not in str(caught.value)


def test_an_inflated_network_sees_a_still_clip_as_the_2d_network_sees_its_frame():
    """Zero padding in time reaches 3 moments into the last stage from either end (its receptive field); the moments between are equal, in every stage."""
    torch.manual_seed(0)
    flat, deep = Trunk(2, attention="none", **SMALL).eval(), Trunk(3, attention="none", **SMALL).eval()
    for name, value in flat.state_dict().items():
        if value.is_floating_point() and name not in ("mean", "std"):  # what the normalisations and the zero of each block's last one would hide
            value.copy_(torch.rand_like(value) + 0.5 if value.ndim == 1 else torch.randn_like(value) / value[0].numel() ** 0.5)
    own = {name: value for name, value in flat.state_dict().items() if name not in ("mean", "std")}
    deep.load_state_dict(inflated(own, deep.state_dict()), strict=False)
    assert torch.allclose(deep.layer3[0].conv1.weight.sum(2), flat.layer3[0].conv1.weight, atol=1e-6)
    picture = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        for one, many in zip(flat.stages(picture), deep.stages(picture[:, :, None].expand(-1, -1, 64, -1, -1)), strict=True):
            middle = many[:, :, 3:-3]
            assert middle.shape[2] >= 2 and torch.allclose(middle, one[:, :, None].expand_as(middle), rtol=1e-4, atol=1e-4)
            assert not torch.allclose(many[:, :, 0], one, rtol=1e-2, atol=1e-2)  # the first moment knows that there is nothing before it


def test_imagenet_weights_that_cannot_be_had_or_do_not_fit_are_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("amnet2d", "amnet3d", "famnet"):
        with pytest.raises(WeightsError, match=r"cannot be had .* go online, or leave pretrained out") as caught:
            build((name, {"pretrained": True}), labels=LABELS)
        assert "\n" not in str(caught.value)
    with pytest.raises(WeightsError, match="do not fit"):
        build(("amnet2d", {"pretrained": True, **SMALL}), labels=LABELS)


def test_gradients_of_3d_convolutions_are_right_under_mixed_precision():
    """On a CPU with instructions for bf16, torch 2.15 would give weight gradients of memory that nobody wrote, for these widths; seen in most tries."""
    torch.manual_seed(0)
    network = AMNet3D(size=56, frames=8, widths=[16, 32, 48, 64], layers=[1, 1, 1, 1], stem=16, attention="none")
    for stage in (network.trunk.layer1, network.trunk.layer2, network.trunk.layer3, network.trunk.layer4):
        torch.nn.init.ones_(stage[0].bn2.weight)
    clip = torch.rand(16, 3, 8, 56, 56)

    def gradients(mixed: bool) -> list[torch.Tensor]:
        network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            pooled = network({"clip": clip}).pooled["temporal"]
        pooled.float().square().mean().backward()
        return [p.grad.clone() for p in network.parameters()]

    exact = gradients(False)
    for _ in range(3):
        for one, other in zip(exact, gradients(True), strict=True):
            assert (one - other).norm() <= 0.01 * one.norm() + 1e-8
