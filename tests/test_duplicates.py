"""Copies of clips are found though they were encoded, cropped or lit otherwise; other clips, of the same person too, are none."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from merzoo.data.clips import ClipData
from merzoo.data.duplicates import near_duplicates, signatures

Change = Callable[[np.ndarray], np.ndarray]


class Copies:
    """The clips of a data set, then all again with their frames changed."""

    def __init__(self, data: ClipData, change: Change) -> None:
        self.data, self.change, self.count = data, change, len(data.table)

    def interval(self, row: int) -> object:
        return self.data.interval(row % self.count)

    def frames(self, row: int) -> np.ndarray:
        clip = self.data.frames(row % self.count)
        return clip if row < self.count else np.stack([self.change(frame) for frame in clip])


def jpeg(frame: np.ndarray) -> np.ndarray:
    return cv2.imdecode(cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 75])[1], cv2.IMREAD_COLOR)


def shifted(frame: np.ndarray) -> np.ndarray:
    return cv2.warpAffine(frame, np.array([[1, 0, 0.5], [0, 1, 0]]), frame.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)


def darker(frame: np.ndarray) -> np.ndarray:
    return (frame * 0.8).astype(np.uint8)


@pytest.mark.parametrize("change", [jpeg, shifted, darker])
def test_copies_are_found_and_nothing_else(tiny: ClipData, change: Change) -> None:
    count = len(tiny.table)
    signature = signatures(Copies(tiny, change), range(2 * count))  # type: ignore[arg-type]
    names = np.arange(2 * count)  # everything is from another subject: clips of one person, too, must be told apart
    found = {(pair.a, pair.b) for pair in near_duplicates(signature, names)}
    assert found == {(row, row + count) for row in range(count)}


def test_clips_of_one_group_are_not_compared(tiny: ClipData) -> None:
    count = len(tiny.table)
    signature = signatures(Copies(tiny, darker), range(2 * count))  # type: ignore[arg-type]
    assert not list(near_duplicates(signature, np.tile(tiny.table["subject"].to_numpy(), 2)))


def test_blocks_do_not_matter(tiny: ClipData, monkeypatch: pytest.MonkeyPatch) -> None:
    signature = signatures(Copies(tiny, darker), range(2 * len(tiny.table)))  # type: ignore[arg-type]
    whole = list(near_duplicates(signature, np.arange(len(signature))))
    monkeypatch.setattr("merzoo.data.duplicates.BLOCK", 3)
    assert [(p.a, p.b) for p in near_duplicates(signature, np.arange(len(signature)))] == [(p.a, p.b) for p in whole]


def test_clips_in_which_nothing_moves_are_copies_only_if_their_pictures_are_one(tiny: ClipData) -> None:
    still = signatures(tiny, range(2))
    still[:, 2] = 0
    still[:, 1] = still[:, 0]
    assert not list(near_duplicates(still, np.arange(2)))
    assert [(p.a, p.b) for p in near_duplicates(np.concatenate([still, still]), np.arange(4))] == [(0, 2), (1, 3)]


def test_a_flat_clip_resembles_nothing() -> None:
    assert not list(near_duplicates(np.zeros((2, 3, 16), np.float32), np.arange(2)))
