"""Several labels a clip, from the data set to the scores: action units of the synthetic faces, as CD6ME has them of the real ones."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from merzoo.builtin.supervised import Supervised
from merzoo.data.clips import ClipData
from merzoo.data.synthetic import SyntheticFaces
from merzoo.data.table import Task
from merzoo.errors import NeedsError, UsageError, WeightsError
from merzoo.evaluation.evaluate import evaluate
from merzoo.evaluation.runs import RunFolder
from merzoo.interval import Interval
from merzoo.loading import load
from merzoo.recognizer import Recognizer, assemble
from merzoo.registry import registry
from merzoo.specs import ModelSpec, Preprocessing, Preset, View, WeightsSpec
from merzoo.training.batches import LabelledBatches
from merzoo.training.data import TrainingData
from merzoo.training.train import WEIGHTS, train
from merzoo.weights import read

UNITS = ("1", "2", "4", "6", "7", "9", "12", "14", "15", "17")
SPEC = ModelSpec(
    name="tiny-units",
    summary="for tests",
    backbone="timm/test_resnet",
    train_views={"difference": (View("difference"),)},
    presets={
        "full": Preset(
            backbone={"view": "difference", "size": 48}, strategy={"epochs": 1, "batch_size": 6}, preprocessing=Preprocessing(size=64)
        )
    },
)


class UnitFaces(SyntheticFaces):
    """The synthetic faces, labelled by their action units."""

    labels = UNITS
    task: Task = "multi-label"
    provides = ("au-labels",)

    def __init__(self) -> None:
        super().__init__("tiny")

    def table(self) -> pd.DataFrame:
        table = super().table()
        return table.assign(emotion=["+".join(unit for unit in UNITS if unit in aus.split("+")) for aus in table["aus"]])


@pytest.fixture(scope="module")
def units() -> ClipData:
    return ClipData(UnitFaces(), Preprocessing(size=64))


def network(task: Task = "multi-label") -> Recognizer:
    torch.manual_seed(0)
    return assemble(SPEC, "full", UNITS, task)


def test_probabilities_are_independent_of_one_another() -> None:
    recognizer = network().eval()
    batch = {"difference": torch.rand(3, 3, 48, 48)}
    with torch.no_grad():
        assert torch.equal(recognizer.probabilities([batch]), recognizer(batch).sigmoid())
        assert torch.allclose(network("classes").eval().probabilities([batch]).sum(1), torch.ones(3))


def test_batches_carry_every_label_and_the_loss_is_that_of_each(units: ClipData) -> None:
    recognizer = network().eval()
    data = TrainingData.without(units, (), recognizer.train_views)
    batches = LabelledBatches(data.micro, recognizer.backbone.inputs, data.views, batch_size=16)
    batch = batches.draw(0, 0, torch.device("cpu"))
    wanted = {tuple(float(unit in aus.split("+")) for unit in UNITS) for aus in units.table.loc[units.table["kind"] == "micro", "aus"]}
    assert batch["label"].dtype == torch.float32 and set(map(tuple, batch["label"].tolist())) == wanted
    loss, logs = Supervised(label_smoothing=0.2).loss(recognizer, batch, torch.Generator())
    with torch.no_grad():
        p, y = recognizer(batch).sigmoid(), batch["label"] * 0.8 + 0.1
    assert loss.item() == pytest.approx(-(y * p.log() + (1 - y) * (1 - p).log()).mean().item(), rel=1e-4)
    assert logs["accuracy"].item() == pytest.approx(((p > 0.5) == (batch["label"] > 0.5)).float().mean().item())


def test_an_evaluation_of_action_units(tmp_path: Path) -> None:
    result = evaluate(SPEC, UnitFaces(), "loso", out=tmp_path / "run", precision="fp32")
    run, table = RunFolder.open(tmp_path / "run"), UnitFaces().table().set_index("sample_id")
    assert result["complete"] and run.facts["task"] == "multi-label"
    for record in run.folds():
        for p in record["predictions"]:
            assert p["label"] == table.loc[p["sample_id"], "emotion"]
            assert len(p["probabilities"]) == len(UNITS) and all(0 < share < 1 for share in p["probabilities"])
    sums = [sum(p["probabilities"]) for record in run.folds() for p in record["predictions"]]
    assert np.abs(np.array(sums) - 1).min() > 1e-3


def test_processes_open_a_data_set_that_nobody_registered(tmp_path: Path, units: ClipData) -> None:
    evaluate(SPEC, UnitFaces(), "loso", out=tmp_path / "one", precision="fp32")
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\nfrom test_multilabel import SPEC, UnitFaces\n"
        "from merzoo.evaluation.evaluate import evaluate\n"
        'if __name__ == "__main__":\n    evaluate(SPEC, UnitFaces(), "loso", out=sys.argv[1], precision="fp32", jobs=2)\n'
    )
    import subprocess
    import sys

    subprocess.run([sys.executable, script, tmp_path / "two"], check=True)
    assert len(list((tmp_path / "two").glob("folds/0/*.json"))) == len(list((tmp_path / "one").glob("folds/0/*.json"))) == 4


@pytest.mark.parametrize("model", ["flow-svm"])
def test_models_of_one_label_a_clip_are_refused_before_anything_is_written(model: str, tmp_path: Path) -> None:
    with pytest.raises(NeedsError, match="multi-label") as caught:
        evaluate(model, UnitFaces(), out=tmp_path / "run", preset="small")
    assert "\n" not in str(caught.value) and "fit-only" in str(caught.value)
    for option in ({"audit": True}, {"flip_labels": 0.1}, {"protocol": "few-shot-1"}):
        with pytest.raises(UsageError, match="several"):
            evaluate(SPEC, UnitFaces(), **{"out": tmp_path / "run", **option})  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()


def test_weights_know_that_they_name_several_labels(tmp_path: Path) -> None:
    from merzoo.entries import Register

    if SPEC.name not in [entry.name for entry in registry().entries("model")]:
        register = Register("units")
        register.model(SPEC)
        registry().add(register)
    train(SPEC, UnitFaces(), out=tmp_path / "run", precision="fp32", threads=1)
    path = tmp_path / "run" / WEIGHTS
    assert read(path)[1]["task"] == "multi-label"
    loaded = load(SPEC.name, path)
    assert loaded.task == "multi-label"
    frames = SyntheticFaces("tiny").frames("synthetic:s5000/c00", 64)
    prediction = loaded.predict(frames, face="none", interval=Interval(5, 20, 40))
    (event,) = prediction.events
    assert event.named == tuple(unit for unit in UNITS if event.probabilities[unit] >= 0.5)
    assert event.to_dict()["labels"] == list(event.named) and json.dumps(prediction.to_dict())
    assert event.title == ("+".join(event.named) or "none")
    everything = dataclasses.replace(event, probabilities=dict.fromkeys(UNITS, 0.9))
    assert everything.title == "+".join(UNITS) and dataclasses.replace(event, probabilities=dict.fromkeys(UNITS, 0.1)).title == "none"
    prediction.save(tmp_path / "out")
    assert (tmp_path / "out" / "prediction.png").stat().st_size > 1000


def test_weights_of_an_unknown_task_are_refused() -> None:
    with pytest.raises(WeightsError, match="task"):
        WeightsSpec("t", "full", "x.safetensors", "0" * 64, ("a", "b"), task="regression")  # type: ignore[arg-type]


def test_a_head_of_another_task_is_not_taken_over(tmp_path: Path) -> None:
    """The labels may be the same words; what the head's numbers mean is not."""
    from merzoo.evaluation.folds import Start, begin_from

    before, after = network("classes"), network("multi-label")
    torch.nn.init.ones_(before.head.linear.weight)  # type: ignore[attr-defined]
    begin_from(after, Start(before.saved(), UNITS, "tag", "classes"))
    assert not torch.equal(after.head.linear.weight, before.head.linear.weight)  # type: ignore[attr-defined]
    begin_from(after, Start(before.saved(), UNITS, "tag", "multi-label"))
    assert torch.equal(after.head.linear.weight, before.head.linear.weight)  # type: ignore[attr-defined]
