"""Whether a model's specification and the cards of its weights are complete, and true."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from merzoo.errors import MerzooError
from merzoo.recognizer import assemble, fill
from merzoo.registry import registry
from merzoo.specs import ModelSpec, Paper, WeightsSpec
from merzoo.weights import locate, read, verify

PRESETS = ("full", "small")
METRICS = ("uf1", "uar", "accuracy", "au_f1")
REMAKE = "make them and their card again by `python -m merzoo.embed MODEL --package PACKAGE`"
SHIPPED_BYTES = 4_000_000  # of a file of weights inside a wheel


def check_paperwork(spec: ModelSpec) -> Iterator[str]:
    """Every fault of a model's papers, in words; none where all is there. A model without a paper of its own, such as a baseline, has `paper=None`."""
    if not spec.summary.strip() or "\n" in spec.summary or len(spec.summary) > 160:
        yield f"its summary {spec.summary!r} is not one line of 1 to 160 characters; shorten it"
    if missing := [name for name in PRESETS if name not in spec.presets]:
        yield f"it has no preset {missing[0]!r}; give its ModelSpec full (the size of the paper) and small (for a laptop)"
    if not spec.licence.strip():
        yield "it has no licence; name that of its code and weights in its ModelSpec"
    try:
        registry().parts(spec)
        registry().views(spec)
    except MerzooError as error:
        yield str(error)
    if spec.paper is not None:
        yield from _paper(spec.paper)
    tags = [weights.tag for weights in spec.weights]
    if len(set(tags)) < len(tags):
        yield f"two of its weights share a tag: {', '.join(tags)}; give each its own"
    for weights in spec.weights:
        yield from (f"weights '{weights.tag}': {fault}" for fault in _weights(spec, weights))


def _paper(paper: Paper) -> Iterator[str]:
    if not (paper.title and paper.authors and paper.year):
        yield "its paper lacks title, authors or year; fill them in"
    for row in paper.reported:
        if row.metric not in METRICS:
            yield f"its paper reports {row.metric!r}, which is none of {', '.join(METRICS)}; name one of these"
        if row.value is not None and not (0 <= row.value <= 1 and row.table):
            remedy = "divide by 100, and say where it is printed"
            yield f"its paper's {row.metric} {row.value} on {row.data} is no share from 0 to 1 with the table it stands in; {remedy}"
        if not (row.data and row.protocol):
            yield f"its paper's {row.metric} does not say data and protocol; name them as `merzoo evaluate` does"


def _weights(spec: ModelSpec, weights: WeightsSpec) -> Iterator[str]:
    if weights.preset not in spec.presets:
        yield f"their preset {weights.preset!r} is none of the model's; train them again for one of {', '.join(spec.presets)}"
        return
    if len(set(weights.labels)) < 2:
        yield f"they do not say their labels; {REMAKE}"
    if missing := [name for name in ("data", "manifest_hash", "subjects") if not weights.trained_on.get(name)]:
        yield f"they do not say {missing[0]} that they were trained on; {REMAKE}"
    if not (weights.protocol and weights.metrics and weights.licence):
        yield f"they lack protocol, metrics or licence; {REMAKE}"
    try:
        path = locate(weights)
        verify(path, weights.sha256)
        tensors = read(path)[0]
        fill(assemble(spec, weights.preset, weights.labels, weights.task, for_training=False), tensors, weights.tag)
    except MerzooError as error:
        yield f"{error} (who ships them: {REMAKE})"
        return
    if weights.source.startswith("package:"):
        if path.stat().st_size > SHIPPED_BYTES:
            yield f"they are larger than {SHIPPED_BYTES / 1e6:g} MB, too large to ship inside a plugin; make the preset smaller, or publish them on the Hub"
        yield from _log(path.with_suffix(".jsonl"))


def _log(path: Path) -> Iterator[str]:
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        yield f"no training log lies beside them ({error}); {REMAKE}"
        return
    if not all(isinstance(row, dict) and {"stage", "step", "loss"} <= row.keys() for row in rows):
        yield f"their training log {path.name} does not say stage, step and loss in every line; {REMAKE}"
