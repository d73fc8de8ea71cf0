"""Where a network looked: its own attention map, an exact class-activation map, or Grad-CAM, whichever its parts allow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from merzoo.builtin.heads import GapHead
from merzoo.errors import UsageError
from merzoo.interfaces import Batch, Features
from merzoo.recognizer import Recognizer

ATTENTION = "attention"  # of `Features.extras`, [B, 1, h, w]


def heatmap(recognizer: Recognizer, batch: Batch, class_index: int) -> np.ndarray | None:
    """Where the evidence for a class lies, float32 [h, w] in [0, 1], for a batch of one sample; None where the backbone has no maps to tell it by.

    Taken is the first of these that there is: the backbone's own attention map (it belongs to no class); the class-activation map of a head on
    pooled maps (Zhou et al. 2016), which is exact; Grad-CAM (Selvaraju et al. 2017) on every map that the logit depends on. Several maps are brought
    to the largest one's size and summed. Negative evidence is cut off and the rest divided by its maximum; attention, which has no zero of its own,
    is stretched from its minimum to its maximum (our choices).
    Raises `UsageError` for a batch of several samples or a class that does not exist.
    """
    if not 0 <= class_index < len(recognizer.labels):
        raise UsageError(f"class index {class_index} is none of the {len(recognizer.labels)} classes; give 0 to {len(recognizer.labels) - 1}")
    training = recognizer.training
    recognizer.eval()
    try:
        return _scaled(_evidence(recognizer, batch, class_index))
    finally:
        recognizer.train(training)


def _evidence(recognizer: Recognizer, batch: Batch, class_index: int) -> list[Tensor]:
    with torch.no_grad():
        features = recognizer.backbone(batch)
    held = [*features.maps.values(), *(value for name, value in features.extras.items() if name == ATTENTION)]
    if any(len(value) != 1 for value in held):
        raise UsageError("heat maps are made of one sample at a time; give a batch of one")
    if ATTENTION in features.extras:
        attention = features.extras[ATTENTION][0].mean(0)
        return [attention - attention.min()]
    if isinstance(recognizer.head, GapHead):
        return [class_activation(recognizer.head, features, class_index)]
    if not features.maps:
        return []
    # Outside inference mode, and with inputs that ask for gradients, so that frozen networks have a Grad-CAM too.
    with torch.inference_mode(False), torch.enable_grad():
        inputs = {name: batch[name].detach().clone().requires_grad_() for name in recognizer.backbone.inputs}
        features = recognizer.backbone(inputs)
        return grad_cam(features, recognizer.head(features), class_index)


def class_activation(head: GapHead, features: Features, class_index: int) -> Tensor:
    """Σ_k w_k A_k, [h, w], for the first sample (Zhou et al. 2016, eq. 2): its mean plus the head's bias is the class's logit."""
    return torch.einsum("c,chw->hw", head.linear.weight[class_index], features.maps[head.map][0]).detach()


def grad_cam(features: Features, logits: Tensor, class_index: int) -> list[Tensor]:
    """ReLU(Σ_k α_k A_k), [h, w], of each map that the logit depends on (Selvaraju et al. 2017, eqs. 1 and 2), for the first sample.

    α_k is the gradient's sum over positions instead of its mean, so that maps of different sizes count in the same unit, the logit (our choice).
    """
    maps = [features.maps[name] for name in sorted(features.maps)]
    wanted = [i for i, value in enumerate(maps) if value.requires_grad]
    if not wanted or not logits.requires_grad:
        return []
    slopes = torch.autograd.grad(logits[0, class_index], [maps[i] for i in wanted], allow_unused=True)
    found = []
    for i, slope in zip(wanted, slopes, strict=True):
        if slope is not None:
            found.append(torch.einsum("c,chw->hw", slope[0].sum((1, 2)), maps[i][0]).relu().detach())
    return found


def _scaled(maps: Sequence[Tensor]) -> np.ndarray | None:
    """The sum of maps [h, w] at the size of the largest, negative values cut off, divided by its maximum; all 0 where nothing is positive."""
    if not maps:
        return None
    size = max((tuple(m.shape) for m in maps), key=lambda shape: shape[0] * shape[1])
    resized = [nn.functional.interpolate(m.float()[None, None], size=size, mode="bilinear", align_corners=False)[0, 0] for m in maps]
    total = torch.stack(resized).sum(0).nan_to_num().clamp(min=0)
    return (total / total.max().clamp(min=torch.finfo(total.dtype).tiny)).cpu().numpy()
