"""The strategy: which stages, what they train, and a run through the engine."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from merzoo_ma2mi.strategy import future_frame

from merzoo.data.clips import ClipData, Clips
from merzoo.errors import LeakageError, NeedsError
from merzoo.evaluation.folds import predict_clips
from merzoo.recognizer import assemble, build
from merzoo.registry import registry
from merzoo.training.data import TrainingData
from merzoo.training.engine import run_stages
from merzoo.training.machine import Machine

MACHINE = Machine("cpu", "fp32", 1)


def known(tiny: ClipData, recognizer, test=(), run_test=()) -> TrainingData:
    return TrainingData.without(tiny, test, recognizer.train_views, run_test)


def test_stages_and_their_scope(tiny, make):
    recognizer = make()
    tested = sorted(Clips(tiny, "micro").subjects)
    stages = recognizer.strategy.stages(recognizer, known(tiny, recognizer, tested[:1], tested))
    assert [(s.name, s.scope) for s in stages] == [("autoencoder", "run"), ("latent-statistics", "run"), ("pretext", "run"), ("fine-tune", "fold")]
    assert stages[-1].reset == ("head",)
    everybody = sorted(set(tiny.table["subject"]))
    stages = recognizer.strategy.stages(recognizer, known(tiny, recognizer, everybody[-1:], everybody))
    assert {s.scope for s in stages} == {"fold"}


def test_each_stage_trains_what_it_should(tiny, make):
    recognizer = make()
    stages = recognizer.strategy.stages(recognizer, known(tiny, recognizer))
    moved = []
    for stage in stages:
        before = {k: v.clone() for k, v in recognizer.state_dict().items()}
        run_stages(recognizer, [stage], seed=1, machine=MACHINE)
        moved.append({k for k, v in recognizer.state_dict().items() if not torch.equal(v, before[k])})
    codec, task, backbone = "auxiliary.future-frame.latent.codec.", "auxiliary.future-frame.", "backbone."
    assert moved[0] and all(k.startswith(codec) for k in moved[0])
    assert moved[1] == {f"{task}latent.mean", f"{task}latent.std"}
    assert any(k.startswith(backbone) for k in moved[2]) and any(k.startswith(f"{task}reconstructor") for k in moved[2])
    assert all(k.startswith((backbone, f"{task}reconstructor", f"{task}squeeze")) for k in moved[2])
    assert moved[3] and all(k.startswith((backbone, "head.")) for k in moved[3])


def test_pixel_target_needs_no_autoencoder(tiny, make):
    recognizer = make(target="pixel")
    stages = recognizer.strategy.stages(recognizer, known(tiny, recognizer))
    assert [s.name for s in stages] == ["latent-statistics", "pretext", "fine-tune"]
    run_stages(recognizer, stages, seed=0, machine=MACHINE)


def test_pretext_lowers_its_error_and_gives_predictions(tiny, make):
    recipe = {"batch_size": 8, "lr": 3e-3}
    recognizer = make({"autoencoder": {"steps": 40, **recipe}, "pretext": {"steps": 150, **recipe}, "fine_tuning": {"epochs": 2}})
    logs = run_stages(recognizer, recognizer.strategy.stages(recognizer, known(tiny, recognizer)), seed=0, machine=MACHINE)
    assert logs[0].rows[-1]["loss"] < 0.7 * logs[0].rows[0]["loss"]
    assert logs[2].rows[0]["copy_ratio"] == pytest.approx(1, abs=0.01) and logs[2].rows[-1]["copy_ratio"] < 0.9
    rows = predict_clips(recognizer, Clips(tiny, "micro"), MACHINE)
    assert len(rows) == 16 and all(sum(row["probabilities"]) == pytest.approx(1, abs=1e-5) for row in rows)
    assert not any(key.startswith("auxiliary") for key in recognizer.saved())


def test_the_same_seed_gives_the_same_bits(tiny, make):
    def trained() -> dict[str, torch.Tensor]:
        recognizer = make()
        run_stages(recognizer, recognizer.strategy.stages(recognizer, known(tiny, recognizer)), seed=3, machine=MACHINE)
        return recognizer.state_dict()

    first, again = trained(), trained()
    assert all(torch.equal(first[k], again[k]) for k in first)


def test_a_test_subject_in_the_pretext_is_refused_by_the_engine(tiny, make):
    recognizer = make()
    stages = recognizer.strategy.stages(recognizer, known(tiny, recognizer))
    with pytest.raises(LeakageError, match="autoencoder"):
        run_stages(recognizer, stages, seed=0, machine=MACHINE, test_subjects=sorted(Clips(tiny, "macro").subjects)[:1])


def test_statistics_come_from_the_training_clips_alone(tiny, make):
    recognizer = make()
    people = sorted(Clips(tiny, "macro").subjects)
    one, other = (recognizer.strategy.pretraining(recognizer, known(tiny, recognizer, people[:n]))[1] for n in (1, 2))
    means = []
    for stage in (one, other):
        stage.fit(recognizer, stage.train)
        means.append(future_frame(recognizer).latent.mean.clone())
    assert one.train.subjects == set(people[1:]) and not torch.equal(*means)


def test_without_macro_clips_it_is_refused_before_anything_runs_unless_it_goes_on_from_weights(tiny, make):
    spec = registry().model("miacnet-ma2mi")
    with pytest.raises(NeedsError, match="macro-clips"):
        assemble(spec, "small", tiny.labels, data_provides=("emotion-labels",))
    recognizer = make()
    data = known(tiny, recognizer)
    without = replace(data, macro=data.macro.without(data.macro.subjects))
    with pytest.raises(NeedsError, match="macro-clips"):
        recognizer.strategy.stages(recognizer, without)
    begun = recognizer.strategy.stages(recognizer, replace(without, begun=True))
    assert [stage.name for stage in begun] == ["fine-tune"]
    assert len(recognizer.strategy.stages(recognizer, replace(data, begun=True))) == 4


def test_a_backbone_that_sees_one_frame_is_refused(tiny):
    with pytest.raises(NeedsError, match="pair-code"):
        build("timm/resnet18", "linear", ["future-frame"], "ma2mi", labels=tiny.labels)
    with pytest.raises(NeedsError, match="future-frame"):
        build("miacnet", "flatten", [], "ma2mi", labels=tiny.labels)
