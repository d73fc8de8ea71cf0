"""The fitted baseline: what it computes is the flow and scikit-learn's decision, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from merzoo_baselines.flow_svm import FlowGrid, LinearSVMHead
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from merzoo.data.clips import ClipData, Clips
from merzoo.errors import TrainingError, UsageError
from merzoo.interfaces import Features
from merzoo.recognizer import Recognizer, build
from merzoo.training.batches import test_batches
from merzoo.training.data import TrainingData
from merzoo.training.engine import run_stages
from merzoo.training.machine import Machine

CPU = torch.device("cpu")


def network(data: ClipData) -> Recognizer:
    return build(("flow-grid", {"size": 48, "grid": 6}), "svm", strategy="fit-only", labels=data.labels).eval()


def features(recognizer: Recognizer, clips: Clips) -> torch.Tensor:
    (_, [batch]), *_ = test_batches(clips, recognizer.backbone.inputs, recognizer.test_views, 64, CPU)
    return recognizer.backbone(batch).only_pooled()


def of_classes(data: ClipData, *classes: int) -> Clips:
    clips = Clips(data, "micro")
    return clips.where(np.isin(clips.labels, classes))


def sklearn_decision(recognizer: Recognizer, clips: Clips, at: torch.Tensor) -> np.ndarray:
    model = make_pipeline(StandardScaler(), LinearSVC(C=0.01, class_weight="balanced", random_state=0, max_iter=20_000))
    model.fit(features(recognizer, clips).double().numpy(), clips.labels)
    return model.decision_function(at.double().numpy())


def test_the_grid_is_the_mean_flow_of_each_cell_minus_the_median() -> None:
    flow = torch.zeros(1, 2, 8, 8)
    flow[:, 0] += 3  # the head moves to the right
    flow[:, 0, :4, :4] += 1  # and one quarter of the face more than the rest
    flow[:, 1, 4:, 4:] -= 2
    pooled = FlowGrid(size=8, grid=2)({"flow": flow}).only_pooled()
    assert pooled.tolist() == [[1, 0, 0, 0, 0, 0, 0, -2]]


def test_the_fit_is_scikit_learns_decision_function(tiny: ClipData) -> None:
    recognizer, clips = network(tiny), Clips(tiny, "micro")
    assert isinstance(recognizer.head, LinearSVMHead)
    recognizer.head.fit(recognizer, clips)
    x = features(recognizer, clips)
    logits = recognizer.head(Features(pooled={"flow": x}))
    present = np.unique(clips.labels)
    assert logits[:, present].numpy() == pytest.approx(sklearn_decision(recognizer, clips, x), abs=1e-4)
    assert (logits.argmax(1).numpy() == clips.labels).mean() > 0.5  # of what it was fitted to


def test_a_class_that_was_missing_is_never_predicted(tiny: ClipData) -> None:
    recognizer = network(tiny)
    some = np.unique(Clips(tiny, "micro").labels)[:3]
    clips = of_classes(tiny, *some)
    recognizer.head.fit(recognizer, clips)  # type: ignore[operator]
    wild = Features(pooled={"flow": torch.randn(500, 72) * torch.logspace(-3, 4, 500)[:, None]})
    logits = recognizer.head(wild)
    assert set(logits.argmax(1).tolist()) <= set(some.tolist()) and torch.isfinite(logits).all()
    probabilities = logits.softmax(1)
    others = [i for i in range(len(tiny.labels)) if i not in some]
    assert others and (probabilities[:, others] == 0).all() and torch.allclose(probabilities.sum(1), torch.ones(500))


def test_two_classes_keep_their_sides(tiny: ClipData) -> None:
    recognizer = network(tiny)
    first, second = np.unique(Clips(tiny, "micro").labels)[[0, -1]]
    clips = of_classes(tiny, first, second)
    recognizer.head.fit(recognizer, clips)  # type: ignore[operator]
    x = features(recognizer, clips)
    logits = recognizer.head(Features(pooled={"flow": x}))
    decision = sklearn_decision(recognizer, clips, x)
    assert logits[:, second].numpy() == pytest.approx(decision, abs=1e-4) and logits[:, first].numpy() == pytest.approx(-decision, abs=1e-4)
    assert set(logits.argmax(1).tolist()) == {first, second}


def test_fitting_again_leaves_nothing_of_the_fit_before(tiny: ClipData) -> None:
    """A fold must not remember the classes of another."""
    once, twice = network(tiny), network(tiny)
    some = of_classes(tiny, *np.unique(Clips(tiny, "micro").labels)[:2])
    twice.head.fit(twice, Clips(tiny, "micro"))  # type: ignore[operator]
    for recognizer in (once, twice):
        recognizer.head.fit(recognizer, some)  # type: ignore[operator]
    assert all(torch.equal(value, twice.saved()[name]) for name, value in once.saved().items())


@pytest.mark.parametrize("options", [{"size": -2}, {"grid": 0}, {"grid": 113}, {"grid": True}, {"size": 112.5}, {"grid": "fine"}])
def test_sizes_that_cannot_be_are_one_line(options: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=r"^flow-grid: ") as caught:
        build(("flow-grid", options), "svm", strategy="fit-only", labels=("a", "b"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("c", [-1, 0, "large", float("nan"), float("inf"), True])
def test_a_strength_that_cannot_be_is_one_line(c: object) -> None:
    with pytest.raises(UsageError, match=r"^svm: c .* must be a finite number above 0$"):
        build("flow-grid", ("svm", {"c": c}), strategy="fit-only", labels=("a", "b"))


@pytest.mark.parametrize("classes", [1, 0])
def test_too_few_classes_are_one_line(tiny: ClipData, classes: int) -> None:
    recognizer = network(tiny)
    with pytest.raises(TrainingError, match="at least two classes"):
        recognizer.head.fit(recognizer, of_classes(tiny, *np.unique(Clips(tiny, "micro").labels)[:classes]))  # type: ignore[operator]


def test_unlabelled_clips_are_no_class(tiny: ClipData, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index of -1 would be the last class."""
    monkeypatch.setattr(tiny, "label_index", np.where(np.arange(len(tiny.label_index)) == 3, -1, tiny.label_index))
    recognizer = network(tiny)
    with pytest.raises(TrainingError, match="labelled clips"):
        recognizer.head.fit(recognizer, Clips(tiny, "micro"))  # type: ignore[operator]


def test_fit_only_fits_to_the_training_clips_of_the_fold(tiny: ClipData) -> None:
    subject = sorted(Clips(tiny, "micro").subjects)[0]
    engine, by_hand = network(tiny), network(tiny)
    data = TrainingData.without(tiny, [subject], engine.train_views)
    run_stages(engine, engine.strategy.stages(engine, data), seed=0, machine=Machine(), test_subjects=[subject])
    by_hand.head.fit(by_hand, Clips(tiny, "micro").without([subject]))  # type: ignore[operator]
    assert all(torch.equal(value, by_hand.saved()[name]) for name, value in engine.saved().items())
    assert engine.head.weight.abs().sum() > 0  # type: ignore[operator,union-attr]
