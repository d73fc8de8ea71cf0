"""A loss, gradient or parameter that is not finite: told with stage, step and clips, and the last good state is kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from merzoo.data.clips import ClipData, Clips
from merzoo.errors import TrainingError
from merzoo.recognizer import Recognizer, build
from merzoo.training import engine
from merzoo.training.data import TrainingData
from merzoo.training.engine import run_stages, state_hash
from merzoo.training.finite import Lookout, NotFiniteError, clips_of
from merzoo.training.machine import Machine
from merzoo.training.stages import GradientStage, Schedule
from merzoo.weights import read

MACHINE, CPU = Machine("cpu", "fp32", 1), torch.device("cpu")
BAD = 5  # the step that goes wrong: between two readings of the loss

Harm = Callable[[Recognizer, torch.Tensor], torch.Tensor]


def network(data: ClipData, seed: int = 0) -> Recognizer:
    torch.manual_seed(seed)
    return build(("timm/test_resnet", {"view": "difference", "size": 48}), strategy=("supervised", {"epochs": 4, "batch_size": 4}), labels=data.labels)


def stage_of(recognizer: Recognizer, data: ClipData, harm: Harm | None = None, at: int = BAD) -> GradientStage:
    """The supervised stage, whose loss is harmed at one step."""
    (stage,) = recognizer.strategy.stages(recognizer, TrainingData.without(data, (), recognizer.train_views))
    assert isinstance(stage, GradientStage)
    if harm is None:
        return stage
    steps = iter(range(10**6))

    def loss(recognizer, batch, rng):
        harmed = next(steps) == at
        if harmed:  # as a broken batch would: the statistics of the forward pass break too
            batch = {name: value * float("nan") if name == "difference" and harm is nan else value for name, value in batch.items()}
        value, logs = stage.loss(recognizer, batch, rng)
        return (harm(recognizer, value) if harmed else value), logs

    return dataclasses.replace(stage, loss=loss)


def nan(recognizer: Recognizer, loss: torch.Tensor) -> torch.Tensor:
    return loss


def infinite(recognizer: Recognizer, loss: torch.Tensor) -> torch.Tensor:
    return loss + float("inf")


def gradient(recognizer: Recognizer, loss: torch.Tensor) -> torch.Tensor:
    """A finite loss whose gradient is not: the root of zero."""
    weight = next(recognizer.head.parameters())
    return loss + (weight * 0).sum().abs().sqrt()


def seed_of(seed: int) -> int:
    return engine.derive(seed, "supervised")


@pytest.mark.parametrize(
    ("harm", "what"), [(nan, "the loss is nan"), (infinite, "the loss is inf"), (gradient, "a gradient is not finite, though the loss is ")]
)
def test_it_stops_at_that_step_and_names_the_clips(tiny: ClipData, harm: Harm, what: str) -> None:
    recognizer = network(tiny)
    stage = stage_of(recognizer, tiny, harm)
    with pytest.raises(TrainingError) as caught:
        run_stages(recognizer, [stage], seed=3, machine=MACHINE)
    text = str(caught.value)
    drawn = clips_of(stage, seed_of(3), BAD, CPU)
    assert text.startswith(f"stage 'supervised', step {BAD} of 16: {what}") and "\n" not in text
    assert len(drawn) == 4 and f"its clips: {', '.join(drawn)}; no state is kept" in text and text.endswith("use --precision fp32")


def test_the_clips_named_are_those_of_that_batch_and_the_account_stays(tiny: ClipData) -> None:
    recognizer = network(tiny)
    stage, micro = stage_of(recognizer, tiny), Clips(tiny, "micro")
    tiny.drawn.clear()
    batch = stage.batches.draw(seed_of(3), BAD, CPU)
    drawn = [micro.sample_ids[at] for at in sorted(tiny.drawn)]
    tiny.drawn.clear()
    tiny.drawn.add(2)
    assert clips_of(stage, seed_of(3), BAD, CPU) == drawn and len(drawn) == len(batch["label"])
    assert {2} <= tiny.drawn
    assert clips_of(stage, seed_of(3), BAD + 1, CPU) != drawn


def test_of_many_clips_the_first_few_are_named(tiny: ClipData) -> None:
    recognizer = network(tiny)
    stage = stage_of(recognizer, tiny, infinite, at=0)
    stage = dataclasses.replace(stage, batches=dataclasses.replace(stage.batches, batch_size=16))  # type: ignore[type-var]
    with pytest.raises(TrainingError, match=r"its clips: \S+, \S+, \S+, \S+, \S+ and 11 more; "):
        run_stages(recognizer, [stage], seed=3, machine=MACHINE)


@pytest.mark.parametrize("harm", [nan, infinite, gradient])
@pytest.mark.parametrize("at", [0, BAD])
def test_the_state_before_the_step_is_kept_finite_and_goes_on_to_the_same_bits(tiny: ClipData, tmp_path: Path, harm: Harm, at: int) -> None:
    whole = network(tiny)
    run_stages(whole, [stage_of(whole, tiny)], seed=3, machine=MACHINE)
    broken, path = network(tiny), tmp_path / "checkpoint.safetensors"
    with pytest.raises(TrainingError, match=rf"; the state before it is kept in {path}; "):
        run_stages(broken, [stage_of(broken, tiny, harm, at)], seed=3, machine=MACHINE, checkpoints=path, every_seconds=1e9)
    tensors, position = read(path)
    assert position["inside"]["step"] == at
    assert all(bool(value.isfinite().all()) for value in tensors.values() if value.is_floating_point())
    again = network(tiny, seed=99)
    run_stages(again, [stage_of(again, tiny)], seed=3, machine=MACHINE, checkpoints=path)  # without the harm
    assert state_hash(again) == state_hash(whole)


def test_a_parameter_that_the_optimiser_broke_is_told_and_never_saved(tiny: ClipData, tmp_path: Path) -> None:
    def breaks(groups):
        optimizer = torch.optim.SGD(groups)
        optimizer.register_step_post_hook(_break)
        return optimizer

    path = tmp_path / "checkpoint.safetensors"
    for every in (0.0, 1e9):  # at the save, or at the end of the stage
        recognizer = network(tiny)
        stage = dataclasses.replace(stage_of(recognizer, tiny), optimizer=breaks, epochs=None, steps=1, schedule=Schedule("constant", warmup=0))
        with pytest.raises(TrainingError, match=r"step 0 of 1: the optimiser left a parameter that is not finite; .*no state had been saved before"):
            run_stages(recognizer, [stage], seed=3, machine=MACHINE, checkpoints=path, every_seconds=every)
        assert not path.exists()


def _break(optimizer: torch.optim.Optimizer, *_: object) -> None:
    with torch.no_grad():
        optimizer.param_groups[0]["params"][0][0] = float("inf")


class Later(Lookout):
    """As on a GPU: noted on the device, told when it is read anyway."""

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self.at_once = False


@pytest.mark.parametrize("harm", [infinite, gradient])
def test_where_it_is_noticed_later_the_first_bad_step_is_still_named_and_the_last_saved_state_stays(
    tiny: ClipData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: Harm
) -> None:
    monkeypatch.setattr(engine, "Lookout", Later)
    recognizer, path = network(tiny), tmp_path / "checkpoint.safetensors"
    stage = stage_of(recognizer, tiny, harm)
    taken: list[int] = []
    loss = stage.loss
    stage = dataclasses.replace(stage, loss=lambda *args: (taken.append(1), loss(*args))[1])
    with pytest.raises(TrainingError, match=f"step {BAD} of 16: .*; no state had been saved before; "):
        run_stages(recognizer, [stage], seed=3, machine=MACHINE, checkpoints=path, every_seconds=1e9)
    assert len(taken) == 11 and not path.exists()  # told at the log step 10
    recognizer = network(tiny)
    with pytest.raises(TrainingError, match=f"step {BAD} of 16: .*; the last state that was saved is kept in {path}; "):
        run_stages(recognizer, [stage_of(recognizer, tiny, harm)], seed=3, machine=MACHINE, checkpoints=path, every_seconds=0)
    tensors, position = read(path)
    assert position["inside"]["step"] == BAD and all(bool(v.isfinite().all()) for v in tensors.values() if v.is_floating_point())


def test_the_lookout_keeps_the_first_of_several() -> None:
    later, fine, bad = Later(CPU), torch.tensor(1.5), torch.tensor(float("nan"))
    for step, (loss, norm) in enumerate([(fine, fine), (fine, bad), (bad, bad), (fine, fine)]):
        later.note(step, loss, norm)
    with pytest.raises(NotFiniteError) as caught:
        later.check()
    assert caught.value.step == 1 and caught.value.what == "a gradient is not finite, though the loss is 1.5"
    with pytest.raises(NotFiniteError):
        Lookout(CPU).note(7, bad, fine)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_too(tiny: ClipData, tmp_path: Path) -> None:
    recognizer = network(tiny)
    with pytest.raises(TrainingError, match=f"step {BAD} of 16: the loss is inf; its clips: .*; no state had been saved before"):
        run_stages(
            recognizer, [stage_of(recognizer, tiny, infinite)], seed=3, machine=Machine("cuda", "fp32", 1), checkpoints=tmp_path / "c", every_seconds=1e9
        )
