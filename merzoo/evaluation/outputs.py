"""Whether what auxiliary tasks predict can be scored: asked before the first fold is trained, and not when its record is written."""

from __future__ import annotations

import torch
from torch import Tensor

from merzoo.data.clips import Clips
from merzoo.errors import UsageError
from merzoo.evaluation.predicting import scored_outputs
from merzoo.evaluation.records import MAX_CLASSES, MAX_OUTPUTS
from merzoo.recognizer import Recognizer


def check_scored(recognizer: Recognizer, clips: Clips) -> None:
    """Raise `UsageError`, which names the task, unless each of its `outputs` has a prediction and a target of every clip under its name, of one column a
    name, and the targets are 0, 1 or NaN; and a run folder can hold them. Leaves the recogniser in eval mode.

    The columns of a prediction are told by one forward pass of zeros.
    """
    scored = scored_outputs(recognizer)
    if not scored:
        return
    if sum(map(len, scored.values())) > MAX_OUTPUTS:
        raise UsageError(f"auxiliary tasks {', '.join(scored)} have more than {MAX_OUTPUTS} outputs to score; leave some out")
    recognizer.eval()
    with torch.inference_mode():
        predicted = recognizer.auxiliary_predictions([{name: torch.zeros((1, *shape)) for name, shape in recognizer.backbone.inputs.items()}])
    for name, outputs in scored.items():
        task = recognizer.auxiliary[name]
        targets = task.targets(clips)
        for output, names in outputs.items():
            if not 0 < len(set(names)) == len(names) <= MAX_CLASSES:
                raise UsageError(f"auxiliary task '{name}': output '{output}' must have 1 to {MAX_CLASSES} different names, not {len(names)}")
            _check(name, output, len(names), len(clips), predicted[name].get(output), targets.get(output))


def _check(task: str, output: str, columns: int, clips: int, predicted: Tensor | None, target: Tensor | None) -> None:
    what = f"auxiliary task '{task}': output '{output}' of {columns} name{'s' if columns > 1 else ''}"
    for kind, value, rows in (("prediction", predicted, 1), ("target", target, clips)):
        if value is None:
            raise UsageError(f"{what} has no {kind} of that name, so it cannot be scored; give one, or leave it out of outputs")
        if value.shape != (rows, columns):
            raise UsageError(f"{what} has a {kind} of shape {list(value.shape)}, not {[rows, columns]}; give one column a name")
    if target is not None and not bool((target.isnan() | (target == 0) | (target == 1)).all()):
        raise UsageError(f"{what} has a target that is none of 0, 1 and NaN (nobody knows); give those")
