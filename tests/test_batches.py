"""Batches: each epoch sees each clip once, every draw is a function of seed and step, and one geometry holds for a whole sample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from merzoo.data.clips import ClipData, Clips, IntervalJitter
from merzoo.errors import DataError, UsageError
from merzoo.interfaces import Batch
from merzoo.specs import View
from merzoo.training.batches import Augmentation, LabelledBatches, load, test_batches
from merzoo.training.seeds import derive, generator, seed_all
from merzoo.views.base import Geometry

CPU = torch.device("cpu")
INPUTS = {"keyframes": (2, 3, 48, 48), "difference": (3, 48, 48)}
VIEWS = {"keyframes": (View("keyframes"),), "difference": (View("difference"),)}
PLAIN = Augmentation(flip=0, shift=0)


def batches(data: ClipData, size: int = 5, **options: Any) -> LabelledBatches:
    return LabelledBatches(Clips(data, "micro"), INPUTS, VIEWS, size, **options)


def recognise(data: ClipData, batch: Batch) -> list[int]:
    """Which clip each sample of an unaugmented batch is."""
    middle = data.prepared(View("keyframes"), "micro", None, CPU)[:, 0, :, :, 8:56, 8:56].float() / 255
    return [int((middle - sample).abs().flatten(1).sum(1).argmin()) for sample in batch["keyframes"]]


# Epochs


@pytest.mark.parametrize(("size", "sizes"), [(5, [4, 4, 4, 4]), (16, [16]), (100, [16]), (6, [6, 5, 5]), (1, [1] * 16)])
def test_every_epoch_sees_every_clip_once_in_even_batches(tiny: ClipData, size: int, sizes: list[int]) -> None:
    drawn = batches(tiny, size, augmentation=PLAIN, jitter=None)
    steps = drawn.steps_per_epoch()
    assert steps == len(sizes)
    orders = []
    for epoch in range(2):
        found = [drawn.draw(7, epoch * steps + step, CPU) for step in range(steps)]
        assert [len(batch["label"]) for batch in found] == sizes
        orders.append([at for batch in found for at in recognise(tiny, batch)])
        assert sorted(orders[-1]) == list(range(16))
        labels = torch.cat([batch["label"] for batch in found])
        assert labels.dtype == torch.int64 and np.array_equal(labels, Clips(tiny, "micro").labels[orders[-1]])
    assert orders[0] != orders[1]


def same(a: Batch, b: Batch) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_a_batch_is_a_function_of_seed_and_step_alone(tiny: ClipData) -> None:
    options: dict[str, Any] = {"augmentation": Augmentation(turn=5), "jitter": IntervalJitter(variants=3)}
    drawn = batches(tiny, **options)
    first = drawn.draw(1, 6, CPU)
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002  (that it does not matter is the point)
    for step in (3, 0, 11):
        drawn.draw(2, step, CPU)
    assert same(first, drawn.draw(1, 6, CPU)) and same(first, batches(tiny, **options).draw(1, 6, CPU))
    assert not same(first, drawn.draw(2, 6, CPU)) and not same(first, drawn.draw(1, 7, CPU))


def test_drawing_takes_nothing_from_the_global_generator(tiny: ClipData) -> None:
    before = torch.get_rng_state()
    batches(tiny).draw(0, 0, CPU)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_drawing_does_not_wait_for_a_gpu(tiny: ClipData) -> None:
    drawn, cuda = batches(tiny), torch.device("cuda")
    drawn.draw(3, 0, cuda)  # views are made and sent at the first
    torch.cuda.set_sync_debug_mode("error")
    try:
        drawn.draw(3, 1, cuda)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_seeding_all_gives_the_numbers_of_manual_seed_and_keeps_no_account_of_it() -> None:
    torch.manual_seed(7)
    expected, kept = torch.rand(3), len(torch.cuda._queued_calls)
    seed_all(7, CPU)
    assert torch.equal(torch.rand(3), expected)
    assert len(torch.cuda._queued_calls) == kept


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_seeding_all_seeds_the_gpu_that_is_asked_for() -> None:
    second = torch.device("cuda:1")
    first = []
    for _ in range(2):
        seed_all(7, second)
        first.append(torch.rand(3, device=second))
    assert torch.equal(*first)


def test_seeds_differ_by_every_part_and_not_by_the_machine() -> None:
    assert derive(0, "fold") == 584210696750107117  # printf '0\x1ffold' | sha256sum: the first 63 bits
    assert len({derive(*parts) for parts in [(0, "a"), (1, "a"), (0, "b"), (0, "a", 0), ("a", 0), ("0a",)]}) == 6
    assert 0 <= derive("x") < 2**63 and torch.equal(torch.rand(3, generator=generator(1, 2)), torch.rand(3, generator=generator(1, 2)))


# One geometry a sample


def numbered(size: int, channels: int) -> torch.Tensor:
    """[3, channels, size, size] in which each pixel holds its row and column, the same in every channel."""
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return (rows * size + columns).expand(3, channels, size, size).float()


class Raw:
    """View kinds that load what is stored and augment as images are."""

    def view_kind(self, view: View) -> Any:
        from merzoo.views.base import ViewKind

        kind = ViewKind()
        kind.load = lambda stored: stored  # type: ignore[method-assign]
        return kind


def loaded(stored: Mapping[str, torch.Tensor], inputs: Mapping[str, tuple[int, ...]], augmentation: Augmentation | None, seed: int = 0) -> Batch:
    clips: Any = type("OfClips", (), {"data": Raw()})
    return load(clips, dict.fromkeys(stored, View("x")), stored, inputs, augmentation, generator(seed), CPU)


def test_all_inputs_and_frames_of_a_sample_share_one_geometry() -> None:
    stored = {"a": numbered(20, 2), "b": numbered(20, 5)}
    crops = set()
    for seed in range(30):
        batch = loaded(stored, {"a": (2, 14, 14), "b": (5, 14, 14)}, Augmentation(), seed)
        assert torch.equal(batch["a"][:, :1].expand(3, 5, 14, 14), batch["b"]) and torch.equal(batch["a"][:, 0], batch["a"][:, 1])
        for sample in batch["a"][:, 0]:
            left, right = int(sample[0, 0]), int(sample[0, -1])
            crops.add((min(left, right) // 20, min(left, right) % 20, left > right))
    assert {top for top, _, _ in crops} == {left for _, left, _ in crops} == set(range(7))  # as far as the stored crop allows
    assert {flip for _, _, flip in crops} == {True, False}


def test_inputs_of_another_size_take_the_same_flip() -> None:
    stored = {"a": numbered(20, 1), "small": numbered(20, 1)}
    flips = []
    for seed in range(10):
        batch = loaded(stored, {"a": (1, 14, 14), "small": (1, 8, 8)}, Augmentation(), seed)
        flips += [[bool(x[0, 0, 0] > x[0, 0, -1]) for x in pair] for pair in zip(batch["a"], batch["small"], strict=True)]
    assert all(a == b for a, b in flips) and {a for a, _ in flips} == {True, False}


@pytest.mark.parametrize(("shift", "reach"), [(0, 0), (2, 2), (50, 3), (None, 3)])
def test_shifts_stay_within_their_reach(shift: int | None, reach: int) -> None:
    draws = [Augmentation(flip=0, shift=shift).draw(8, 20, 14, generator(seed), CPU) for seed in range(40)]
    tops, lefts = (torch.cat([getattr(d, name) for d in draws]) - 3 for name in ("top", "left"))
    assert (int(tops.min()), int(tops.max()), int(lefts.min()), int(lefts.max())) == (-reach, reach, -reach, reach)


@pytest.mark.parametrize(("flip", "share"), [(0.0, 0.0), (1.0, 1.0), (0.5, 0.5), (0.1, 0.1)])
def test_flips_come_as_often_as_asked(flip: float, share: float) -> None:
    drawn = Augmentation(flip=flip).draw(4000, 10, 10, generator(0), CPU)
    assert float(drawn.flip.float().mean()) == pytest.approx(share, abs=0.03) and drawn.angle is None


def test_turns_are_even_on_both_sides() -> None:
    angle = Augmentation(turn=6).draw(4000, 10, 10, generator(0), CPU).angle
    assert angle is not None and -6 <= angle.min() < -5.9 and 5.9 < angle.max() <= 6 and abs(float(angle.mean())) < 0.2


@pytest.mark.parametrize("options", [{"flip": 1.5}, {"flip": -0.1}, {"shift": -1}, {"shift": 1.5}, {"turn": -3}, {"turn": 400}])
def test_augmentation_that_cannot_be_is_one_line(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="augmentation: "):
        Augmentation(**options)


# Jitter and several views


def test_jitter_shows_other_readings_in_training_and_none_in_tests(tiny: ClipData) -> None:
    jitter = IntervalJitter((-0.4, 0.4), (-0.4, 0.4), variants=4)
    views = {"keyframes": (View("keyframes"),)}
    everything = tiny.prepared(View("keyframes"), "micro", jitter, CPU)[..., 8:56, 8:56].float() / 255
    drawn = LabelledBatches(Clips(tiny, "micro"), INPUTS, views, 16, PLAIN, jitter)
    seen = set()
    for step in range(6):
        for sample in drawn.draw(0, step, CPU)["keyframes"]:
            clip, reading = np.argwhere((everything == sample).flatten(2).all(2).numpy())[0]
            seen.add((int(clip), int(reading)))
    assert {reading for _, reading in seen} >= {0, 1, 2} and len({clip for clip, _ in seen}) == 16
    (_, [test]), *_ = list(test_batches(Clips(tiny, "micro"), {"keyframes": (2, 3, 48, 48)}, views, 16, CPU))
    assert torch.equal(test["keyframes"], everything[:, 0])


def test_one_of_several_views_is_drawn_a_batch_the_same_for_all_inputs(tiny: ClipData) -> None:
    views = {
        "keyframes": (View("keyframes", {"moments": ["start", "peak"]}), View("keyframes", {"moments": ["peak", "start"]})),
        "difference": (View("difference"),),
    }
    drawn = LabelledBatches(Clips(tiny, "micro"), INPUTS, views, 16, PLAIN, None)
    forwards = []
    for step in range(12):
        batch = drawn.draw(0, step, CPU)
        rise = batch["keyframes"][:, 1] - batch["keyframes"][:, 0]
        forwards.append(torch.allclose(rise, batch["difference"], atol=1e-6))
        assert forwards[-1] or torch.allclose(-rise, batch["difference"], atol=1e-6)
    assert set(forwards) == {True, False}


# Tests


def test_tests_see_every_clip_in_order_at_the_centre(tiny: ClipData) -> None:
    clips = Clips(tiny, "micro").where(np.arange(16) != 4)
    found = list(test_batches(clips, INPUTS, VIEWS, 4, CPU))
    assert [at.tolist() for at, _ in found] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 13, 14]]
    for at, [batch] in found:
        for row, sample in zip(at.tolist(), batch["keyframes"], strict=True):
            interval = clips.interval(row)
            wanted = clips.frames(row)[[interval.start, interval.peak], 8:56, 8:56].transpose(0, 3, 1, 2)
            assert np.array_equal((sample * 255).round().byte().numpy(), wanted)
        assert torch.allclose(batch["keyframes"][:, 1] - batch["keyframes"][:, 0], batch["difference"], atol=1e-6)


def test_several_test_views_are_separate_looks(tiny: ClipData) -> None:
    views = {"keyframes": (View("keyframes"), View("keyframes", {"moments": ["peak", "stop"]})), "difference": (View("difference"),)}
    (_, looks), *_ = test_batches(Clips(tiny, "micro"), INPUTS, views, 16, CPU)
    assert len(looks) == 2 and torch.equal(looks[0]["keyframes"][:, 1], looks[1]["keyframes"][:, 0])
    assert torch.equal(looks[0]["difference"], looks[1]["difference"])


def test_no_clips_give_no_batches(tiny: ClipData) -> None:
    assert list(test_batches(Clips(tiny, "micro").where(np.zeros(16, dtype=bool)), INPUTS, VIEWS, 4, CPU)) == []


# One clear line


def test_no_clip_to_train_on_is_one_line(tiny: ClipData) -> None:
    nobody = LabelledBatches(Clips(tiny, "micro").where(np.zeros(16, dtype=bool)), INPUTS, VIEWS)
    with pytest.raises(DataError, match="no labelled clip is left"):
        nobody.draw(0, 0, CPU)


@pytest.mark.parametrize("size", [0, -1, 2.5, "8"])
def test_a_batch_size_that_cannot_be_is_one_line(tiny: ClipData, size: Any) -> None:
    with pytest.raises(UsageError, match="batch size"):
        batches(tiny, size)


def test_a_crop_larger_than_the_faces_is_one_line_before_the_first_step(tiny: ClipData) -> None:
    with pytest.raises(UsageError, match="stored at 64 px, but 112 px"):
        LabelledBatches(Clips(tiny, "micro"), {"difference": (3, 112, 112)}, {"difference": (View("difference"),)})


def test_unlabelled_clips_are_one_line(tiny: ClipData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny, "targets", np.where(np.arange(len(tiny.targets))[:, None] == 3, np.float32(np.nan), tiny.targets))
    with pytest.raises(DataError, match="1 of 16 micro clips carry no label"):
        batches(tiny)


def test_a_geometry_says_what_it_did() -> None:
    drawn = Augmentation().draw(2, 20, 14, generator(0), CPU)
    assert isinstance(drawn, Geometry) and drawn.size == 14 and drawn.top.dtype == torch.int64 and drawn.flip.dtype == torch.bool


def test_inputs_stored_at_other_sizes_are_cropped_within_their_own_bounds() -> None:
    stored = {"large": numbered(40, 1), "small": numbered(20, 1)}
    for seed in range(10):
        batch = loaded(stored, {"large": (1, 14, 14), "small": (1, 14, 14)}, Augmentation(flip=0.5), seed)
        middle = stored["small"][:, :, 3:17, 3:17]
        flipped = (batch["large"][:, 0, 0, 1] < batch["large"][:, 0, 0, 0])[:, None, None, None]
        assert torch.equal(batch["small"], torch.where(flipped, middle.flip(-1), middle))
