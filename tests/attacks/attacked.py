"""The toy model that is attacked; processes that tests start can import it too."""

from __future__ import annotations

from merzoo.specs import ModelSpec, Preprocessing, Preset

LABELS = ["negative", "positive", "surprise"]
TRAINED_ON = {"data": "toy", "manifest_hash": "0", "subjects": ["toy:s1"]}
CARD = {"model": "attacked", "preset": "small", "labels": LABELS, "task": "classes", "trained_on": TRAINED_ON}
PRESETS = {"small": Preset(backbone={"size": 16, "grid": 2}, preprocessing=Preprocessing(size=16))}
SPEC = ModelSpec("attacked", "for tests", "flow-grid", "linear", presets=PRESETS)
