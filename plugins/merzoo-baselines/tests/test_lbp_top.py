"""LBP-TOP: every number against scikit-image and against a slow reference, and what the histograms are of."""

from __future__ import annotations

import math
from collections import Counter
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from merzoo_baselines.lbp_top import COLUMNS, LBPTOP, PLANES, ROWS, block_histograms, codes, uniform_bins

from merzoo.errors import UsageError
from merzoo.recognizer import assemble
from merzoo.registry import registry


def clips(batch: int = 2, frames: int = 5, size: int = 16) -> torch.Tensor:
    """Random clips [B, 3, T, H, W] of whole grey levels over 255."""
    return torch.randint(0, 256, (batch, 3, frames, size, size), generator=torch.Generator().manual_seed(0)) / 255


def slow_code(plane: np.ndarray, row: int, column: int) -> int:
    """The pattern at one place of a plane, neighbour by neighbour, by bilinear interpolation as it is written in any textbook."""
    code = 0
    for bit in range(8):
        angle = 2 * math.pi * bit / 8
        y, x = row - math.sin(angle), column + math.cos(angle)
        y, x = (round(value) if abs(value - round(value)) < 1e-9 else value for value in (y, x))
        top, left = math.floor(y), math.floor(x)
        fy, fx = y - top, x - left
        value = 0.0
        for dy, wy in ((0, 1 - fy), (1, fy)):
            for dx, wx in ((0, 1 - fx), (1, fx)):
                if wy * wx:
                    value += wy * wx * plane[top + dy, left + dx]
        code |= (value >= plane[row, column] - 1e-9) << bit
    return code


@lru_cache
def slow_bin(code: int) -> int:
    """Uniform codes in rising order, then one bin for the rest."""

    def changes(of: int) -> int:
        bits = [of >> p & 1 for p in range(8)]
        return sum(bits[p] != bits[p - 1] for p in range(8))

    uniform = [other for other in range(256) if changes(other) <= 2]
    return uniform.index(code) if code in uniform else 58


def slow_texture(clip: np.ndarray, grid: int) -> np.ndarray:
    """LBP-TOP of one clip [3, T, H, W] in 0 to 255, voxel by voxel."""
    grey = np.tensordot([0.299, 0.587, 0.114], clip, axes=1)
    frames, height, width = grey.shape
    found = np.zeros((3, grid, grid, 59))
    for t in range(1, frames - 1):
        for y in range(1, height - 1):
            for x in range(1, width - 1):
                block = ((y - 1) * grid // (height - 2), (x - 1) * grid // (width - 2))
                for plane, (cut, place) in enumerate(((grey[t], (y, x)), (grey[:, y], (t, x)), (grey[:, :, x], (t, y)))):
                    found[plane][block][slow_bin(slow_code(cut, *place))] += 1
    return (found / found.sum(-1, keepdims=True)).ravel()


def test_histograms_are_those_of_a_slow_reference() -> None:
    x = clips()
    fast = LBPTOP(size=16, length=5, grid=3)({"sequence": x}).only_pooled()
    assert fast.shape == (2, 3 * 9 * 59)
    for row, clip in zip(fast, x.numpy(), strict=True):
        assert row.numpy() == pytest.approx(slow_texture(np.rint(clip * 255), 3), abs=1e-6)


@pytest.mark.filterwarnings("ignore:Applying `local_binary_pattern` to floating-point")
def test_codes_are_scikit_images() -> None:
    feature = pytest.importorskip("skimage.feature", reason="scikit-image is not installed")
    x = torch.rand(1, 3, 40, 50, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    theirs = feature.local_binary_pattern(x[0, 1].numpy(), 8, 1, method="default")[1:-1, 1:-1]
    assert (codes(x, ROWS, COLUMNS)[0, 0].numpy() == theirs).all()


@pytest.mark.filterwarnings("ignore:Applying `local_binary_pattern` to floating-point")
def test_bins_are_scikit_images_up_to_their_order() -> None:
    feature = pytest.importorskip("skimage.feature", reason="scikit-image is not installed")
    picture = torch.rand(200, 200, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    theirs = feature.local_binary_pattern(picture.numpy(), 8, 1, method="nri_uniform")[1:-1, 1:-1].astype(int).ravel()
    ours = uniform_bins()[codes(picture.expand(1, 3, 200, 200), ROWS, COLUMNS)[0, 0].int()].numpy().ravel()
    both = Counter(zip(ours.tolist(), theirs.tolist(), strict=True)).most_common()
    pairs, rest = both[:59], both[59:]
    assert {a for (a, _), _ in pairs} == {b for (_, b), _ in pairs} == set(range(59)) and (58, 58) in dict(pairs)
    assert sum(times for _, times in rest) <= 2  # of 39,204 pixels: scikit-image rounds the places of the neighbours to five digits


def test_a_flat_clip_is_one_pattern_and_equal_greys_stay_equal() -> None:
    flat = torch.full((1, 3, 5, 17, 17), 77 / 255)
    for axes in PLANES.values():
        assert (codes(flat.mean(1), *axes) == 255).all()
    pooled = LBPTOP(size=17, length=5, grid=2)({"sequence": flat}).only_pooled().unflatten(1, (12, 59))
    assert (pooled[:, :, uniform_bins()[255]] == 1).all() and (pooled.sum(2) == 1).all()


def test_change_in_time_shows_in_the_planes_of_time_alone() -> None:
    """A face that gets brighter keeps the order of its pixels within each frame."""
    still = (clips(1, 1, 16) * 150).round().expand(1, 3, 5, 16, 16)
    brighter = still + 20 * torch.arange(5)[:, None, None]
    first, second = (LBPTOP(size=16, length=5, grid=2)({"sequence": x / 255}).only_pooled().unflatten(1, (3, -1)) for x in (still, brighter))
    assert torch.equal(first[:, 0], second[:, 0])
    assert all((first[:, plane] - second[:, plane]).abs().sum() > 1 for plane in (1, 2))


def test_blocks_lie_row_by_row() -> None:
    bins = torch.zeros(1, 1, 5, 5, dtype=torch.long)
    bins[:, :, 3:, :3] = 7  # the lower left block
    shares = block_histograms(bins, 2)[0]
    assert shares[2, 7] == 1 and (shares[[0, 1, 3], 0] == 1).all()


def test_a_clip_has_one_texture_in_any_batch() -> None:
    network, x = LBPTOP(size=16, length=5, grid=2), clips(7)
    together = network({"sequence": x}).only_pooled()
    alone = torch.cat([network({"sequence": one[None]}).only_pooled() for one in x.flip(0)]).flip(0)
    assert torch.equal(together, alone)


def test_it_saves_nothing_and_fits_under_its_model() -> None:
    recognizer = assemble(registry().model("lbp-top-svm"), "small", ("a", "b", "c"))
    assert all(name.startswith("head.") for name in recognizer.saved()) and not [*recognizer.parameters()]
    assert sum(4 * v.numel() for v in recognizer.saved().values()) < 4e6


@pytest.mark.parametrize("options", [{"grid": 0}, {"grid": 223}, {"size": 112.5}, {"length": 2}, {"length": "long"}, {"grid": True}, {"size": -2}])
def test_options_that_do_not_fit_are_one_line(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"^lbp-top: ") as caught:
        LBPTOP(**options)
    assert "\n" not in str(caught.value)
