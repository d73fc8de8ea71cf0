"""The engine: what is trained, what is frozen, what is refused, and that stopping changes nothing."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from merzoo.builtin.supervised import Supervised
from merzoo.data.clips import ClipData, Clips
from merzoo.data.synthetic import SyntheticFaces
from merzoo.errors import LeakageError, RunError, TrainingError, UsageError
from merzoo.interfaces import AuxiliaryTask
from merzoo.recognizer import Recognizer, build
from merzoo.specs import Preprocessing
from merzoo.training import checkpoint
from merzoo.training.data import TrainingData
from merzoo.training.engine import channels_last, reset, run_stages, state_hash
from merzoo.training.machine import Machine
from merzoo.training.stages import FitStage, GradientStage, ParameterGroup, Schedule
from merzoo.weights import read

MACHINE = Machine("cpu", "fp32", 1)


@pytest.fixture(scope="module")
def data() -> ClipData:
    return ClipData(SyntheticFaces("tiny"), Preprocessing(size=64))


def network(seed: int = 0) -> Recognizer:
    torch.manual_seed(seed)
    strategy = ("supervised", {"epochs": 4, "batch_size": 4, "lr": 1e-3})
    return build(("timm/test_resnet", {"view": "difference", "size": 48}), strategy=strategy, labels=SyntheticFaces("tiny").labels)


def stages(recognizer: Recognizer, data: ClipData, without: tuple[str, ...] = ()) -> list:
    return list(recognizer.strategy.stages(recognizer, TrainingData.without(data, without, recognizer.train_views)))


def some_subject(data: ClipData) -> str:
    return sorted(Clips(data, "micro").subjects)[0]


def test_training_lowers_the_loss_and_logs_it(data: ClipData) -> None:
    recognizer = network()
    (stage,) = stages(recognizer, data)
    faster = tuple(dataclasses.replace(group, lr=5e-3) for group in stage.groups)
    (log,) = run_stages(recognizer, [dataclasses.replace(stage, epochs=25, groups=faster)], seed=1, machine=MACHINE)
    assert log.steps == 25 * math.ceil(16 / 4)
    losses = [row["cross_entropy"] for row in log.rows]
    assert sum(losses[-4:]) < 0.7 * sum(losses[:4])
    assert not recognizer.training


def test_weights_of_2d_and_3d_convolutions_are_laid_out_channels_last() -> None:
    layers = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Conv3d(3, 4, 3), torch.nn.Linear(3, 4))
    before = {name: value.clone() for name, value in layers.state_dict().items()}
    channels_last(layers)
    assert layers[0].weight.is_contiguous(memory_format=torch.channels_last) and layers[1].weight.is_contiguous(memory_format=torch.channels_last_3d)
    assert all(torch.equal(value, before[name]) for name, value in layers.state_dict().items())


def test_same_seed_same_bits_other_seed_other_bits(data: ClipData) -> None:
    hashes = []
    for seed in (1, 1, 2):
        recognizer = network()
        run_stages(recognizer, stages(recognizer, data), seed=seed, machine=MACHINE)
        hashes.append(state_hash(recognizer))
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize("stop_at", [1, 6, 15])
def test_a_stage_stopped_inside_and_resumed_ends_in_the_same_bits(data: ClipData, tmp_path: Path, stop_at: int) -> None:
    whole = network()
    logs = run_stages(whole, stages(whole, data), seed=3, machine=MACHINE)
    path = tmp_path / "checkpoint.safetensors"
    half = network()
    (stage,) = stages(half, data)
    calls = 0

    def loss(recognizer, batch, rng):
        nonlocal calls
        calls += 1
        if calls == stop_at + 1:
            raise KeyboardInterrupt
        return stage.loss(recognizer, batch, rng)

    with pytest.raises(KeyboardInterrupt):
        run_stages(half, [dataclasses.replace(stage, loss=loss)], seed=3, machine=MACHINE, checkpoints=path, every_seconds=0)
    again = network(seed=99)  # other initial weights: all must come from the checkpoint
    resumed = run_stages(again, stages(again, data), seed=3, machine=MACHINE, checkpoints=path, every_seconds=0)
    assert state_hash(again) == state_hash(whole)
    assert resumed[0].rows == logs[0].rows
    assert path.is_file()


def test_a_stage_may_bring_its_own_optimiser_and_is_resumed_with_its_state(data: ClipData, tmp_path: Path) -> None:
    def momentum(groups):
        return torch.optim.SGD(groups, momentum=0.9)

    def of(recognizer: Recognizer, steps: int) -> list:
        (stage,) = stages(recognizer, data)
        return [dataclasses.replace(stage, optimizer=momentum, epochs=None, steps=steps, schedule=Schedule("constant", warmup=0))]

    whole, adamw, half, again = (network() for _ in range(4))
    run_stages(whole, of(whole, 8), seed=3, machine=MACHINE)
    run_stages(adamw, [dataclasses.replace(of(adamw, 8)[0], optimizer=stages(adamw, data)[0].optimizer)], seed=3, machine=MACHINE)
    assert state_hash(adamw) != state_hash(whole)
    (stage,), calls = of(half, 8), 0

    def loss(recognizer, batch, rng):
        nonlocal calls
        calls += 1
        if calls == 6:
            raise KeyboardInterrupt
        return stage.loss(recognizer, batch, rng)

    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(KeyboardInterrupt):
        run_stages(half, [dataclasses.replace(stage, loss=loss)], seed=3, machine=MACHINE, checkpoints=path, every_seconds=0)
    run_stages(again, of(again, 8), seed=3, machine=MACHINE, checkpoints=path)
    assert state_hash(again) == state_hash(whole)


def test_a_network_that_broke_never_replaces_the_last_good_checkpoint(data: ClipData, tmp_path: Path) -> None:
    recognizer, path, calls = network(), tmp_path / "checkpoint.safetensors", 0
    (stage,) = stages(recognizer, data)

    def loss(recognizer, batch, rng):
        nonlocal calls
        calls += 1
        value, logs = stage.loss(recognizer, batch, rng)
        return value * (float("nan") if calls == 4 else 1), logs  # between two readings of the loss

    with pytest.raises(TrainingError, match="stage 'supervised', step 3 of 16: the loss is nan"):
        run_stages(recognizer, [dataclasses.replace(stage, loss=loss)], seed=3, machine=MACHINE, checkpoints=path, every_seconds=0)
    assert read(path)[1]["inside"]["step"] == 3
    assert all(torch.isfinite(value).all() for value in read(path)[0].values() if value.is_floating_point())


def test_a_checkpoint_that_does_not_say_where_it_stands_is_refused(data: ClipData, tmp_path: Path) -> None:
    recognizer = network()
    checkpoint.save(tmp_path / "c.safetensors", recognizer, None, {"finished": [{"name": "supervised"}]})
    with pytest.raises(RunError, match="delete it"):
        run_stages(recognizer, stages(recognizer, data), seed=3, machine=MACHINE, checkpoints=tmp_path / "c.safetensors")


def test_stages_of_one_name_and_parts_that_are_not_there_are_refused(data: ClipData) -> None:
    recognizer = network()
    (stage,) = stages(recognizer, data)
    with pytest.raises(UsageError, match="two stages named 'supervised'"):
        run_stages(recognizer, [stage, stage], seed=1, machine=MACHINE)
    with pytest.raises(TrainingError, match=r"no part 'backbone\.nose'"):
        run_stages(recognizer, [dataclasses.replace(stage, groups=(ParameterGroup(("backbone.nose",), 1e-3),))], seed=1, machine=MACHINE)
    overlapping = dataclasses.replace(stage, epochs=1, groups=(ParameterGroup(("head", "head.linear"), 1e-3),))
    assert run_stages(recognizer, [overlapping], seed=1, machine=MACHINE)[0].steps == 4


def test_finished_stages_are_not_run_again(data: ClipData, tmp_path: Path) -> None:
    recognizer, path = network(), tmp_path / "checkpoint.safetensors"
    first = run_stages(recognizer, stages(recognizer, data), seed=3, machine=MACHINE, checkpoints=path)
    again = network(seed=5)
    (stage,) = stages(again, data)

    def never(*_):
        raise AssertionError("ran again")

    logs = run_stages(again, [dataclasses.replace(stage, loss=never)], seed=3, machine=MACHINE, checkpoints=path)
    assert logs == first
    assert state_hash(again) == state_hash(recognizer)


def test_the_last_state_is_left_unwritten_where_the_caller_makes_something_of_it(data: ClipData, tmp_path: Path) -> None:
    recognizer, path = network(), tmp_path / "checkpoint.safetensors"
    (stage,) = stages(recognizer, data)
    run_stages(recognizer, [stage], seed=3, machine=MACHINE, checkpoints=path, keep=False)
    assert not path.exists()
    run_stages(recognizer, [stage, dataclasses.replace(stage, name="second")], seed=3, machine=MACHINE, checkpoints=path, keep=False)
    again = network()
    with pytest.raises(AssertionError, match="second begins"):  # the first is finished

        def second(*_):
            raise AssertionError("second begins")

        run_stages(again, [stage, dataclasses.replace(stage, name="second", loss=second)], seed=3, machine=MACHINE, checkpoints=path, keep=False)


def test_a_test_subject_in_training_is_refused(data: ClipData) -> None:
    recognizer, subject = network(), some_subject(data)
    before = state_hash(recognizer)
    with pytest.raises(LeakageError, match=subject):
        run_stages(recognizer, stages(recognizer, data), seed=1, machine=MACHINE, test_subjects=[subject])
    assert state_hash(recognizer) == before


def test_a_test_subject_in_a_pretext_on_macro_clips_is_refused(data: ClipData) -> None:
    recognizer, macro = network(), Clips(data, "macro")
    subject = sorted(macro.subjects)[0]
    fit = FitStage("statistics", macro, lambda recognizer, clips: None, scope="run")
    with pytest.raises(LeakageError, match=subject):
        run_stages(recognizer, [fit], seed=1, machine=MACHINE, test_subjects=[subject])
    run_stages(recognizer, [fit], seed=1, machine=MACHINE, test_subjects=[some_subject(data)])


def test_a_test_subject_drawn_behind_the_engines_back_is_refused(data: ClipData) -> None:
    recognizer, subject = network(), some_subject(data)
    (stage,) = stages(recognizer, data, without=(subject,))
    everybody = dataclasses.replace(stage.batches, source=Clips(data, "micro"))

    class Undeclared:
        clips = stage.clips
        steps_per_epoch = staticmethod(everybody.steps_per_epoch)
        draw = staticmethod(everybody.draw)

    with pytest.raises(LeakageError, match=subject):
        run_stages(recognizer, [dataclasses.replace(stage, batches=Undeclared())], seed=1, machine=MACHINE, test_subjects=[subject])
    Undeclared.clips = ()
    with pytest.raises(TrainingError, match="does not say which clips"):
        run_stages(recognizer, [dataclasses.replace(stage, batches=Undeclared())], seed=1, machine=MACHINE, test_subjects=[subject])


def test_parameters_in_no_group_are_frozen_and_their_statistics_too(data: ClipData) -> None:
    recognizer = network()
    (stage,) = stages(recognizer, data)
    before = {k: v.clone() for k, v in recognizer.state_dict().items()}
    run_stages(recognizer, [dataclasses.replace(stage, groups=(ParameterGroup(("head",), 1e-2),))], seed=1, machine=MACHINE)
    changed = {k for k, v in recognizer.state_dict().items() if not torch.equal(v, before[k])}
    assert changed and all(k.startswith("head.") for k in changed)
    assert all(p.requires_grad for p in recognizer.parameters())


def test_a_stage_that_trains_nothing_says_so(data: ClipData) -> None:
    recognizer = network()
    (stage,) = stages(recognizer, data)
    with pytest.raises(TrainingError, match="trains nothing"):
        run_stages(recognizer, [dataclasses.replace(stage, groups=(ParameterGroup(("auxiliary",), 1e-2),))], seed=1, machine=MACHINE)


def test_a_loss_that_is_not_finite_stops_with_stage_and_step(data: ClipData) -> None:
    recognizer = network()
    (stage,) = stages(recognizer, data)

    def loss(recognizer, batch, rng):
        value, logs = stage.loss(recognizer, batch, rng)
        return value * float("nan"), logs

    with pytest.raises(TrainingError, match="stage 'supervised', step 0"):
        run_stages(recognizer, [dataclasses.replace(stage, loss=loss)], seed=1, machine=MACHINE)


def test_a_fit_stage_writes_buffers_and_runs_in_its_place(data: ClipData) -> None:
    recognizer, seen = network(), []
    (gradient,) = stages(recognizer, data)

    def fit(recognizer: Recognizer, clips: Clips) -> None:
        seen.append((len(clips), recognizer.training))

    micro = Clips(data, "micro")
    logs = run_stages(recognizer, [FitStage("fit", micro, fit), dataclasses.replace(gradient, epochs=1)], seed=1, machine=MACHINE)
    assert seen == [(16, False)]
    assert [log.name for log in logs] == ["fit", "supervised"]
    assert logs[0].subjects == sorted(micro.subjects)


def test_reset_draws_the_head_anew_by_the_seed_alone() -> None:
    first, second = network(0), network(1)
    backbone = state_hash(first)
    for recognizer in (first, second):
        reset(recognizer, ("head",), seed=7)
    assert torch.equal(first.head.linear.weight, second.head.linear.weight)  # type: ignore[attr-defined]
    assert state_hash(first) != backbone


def test_a_reset_that_would_keep_a_parameter_is_refused() -> None:
    recognizer = network()

    class Offset(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias = torch.nn.Parameter(torch.ones(3))

    recognizer.head.offset = Offset()
    with pytest.raises(TrainingError, match=r"Offset\.bias cannot be drawn anew"):
        reset(recognizer, ("head",), seed=7)


def test_schedules() -> None:
    cosine = Schedule("cosine", warmup=0.1)
    assert cosine.factor(0, 100, 10) == pytest.approx(0.1)
    assert cosine.factor(10, 100, 10) == pytest.approx(1.0)
    assert cosine.factor(55, 100, 10) == pytest.approx(0.5)
    exponential = Schedule("exponential", warmup=0, decay=0.9, decay_epochs=2)
    assert [round(exponential.factor(step, 100, 10), 4) for step in (0, 9, 10, 25, 99)] == [1.0, 1.0, 0.9, 0.81, 0.81]
    assert Schedule("constant", warmup=0).factor(50, 100, 10) == 1.0


def test_bf16_trains_close_to_fp32(data: ClipData) -> None:
    losses = []
    for precision in ("fp32", "bf16"):
        recognizer = network()
        (log,) = run_stages(recognizer, stages(recognizer, data), seed=1, machine=Machine("cpu", precision, 1))
        losses.append(log.summary()["loss"])
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.1)


def test_machine_refuses_what_is_not_there() -> None:
    with pytest.raises(UsageError, match="precision"):
        Machine.of("cpu", "fp8")
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="no GPU"):
            Machine.of("cuda")


def test_supervised_adds_auxiliary_losses(data: ClipData) -> None:
    recognizer = network()

    class Constant(AuxiliaryTask):
        predicts = False

        def loss(self, features, batch):
            return features.only_pooled().sum() * 0 + 2.0

    recognizer.auxiliary["constant"] = Constant()  # type: ignore[index]
    strategy = Supervised(epochs=1, auxiliary_weight=0.5)
    stage = strategy.stage(recognizer, TrainingData.without(data, (), recognizer.train_views))
    assert isinstance(stage, GradientStage)
    batch = stage.batches.draw(0, 0, torch.device("cpu"))
    total, logs = stage.loss(recognizer, batch, torch.Generator())
    assert float(total.detach()) == pytest.approx(float(logs["cross_entropy"]) + 1.0, rel=1e-5)


# Watched, and held to a list of clips


def test_a_watched_stage_trains_the_same_bits_and_is_asked_once_an_epoch(data: ClipData) -> None:
    plain, watched, seen = network(), network(), []
    run_stages(plain, stages(plain, data), seed=3, machine=MACHINE)

    def watch(recognizer: Recognizer) -> list[int]:
        seen.append(recognizer.training)
        return [len(seen)]

    (log,) = run_stages(watched, stages(watched, data), seed=3, machine=MACHINE, watch=watch)
    assert log.epochs == [[1], [2], [3], [4]] and seen == [True] * 4
    assert state_hash(watched) == state_hash(plain)
    assert "epochs" not in log.summary() and log.summary() == {**log.summary(), "steps": 16}


def test_only_the_last_stage_is_watched(data: ClipData) -> None:
    recognizer = network()
    (stage,), micro = stages(recognizer, data), Clips(data, "micro")
    first, uneven = dataclasses.replace(stage, name="first"), dataclasses.replace(stage, epochs=None, steps=10)
    logs = run_stages(recognizer, [first, uneven], seed=1, machine=MACHINE, watch=lambda _: [7])
    assert [len(log.epochs) for log in logs] == [0, 3]  # two epochs of four steps, and what the budget ends with
    logs = run_stages(recognizer, [first, FitStage("fit", micro, lambda *_: None)], seed=1, machine=MACHINE, watch=lambda _: [7])
    assert [log.epochs for log in logs] == [[], [[7]]]


@pytest.mark.parametrize("stop_at", [5, 8, 13])
def test_what_was_seen_survives_a_stop_inside_the_stage(data: ClipData, tmp_path: Path, stop_at: int) -> None:
    def watch(recognizer: Recognizer) -> list[int]:
        return [int(1e6 * float(next(recognizer.head.parameters()).detach().abs().sum()))]

    whole, half, again = network(), network(), network(seed=99)
    (log,) = run_stages(whole, stages(whole, data), seed=3, machine=MACHINE, watch=watch)
    (stage,), calls, path = stages(half, data), 0, tmp_path / "checkpoint.safetensors"

    def loss(recognizer, batch, rng):
        nonlocal calls
        calls += 1
        if calls == stop_at + 1:
            raise KeyboardInterrupt
        return stage.loss(recognizer, batch, rng)

    options = {"seed": 3, "machine": MACHINE, "checkpoints": path, "every_seconds": 0, "watch": watch}
    with pytest.raises(KeyboardInterrupt):
        run_stages(half, [dataclasses.replace(stage, loss=loss)], **options)
    (resumed,) = run_stages(again, stages(again, data), **options)
    assert resumed.epochs == log.epochs and len({tuple(epoch) for epoch in log.epochs}) == 4
    (finished,) = run_stages(network(seed=5), stages(again, data), **options)
    assert finished.epochs == log.epochs


def test_a_stage_on_a_clip_that_the_fold_leaves_out_is_refused(data: ClipData) -> None:
    recognizer, micro = network(), Clips(data, "micro")
    (stage,), sample = stages(recognizer, data), micro.sample_ids[3]

    def never(*_):
        raise AssertionError("trained on it first")

    with pytest.raises(TrainingError, match=sample):
        run_stages(recognizer, [dataclasses.replace(stage, loss=never)], seed=1, machine=MACHINE, forbidden={sample})

    class Undeclared:
        clips = (micro.where(np.array([other != sample for other in micro.sample_ids])),)
        steps_per_epoch = staticmethod(stage.batches.steps_per_epoch)
        draw = staticmethod(stage.batches.draw)

    with pytest.raises(TrainingError, match=sample):
        run_stages(recognizer, [dataclasses.replace(stage, batches=Undeclared())], seed=1, machine=MACHINE, forbidden={sample})
