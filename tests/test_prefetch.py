"""Batches drawn ahead: the same training bit for bit, errors at their own step, no thread that stays, and the guard against test subjects still right."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch

from merzoo.data.clips import ClipData, Clips
from merzoo.data.synthetic import SyntheticFaces
from merzoo.errors import DataError, LeakageError, TrainingError
from merzoo.interfaces import Batch
from merzoo.recognizer import Recognizer, build
from merzoo.training.data import TrainingData
from merzoo.training.engine import run_stages, state_hash
from merzoo.training.machine import Machine
from merzoo.training.prefetch import drawn
from merzoo.training.stages import GradientStage

MACHINE = Machine("cpu", "fp32", 1)


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    yield
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("batches")]


@pytest.fixture
def streamed(tiny: ClipData, monkeypatch: pytest.MonkeyPatch) -> ClipData:
    """The same clips, none of whose views may be kept, so that every batch reads them."""
    monkeypatch.setattr("merzoo.data.clips.KEPT_BYTES", 0)
    return ClipData(tiny.dataset, tiny.preprocessing)


def network() -> Recognizer:
    torch.manual_seed(0)
    strategy = ("supervised", {"epochs": 2, "batch_size": 4, "lr": 1e-3})
    return build(("timm/test_resnet", {"view": "difference", "size": 48}), strategy=strategy, labels=SyntheticFaces("tiny").labels)


def stage_of(recognizer: Recognizer, data: ClipData, gone: tuple[str, ...] = ()) -> GradientStage:
    (stage,) = recognizer.strategy.stages(recognizer, TrainingData.without(data, gone, recognizer.train_views))
    return stage


@dataclass
class Spied:
    """Batches of a stage, with something done at each draw; keeps the step and the thread of each."""

    batches: Any
    at: Callable[[int], object] = lambda step: None
    seen: list[tuple[int, str]] = field(default_factory=list)

    @property
    def clips(self) -> Any:
        return self.batches.clips

    def steps_per_epoch(self) -> int:
        return self.batches.steps_per_epoch()

    def draw(self, seed: int, step: int, device: torch.device) -> Batch:
        self.seen.append((step, threading.current_thread().name))
        self.at(step)
        return self.batches.draw(seed, step, device)

    def ahead(self) -> list[int]:
        return [step for step, thread in self.seen if thread.startswith("batches")]


def trained(data: ClipData, at: Callable[[int], object] = lambda step: None, **options: Any) -> tuple[str, Spied]:
    recognizer = network()
    stage = stage_of(recognizer, data)
    spied = Spied(stage.batches, at)

    def loss(recognizer: Recognizer, batch: Batch, rng: torch.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        value, logs = stage.loss(recognizer, batch, rng)
        return value * (1 + 0.1 * torch.rand(())), logs  # a network with dropout: the step, too, takes from the global generator

    run_stages(recognizer, [replace(stage, batches=spied, loss=loss)], seed=1, machine=MACHINE, **options)
    return state_hash(recognizer), spied


def test_training_from_streamed_views_is_drawn_ahead_and_ends_in_the_same_bits(tiny: ClipData, streamed: ClipData, monkeypatch: pytest.MonkeyPatch) -> None:
    ahead, how = trained(streamed)
    assert [step for step, _ in how.seen] == list(range(8)) and how.ahead() == list(range(1, 8))
    monkeypatch.undo()
    kept, how = trained(tiny)
    assert [step for step, _ in how.seen] == list(range(8)) and how.ahead() in ([], [1])  # the first prepares the views, where that is still to do
    assert ahead == kept


def test_batches_that_take_from_the_global_generator_are_not_drawn_ahead(tiny: ClipData, streamed: ClipData, monkeypatch: pytest.MonkeyPatch) -> None:
    streaming, how = trained(streamed, lambda step: torch.rand(3))
    assert streamed.reads and how.ahead() == []
    monkeypatch.undo()
    assert streaming == trained(tiny, lambda step: torch.rand(3))[0] != trained(tiny)[0]


def test_no_batch_is_drawn_while_somebody_watches(streamed: ClipData) -> None:
    """Who watches looks at test clips and gives the account of drawn clips back as it was before."""

    def watch(recognizer: Recognizer) -> list[int]:
        before = set(streamed.drawn)
        assert before
        streamed.drawn.clear()
        threading.Event().wait(0.05)
        assert not streamed.drawn
        streamed.drawn.update(before)
        return []

    _, how = trained(streamed, watch=watch)
    assert how.ahead() == [1, 2, 3, 5, 6, 7]  # 4 begins the second epoch
    assert streamed.drawn == set(range(16))


def test_a_test_subject_drawn_in_the_thread_is_refused(streamed: ClipData) -> None:
    recognizer, gone = network(), min(Clips(streamed, "micro").subjects)
    stage = stage_of(recognizer, streamed, (gone,))
    spied = Spied(stage.batches, lambda step: Clips(streamed, "micro").frames(0) if step == 3 else None)
    with pytest.raises(LeakageError, match=gone):
        run_stages(recognizer, [replace(stage, batches=spied)], seed=1, machine=MACHINE, test_subjects=[gone])
    assert 3 in spied.ahead()


def test_an_error_in_the_thread_is_raised_at_its_own_step(streamed: ClipData) -> None:
    told: list[int] = []

    def fail(step: int) -> None:
        if step == 3:
            raise DataError("clip store x is damaged")

    recognizer = network()
    stage = stage_of(recognizer, streamed)

    def loss(*args: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        told.append(len(told))
        return stage.loss(*args)

    with pytest.raises(DataError, match="clip store x is damaged"):
        run_stages(recognizer, [replace(stage, batches=Spied(stage.batches, fail), loss=loss)], seed=1, machine=MACHINE)
    assert told == [0, 1, 2]


def test_an_error_of_the_step_is_not_held_up_by_the_thread(streamed: ClipData) -> None:
    recognizer = network()
    stage = stage_of(recognizer, streamed)

    def loss(*args: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        value, logs = stage.loss(*args)
        return value * torch.nan, logs

    with pytest.raises(TrainingError, match="step 0 of 8"):
        run_stages(recognizer, [replace(stage, loss=loss)], seed=1, machine=MACHINE)


def test_the_next_is_drawn_before_it_is_asked_for_and_no_more_than_one() -> None:
    seen: list[int] = []
    arrived = threading.Event()

    def draw(step: int) -> Batch:
        seen.append(step)
        if step == 6:
            arrived.set()
        return {"x": torch.tensor(step)}

    with closing(drawn(draw, range(5, 20), lambda step: step != 7)) as batches:
        assert int(next(batches)["x"]) == 5 and arrived.wait(10)
        assert int(next(batches)["x"]) == 6 and seen == [5, 6]  # 7 may not be
        assert int(next(batches)["x"]) == 7
    assert seen[:3] == [5, 6, 7] and len(seen) <= 4
    assert [int(batch["x"]) for batch in drawn(draw, range(3), lambda step: True)] == [0, 1, 2]
