"""The reconstruction picture: what the pretext makes of pairs it is shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from merzoo.data.clips import Clips
from merzoo.errors import MediaError
from merzoo.recognizer import Recognizer
from merzoo_ma2mi.future_frame import PAIR
from merzoo_ma2mi.pairs import Delta, PairBatches
from merzoo_ma2mi.strategy import future_frame

COLUMNS = ("I(t)", "I(t+d)", "rebuilt I(t+d)", "G of I(t+d)", "true change x{gain:g}", "rebuilt change x{gain:g}")
SHOWN = 160  # px a picture
STRIP = 22  # px of the heading


def picture(
    recognizer: Recognizer, clips: Clips, path: Path | str, *, rows: int = 5, gain: float = 5.0, delta: Delta | None = None, seed: int = 0
) -> Path:
    """Write a PNG of `rows` random pairs of these clips, a row each, and return its path.

    Columns: I_t, I_{t+δ}, the decoded Î_{t+δ}, the decoded G(I_{t+δ}) (the best that D could do), and two changes about grey, amplified:
    I_{t+δ} − I_t, and decoded Î_{t+δ} minus decoded G(I_t). Raises `NeedsError` for a recogniser without the future-frame task (loaded weights do
    not keep it), `MediaError` where the file cannot be written.
    """
    import cv2

    panels = torch.cat(columns(recognizer, clips, rows=rows, gain=gain, delta=delta, seed=seed), dim=-1)  # [rows, 3, S, 6 S]
    side = panels.shape[-2]
    image = np.concatenate([np.rint(row.permute(1, 2, 0).numpy() * 255).astype(np.uint8) for row in panels])
    wide = SHOWN * len(COLUMNS), SHOWN * rows
    image = cv2.resize(image, wide, interpolation=cv2.INTER_CUBIC if side < SHOWN else cv2.INTER_AREA)
    image = np.concatenate([np.full((STRIP, image.shape[1], 3), 255, np.uint8), image])
    for number, title in enumerate(COLUMNS):
        where = (number * SHOWN + 5, STRIP - 7)
        cv2.putText(image, title.format(gain=gain), where, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), image[..., ::-1]):
        raise MediaError(f"picture {path} cannot be written; choose a folder that can, and a name that ends with .png")
    return path


@torch.inference_mode()
def columns(recognizer: Recognizer, clips: Clips, *, rows: int, gain: float, delta: Delta | None = None, seed: int = 0) -> list[Tensor]:
    """The six columns of the picture, [rows, 3, S, S] in [0, 1] each."""
    task = future_frame(recognizer).eval()
    recognizer.eval()
    views = {name: choices[0] for name, choices in recognizer.train_views.items()}
    batches = PairBatches(clips, {**recognizer.backbone.inputs, **task.frames}, {**views, **task.views}, rows, delta or Delta(), augmentation=None)
    device = task.latent.mean.device
    batch = batches.load(batches.chosen(seed, 0), device)
    z0, z1 = task.pair(batch)
    rebuilt = task.latent.decode(task.rebuild(z0, task.code(recognizer.backbone(batch)) if task.conditioned else None))
    first, second = batch[PAIR].unbind(1)
    changes = second - first, rebuilt - task.latent.decode(z0)
    return [x.float().cpu() for x in (first, second, rebuilt, task.latent.decode(z1), *((0.5 + gain * change).clamp(0, 1) for change in changes))]
