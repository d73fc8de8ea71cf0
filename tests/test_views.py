"""Views: shapes, types, known answers, and how the geometry acts on them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from merzoo.errors import MerzooError, UsageError
from merzoo.interval import Interval
from merzoo.making import make
from merzoo.registry import registry
from merzoo.specs import View
from merzoo.views.base import Geometry, ViewKind, centre, cropped_by_index, cropped_by_slices, transform
from merzoo.views.frames import Difference, Keyframes, Sequence
from merzoo.views.motion import DynamicImage, Flow, Strain, dis_flow, rank_pooling_weights

AT = Interval(2, 5, 9)


def texture(size: int = 96, seed: int = 0) -> np.ndarray:
    """A smooth random picture, uint8 [size, size, 3]: something for optical flow to hold on to."""
    noise = np.random.default_rng(seed).normal(size=(size, size, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    return np.uint8(np.clip(128 + 60 * smooth / smooth.std(), 0, 255))


def warped(picture: np.ndarray, matrix: list[list[float]]) -> np.ndarray:
    """The picture with its content moved by an affine map of (x, y)."""
    return cv2.warpAffine(picture, np.array(matrix, np.float32), picture.shape[:2], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def clip(frames: int = 12, size: int = 24) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (frames, size, size, 3), dtype=np.uint8)


def inner(x: np.ndarray | torch.Tensor, margin: int = 16) -> np.ndarray:
    return np.asarray(x)[..., margin:-margin, margin:-margin]


def geometry(size: int, top: list[int], left: list[int], flip: list[bool], angle: list[float] | None = None) -> Geometry:
    return Geometry(size, torch.tensor(top), torch.tensor(left), torch.tensor(flip), None if angle is None else torch.tensor(angle))


EXPECTED = {
    "keyframes": ((2, 3, 24, 24), np.uint8),
    "difference": ((3, 24, 24), np.int16),
    "sequence": ((3, 16, 24, 24), np.uint8),
    "flow": ((2, 24, 24), np.float16),
    "strain": ((1, 24, 24), np.float16),
    "dynamic-image": ((3, 24, 24), np.uint8),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_every_registered_view_gives_the_shape_and_type_it_promises(name: str) -> None:
    kind = registry().get("view", name).load()()
    stored = kind.prepare(clip(), AT)
    assert (stored.shape, stored.dtype) == EXPECTED[name]
    batch = torch.from_numpy(np.stack([stored, stored]))
    loaded = kind.load(batch)
    assert loaded.dtype == torch.float32 and loaded.shape == batch.shape and torch.isfinite(loaded).all()
    seen = kind.augment(loaded, geometry(16, [0, 8], [4, 2], [True, False]))
    assert seen.shape == (2, *stored.shape[:-2], 16, 16)


def test_every_built_in_view_is_tested_here() -> None:
    assert {entry.name for entry in registry().entries("view") if entry.plugin == "merzoo-builtin"} == set(EXPECTED)


# Frames


def test_keyframes_are_the_frames_at_their_moments() -> None:
    frames = clip()
    stored = Keyframes(["stop", "start", "peak"]).prepare(frames, AT)
    assert np.array_equal(stored.transpose(0, 2, 3, 1), frames[[9, 2, 5]])
    loaded = Keyframes().load(torch.from_numpy(stored.copy()))
    assert torch.equal(loaded * 255, torch.from_numpy(stored.copy()).float())


def test_difference_is_peak_minus_start_and_keeps_its_sign() -> None:
    frames = np.zeros((10, 4, 4, 3), np.uint8)
    frames[2], frames[5, :2] = 200, 255
    stored = Difference().prepare(frames, AT)
    assert stored[:, 0].tolist() == [[55] * 4] * 3 and stored[:, 3].tolist() == [[-200] * 4] * 3
    assert Difference().load(torch.from_numpy(stored)).min().item() == pytest.approx(-200 / 255)


@pytest.mark.parametrize(
    ("interval", "length", "wanted"),
    [
        (Interval(2, 5, 9), 8, [2, 3, 4, 5, 6, 7, 8, 9]),
        (Interval(0, 2, 10), 3, [0, 5, 10]),
        (Interval(3, 3, 5), 5, [3, 4, 4, 4, 5]),
        (Interval(4, 4, 4), 3, [4, 4, 4]),
    ],
)
def test_a_sequence_takes_frames_evenly_from_start_to_stop(interval: Interval, length: int, wanted: list[int]) -> None:
    numbered = np.broadcast_to(np.arange(11, dtype=np.uint8)[:, None, None, None], (11, 2, 2, 3))
    assert Sequence(length).prepare(numbered, interval)[0, :, 0, 0].tolist() == wanted


def test_a_sequence_is_shrunk_by_area_frame_by_frame() -> None:
    frames = clip(size=24)
    shrunk, whole = Sequence(4, side=8).prepare(frames, AT), Sequence(4).prepare(frames, AT)
    means = whole.reshape(3, 4, 8, 3, 8, 3).mean(axis=(3, 5))
    assert shrunk.shape == (3, 4, 8, 8) and shrunk.dtype == np.uint8
    assert np.abs(shrunk - means).max() <= 0.51  # each pixel the mean of its 3 x 3
    assert np.array_equal(Sequence(4, side=24).prepare(frames, AT), whole)


def test_a_sequence_is_never_enlarged() -> None:
    with pytest.raises(UsageError, match="24 px cannot be shrunk to 32 px"):
        Sequence(4, side=32).prepare(clip(size=24), AT)


def test_loading_never_writes_into_what_is_stored() -> None:
    stored = torch.full((1, 3, 2, 2), 255.0)
    ViewKind().load(stored)
    assert (stored == 255).all()


# Motion


@pytest.mark.parametrize(("right", "down"), [(2.0, 0.0), (0.0, -1.5), (1.0, 1.0)])
def test_flow_of_a_moved_picture_is_the_move_in_pixels(right: float, down: float) -> None:
    first = texture()
    frames = np.stack([first, warped(first, [[1, 0, right], [0, 1, down]])])
    u, v = inner(Flow().prepare(frames, Interval(0, 1, 1)).astype(np.float32))
    assert np.abs(u - right).mean() < 0.1 and np.abs(v - down).mean() < 0.1


def moving() -> tuple[np.ndarray, np.ndarray]:
    """Two frames between which content moves to the right, more so below, and a little down."""
    first = texture(seed=3)
    return first, warped(first, [[1.0, 0.02, 0.6], [0.0, 1.0, 0.8]])


def as_batch(flow: np.ndarray) -> torch.Tensor:
    return Flow().load(torch.from_numpy(flow.astype(np.float16)[None]))


def test_flow_of_mirrored_frames_is_the_mirrored_flow() -> None:
    first, second = moving()
    mirrored = dis_flow(first[:, ::-1], second[:, ::-1])
    augmented = Flow().augment(as_batch(dis_flow(first, second)), geometry(96, [0], [0], [True]))[0]
    error = np.abs(inner(mirrored) - inner(augmented)).mean()
    assert error < 0.1
    assert np.abs(inner(mirrored[0]) + inner(augmented[0])).mean() > 1  # with u not negated it would be far off


@pytest.mark.parametrize(("angle", "flip"), [(12.0, False), (-25.0, False), (20.0, True)])
def test_flow_of_turned_frames_is_the_turned_flow(angle: float, flip: bool) -> None:
    how = geometry(96, [0], [0], [flip], [angle])
    first, second = moving()
    turned = [transform(torch.from_numpy(f.transpose(2, 0, 1)[None]).float(), how)[0].round().byte().numpy().transpose(1, 2, 0) for f in (first, second)]
    augmented = Flow().augment(as_batch(dis_flow(first, second)), how)[0]
    unturned = transform(as_batch(dis_flow(first, second)), how)[0]
    wanted = inner(dis_flow(*turned), 28)
    assert np.abs(wanted - inner(augmented, 28)).mean() < 0.12
    assert np.abs(wanted - inner(unturned, 28)).mean() > 0.2  # turning the picture alone is not enough


def test_strain_of_a_translation_is_nothing_and_of_a_stretch_its_rate() -> None:
    first = texture(seed=5)
    moved = Strain().prepare(np.stack([first, warped(first, [[1, 0, 2], [0, 1, 1]])]), Interval(0, 1, 1))
    assert np.median(inner(moved)) < 0.01
    stretched = Strain().prepare(np.stack([first, warped(first, [[1.05, 0, -2.4], [0, 1, 0]])]), Interval(0, 1, 1))
    assert np.median(inner(stretched.astype(np.float32))) == pytest.approx(0.05, abs=0.012)


@pytest.mark.parametrize(
    ("field", "magnitude"),
    [([[0.1, 0], [0, 0]], 0.1), ([[0, 0], [0, -0.2]], 0.2), ([[0, 0.2], [0, 0]], 0.02**0.5), ([[0, 0.3], [-0.3, 0]], 0.0), ([[0.1, 0], [0, 0.1]], 0.02**0.5)],
)
def test_strain_follows_its_formula_on_linear_flow(field: list[list[float]], magnitude: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """u_x alone, v_y alone, shear (ε_xy = u_y / 2, which counts twice), a rotation (no strain at all), growth in both directions."""
    x, y = np.meshgrid(np.arange(8, dtype=np.float32), np.arange(8, dtype=np.float32))
    (a, b), (c, d) = field
    monkeypatch.setattr("merzoo.views.motion.dis_flow", lambda first, second: np.stack([a * x + b * y, c * x + d * y]))
    assert Strain().prepare(np.zeros((2, 8, 8, 3), np.uint8), Interval(0, 1, 1)) == pytest.approx(np.full((1, 8, 8), magnitude), abs=2e-3)


def test_rank_pooling_weights_are_the_published_ones() -> None:
    published = [-8.461, -1.461, 1.039, 2.039, 2.289, 2.089, 1.589, 0.875]
    assert rank_pooling_weights(8) == pytest.approx(published, abs=1e-3)


def test_a_dynamic_image_shows_when_something_was_bright() -> None:
    """Pixel n is lit in frame n alone, so the picture is the weights themselves, scaled."""
    frames = np.zeros((12, 1, 12, 3), np.uint8)
    frames[np.arange(12), 0, np.arange(12)] = 255
    row = DynamicImage().prepare(frames, Interval(2, 4, 9))[0, 0].astype(float)
    weights = np.concatenate([[0, 0], rank_pooling_weights(8), [0, 0]])  # frames outside the interval count nothing
    assert row == pytest.approx((weights - weights.min()) / (weights.max() - weights.min()) * 255, abs=0.51)


def test_a_dynamic_image_of_a_still_clip_is_black() -> None:
    assert not DynamicImage().prepare(np.full((6, 4, 4, 3), 77, np.uint8), Interval(0, 2, 5)).any()


# Geometry


def test_a_crop_and_a_flip_copy_pixels_exactly() -> None:
    x = torch.rand(4, 2, 3, 20, 20)
    top, left, flip = [0, 3, 8, 5], [8, 1, 0, 5], [False, True, True, False]
    seen = transform(x, geometry(12, top, left, flip)).numpy()
    for i in range(4):
        wanted = x[i].numpy()[..., top[i] : top[i] + 12, left[i] : left[i] + 12]
        assert np.array_equal(seen[i], wanted[..., ::-1] if flip[i] else wanted)


def test_a_turn_of_zero_degrees_changes_nothing_and_of_180_turns_over() -> None:
    x = torch.rand(2, 3, 16, 16)
    seen = transform(x, geometry(16, [0, 0], [0, 0], [False, False], [0.0, 180.0]))
    assert torch.allclose(seen[0], x[0], atol=1e-5) and torch.allclose(seen[1], x[1].flip(-1, -2), atol=1e-4)


def test_the_centre_is_the_middle_unflipped() -> None:
    x = torch.rand(2, 1, 10, 10)
    assert torch.equal(transform(x, centre(2, 10, 6, torch.device("cpu"))), x[..., 2:8, 2:8])


def test_a_crop_larger_than_what_is_stored_is_refused() -> None:
    with pytest.raises(UsageError, match=r"stored at 64 px, but 112 px .* larger preprocessing size"):
        centre(1, 64, 112, torch.device("cpu"))


# Options


@pytest.mark.parametrize(
    "view",
    [
        View("keyframes", {"moments": ["apex"]}),
        View("keyframes", {"moments": []}),
        View("keyframes", {"moments": "peak"}),
        View("keyframes", {"moments": 3}),
        View("keyframes", {"moments": [["peak"]]}),
        View("keyframes", {"frames": 2}),
        View("sequence", {"length": 1}),
        View("sequence", {"length": "16"}),
        View("sequence", {"length": 2.5}),
        View("sequence", {"side": 0}),
        View("sequence", {"side": "64"}),
        View("flow", {"method": "farneback"}),
        View("strain", {"method": 1}),
    ],
)
def test_wrong_options_are_one_line(view: View) -> None:
    with pytest.raises(MerzooError) as caught:
        make(registry().get("view", view.kind).load(), f"view '{view.kind}'", view.options)
    assert view.kind in str(caught.value) and "\n" not in str(caught.value)


def test_both_ways_of_cropping_give_the_same_values_in_the_same_layout() -> None:
    rng = torch.Generator().manual_seed(0)
    x = torch.rand(5, 6, 20, 20, generator=rng)
    geometry = Geometry(12, *(torch.randint(0, 9, (5,), generator=rng) for _ in range(2)), torch.rand(5, generator=rng) < 0.5)
    slices, index = cropped_by_slices(x, geometry), cropped_by_index(x, geometry)
    assert torch.equal(slices, index) and slices.stride() == index.stride()
    assert geometry.flip.any() and not geometry.flip.all()
