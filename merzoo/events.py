"""What a recogniser says of the events of faces: views of its frames, probabilities, and what a picture of it needs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from merzoo.errors import WeightsError
from merzoo.interval import Interval
from merzoo.specs import Task

if TYPE_CHECKING:
    from merzoo.faces import FaceEvent
    from merzoo.interfaces import Batch
    from merzoo.recognizer import Recognizer

TOGETHER = 16  # events in a batch at most: memory does not grow with the number of faces
Shares = dict[str, dict[str, tuple[tuple[str, ...], list[Any]]]]
CURVE = 32  # points of a motion curve at most: enough for a picture


@dataclass(frozen=True, eq=False)
class Event:
    """One movement of a face and what the model calls it.

    emotion: the likeliest label. task: "multi-label" where several may hold at once. probabilities: {label: p}, in the model's order.
    onset, apex, offset: frame numbers of the source.
    strength: largest displacement, px of a 128 px crop; None where the interval was given. confident: False where no movement stood out and this is the
    strongest there was. onset_crop, apex_crop: uint8 [S, S, 3], what the network saw. heat: float [h, w] in [0, 1] over these crops, or None (see
    `merzoo.heatmaps`). motion: (frame number, displacement from the onset in px of a 128 px crop).
    auxiliary: {task: {output: {name: p}}} of auxiliary tasks whose outputs have names, such as action units.
    """

    emotion: str
    probabilities: dict[str, float]
    onset: int
    apex: int
    offset: int
    strength: float | None
    confident: bool
    onset_crop: np.ndarray = field(repr=False)
    apex_crop: np.ndarray = field(repr=False)
    heat: np.ndarray | None = field(repr=False, default=None)
    motion: list[tuple[int, float]] = field(repr=False, default_factory=list)
    task: Task = "classes"
    auxiliary: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)

    @property
    def named(self) -> tuple[str, ...]:
        """What the model says is there: the likeliest label, or where several may hold at once all of at least one half."""
        if self.task == "classes":
            return (self.emotion,)
        return tuple(label for label, p in self.probabilities.items() if p >= 0.5)

    @property
    def title(self) -> str:
        """The labels in `named` as one text; "none" where there is none."""
        return "+".join(self.named) or "none"

    @property
    def beside(self) -> list[str]:
        """What auxiliary tasks say is there, a line a task: the names of at least one half, likeliest first, as "au-detection: AU12 91%"."""
        lines = []
        for task, outputs in self.auxiliary.items():
            there = [f"{name} {p:.0%}" for of in outputs.values() for name, p in sorted(of.items(), key=lambda item: -item[1]) if p >= 0.5]
            lines.append(f"{task}: {', '.join(there) or 'none'}")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """What is written as JSON: numbers and text, no pictures; "labels" are `named` where several may hold at once."""
        names = ("emotion", "probabilities", "onset", "apex", "offset", "strength", "confident")
        beside = {} if self.task == "classes" else {"labels": list(self.named)}
        return {name: getattr(self, name) for name in names} | beside | ({"auxiliary": self.auxiliary} if self.auxiliary else {})


def name_events(recognizer: Recognizer, events: Sequence[FaceEvent]) -> list[Event]:
    """What the model says of each event, all whose inputs have one shape in one batch. Raises `WeightsError` where its output is not finite."""
    import torch

    at = [_positions(event) for event in events]
    training = recognizer.training
    recognizer.eval()
    try:
        each = [looks(recognizer, event.frames, positions) for event, positions in zip(events, at, strict=True)]
        named: dict[int, Event] = {}
        for numbers in _alike(each):
            batches = [{name: torch.cat([each[n][look][name] for n in numbers]) for name in batch} for look, batch in enumerate(each[numbers[0]])]
            with torch.inference_mode():
                probabilities = recognizer.probabilities(batches).cpu().tolist()
                auxiliary = _auxiliary(recognizer, batches)
            for row, (number, p) in enumerate(zip(numbers, probabilities, strict=True)):
                named[number] = _named(recognizer, events[number], at[number], p, each[number][0], _row(auxiliary, row))
        return [named[number] for number in range(len(events))]
    finally:
        recognizer.train(training)


def _positions(event: FaceEvent) -> Interval:
    """Onset, apex and offset as positions among the event's frames."""
    return Interval(*(int(np.searchsorted(event.frame_numbers, n)) for n in (event.interval.start, event.interval.peak, event.interval.stop)))


