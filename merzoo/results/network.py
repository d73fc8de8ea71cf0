"""Whether a result's number of parameters is that of the installed network, which is built for it: it takes torch, and seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from merzoo.errors import MerzooError
from merzoo.evaluation.checks import Check
from merzoo.results.desk import Desk
from merzoo.text import plain

NAME = "parameters"


def parameters(value: Mapping[str, Any], desk: Desk) -> Check:
    """value: the content of a result file whose other checks passed."""
    model, preset = desk.model(value["model"]), value["preset"]
    if isinstance(model, str):
        return Check(NAME, "not checked", model)
    from merzoo.benchmark.subject import LABELS
    from merzoo.describe import tree
    from merzoo.recognizer import assemble

    try:
        if tree(model.preset(preset)) != value["options"]:
            return Check(NAME, "not checked", f"{model.name} has other options at preset {plain(preset, 40)} here: another version of its plugin")
        if value["kind"] == "scores":
            run = value["run"]
            said, network = run.get("parameters"), assemble(model, preset, run["labels"], run["task"])
            count = sum(tensor.numel() for tensor in network.saved().values())
        else:
            tag = (value["weights"] or {}).get("tag")
            labels = next((weights.labels for weights in model.weights if weights.tag == tag), LABELS)
            said, network = value["parameters"], assemble(model, preset, labels, for_training=False)
            count = sum(parameter.numel() for parameter in network.parameters())
    except MerzooError as error:
        return Check(NAME, "not checked", plain(error, 300))
    if said is None:
        return Check(NAME, "not checked", "the file does not say how many there are")
    fine = said == count
    return Check(NAME, "passed" if fine else "failed", f"{count:,} in the installed network" + ("" if fine else f", {said:,} in the file"))
