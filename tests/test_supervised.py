"""Supervised training: its stage, its loss, and the options it refuses."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from merzoo.builtin.supervised import FitOnly, Supervised
from merzoo.cli import main
from merzoo.data.clips import ClipData, Clips
from merzoo.errors import MerzooError, UsageError
from merzoo.interfaces import AuxiliaryTask, Batch, Features
from merzoo.recognizer import Recognizer, build
from merzoo.registry import registry
from merzoo.specs import View
from merzoo.training.data import TrainingData
from merzoo.training.stages import FitStage, GradientStage, ParameterGroup, Schedule

CPU = torch.device("cpu")


def network(data: ClipData, **options: Any) -> Recognizer:
    torch.manual_seed(0)
    return build(("timm/test_resnet", {"view": "difference", "size": 48}), strategy=("supervised", options), labels=data.labels)


def stage_of(recognizer: Recognizer, data: ClipData, gone: tuple[str, ...] = ()) -> GradientStage:
    (stage,) = recognizer.strategy.stages(recognizer, TrainingData.without(data, gone, recognizer.train_views))
    assert isinstance(stage, GradientStage)
    return stage


class Rebuild(AuxiliaryTask):
    """A task with a target of its own that is a view: the strain at the same place as the input."""

    def __init__(self, kind: str = "flow") -> None:
        super().__init__()
        self.views = {"target": View(kind)}
        self.seen: list[Batch] = []
        self.layer = nn.Linear(1, 1)

    def loss(self, features: Features, batch: Batch) -> Tensor:
        self.seen.append(batch)
        return self.layer(batch["target"].abs().mean().view(1)).sum()


# The stage


def test_the_stage_draws_from_the_training_subjects_for_the_epochs_asked(tiny: ClipData) -> None:
    gone, *others = sorted(Clips(tiny, "micro").subjects)
    recognizer = network(tiny, epochs=3, batch_size=5)
    stage = stage_of(recognizer, tiny, (gone,))
    assert [c.subjects for c in stage.clips] == [frozenset(others)] and all(gone in c.forbidden for c in stage.clips)
    assert stage.batches.steps_per_epoch() == 3 and stage.total_steps() == 9 and stage.scope == "fold"


def test_parameter_groups_take_their_rates(tiny: ClipData) -> None:
    stage = stage_of(network(tiny, lr=0.1, backbone_lr=0.01, weight_decay=0.2), tiny)
    assert stage.groups == (ParameterGroup(("backbone",), 0.01, 0.2), ParameterGroup(("head",), 0.1, 0.2))
    assert stage_of(network(tiny, lr=0.1, backbone_lr=0.0), tiny).groups[0].lr == 0
    assert stage_of(network(tiny, lr=0.3), tiny).groups[0].lr == 0.3


def test_interval_jitter_can_be_turned_off_and_set(tiny: ClipData) -> None:
    assert Supervised(interval_jitter=False).jitter is None
    jitter = Supervised(jitter={"variants": 2, "start": [0, 0.1]}).jitter
    assert jitter is not None and (jitter.variants, jitter.start) == (2, (0, 0.1))
    assert stage_of(network(tiny, interval_jitter=False), tiny).batches.jitter is None  # type: ignore[attr-defined]


# The loss


def test_the_loss_is_cross_entropy(tiny: ClipData) -> None:
    recognizer = network(tiny, label_smoothing=0.1, interval_jitter=False).eval()
    stage = stage_of(recognizer, tiny)
    batch = stage.batches.draw(0, 0, CPU)
    loss, logs = stage.loss(recognizer, batch, torch.Generator())
    with torch.no_grad():
        p = recognizer(batch).softmax(1)
    classes = len(tiny.labels)
    target = torch.full_like(p, 0.1 / classes)
    target[torch.arange(len(p)), batch["label"]] += 0.9
    assert loss.item() == pytest.approx(-(target * p.log()).sum(1).mean().item(), rel=1e-4)
    assert logs["cross_entropy"].item() == pytest.approx(loss.item()) and not logs["cross_entropy"].requires_grad
    assert logs["accuracy"].item() == pytest.approx((p.argmax(1) == batch["label"]).float().mean().item())


def test_a_perfect_network_has_accuracy_one_and_little_loss(tiny: ClipData) -> None:
    recognizer = network(tiny)
    stage = stage_of(recognizer, tiny)
    batch = stage.batches.draw(0, 0, CPU)
    recognizer.head.forward = lambda features: 50 * nn.functional.one_hot(batch["label"], len(tiny.labels)).float()  # type: ignore[method-assign,assignment]
    loss, logs = stage.loss(recognizer, batch, torch.Generator())
    assert loss.item() < 1e-5 and logs["accuracy"].item() == 1


def test_a_task_gets_its_views_under_the_geometry_of_the_inputs(tiny: ClipData) -> None:
    """The target is the view that the input is: each sample of one must be that of the other, crop, flip and reading alike."""
    recognizer = network(tiny, auxiliary_weight=0.5)
    recognizer.auxiliary["rebuild"] = task = Rebuild("difference")  # type: ignore[index]
    stage = stage_of(recognizer, tiny)
    batch = stage.batches.draw(3, 1, CPU)
    assert batch["target"].shape == (16, 3, 48, 48) and torch.equal(batch["target"], batch["difference"])
    loss, logs = stage.loss(recognizer, batch, torch.Generator())
    assert task.seen == [batch] and loss.item() == pytest.approx(logs["cross_entropy"].item() + 0.5 * logs["rebuild"].item())
    assert stage.groups[-1].paths == ("auxiliary",)


def test_without_weight_a_task_is_left_out_and_its_views_are_not_made(tiny: ClipData) -> None:
    recognizer = network(tiny, auxiliary_weight=0.0)
    recognizer.auxiliary["rebuild"] = task = Rebuild()  # type: ignore[index]
    stage = stage_of(recognizer, tiny)
    batch = stage.batches.draw(0, 0, CPU)
    stage.loss(recognizer, batch, torch.Generator())
    assert "target" not in batch and not task.seen and all("auxiliary" not in group.paths for group in stage.groups)


# Schedule and budget


def test_the_schedule_warms_up_and_follows_its_formula() -> None:
    cosine = Schedule("cosine", warmup=0.1, final=0.2)
    factors = [cosine.factor(step, 100, 10) for step in range(100)]
    assert factors[:10] == pytest.approx([(i + 1) / 10 for i in range(10)]) and factors[10] == 1
    assert factors[55] == pytest.approx(0.6) and factors[99] == pytest.approx(0.2 + 0.4 * (1 + math.cos(math.pi * 89 / 90)))
    assert all(a >= b for a, b in pairwise(factors[10:]))
    decay = Schedule("exponential", warmup=0, decay=0.5, decay_epochs=3)
    assert [decay.factor(step, 50, 10) for step in (0, 9, 10, 29, 30, 49)] == [1, 1, 0.5, 0.25, 0.125, 0.125]
    assert {Schedule("constant", warmup=0).factor(step, 9, 3) for step in range(9)} == {1.0}


@pytest.mark.parametrize("options", [{"kind": "cosin"}, {"warmup": 3}, {"warmup": -0.1}])
def test_a_schedule_that_cannot_be_is_one_line(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="schedule: "):
        Schedule(**options)


@pytest.mark.parametrize("budget", [{}, {"epochs": 1, "steps": 1}, {"epochs": 0}, {"steps": 0}, {"epochs": 2.5}])
def test_a_budget_that_trains_nothing_is_refused(tiny: ClipData, budget: dict[str, Any]) -> None:
    recognizer = network(tiny)
    stage = stage_of(recognizer, tiny)
    with pytest.raises(UsageError, match="give either epochs or steps"):
        GradientStage("x", stage.batches, stage.loss, stage.groups, **budget)


@pytest.mark.parametrize(
    "options",
    [{"epochs": 0}, {"batch_size": 0}, {"schedule": {"kind": "linear"}}, {"augmentation": {"flip": 2}}, {"jitter": {"variants": 0}}, {"jitter": {"peek": 1}}],
)
def test_options_that_cannot_be_are_one_line_before_the_first_step(tiny: ClipData, options: dict[str, Any]) -> None:
    with pytest.raises(MerzooError) as caught:
        stage_of(network(tiny, **options), tiny)
    assert "\n" not in str(caught.value)


# Fitted models


def test_fit_only_is_one_fit_stage_on_the_training_clips(tiny: ClipData) -> None:
    recognizer = build("flow-grid", "svm", strategy="fit-only", labels=tiny.labels)
    gone = sorted(Clips(tiny, "micro").subjects)[:1]
    (stage,) = FitOnly().stages(recognizer, TrainingData.without(tiny, gone, recognizer.train_views))
    assert isinstance(stage, FitStage) and stage.fit == recognizer.head.fit and len(stage.train) == 12


@pytest.mark.parametrize(
    ("model", "option", "told"),
    [
        ("miacnet", "strategy.lr=abc", "strategy 'supervised': lr must be a finite number, not 'abc'"),
        ("miacnet", "strategy.lr=1e999", "lr must be a finite number, not inf"),
        ("miacnet", "strategy.lr=-1", "lr -1 must be a finite number of at least 0"),
        ("miacnet", "strategy.epochs=2.5", "epochs must be a whole number, not 2.5"),
        ("miacnet", "strategy.batch_size=true", "batch_size must be a whole number, not True"),
        ("miacnet", "strategy.weight_decay=abc", "weight_decay must be a finite number"),
        ("miacnet", "strategy.interval_jitter=no", "interval_jitter must be true or false, not 'no'"),
        ("miacnet", "strategy.label_smoothing=3", "label_smoothing 3 is a share; give 0 to 1"),
        ("miacnet", "strategy.augmentation.flip=abc", "augmentation: flip must be a finite number"),
        ("miacnet", "strategy.schedule.decay_epochs=abc", "decay_epochs must be a whole number or null"),
        ("miacnet-ma2mi", "strategy.pretext.lr=abc", "pretext: lr must be a finite number"),
        ("miacnet-ma2mi", "strategy.pretext=3", "pretext takes options by name, not 3"),
        ("miacnet", "preprocessing.size=true", "preprocessing.size"),
        ("miacnet", "preprocessing.aligner=5", "preprocessing.aligner must be the name of an aligner, not 5"),
        ("timm/test_resnet+linear+supervised", "backbone.size=abc,preprocessing.size=128", "backbone 'timm/test_resnet': size must be a whole number"),
        ("timm/test_resnet+linear+supervised", "backbone.pretrained=no,preprocessing.size=128", "pretrained 'no' must be true or false"),
    ],
)
def test_an_option_typed_by_hand_that_cannot_be_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, model: str, option: str, told: str
) -> None:
    if "/" not in model and model not in {entry.name for entry in registry().entries("model")}:
        pytest.skip(f"{model} is not installed")
    preset = "full" if "+" in model else "small"
    assert main(["train", f"{model},{option}", "--data", "synthetic:tiny", "--preset", preset, "--out", str(tmp_path / "run")]) == 2
    *_, line = capsys.readouterr().err.strip().splitlines()
    assert told in line and "report it" not in line
