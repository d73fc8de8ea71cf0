"""Perturbed clips: what each kind changes and leaves alone, that nothing but the sample decides, and which levels are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merzoo.data.perturb import KINDS, Perturbation, asked
from merzoo.errors import DataError, UnknownNameError, UsageError
from merzoo.interval import Interval

FRAMES = np.random.default_rng(0).integers(60, 200, (24, 40, 48, 3), np.uint8)
AT = Interval(4, 11, 20)


def perturbed(text, frames=FRAMES, interval=AT, sample="a"):
    what = Perturbation.parse(text)
    return what.apply(frames, interval, what.rng(sample))


def every():
    return [str(what) for what in asked(["all"])]


@pytest.mark.parametrize("text", every())
def test_the_same_sample_gives_the_same_clip_and_the_frames_stay(text):
    before = FRAMES.copy()
    (frames, interval), again, other = perturbed(text), perturbed(text), perturbed(text, sample="b")
    np.testing.assert_array_equal(FRAMES, before)
    np.testing.assert_array_equal(frames, again[0])
    assert interval == again[1] and frames.dtype == np.uint8 and frames.shape[1:] == FRAMES.shape[1:]
    if not text.startswith("jpeg"):  # the others draw numbers
        several = [perturbed(text, sample=str(n)) for n in range(8)] + [other]
        assert any(found[1] != interval or found[0].shape != frames.shape or (found[0] != frames).any() for found in several)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(every()), st.integers(1, 30), st.data())
def test_the_interval_stays_inside_and_in_order(text, length, data):
    start, peak, stop = sorted(data.draw(st.lists(st.integers(0, length - 1), min_size=3, max_size=3)))
    frames, found = perturbed(text, FRAMES[:1].repeat(length, 0)[:, :16, :16], Interval(start, peak, stop), data.draw(st.text(max_size=3)))
    assert 0 <= found.start <= found.peak <= found.stop < len(frames)
    assert len(frames) == length or text.startswith("frame-rate")
    if peak > start and len(frames) > 1:
        assert found.peak > found.start  # a movement stays one


def test_noise_has_its_level():
    grey = np.full((6, 64, 64, 3), 128, np.uint8)
    for level in (5, 10, 20):
        frames, interval = perturbed(f"pixel-noise={level}", grey, Interval(0, 2, 5))
        change = frames.astype(float) - 128
        assert change.std() == pytest.approx(level, rel=0.02) and abs(change.mean()) < 0.3 and interval == Interval(0, 2, 5)
        assert (frames[0] != frames[1]).any()  # not the same in every frame
    white, _ = perturbed("pixel-noise=20", np.full((4, 32, 32, 3), 255, np.uint8), Interval(0, 1, 2))
    assert white.min() > 100  # clipped, not wrapped round


@pytest.mark.parametrize("share", [0.1, 0.2, 0.4, 1])
def test_an_occlusion_covers_its_share_at_one_place(share):
    places = set()
    for sample in "abcdef":
        frames, interval = perturbed(
            f"occlusion={share}", np.arange(24, dtype=np.uint8)[:, None, None, None].repeat(40, 1).repeat(48, 2).repeat(3, 3), AT, sample
        )
        covered = (frames == frames[0]).all((0, 3))
        assert covered.mean() == pytest.approx(share, abs=0.03) and interval == AT
        rows, columns = np.flatnonzero(covered.any(1)), np.flatnonzero(covered.any(0))
        assert covered[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all() and len(np.unique(frames[0][covered], axis=0)) == 1
        places.add((rows[0], columns[0]))
    assert len(places) > 1 or share == 1


def test_jitter_moves_onset_and_apex_by_up_to_its_level():
    found = [perturbed("jitter=2", sample=str(n))[1] for n in range(200)]
    assert {i.start - AT.start for i in found} == {i.peak - AT.peak for i in found} == {-2, -1, 0, 1, 2}
    assert {i.stop for i in found} == {AT.stop}
    assert perturbed("jitter=2")[0] is FRAMES


def test_a_slower_camera_keeps_the_nearest_frames():
    numbered = np.arange(24, dtype=np.uint8)[:, None, None, None].repeat(4, 1).repeat(4, 2).repeat(3, 3)
    firsts = set()
    for sample in map(str, range(40)):
        frames, found = perturbed("frame-rate=4", numbered, AT, sample)
        kept = frames[:, 0, 0, 0]
        firsts.add(int(kept[0]))
        assert (np.diff(kept) == 4).all() and len(kept) == 6
        for new, old in ((found.start, AT.start), (found.peak, AT.peak), (found.stop, AT.stop)):
            assert abs(int(kept[new]) - old) == np.abs(kept.astype(int) - old).min()
    assert firsts == {0, 1, 2, 3}


def test_jpeg_is_worse_at_lower_quality():
    smooth = np.linspace(0, 255, 48, dtype=np.float32)[None, None, :, None].repeat(3, 0).repeat(40, 1).repeat(3, 3).astype(np.uint8)
    harm = [np.abs(perturbed(f"jpeg={q}", FRAMES)[0].astype(int) - FRAMES).mean() for q in (90, 70, 50)]
    assert harm == sorted(harm) and harm[0] > 0
    ramp, _ = perturbed("jpeg=90", smooth, Interval(0, 1, 2))
    assert np.abs(ramp.astype(int) - smooth).max() < 12  # colours keep their places


def test_levels_are_read_and_written_alike():
    for text in every():
        assert str(Perturbation.parse(text)) == text
    assert str(Perturbation.parse(" pixel-noise=10.0")) == "pixel-noise=10"


def test_what_is_asked():
    assert [*map(str, asked(["frame-rate", "jitter=3", "frame-rate=4"]))] == ["frame-rate=2", "frame-rate=4", "jitter=3"]
    assert len(asked(["all", "all"])) == sum(len(kind.levels) for kind in KINDS.values())
    assert asked([]) == ()


@pytest.mark.parametrize(
    "text",
    [
        "pixel-noise=",
        "pixel-noise=x",
        "pixel-noise=nan",
        "pixel-noise=inf",
        "pixel-noise=-1",
        "pixel-noise=0",
        "jitter=1.5",
        "occlusion=1.2",
        "frame-rate=1",
        "jpeg=101",
    ],
)
def test_levels_that_there_are_not(text):
    with pytest.raises(UsageError, match=text.split("=")[0]) as caught:
        asked([text])
    assert "\n" not in str(caught.value)


def test_kinds_that_there_are_not():
    with pytest.raises(UnknownNameError, match="did you mean pixel-noise"):
        asked(["pixel-nose=3"])
    with pytest.raises(UnknownNameError):
        asked([""])


def test_other_arrays_are_refused():
    for frames in (FRAMES.astype(float), FRAMES[0], FRAMES[:0], FRAMES[..., :1]):
        with pytest.raises(DataError, match="uint8"):
            perturbed("jitter=1", frames)
    with pytest.raises(DataError, match="ends after"):
        perturbed("jitter=1", FRAMES[:15])
