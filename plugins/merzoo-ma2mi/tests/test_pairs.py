"""Pairs of frames: which there are, and that draws are a function of seed and step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from merzoo_ma2mi.pairs import Delta, PairBatches
from merzoo_ma2mi.steadiness import track

from merzoo.data.clips import ClipData, Clips
from merzoo.errors import DataError, LeakageError, UsageError
from merzoo.specs import View
from merzoo.training.batches import Augmentation

KEYFRAMES = {"keyframes": View("keyframes", {"moments": ["start", "peak"]})}
SHAPES = {"keyframes": (2, 3, 48, 48)}


def batches(tiny: ClipData, clips: Clips | None = None, **options) -> PairBatches:
    return PairBatches(Clips(tiny, "macro") if clips is None else clips, SHAPES, KEYFRAMES, **{"batch_size": 16, **options})


def drawn(source: PairBatches, steps: int = 20) -> list:
    return [pair for step in range(steps) for pair in source.chosen(5, step)]


def test_pairs_stay_inside_their_clip_and_delta_in_its_range(tiny):
    source = batches(tiny)  # 20 fps: 0.04 to 0.2 s is 1 to 4 frames
    pairs = drawn(source)
    assert {pair.peak - pair.start for _, pair in pairs} == {1, 2, 3, 4}
    assert all(0 <= pair.start < pair.peak < len(source.source.frames(at)) for at, pair in pairs)
    assert {at for at, _ in pairs} == {0, 1, 2}


def test_delta_is_uniform_over_its_range(tiny):
    aparts = [pair.peak - pair.start for _, pair in drawn(batches(tiny), steps=100)]
    shares = np.bincount(aparts)[1:] / len(aparts)
    assert shares == pytest.approx([0.25] * 4, abs=0.04)


def test_delta_in_seconds_follows_the_rate_and_frames_do_not():
    assert [*Delta((0.04, 0.2)).choices(15)] == [1, 2, 3]
    assert [*Delta((0.04, 0.2)).choices(100)] == [*range(4, 21)]
    assert [*Delta((0.04, 0.2)).choices(3)] == []
    assert [*Delta(frames=(2, 3)).choices(15)] == [*Delta(frames=(2, 3)).choices(100)] == [2, 3]


@pytest.mark.parametrize("options", [{"seconds": (0.2, 0.1)}, {"seconds": (0, 1)}, {"frames": (0, 2)}, {"frames": (1, 2, 3)}])
def test_a_range_that_is_none_is_refused(options):
    with pytest.raises(UsageError, match="delta"):
        Delta(**options)


def test_the_same_seed_and_step_draw_the_same_bits(tiny):
    first, again = (batches(tiny).draw(7, 3, torch.device("cpu"))["keyframes"] for _ in range(2))
    other = batches(tiny).draw(7, 4, torch.device("cpu"))["keyframes"]
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize("turn", [0.0, 8.0])
def test_a_part_of_a_batch_is_as_it_is_in_the_whole_and_reads_no_other_clip(tiny, turn):
    source, cpu = batches(tiny, batch_size=5, augmentation=Augmentation(turn=turn)), torch.device("cpu")
    whole = source.draw(7, 3, cpu)["keyframes"]
    assert source.samples(3) == len(whole) == 5
    for part in (slice(0, 2), slice(2, 5), slice(0, 1)):
        tiny.drawn.clear()
        assert torch.equal(source.draw_part(7, 3, cpu, part)["keyframes"], whole[part])
        assert tiny.drawn == {int(source.source.rows[at]) for at, _ in source.chosen(7, 3)[part]}


def test_both_frames_share_their_geometry_and_come_from_the_clip(tiny):
    source = batches(tiny, batch_size=4)
    (at, pair), *_ = chosen = source.chosen(1, 0)
    frames = torch.from_numpy(np.ascontiguousarray(source.source.frames(at)[[pair.start, pair.peak]])).permute(0, 3, 1, 2) / 255
    middle = source.load(chosen, torch.device("cpu"))["keyframes"][0]
    assert torch.allclose(middle, frames[:, :, 8:56, 8:56])
    moved = source.load(chosen, torch.device("cpu"), torch.Generator().manual_seed(2))["keyframes"][0]
    found = [
        (top, left, flip)
        for top in range(17)
        for left in range(17)
        for flip in (False, True)
        if torch.allclose(moved, (frames.flip(-1) if flip else frames)[:, :, top : top + 48, left : left + 48])
    ]
    assert len(found) == 1


def test_one_view_under_two_names_is_loaded_once(tiny):
    source = PairBatches(Clips(tiny, "macro"), {**SHAPES, "frame-pair": (2, 3, 48, 48)}, {**KEYFRAMES, "frame-pair": KEYFRAMES["keyframes"]}, 4)
    batch = source.draw(0, 0, torch.device("cpu"))
    assert batch["keyframes"] is batch["frame-pair"]


def test_other_views_see_the_pair_as_their_interval(tiny):
    views, shapes = {**KEYFRAMES, "difference": View("difference")}, {**SHAPES, "difference": (3, 48, 48)}
    batch = PairBatches(Clips(tiny, "macro"), shapes, views, 4).draw(0, 0, torch.device("cpu"))
    first, second = batch["keyframes"].unbind(1)
    assert torch.allclose(batch["difference"], second - first, atol=1e-6)


def test_forbidden_people_can_not_get_in(tiny):
    macro = Clips(tiny, "macro")
    gone = sorted(macro.subjects)[0]
    source = batches(tiny, macro.without([gone]))
    assert gone not in {source.source.subject_of[at] for at, _ in drawn(source)}
    with pytest.raises(LeakageError):
        Clips(tiny, "macro", forbidden=[gone])


def steady_clip(length: int = 10, size: int = 64) -> np.ndarray:
    """Ten frames of one texture under a little noise."""
    import cv2

    rng = np.random.default_rng(0)
    face = cv2.GaussianBlur(rng.uniform(0, 255, (2 * size, 2 * size, 3)).astype(np.float32), (0, 0), 4)
    face = (face - face.mean()) * 4 + 128
    return np.stack([np.clip(face + rng.normal(0, 2, face.shape), 0, 255).astype(np.uint8) for _ in range(length)])


def test_no_pair_spans_a_cut():
    clip = steady_clip()
    clip[5:] = np.rot90(clip[5:], axes=(1, 2)) // 2
    assert track(clip).pairs(2).tolist() == [0, 1, 2, 5, 6, 7]
    assert track(steady_clip()).pairs(2).tolist() == [*range(8)]


def test_no_pair_in_which_the_face_jumps():
    clip = steady_clip()
    clip[5:] = np.roll(clip[5:], 6, axis=2)  # 6 of 128 px; 3 % of the face's width are 2.7
    assert track(clip).pairs(1).tolist() == [0, 1, 2, 3, 5, 6, 7, 8]
    nudged = steady_clip()
    nudged[5:] = np.roll(nudged[5:], 1, axis=2)
    assert track(nudged).pairs(1).tolist() == [*range(9)]


def test_synthetic_faces_are_steady(tiny):
    for row in tiny.rows("macro"):
        assert len(track(tiny.frames(row)).pairs(1)) == len(tiny.frames(row)) - 1


def test_no_usable_pair_is_one_line(tiny):
    with pytest.raises(DataError, match="no macro clip has a pair of frames"):
        batches(tiny, delta=Delta(frames=(50, 60))).steps_per_epoch()
