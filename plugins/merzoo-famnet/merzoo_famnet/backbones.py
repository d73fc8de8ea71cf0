"""The backbones: AMNet2D on the apex frame, AMNet3D on the clip, and FAMNet, which is both."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn

from merzoo.checks import check_flag, check_number
from merzoo.errors import UsageError
from merzoo.interfaces import Backbone, Batch, Features
from merzoo.making import make
from merzoo.specs import View
from merzoo_famnet.attention import Kind
from merzoo_famnet.trunk import Trunk

APEX, CLIP = "apex", "clip"  # inputs
SPATIAL, TEMPORAL = "spatial", "temporal"  # branches
SMALLEST = 32  # px


class AMNet2D(Backbone):
    """ResNet-18 with attention on the apex frame. Provides pooled and maps under "spatial": [B, 512] and [B, 512, size/32, size/32].

    size: side of the input in px. pretrained: ImageNet weights through timm, where the Hub can be reached. Further options are those of `Trunk`.
    Raises `UsageError` for options that cannot be, `WeightsError` where the weights cannot be had.
    """

    def __init__(self, size: int = 224, attention: Kind = "cbam", pretrained: bool = False, **options: Any) -> None:
        super().__init__()
        check_number("size", size, SMALLEST, whole=True)
        check_flag("pretrained", pretrained)
        self.inputs = {APEX: (1, 3, size, size)}
        self.views = {APEX: View("keyframes", {"moments": ["peak"]})}
        self.trunk: Trunk = make(Trunk, "amnet2d", {"attention": attention, **options}, 2)
        if pretrained:
            self.trunk.load_imagenet()

    def forward(self, batch: Batch) -> Features:
        """Features of batch["apex"], [B, 1, 3, size, size] in [0, 1]."""
        maps = self.trunk(self.trunk.normalised(batch[APEX].flatten(0, 1)))
        return Features(pooled={SPATIAL: maps.mean((2, 3))}, maps={SPATIAL: maps})


class AMNet3D(Backbone):
    """The same with 3x3x3 kernels on a clip of `frames` frames from onset to offset. Provides pooled and maps under "temporal" and a "pair-code": the last maps
    averaged over time, [B, 512, size/32, size/32].

    size: side of the input in px; frames are shrunk to an eighth more (`View` sequence, side), which leaves room for shifts. reference "first" takes the
    first frame from every frame and multiplies what is left by `gain`, so that the network sees what moves instead of who it is (our choice, off by default;
    the paper feeds the clip). pretrained: ImageNet weights, inflated. Further options are those of `Trunk`. Raises as `AMNet2D`.
    """

    def __init__(
        self,
        size: int = 112,
        frames: int = 16,
        attention: Kind = "cbam",
        reference: Literal["none", "first"] = "none",
        gain: float = 1.0,
        pretrained: bool = False,
        **options: Any,
    ) -> None:
        super().__init__()
        check_number("size", size, SMALLEST, whole=True)
        if reference not in ("none", "first"):
            raise UsageError(f"reference {reference!r} is none of none, first")
        check_number("frames", frames, 2, whole=True)
        check_number("gain", gain, above=True)
        check_flag("pretrained", pretrained)
        if gain != 1 and reference == "none":
            raise UsageError(f"gain {gain!r} is of what moves: give it with reference first")
        self.inputs = {CLIP: (3, frames, size, size)}
        self.views = {CLIP: View("sequence", {"length": frames, "side": size + -(-size // 7)})}
        self.reference, self.gain = reference, float(gain)
        self.trunk: Trunk = make(Trunk, "amnet3d", {"attention": attention, **options}, 3)
        if pretrained:
            self.trunk.load_imagenet()

    def seen(self, clip: Tensor) -> Tensor:
        """What the trunk is given of clips [B, 3, T, size, size] in [0, 1]."""
        return self.trunk.normalised(clip) if self.reference == "none" else (clip - clip[:, :, :1]) * self.gain

    def forward(self, batch: Batch) -> Features:
        """Features of batch["clip"], [B, 3, frames, size, size] in [0, 1]."""
        clip = self.seen(batch[CLIP]).contiguous()
        # On a CPU, torch 2.15's weight gradients of some small 3D convolutions in bf16 hold memory that nobody wrote: 48 to 48 channels, or 2 to 1.
        with torch.autocast("cpu", enabled=False) if clip.device.type == "cpu" else nullcontext():
            maps = self.trunk(clip).mean(2)
        return Features(pooled={TEMPORAL: maps.mean((2, 3))}, maps={TEMPORAL: maps}, extras={"pair-code": maps})


class FAMNet(Backbone):
    """Both side by side: what `AMNet2D` and `AMNet3D` give, the pair code from the 3D branch. Given only one input, that branch alone.

    spatial, temporal: options of the two; attention and pretrained are theirs unless they say otherwise. Raises as they do.
    """

    def __init__(
        self, spatial: Mapping[str, Any] | None = None, temporal: Mapping[str, Any] | None = None, attention: Kind = "cbam", pretrained: bool = False
    ) -> None:
        super().__init__()
        shared = {"attention": attention, "pretrained": pretrained}
        self.spatial: AMNet2D = make(AMNet2D, "branch 'spatial' of famnet", {**shared, **_options("spatial", spatial)})
        self.temporal: AMNet3D = make(AMNet3D, "branch 'temporal' of famnet", {**shared, **_options("temporal", temporal)})
        self.inputs = {**self.spatial.inputs, **self.temporal.inputs}
        self.views = {**self.spatial.views, **self.temporal.views}
        self.branches = {SPATIAL: (APEX,), TEMPORAL: (CLIP,)}

    def forward(self, batch: Batch) -> Features:
        """Features of the branches whose input is in the batch. Raises `UsageError` where none is."""
        parts: list[Features] = [branch(batch) for name, branch in self._by_name() if all(needed in batch for needed in self.branches[name])]
        if not parts:
            raise UsageError(f"famnet sees {' and '.join(self.inputs)}, and the batch has neither; give one of them")
        merged = Features()
        for part in parts:
            merged.pooled |= part.pooled
            merged.maps |= part.maps
            merged.extras |= part.extras
        return merged

    def _by_name(self) -> tuple[tuple[str, nn.Module], ...]:
        return (SPATIAL, self.spatial), (TEMPORAL, self.temporal)


def _options(branch: str, options: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if options is not None and not isinstance(options, Mapping):
        raise UsageError(f"famnet: {branch} takes the options of its network by name, not {options!r}")
    return options or {}
