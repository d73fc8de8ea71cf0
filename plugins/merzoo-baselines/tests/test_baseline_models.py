"""The plugin: what it registers, lazily, and that its models can be put together and trained."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import pytest
import torch
from merzoo_baselines.models import MODELS

from merzoo.data.clips import ClipData, Clips
from merzoo.errors import NeedsError
from merzoo.evaluation.folds import predict_clips
from merzoo.recognizer import Recognizer, assemble, build
from merzoo.registry import registry
from merzoo.specs import ModelSpec, Preprocessing
from merzoo.training.data import TrainingData
from merzoo.training.engine import run_stages
from merzoo.training.machine import Machine

LABELS = ("happiness", "surprise", "disgust", "repression", "others")
MACHINE = Machine("cpu", "fp32", 1)
NAMES = [model.name for model in MODELS]
UNTOUCHED = "resnet18-apex"  # its small preset is the whole network: results exist for it
FITTED = ("flow-svm", "lbp-top-svm")


def at_tiny_size(model: str, data: ClipData) -> Recognizer:
    """The small preset on crops of 64 px, for one epoch."""
    spec = registry().model(model)
    small = spec.presets["small"]
    fewer = {"channels": [8, 8, 16, 16]} if spec.backbone.startswith("timm/") else {}
    strategy = {} if model in FITTED else {**small.strategy, "epochs": 1, "batch_size": 8}
    small = dataclasses.replace(small, backbone={**small.backbone, "size": 56, **fewer}, strategy=strategy, preprocessing=Preprocessing(size=64))
    torch.manual_seed(0)
    return assemble(dataclasses.replace(spec, presets={"small": small}), "small", data.labels)


def test_registering_imports_no_torch() -> None:
    heavy = "[m for m in ('torch', 'timm', 'cv2', 'pandas', 'sklearn') if m in sys.modules]"
    code = f"import merzoo.registry as r, sys; r.registry().model('ststnet'); print({heavy})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


@pytest.mark.parametrize(("model", "preset"), [(spec, preset) for spec in MODELS for preset in spec.presets], ids=lambda x: getattr(x, "name", x))
def test_every_model_can_be_assembled_with_room_for_its_crop(model: ModelSpec, preset: str) -> None:
    assert set(model.presets) == {"full", "small"} and "\n" not in model.summary
    made = assemble(model, preset, LABELS)
    assert max(shape[-1] for shape in made.backbone.inputs.values()) <= made.preprocessing.size
    assert registry().model(model.name) == model and json.dumps(dict(model.presets[preset].strategy))
    if preset == "small" and model.name != UNTOUCHED:
        assert sum(p.numel() for p in made.parameters()) <= 900_000 and sum(4 * v.numel() for v in made.saved().values()) < 4e6


@pytest.mark.parametrize("model", NAMES)
def test_every_small_model_trains_and_predicts(tiny: ClipData, model: str) -> None:
    recognizer = at_tiny_size(model, tiny)
    subject = sorted(Clips(tiny, "micro").subjects)[0]
    data = TrainingData.without(tiny, [subject], recognizer.train_views)
    before = {name: value.clone() for name, value in recognizer.saved().items()}
    (log,) = run_stages(recognizer, recognizer.strategy.stages(recognizer, data), seed=0, machine=MACHINE, test_subjects=[subject])
    assert subject not in log.subjects
    learned = [name for name, _ in recognizer.named_parameters()] or ["head.weight", "head.bias", "head.mean"]
    assert not [name for name in learned if torch.equal(before[name], recognizer.saved()[name])]
    rows = predict_clips(recognizer, Clips(tiny, "micro").where(Clips(tiny, "micro").subject_of == subject), MACHINE)
    assert len(rows) == 4 and all(sum(row["probabilities"]) == pytest.approx(1, abs=1e-5) for row in rows)


@pytest.mark.parametrize("model", FITTED)
def test_fitted_models_tell_the_clips_they_were_fitted_to(tiny: ClipData, model: str) -> None:
    recognizer = at_tiny_size(model, tiny)
    clips = Clips(tiny, "micro")
    data = TrainingData.without(tiny, [], recognizer.train_views)
    run_stages(recognizer, recognizer.strategy.stages(recognizer, data), seed=0, machine=MACHINE)
    right = [max(range(len(row["probabilities"])), key=row["probabilities"].__getitem__) for row in predict_clips(recognizer, clips, MACHINE)]
    assert sum(a == b for a, b in zip(right, clips.labels.tolist(), strict=True)) >= 12


def test_what_cannot_be_crossed_is_refused() -> None:
    with pytest.raises(NeedsError, match="fitted"):
        build("lbp-top", "linear", strategy="fit-only", labels=LABELS)
    with pytest.raises(NeedsError, match="maps"):
        build("lbp-top", "gap", labels=LABELS)
    assert build("off-apexnet", "gap", labels=LABELS).backbone.inputs == {"flow": (2, 224, 224)}


def test_numbers_of_a_paper_stand_where_its_abstract_gives_them() -> None:
    reported = {model.name: [(r.data, r.metric, r.value) for r in model.paper.reported] for model in MODELS if model.paper}
    assert reported.pop("ststnet") == [("megc2019", "uf1", 0.7353), ("megc2019", "uar", 0.7605)]
    assert reported and not any(reported.values())
