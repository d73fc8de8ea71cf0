"""Any 2D network of timm as a backbone, by name: `timm/resnet18` on key frames, on the difference or on flow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from merzoo.checks import check_flag
from merzoo.entries import last_line
from merzoo.errors import UnknownNameError, UsageError, WeightsError
from merzoo.interfaces import Backbone, Batch, Features
from merzoo.specs import View

CHANNELS = {"difference": 3, "flow": 2, "strain": 1, "dynamic-image": 3}


WORDS = ("act_layer", "norm_layer", "global_pool")  # options of networks that timm looks up by name
MOST = 8192  # of one option's numbers together: depths and widths of the largest networks stay below


def _check_options(options: Mapping[str, Any]) -> None:
    """Raise `UsageError` for what is no plain setting of a network: timm has options that open files, and options may come with a stranger's weights."""
    import inspect

    import timm

    own = set(inspect.signature(timm.create_model).parameters) - {"kwargs"}
    for name, value in options.items():
        numbers = value if isinstance(value, list | tuple) else [value]
        plain = all(isinstance(number, bool | int | float) or number is None for number in numbers) or (name in WORDS and isinstance(value, str))
        if name in own or name.startswith(("pretrained", "feature", "kwargs", "model_")) or not plain:
            raise UsageError(f"timm backbone: {name} cannot be set here; give numbers and flags of the network, such as layers or drop_rate")
        if sum(abs(number) for number in numbers if isinstance(number, int | float)) > MOST:
            raise UsageError(f"timm backbone: {name}={value!r} is too large; its numbers may sum to {MOST}")


class TimmBackbone(Backbone):
    """A timm network without its classifier.

    view: "keyframes" (its frames stacked as channels), "difference", "flow", "strain" or "dynamic-image"; size: side of the input in pixels.
    pretrained: ImageNet weights through timm, where the Hub can be reached. Further options are numbers and flags of the timm network, such as layers or
    drop_rate; not those of timm's that read files. Raises `UnknownNameError` for a network that timm does not have, `UsageError` for another view or option,
    `WeightsError` where its weights cannot be had.
    """

    network: Any  # a timm network
    mean: Tensor
    std: Tensor

    def __init__(
        self, member: str, view: str = "keyframes", view_options: dict[str, Any] | None = None, size: int = 224, pretrained: bool = False, **options: Any
    ) -> None:
        super().__init__()
        import difflib

        import timm

        check_flag("timm backbone: pretrained", pretrained)  # before it would be downloaded
        if not timm.is_model(member):
            raise UnknownNameError("timm network", member, difflib.get_close_matches(member, timm.list_models(), n=3))
        _check_options(options)
        view_options = {**({"moments": ["peak"]} if view == "keyframes" else {}), **(view_options or {})}
        self.view = view
        self.views = {view: View(view, view_options)}
        channels = self._channels(view, view_options)
        frames = (len(view_options["moments"]),) if view == "keyframes" else ()
        self.inputs = {view: (*frames, channels // (frames[0] if frames else 1), size, size)}
        if getattr(timm.get_pretrained_cfg(member), "fixed_input_size", False):  # a transformer's position embedding is made for one size
            options.setdefault("img_size", size)
        try:
            self.network = timm.create_model(member, pretrained=pretrained, num_classes=0, in_chans=channels, **options)
        except Exception as error:
            if not pretrained:
                raise
            raise WeightsError(f"ImageNet weights of timm/{member} cannot be had ({last_line(error)}); go online, or leave pretrained out") from error
        config = self.network.pretrained_cfg
        if channels % 3 == 0 and view in ("keyframes", "dynamic-image"):
            mean, std = (torch.tensor(config[k]).repeat(channels // 3)[:, None, None] for k in ("mean", "std"))
        else:  # differences and flow have mean 0; their scale is left to the first normalisation layer
            mean, std = torch.zeros(channels, 1, 1), torch.ones(channels, 1, 1)
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    @staticmethod
    def _channels(view: str, options: dict[str, Any]) -> int:
        if view == "keyframes":
            return 3 * len(options["moments"])
        if view not in CHANNELS:
            raise UsageError(f"timm backbone: view '{view}' is none of keyframes, {', '.join(CHANNELS)}")
        return CHANNELS[view]

    def forward(self, batch: Batch) -> Features:
        """pooled {"image": [B, D]}; maps {"image": [B, C, h, w]} where the network keeps its space (channels-first or channels-last maps)."""
        x: Tensor = batch[self.view]
        x = (x.flatten(1, 2) if x.ndim == 5 else x).sub(self.mean).div(self.std)
        raw = self.network.forward_features(x)
        pooled = self.network.forward_head(raw, pre_logits=True)
        maps = {}
        if raw.ndim == 4:
            last = getattr(self.network, "num_features", raw.shape[1])
            maps["image"] = raw if raw.shape[1] == last or raw.shape[3] != last else raw.permute(0, 3, 1, 2)
        return Features(pooled={"image": pooled}, maps=maps)