def _alike(each: Sequence[list[Batch]]) -> list[list[int]]:
    """The numbers of those that can be put into one batch, at most `TOGETHER` in one."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for number, batches in enumerate(each):
        groups.setdefault(tuple((name, tuple(value.shape)) for batch in batches for name, value in batch.items()), []).append(number)
    return [group[first : first + TOGETHER] for group in groups.values() for first in range(0, len(group), TOGETHER)]


def _named(recognizer: Recognizer, event: FaceEvent, at: Interval, p: list[float], batch: Batch, auxiliary: dict[str, dict[str, dict[str, float]]]) -> Event:
    from merzoo.heatmaps import heatmap

    if not all(map(math.isfinite, p)):
        raise WeightsError(f"{recognizer.spec.name}: its output is not finite; the weights are damaged or their training diverged, take others")
    best = int(np.argmax(p))
    side = max(shape[-1] for shape in recognizer.backbone.inputs.values())
    corner = (event.frames.shape[1] - side) // 2
    seen = event.frames[:, corner : corner + side, corner : corner + side]
    return Event(
        emotion=recognizer.labels[best],
        probabilities=dict(zip(recognizer.labels, p, strict=True)),
        onset=event.interval.start,
        apex=event.interval.peak,
        offset=event.interval.stop,
        strength=float(event.strength) if math.isfinite(event.strength) else None,
        confident=bool(event.confident),
        onset_crop=seen[at.start].copy(),
        apex_crop=seen[at.peak].copy(),
        heat=heatmap(recognizer, batch, best),
        motion=_motion(event, at),
        task=recognizer.task,
        auxiliary=auxiliary,
    )


def _auxiliary(recognizer: Recognizer, batches: list[Batch]) -> Shares:
    """{task: {output: (names, rows of p)}} of a batch, of the outputs whose numbers have names."""
    found = recognizer.auxiliary_predictions(batches)
    named = {task: {output: names for output, names in recognizer.auxiliary[task].outputs.items() if output in found[task]} for task in found}
    shares = {task: {output: (names, found[task][output].tolist()) for output, names in of.items()} for task, of in named.items()}
    return {task: of for task, of in shares.items() if of}


def _row(auxiliary: Shares, row: int) -> dict[str, dict[str, dict[str, float]]]:
    """{task: {output: {name: p}}} of one event of a batch."""
    return {task: {output: dict(zip(names, rows[row], strict=True)) for output, (names, rows) in of.items()} for task, of in auxiliary.items()}


def looks(recognizer: Recognizer, frames: np.ndarray, interval: Interval) -> list[Batch]:
    """The test views of one clip, each look a batch of one, cropped at the centre to the backbone's inputs.

    frames: aligned uint8 [T, S, S, 3]; interval: positions among them.
    """
    import torch

    from merzoo.making import make_view
    from merzoo.views.base import centre

    device = next((t.device for t in chain(recognizer.parameters(), recognizer.buffers())), torch.device("cpu"))
    kinds = {name: [make_view(view) for view in views] for name, views in recognizer.test_views.items()}
    batches: list[Batch] = [{} for _ in range(max(map(len, kinds.values())))]
    for name, choices in kinds.items():
        for number, batch in enumerate(batches):
            kind = choices[number % len(choices)]
            stored = torch.from_numpy(np.ascontiguousarray(kind.prepare(frames, interval)))[None].to(device)
            batch[name] = kind.augment(kind.load(stored), centre(1, stored.shape[-1], recognizer.backbone.inputs[name][-1], device))
    return batches


def _motion(event: FaceEvent, at: Interval) -> list[tuple[int, float]]:
    """Displacement of the most moved parts of the face from the onset, at some of the event's frames, the apex among them."""
    import cv2

    from merzoo.faces.motion import SIZE, between

    def grey(position: int) -> np.ndarray:
        return cv2.resize(cv2.cvtColor(event.frames[position], cv2.COLOR_RGB2GRAY), (SIZE, SIZE), interpolation=cv2.INTER_AREA)

    even = np.linspace(0, len(event.frames) - 1, CURVE).round().astype(int).tolist()
    first = grey(at.start)
    return [(int(event.frame_numbers[i]), between(first, grey(i)) if i != at.start else 0.0) for i in sorted({*even, at.peak})]
