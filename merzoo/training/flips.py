"""Wrong labels on purpose: how much of a score survives when a share of the training labels is wrong."""

from __future__ import annotations

import copy

from merzoo.data.clips import ClipData, Clips
from merzoo.errors import UsageError
from merzoo.training.seeds import derive


def flipped(clips: Clips, share: float, seed: int) -> ClipData:
    """The data of these clips in which a share of them, rounded to whole clips, carries another class; frames, views and the guard are shared with the
    original, whose labels stay. Which clips, and which class each gets (all others are equally likely), follows from seed and sample id alone.

    Raises `UsageError` for a share outside 0 to 1, and where clips may carry several labels.
    """
    if not 0 <= share <= 1:
        raise UsageError(f"share of flipped labels {share!r} is not from 0 to 1")
    data = clips.data
    if data.task != "classes":
        raise UsageError("labels can be flipped where a clip carries one; these clips carry several")
    order = sorted(zip(clips.sample_ids, clips.rows.tolist(), strict=True), key=lambda clip: derive(seed, "flip", clip[0]))
    changed = copy.copy(data)
    changed.label_index, changed.targets = data.label_index.copy(), data.targets.copy()
    emotion = data.table["emotion"].to_numpy(dtype=object, copy=True)
    for sample, row in order[: round(share * len(order))]:
        others = [label for label in range(len(data.labels)) if label != data.label_index[row]]
        new = others[derive(seed, "flip to", sample) % len(others)]
        changed.label_index[row], emotion[row] = new, data.labels[new]
        changed.targets[row] = [label == new for label in range(len(data.labels))]
    changed.table = data.table.assign(emotion=emotion)
    return changed
