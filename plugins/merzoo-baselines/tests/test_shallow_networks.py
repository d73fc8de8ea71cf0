"""STSTNet and Off-ApexNet: sizes, what their streams see, and that they learn."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from merzoo_baselines.off_apexnet import OffApexNet
from merzoo_baselines.ststnet import STSTNet

from merzoo.builtin.heads import LinearHead
from merzoo.errors import UsageError
from merzoo.recognizer import build, feature_shapes

NETWORKS = {"ststnet": STSTNet, "off-apexnet": OffApexNet}


def motion(batch: int = 3, size: int = 56) -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    return {"flow": torch.randn(batch, 2, size, size, generator=rng), "strain": torch.rand(batch, 1, size, size, generator=rng) / 50}


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_ststnet_has_the_sizes_of_its_paper() -> None:
    network = STSTNet()
    shapes = feature_shapes(network)
    assert shapes.pooled["flow"].shape == (1, 400) and shapes.maps["flow"].shape == (1, 16, 5, 5)
    assert [stream[0].out_channels for stream in network.streams] == [3, 5, 8]  # type: ignore[index]
    assert network.streams[0][:4](torch.randn(2, 3, 28, 28)).shape == (2, 3, 10, 10)  # type: ignore[index]
    # Convolutions without bias 27 x 16, their norms 2 x 16, and a layer from 400 to 3 classes.
    assert count(network) == 464 and count(network) + count(LinearHead(shapes, 3)) == 1667


def test_off_apexnet_has_the_sizes_of_its_paper() -> None:
    network = OffApexNet()
    shapes = feature_shapes(network)
    assert shapes.pooled["flow"].shape == (1, 1024) and shapes.maps["flow"].shape == (1, 32, 7, 7)
    streams, joint = 2 * (6 * 26 + 16 * (6 * 25 + 1)), 1024 * (1568 + 1) + 1024 * 1025
    assert count(network) == streams + joint == 2_661_400


def test_ststnet_streams_see_strain_u_and_v() -> None:
    network, batch = STSTNet(size=56, steady=False).eval(), motion()
    seen = network.seen(batch)
    assert seen.shape == (3, 3, 28, 28)
    # The mean of 2 x 2 px, in percent: of the side for flow, of nothing for strain.
    assert seen[1, 0, 3, 4] == pytest.approx(float(batch["strain"][1, 0, 6:8, 8:10].mean()) * 100, abs=1e-5)
    for channel in range(2):
        assert seen[1, 1 + channel, 3, 4] == pytest.approx(float(batch["flow"][1, channel, 6:8, 8:10].mean()) * 100 / 56, abs=1e-5)
    for stream in network.streams:
        x = seen.clone().requires_grad_()
        stream(x).sum().backward()
        assert x.grad is not None and all(x.grad[:, channel].any() for channel in range(3))


def test_off_apexnet_streams_see_one_direction_each() -> None:
    network, batch = OffApexNet(size=56, hidden=16, steady=False).eval(), motion()
    before = network(batch).maps["flow"]
    moved = {"flow": batch["flow"] * torch.tensor([1.0, -1.0])[:, None, None]}
    after = network(moved).maps["flow"]
    assert torch.equal(before[:, :16], after[:, :16]) and not torch.allclose(before[:, 16:], after[:, 16:])


@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
def test_head_motion_is_not_seen_unless_wanted(make: Any) -> None:
    batch = motion()
    moved = {**batch, "flow": batch["flow"] + torch.tensor([4.0, -2.0])[:, None, None]}
    steady, plain = make(size=56).eval(), make(size=56, steady=False).eval()
    assert torch.allclose(steady.seen(batch), steady.seen(moved), atol=1e-4) and not torch.allclose(plain.seen(batch), plain.seen(moved), atol=1e-1)


@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
def test_scale_of_the_crop_does_not_matter(make: Any) -> None:
    """The same face stored twice as large moves by twice as many pixels."""
    batch = motion()
    large = {name: x.repeat_interleave(2, -1).repeat_interleave(2, -2) * (2 if name == "flow" else 1) for name, x in batch.items()}
    assert torch.allclose(make(size=56).eval().seen(batch), make(size=112).eval().seen(large), atol=1e-4)


@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
def test_a_sample_is_seen_alike_in_any_batch(make: Any) -> None:
    torch.manual_seed(0)
    network, batch = make(size=56).eval(), motion()
    together = network(batch).only_pooled()
    alone = torch.cat([network({k: v[i : i + 1] for k, v in batch.items()}).only_pooled() for i in (2, 1, 0)]).flip(0)
    assert torch.allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
def test_every_parameter_learns_and_it_can_be_built_without_memory(make: Any) -> None:
    torch.manual_seed(0)
    network = make(size=56)
    head = LinearHead(feature_shapes(network), 3)
    torch.nn.functional.cross_entropy(head(network(motion(8))), torch.arange(8) % 3).backward()
    assert not [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    network.train()(motion(1))
    with torch.device("meta"):
        assert all(p.is_meta for p in make(size=56).parameters())


def test_off_apexnet_is_twice_differentiable() -> None:
    torch.manual_seed(0)
    network = OffApexNet(size=56, hidden=16)
    weight = network.u[0].weight
    loss = network(motion()).only_pooled().square().mean()
    (first,) = torch.autograd.grad(loss, weight, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), weight)
    assert second.any() and torch.isfinite(second).all()


def test_the_flow_can_be_another() -> None:
    assert {name: view.options["method"] for name, view in STSTNet(method="tvl1").views.items()} == {"flow": "tvl1", "strain": "tvl1"}
    assert OffApexNet().views["flow"].options["method"] == "dis"
    with pytest.raises(UsageError, match="neither dis nor tvl1"):
        build(("off-apexnet", {"method": "guess"}), labels=("a", "b"))


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (STSTNet, {"size": 20}),
        (STSTNet, {"grid": 3}),
        (STSTNet, {"streams": []}),
        (STSTNet, {"streams": [3, 0]}),
        (STSTNet, {"dropout": 1}),
        (OffApexNet, {"grid": 2.5}),
        (OffApexNet, {"hidden": 0}),
        (OffApexNet, {"dropout": "much"}),
        (STSTNet, {"streams": 3}),
        (STSTNet, {"steady": "False"}),
        (OffApexNet, {"steady": "no"}),
        (OffApexNet, {"hidden": True}),
        (OffApexNet, {"size": float("inf")}),
    ],
)
def test_options_that_do_not_fit_are_one_line(make: Any, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"^(ststnet|off-apexnet): ") as caught:
        make(**options)
    assert "\n" not in str(caught.value)
