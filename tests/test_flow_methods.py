"""Both ways to optical flow: known moves with their signs, and the extra that one of them needs."""

from __future__ import annotations

import hashlib
import sys

import cv2
import numpy as np
import pytest

from merzoo.errors import UsageError
from merzoo.interval import Interval
from merzoo.making import make_view
from merzoo.specs import View
from merzoo.views.motion import Flow, Strain, dis_flow

AT = Interval(0, 1, 1)
METHODS = ("dis", "tvl1")
MOVES = [(2.0, 0.0), (-1.0, 0.0), (0.0, 1.5), (0.0, -1.5), (1.0, -1.0)]  # right, down in px


def pair(right: float, down: float, seed: int = 0, size: int = 96) -> np.ndarray:
    """A smooth random picture, and the same moved: uint8 [2, size, size, 3]."""
    noise = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=(size, size, 3)).astype(np.float32), (0, 0), 3)
    first = np.uint8(np.clip(128 + 60 * noise / noise.std(), 0, 255))
    matrix = np.array([[1, 0, right], [0, 1, down]], np.float32)
    return np.stack([first, cv2.warpAffine(first, matrix, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)])


@pytest.fixture(autouse=True)
def _extra(request: pytest.FixtureRequest) -> None:
    if "tvl1" in request.node.name:
        pytest.importorskip("skimage", reason="TV-L1 is the extra `flow`")


@pytest.mark.parametrize(("right", "down"), MOVES)
@pytest.mark.parametrize("method", METHODS)
def test_a_move_is_found_within_a_tenth_of_a_pixel_with_its_signs(method: str, right: float, down: float) -> None:
    u, v = Flow(method).prepare(pair(right, down), AT).astype(np.float32)[:, 16:-16, 16:-16]
    assert np.abs(u - right).mean() < 0.1 and np.abs(v - down).mean() < 0.1


@pytest.mark.parametrize("method", METHODS)
def test_a_move_strains_nothing_and_a_stretch_by_its_rate(method: str) -> None:
    assert np.median(Strain(method).prepare(pair(2.0, -1.0), AT)[:, 16:-16, 16:-16]) < 0.01
    frames = pair(0, 0)
    frames[1] = cv2.warpAffine(frames[0], np.array([[1.05, 0, -2.4], [0, 1, 0]], np.float32), (96, 96), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    assert np.median(Strain(method).prepare(frames, AT)[:, 16:-16, 16:-16].astype(np.float32)) == pytest.approx(0.05, abs=0.012)


@pytest.mark.parametrize("kind", ["flow", "strain"])
def test_both_methods_give_one_shape_and_type_with_tvl1(kind: str) -> None:
    dis, tvl1 = (make_view(View(kind, {"method": method})).prepare(pair(1, 0), AT) for method in METHODS)
    assert dis.shape == tvl1.shape and dis.dtype == tvl1.dtype == np.float16 and not np.array_equal(dis, tvl1)


@pytest.mark.parametrize("kind", ["flow", "strain"])
def test_the_default_is_dis_bit_for_bit(kind: str) -> None:
    frames = pair(1.3, 0.4)
    default, named = (make_view(View(kind, options)).prepare(frames, AT) for options in ({}, {"method": "dis"}))
    assert hashlib.sha256(default.tobytes()).digest() == hashlib.sha256(named.tobytes()).digest()
    if kind == "flow":
        assert np.array_equal(default, dis_flow(*frames).astype(np.float16))


def test_without_the_extra_it_is_one_line_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "skimage"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(UsageError, match=r"needs scikit-image, which is not installed; run pip install 'merzoo\[flow\]'") as caught:
        make_view(View("flow", {"method": "tvl1"}))
    assert "\n" not in str(caught.value)
    make_view(View("flow"))


def test_each_method_names_the_libraries_whose_version_decides_its_bits_with_tvl1() -> None:
    assert Flow().libraries == ("cv2",) and Flow("tvl1").libraries == ("cv2", "skimage")
