"""The plugin: what it registers, lazily, and that its models can be put together."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from merzoo_baselines.models import MODELS

from merzoo.recognizer import assemble
from merzoo.registry import registry
from merzoo.specs import ModelSpec

LABELS = ("happiness", "surprise", "disgust", "repression", "others")


def test_registering_imports_no_torch() -> None:
    code = "import merzoo.registry as r, sys; r.registry().model('flow-svm'); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"


@pytest.mark.parametrize(("model", "preset"), [(spec, preset) for spec in MODELS for preset in spec.presets])
def test_every_model_can_be_assembled_with_room_for_its_crop(model: ModelSpec, preset: str) -> None:
    made = assemble(model, preset, LABELS)
    assert max(shape[-1] for shape in made.backbone.inputs.values()) <= made.preprocessing.size
    assert registry().model(model.name) == model and json.dumps(dict(model.presets[preset].strategy))
