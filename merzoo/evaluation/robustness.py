"""What a trained network says of test clips that were made harder (see `merzoo.data.perturb`). It was trained on the clips as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from merzoo.data.clips import Clips
from merzoo.data.perturb import Perturbation
from merzoo.interfaces import Batch
from merzoo.recognizer import Recognizer
from merzoo.training.batches import load, looks_of
from merzoo.training.machine import Machine


def predict_perturbed(
    recognizer: Recognizer, clips: Clips, machine: Machine, perturbations: Sequence[Perturbation], batch_size: int = 64
) -> dict[str, list[list[float]]]:
    """{"pixel-noise=10": the probabilities of each clip in order, …}, one entry a perturbation, in fp32."""
    recognizer.eval()
    found = {}
    with torch.inference_mode():
        for what in perturbations:
            batches = perturbed_batches(recognizer, clips, what, batch_size, torch.device(machine.device))
            found[str(what)] = [shares for looks in batches for shares in recognizer.probabilities(looks).double().cpu().tolist()]
    return found


def perturbed_batches(recognizer: Recognizer, clips: Clips, what: Perturbation, batch_size: int, device: torch.device) -> Iterator[list[Batch]]:
    """Batches over all clips in order, one batch a look, cropped at the centre: as `test_batches`, from perturbed frames, of which nothing is kept."""
    chosen, ids = looks_of(recognizer.test_views), clips.sample_ids
    for at in torch.arange(len(clips)).split(batch_size):
        stored: list[dict[str, list[np.ndarray]]] = [{name: [] for name in look} for look in chosen]
        for i in at.tolist():
            frames, interval = what.apply(clips.frames(i), clips.interval(i), what.rng(ids[i]))
            for arrays, look in zip(stored, chosen, strict=True):
                for name, view in look.items():
                    arrays[name].append(clips.data.view_kind(view).prepare(frames, interval))
        yield [
            load(clips, look, {name: torch.from_numpy(np.stack(of)).to(device) for name, of in arrays.items()}, recognizer.backbone.inputs, None, None, device)
            for arrays, look in zip(stored, chosen, strict=True)
        ]
