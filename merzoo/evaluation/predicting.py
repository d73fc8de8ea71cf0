"""What a trained network says of test clips, and whether saying it leaves the network as it was."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from merzoo.data.clips import Clips
from merzoo.recognizer import Recognizer
from merzoo.training.batches import test_batches
from merzoo.training.engine import state_hash
from merzoo.training.machine import Machine

TOLERANCE = 1e-4  # of a probability: other batch sizes sum in another order, and no more than that


def predict_clips(recognizer: Recognizer, clips: Clips, machine: Machine, batch_size: int = 64) -> list[dict[str, Any]]:
    """Per-sample predictions in fp32: sample_id, subject, label and probabilities in the order of the recogniser's labels; and, where auxiliary tasks
    predict, "auxiliary": {task: {output: numbers}}, with "auxiliary_truth": {task: {output: 1, 0 or None where nobody knows}} of the outputs that are scored.
    A clip with several labels has their names joined by "+"."""
    targets, subjects, ids = clips.targets, clips.subject_of, clips.sample_ids
    truths = _truths(recognizer, clips)
    rows: list[dict[str, Any]] = []
    for at, looks, found in _batches(recognizer, clips, machine, batch_size):
        with torch.inference_mode():
            extra = {task: {k: v.flatten(1).tolist() for k, v in out.items()} for task, out in recognizer.auxiliary_predictions(looks).items()}
        for n, (i, probabilities) in enumerate(zip(at, found, strict=True)):
            label = "+".join(name for name, there in zip(clips.data.labels, targets[i], strict=True) if there)
            rows.append({"sample_id": ids[i], "subject": str(subjects[i]), "label": label, "probabilities": probabilities})
            if extra:
                rows[-1]["auxiliary"] = {task: {k: v[n] for k, v in out.items()} for task, out in extra.items()}
            if truths:
                rows[-1]["auxiliary_truth"] = {task: {k: v[i] for k, v in out.items()} for task, out in truths.items()}
    return rows


def scored_outputs(recognizer: Recognizer) -> dict[str, dict[str, tuple[str, ...]]]:
    """{task: {output: what each of its numbers stands for}} of the auxiliary tasks whose predictions are scored (`AuxiliaryTask.outputs`)."""
    return {name: dict(task.outputs) for name, task in recognizer.auxiliary.items() if task.predicts and task.outputs}


def _truths(recognizer: Recognizer, clips: Clips) -> dict[str, dict[str, list[list[int | None]]]]:
    """{task: {output: [clips, K]}} of the outputs that are scored: 1, 0, or None where nobody knows."""
    found = {name: recognizer.auxiliary[name].targets(clips) for name in scored_outputs(recognizer)}
    rows = {name: {output: targets[output].tolist() for output in recognizer.auxiliary[name].outputs} for name, targets in found.items()}
    return {name: {output: [[None if x != x else int(x) for x in row] for row in each] for output, each in of.items()} for name, of in rows.items()}


def _batches(recognizer: Recognizer, clips: Clips, machine: Machine, batch_size: int = 64) -> Iterator[tuple[list[int], list[Any], list[list[float]]]]:
    """Of each batch the positions of its clips, its looks, and the probabilities of each clip."""
    recognizer.eval()
    for at, looks in test_batches(clips, recognizer.backbone.inputs, recognizer.test_views, batch_size, torch.device(machine.device)):
        with torch.inference_mode():  # not around the loop: a generator would leave it switched on for whoever asks
            found = recognizer.probabilities(looks).double().cpu().tolist()
        yield at.tolist(), looks, found


def positions(recognizer: Recognizer, clips: Clips, machine: Machine) -> list[int]:
    """Position of the predicted class of each clip, told in the middle of training without changing it."""
    with undisturbed(recognizer, clips, machine):
        return [max(range(len(shares)), key=shares.__getitem__) for _, _, found in _batches(recognizer, clips, machine) for shares in found]


@contextlib.contextmanager
def undisturbed(recognizer: Recognizer, clips: Clips, machine: Machine) -> Iterator[None]:
    """Give back the mode of every module, torch's random state, and the account of which clips were drawn, as they were."""
    modes, drawn = {module: module.training for module in recognizer.modules()}, set(clips.data.drawn)
    with torch.random.fork_rng([torch.device(machine.device)] if machine.device.startswith("cuda") else []):
        try:
            yield
        finally:
            for module, mode in modes.items():
                module.training = mode
            clips.data.drawn.clear()
            clips.data.drawn.update(drawn)


def audited(recognizer: Recognizer, clips: Clips, machine: Machine, record: Mapping[str, Any]) -> dict[str, Any]:
    """{"checks"} of a fold record: "state_unchanged", whether predicting the test clips left the trained state as it was, and "batch_independent", whether
    each clip is given the same probabilities alone as among the others. Where one is false, statistics were taken from test data."""
    after = state_hash(recognizer)
    alone = predict_clips(recognizer, clips, machine, batch_size=1)
    pairs = zip(alone, record["predictions"], strict=True)
    apart = max((abs(a - b) for one, other in pairs for a, b in zip(one["probabilities"], other["probabilities"], strict=True)), default=0.0)
    return {"checks": {"state_unchanged": after == record["state_sha256"], "batch_independent": apart <= TOLERANCE}}
