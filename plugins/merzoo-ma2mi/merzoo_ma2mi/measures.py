"""Measures on held-out faces: how well the pretext rebuilds, what of it is the code's doing, and what a linear probe reads from the code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from merzoo.data.clips import Clips
from merzoo.interfaces import Batch
from merzoo.interval import Interval
from merzoo.recognizer import Recognizer
from merzoo_ma2mi.pairs import Delta, PairBatches
from merzoo_ma2mi.strategy import future_frame

if TYPE_CHECKING:
    from merzoo.data.synthetic import SyntheticFaces

Pair = tuple[int, Interval]  # position of a clip, and its frames (t, t + δ)
PROBE_GRID = 4  # cells a side that C_Δ is averaged to
PROBE_ALPHAS = tuple(10.0**k for k in range(7))
LEAST_ACTIVE = 0.03  # share of the pairs in which an action unit must move by more than LEAST_PX to be probed
LEAST_PX = 0.2


@dataclass(frozen=True)
class Errors:
    """Per pair, [N] each: squared error of the rebuilt latent, of it under another clip's code, and of the copy; and whose pair it is."""

    rebuilt: np.ndarray
    swapped: np.ndarray
    copy: np.ndarray
    subject: np.ndarray


def batches_for(recognizer: Recognizer, clips: Clips, delta: Delta, batch_size: int = 32) -> PairBatches:
    """Centre crops of pairs, with all that the backbone and the task want."""
    task = future_frame(recognizer)
    views = {name: choices[0] for name, choices in recognizer.train_views.items()}
    return PairBatches(clips, {**recognizer.backbone.inputs, **task.frames}, {**views, **task.views}, batch_size, delta, augmentation=None)


def drawn_pairs(batches: PairBatches, count: int, seed: int) -> list[Pair]:
    """The first `count` pairs of a seed."""
    steps = -(-count // batches.batch_size)
    return [pair for step in range(steps) for pair in batches.chosen(seed, step)][:count]


@torch.inference_mode()
def errors(recognizer: Recognizer, batches: PairBatches, pairs: Sequence[Pair]) -> Errors:
    """Errors of a recogniser on these pairs, in fp32. The swapped code is that of a pair of another clip."""
    recognizer.eval()
    task, device = future_frame(recognizer), torch.device("cpu")
    recognizer.to(device)
    first, second, codes = [], [], []
    for at in range(0, len(pairs), 64):
        batch = batches.load(pairs[at : at + 64], device)
        z0, z1 = task.pair(batch)
        first.append(z0)
        second.append(z1)
        codes.append(task.code(recognizer.backbone(batch)) if task.conditioned else z0.new_zeros(len(z0), *task.code_shape))
    z0, z1, code = (torch.cat(parts) for parts in (first, second, codes))
    other = torch.from_numpy(of_another_clip([position for position, _ in pairs]))
    rebuilt, swapped = (_squares(task.rebuild(z0, given) - z1) for given in (code, code[other]))
    subject = batches.source.subject_of[[position for position, _ in pairs]]
    return Errors(rebuilt, swapped, _squares(z1 - z0), subject)


def of_another_clip(positions: Sequence[int]) -> np.ndarray:
    """For each sample the index of one of another clip: a permutation, as long as no clip has more than half of the samples."""
    order = np.argsort(positions, kind="stable")
    most = max(np.bincount(positions))
    out = np.empty(len(order), np.int64)
    out[order] = np.roll(order, most)
    return out


def _squares(x: Tensor) -> np.ndarray:
    return x.square().mean((1, 2, 3)).double().cpu().numpy()


@torch.inference_mode()
def copy_and_error(recognizer: Recognizer, batches: PairBatches, pairs: Sequence[Pair], dataset: SyntheticFaces, **ablation: bool) -> tuple[float, float]:
    """Mean error of the copy and of the rebuilt latent on the same pairs, rendered anew with causes of change taken away (`SyntheticFaces.ablated`)."""
    task, size = future_frame(recognizer), batches.source.data.preprocessing.size
    ids = batches.source.sample_ids
    frames = [dataset.ablated(ids[at], size=size, only=[pair.start, pair.peak], **ablation) for at, pair in pairs]
    batch = _of_frames(batches, frames)
    error, copy = task.errors(recognizer.backbone(batch) if task.conditioned else None, batch)
    return float(copy.mean()), float(error.mean())


def _of_frames(batches: PairBatches, frames: Sequence[np.ndarray]) -> Batch:
    from merzoo.training.batches import load

    kinds = {name: batches.source.data.view_kind(view) for name, view in batches.views.items()}
    stored = {name: torch.from_numpy(np.stack([kind.prepare(f, Interval(0, 1, 1)) for f in frames])) for name, kind in kinds.items()}
    return load(batches.source, batches.views, stored, batches.inputs, None, None, torch.device("cpu"))


@torch.inference_mode()
def codes(recognizer: Recognizer, batches: PairBatches, pairs: Sequence[Pair]) -> np.ndarray:
    """C_Δ of each pair, averaged to a small grid and flattened, [N, C x grid²]."""
    recognizer.eval()
    out = []
    for at in range(0, len(pairs), 64):
        code = recognizer.backbone(batches.load(pairs[at : at + 64], torch.device("cpu"))).extras["pair-code"]
        out.append(F.adaptive_avg_pool2d(code.float(), PROBE_GRID).flatten(1).numpy())
    return np.concatenate(out)


def intensities(dataset: SyntheticFaces, clips: Clips, pairs: Sequence[Pair]) -> np.ndarray:
    """Change of each action unit's intensity over each pair, mean of both sides, in px; units that hardly occur are left out. [N, units]."""
    ids, known = clips.sample_ids, {}
    for at in {at for at, _ in pairs}:
        known[at] = dataset.truth(ids[at]).intensities.mean(1)
    change = np.stack([known[at][pair.peak] - known[at][pair.start] for at, pair in pairs])
    return change[:, (np.abs(change) > LEAST_PX).mean(0) >= LEAST_ACTIVE]


def probe(features: np.ndarray, target: np.ndarray, subject: np.ndarray, folds: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Ridge regression with subjects held out: squared residuals [N] of its predictions, and of the training mean as the prediction."""
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import GroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    residual, spread = np.empty(len(target)), np.empty(len(target))
    for train, test in GroupKFold(min(folds, len(set(subject)))).split(features, groups=subject):
        model = make_pipeline(StandardScaler(), RidgeCV(PROBE_ALPHAS)).fit(features[train], target[train])
        residual[test] = np.square(model.predict(features[test]) - target[test]).sum(1)
        spread[test] = np.square(target[train].mean(0) - target[test]).sum(1)
    return residual, spread


def ratio_interval(top: np.ndarray, bottom: np.ndarray, subject: np.ndarray, resamples: int = 2000) -> tuple[float, float, float]:
    """Σtop / Σbottom, and its 95 % interval over resampled subjects."""
    names, index = np.unique(subject, return_inverse=True)
    sums = [np.bincount(index, weights=values, minlength=len(names)) for values in (top, bottom)]
    times = np.random.default_rng(0).multinomial(len(names), np.full(len(names), 1 / len(names)), resamples)
    drawn = (times @ sums[0]) / (times @ sums[1])
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(sums[0].sum() / sums[1].sum()), float(low), float(high)
