"""Heat maps: attention where there is some, exact class-activation maps, Grad-CAM on any maps, and none where there are no maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from merzoo import build
from merzoo.builtin.heads import GapHead, LinearHead
from merzoo.builtin.supervised import Supervised
from merzoo.errors import UsageError
from merzoo.heatmaps import class_activation, grad_cam, heatmap
from merzoo.interfaces import Backbone, Features
from merzoo.recognizer import Recognizer, feature_shapes
from merzoo.specs import ModelSpec, View

LABELS = ("calm", "happy", "sad")


class Corner(Backbone):
    """Maps that are the input itself, so that what is hot is known; `attention` and a second branch on demand."""

    def __init__(self, attention: bool = False, second: bool = False, maps: bool = True) -> None:
        super().__init__()
        self.inputs = {"difference": (3, 16, 16)}
        self.views = {"difference": View("difference")}
        self.scale = nn.Parameter(torch.ones(()))
        self.attention, self.second, self.maps = attention, second, maps

    def forward(self, batch):
        x = batch["difference"] * self.scale
        coarse = nn.functional.avg_pool2d(x, 2)
        maps = {"fine": x, **({"coarse": coarse} if self.second else {})}
        pooled = {name: value.mean((2, 3)) for name, value in maps.items()}
        extras = {"attention": x.mean(1, keepdim=True)} if self.attention else {}
        return Features(pooled, maps if self.maps else {}, extras)


def recogniser(head=LinearHead, **options):
    torch.manual_seed(0)
    backbone = Corner(**options)
    return Recognizer(ModelSpec("corner", "", "corner"), "full", LABELS, backbone, head(feature_shapes(backbone), len(LABELS)), {}, Supervised()).eval()


def bright(row, column, channel=0):
    x = torch.zeros(1, 3, 16, 16)
    x[0, channel, row, column] = 1
    return {"difference": x}


def test_the_class_activation_map_of_a_gap_head_is_exact():
    net = recogniser(GapHead)
    batch = {"difference": torch.randn(1, 3, 16, 16)}
    features = net.backbone(batch)
    for index in range(len(LABELS)):
        logit = class_activation(net.head, features, index).mean() + net.head.linear.bias[index]
        torch.testing.assert_close(logit, net(batch)[0, index])


def test_grad_cam_on_pooled_maps_is_the_positive_part_of_the_class_activation_map():
    gap, linear = recogniser(GapHead), recogniser(LinearHead)
    linear.head.load_state_dict(gap.head.state_dict())
    batch = {"difference": torch.randn(1, 3, 16, 16)}
    features = linear.backbone(batch)
    (cam,) = grad_cam(features, linear.head(features), 1)
    torch.testing.assert_close(cam, class_activation(gap.head, features, 1).relu())
    np.testing.assert_allclose(heatmap(linear, batch, 1), heatmap(gap, batch, 1), atol=1e-6)


@pytest.mark.parametrize("second", [False, True])
def test_what_speaks_for_a_class_is_hot_and_what_speaks_against_it_is_cold(second):
    net = recogniser(second=second)
    with torch.no_grad():
        net.head.linear.weight.zero_()
        net.head.linear.weight[2, 0::3] = 1  # class 2: first channel of each branch
        net.head.linear.weight[2, 1::3] = -1
    heat = heatmap(net, {"difference": bright(3, 12)["difference"] + bright(10, 2, channel=1)["difference"]}, 2)
    assert heat.shape == (16, 16) and heat.dtype == np.float32
    assert np.unravel_index(heat.argmax(), heat.shape) == (3, 12) and heat.max() == pytest.approx(1) and heat.min() == 0
    assert heat[10, 2] == 0


def test_a_branch_that_no_class_uses_does_not_count():
    net = recogniser(second=True)
    with torch.no_grad():
        net.head.linear.weight[:, :3] = 0  # the coarse branch, first by name
        net.head.linear.weight[0, 3] = 1
    batch = bright(4, 4)
    np.testing.assert_allclose(heatmap(net, batch, 0), batch["difference"][0, 0].numpy(), atol=1e-6)


def test_attention_is_taken_where_there_is_some_and_stretched():
    heat = heatmap(recogniser(attention=True), {"difference": 5 + bright(7, 7)["difference"]}, 0)
    assert heat[7, 7] == 1 and np.delete(heat.ravel(), 7 * 16 + 7).max() < 1e-5
    assert heatmap(recogniser(attention=True), {"difference": torch.ones(1, 3, 16, 16)}, 0).max() == 0


def test_no_maps_no_heat():
    assert heatmap(recogniser(maps=False), bright(1, 1), 0) is None


def test_frozen_and_training_networks_and_inference_tensors():
    net = recogniser().requires_grad_(False).train()
    with torch.inference_mode():
        assert heatmap(net, {"difference": torch.rand(1, 3, 16, 16)}, 0) is not None
    assert net.training and all(p.grad is None for p in net.parameters())


def test_a_network_of_timm_has_a_heat_map_of_its_last_map():
    net = build(("timm/test_resnet", {"view": "difference", "size": 64}), labels=LABELS)
    heat = heatmap(net, {"difference": torch.randn(1, 3, 64, 64)}, 1)
    assert heat.shape == feature_shapes(net.backbone).maps["image"].shape[2:] and 0 <= heat.min() <= heat.max() <= 1


def test_several_samples_and_unknown_classes_are_refused():
    with pytest.raises(UsageError, match="one sample"):
        heatmap(recogniser(), {"difference": torch.rand(2, 3, 16, 16)}, 0)
    with pytest.raises(UsageError, match="class index 3"):
        heatmap(recogniser(), bright(1, 1), 3)
