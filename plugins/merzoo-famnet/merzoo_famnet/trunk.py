"""ResNet-18 with attention after each stage, for one picture or for a clip; ImageNet weights, inflated for clips."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import timm
import torch
from timm.models.resnet import BasicBlock, make_blocks
from torch import Tensor, nn

from merzoo.checks import check_flag, check_number
from merzoo.entries import last_line
from merzoo.errors import UsageError, WeightsError
from merzoo_famnet.attention import Kind, StageAttention, check_kind

STAGES = 4
PRETRAINED = "resnet18"  # of timm
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # mean and standard deviation of its channels, which timm's weights expect


class Trunk(nn.Module):
    """Stem 7x7/2, max-pooling 3x3/2, and four stages of timm's basic blocks, each followed by attention; its names are timm's, so that its weights fit.

    dims 3: the same with kernels 3x3x3 (1x1x1 in shortcuts); the stem is 3x7x7 with stride (1, 2, 2), max-pooling leaves time as it is, stages 2 to 4 halve
    time, height and width. widths, layers: channels and blocks of each stage; stem: channels after the first convolution.
    pool False: a stem of stride 4 instead of stride 2 and max-pooling, at a quarter of its cost (our choice, for small presets).
    Raises `UsageError` for sizes that cannot be.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        dims: int = 2,
        widths: Sequence[int] = (64, 128, 256, 512),
        layers: Sequence[int] = (2, 2, 2, 2),
        stem: int = 64,
        attention: Kind = "cbam",
        reduction: int = 16,
        pool: bool = True,
    ) -> None:
        super().__init__()
        _check(widths, layers, stem, reduction)
        check_kind(attention)
        check_flag("pool", pool)
        self.dims = dims
        self.conv1: nn.Module = nn.Conv2d(3, stem, 7, 2 if pool else 4, 3, bias=False)
        self.bn1: nn.Module = nn.BatchNorm2d(stem)
        self.act1 = nn.ReLU(inplace=True)
        self.maxpool: nn.Module = nn.MaxPool2d(3, 2, 1) if pool else nn.Identity()
        stages, _ = make_blocks((BasicBlock,) * STAGES, tuple(widths), tuple(layers), stem, act_layer=nn.ReLU, norm_layer=nn.BatchNorm2d)
        for name, stage in stages:
            self.add_module(name, stage)
        if dims == 3:
            _for_clips(self)
        self._draw()
        for name, values in zip(("mean", "std"), IMAGENET, strict=True):
            self.register_buffer(name, torch.tensor(values).reshape(3, *(1 for _ in range(dims))))
        kinds = [] if attention == "none" else [StageAttention(width, dims, attention, reduction) for width in widths]
        self.attention = nn.ModuleList(kinds)

    def normalised(self, x: Tensor) -> Tensor:
        """Pictures or clips [B, 3, ...] in [0, 1], standardised by ImageNet's means and deviations."""
        return (x - self.mean) / self.std

    def _draw(self) -> None:
        """Random weights, as timm draws them: He's for convolutions, and the last normalisation of each block 0, so that a block begins as its shortcut."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if isinstance(module, BasicBlock):
                module.zero_init_last()

    def stages(self, x: Tensor) -> Iterator[Tensor]:
        """What each stage gives, after its attention, from pictures [B, 3, H, W] or clips [B, 3, T, H, W]."""
        x = self.maxpool(self.act1(self.bn1(self.conv1(x))))
        for at in range(STAGES):
            x = self.get_submodule(f"layer{at + 1}")(x)
            if self.attention:
                x = self.attention[at](x)
            yield x

    def forward(self, x: Tensor) -> Tensor:
        """The last stage: [B, C, H/32, W/32], or [B, C, T/8, H/32, W/32]."""
        *_, last = self.stages(x)
        return last

    def load_imagenet(self) -> None:
        """Take ImageNet weights of timm's ResNet-18, inflated where this trunk sees clips; attention keeps its random ones.

        Raises `WeightsError` where they cannot be had, or this trunk is of another size.
        """
        own = {name: value for name, value in self.state_dict().items() if not name.startswith(("attention.", "mean", "std"))}
        with torch.device("meta"):
            wanted = timm.create_model(PRETRAINED, num_classes=0).state_dict()
        if {name: value.shape[:2] for name, value in own.items()} != {name: value.shape[:2] for name, value in wanted.items()}:
            raise WeightsError(f"ImageNet weights of timm/{PRETRAINED} do not fit widths, layers or stem of another size; leave pretrained out, or those")
        try:
            network = timm.create_model(PRETRAINED, pretrained=True, num_classes=0)
        except Exception as error:
            raise WeightsError(f"ImageNet weights of timm/{PRETRAINED} cannot be had ({last_line(error)}); go online, or leave pretrained out") from error
        self.load_state_dict(inflated(network.state_dict(), own), strict=False)


def inflated(weights: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a 2D network for the 3D one `like`: every kernel is repeated along time and divided by its length, so that its sum over time is the 2D
    kernel (Carreira and Zisserman 2017, section 2.2); where `like` has no time, as they are. Raises `KeyError` for weights that `like` has not."""
    out = {}
    for name, value in weights.items():
        times = like[name].shape[2] if like[name].ndim == value.ndim + 1 else 0
        out[name] = value[:, :, None].repeat(1, 1, times, 1, 1) / times if times else value
    return out


def _for_clips(module: nn.Module) -> None:
    """Replace every 2D layer below by its 3D counterpart, in place."""
    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d):
            first = child.kernel_size[0] == 7
            time, stride = (1 if child.kernel_size[0] == 1 else 3), (1 if first else child.stride[0])
            shape: dict[str, Any] = {
                "kernel_size": (time, *child.kernel_size),
                "stride": (stride, *child.stride),
                "padding": (time // 2, *child.padding),  # type: ignore[misc]
            }
            setattr(module, name, nn.Conv3d(child.in_channels, child.out_channels, bias=False, **shape))
        elif isinstance(child, nn.BatchNorm2d):
            setattr(module, name, nn.BatchNorm3d(child.num_features))
        elif isinstance(child, nn.MaxPool2d):
            setattr(module, name, nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)))
        else:
            _for_clips(child)


def _check(widths: Sequence[int], layers: Sequence[int], stem: int, reduction: int) -> None:
    for name, values in (("widths", widths), ("layers", layers)):
        if not isinstance(values, list | tuple) or len(values) != STAGES:
            raise UsageError(f"{name} {values!r} must be {STAGES} whole numbers of at least 1, one a stage")
        for at, value in enumerate(values):
            check_number(f"{name}[{at}]", value, 1, whole=True)
    for name, value in (("stem", stem), ("reduction", reduction)):
        check_number(name, value, 1, whole=True)
