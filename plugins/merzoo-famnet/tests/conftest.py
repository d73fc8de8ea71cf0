"""Shared by the tests of this plugin: the tiny synthetic faces, and networks small enough to train in a second."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from merzoo.data.clips import ClipData
from merzoo.data.sources import open_clips
from merzoo.recognizer import Recognizer, build
from merzoo.specs import Preprocessing

NETWORK = {"widths": [8, 8, 12, 16], "layers": [1, 1, 1, 1], "stem": 8, "reduction": 4}
SPATIAL, TEMPORAL = {"size": 48, **NETWORK}, {"size": 40, "frames": 4, **NETWORK}
OPTIONS = {"amnet2d": SPATIAL, "amnet3d": TEMPORAL, "famnet": {"spatial": SPATIAL, "temporal": TEMPORAL}}
RECIPE = {"epochs": 1, "batch_size": 8, "lr": 1e-3}


@pytest.fixture(scope="session")
def tiny() -> ClipData:
    """4 people with 4 micro clips each, 64 px."""
    return open_clips("synthetic:tiny", Preprocessing(size=64))


@pytest.fixture
def make(tiny: ClipData) -> Callable[..., Recognizer]:
    """A small recogniser of a backbone, with both tasks; further options go to the strategy, `task` to au-detection."""

    def make(backbone: str = "famnet", task: dict | None = None, recipe: dict | None = None, head: str = "late-fusion", **strategy: object) -> Recognizer:
        torch.manual_seed(0)
        trained = ("multi-task", {"recipe": {**RECIPE, **(recipe or {})}, **strategy})
        seen = (backbone, OPTIONS[backbone])
        return build(seen, head, [("au-detection", task or {})], trained, labels=tiny.labels, preprocessing=Preprocessing(size=64))

    return make


@pytest.fixture
def batch() -> Callable[[int], dict[str, torch.Tensor]]:
    """A random batch of both inputs, with labels and action units."""

    def batch(size: int = 3) -> dict[str, torch.Tensor]:
        rng = torch.Generator().manual_seed(1)
        pictures = {"apex": torch.rand(size, 1, 3, 48, 48, generator=rng), "clip": torch.rand(size, 3, 4, 40, 40, generator=rng)}
        units = torch.randint(0, 2, (size, 12), generator=rng).float()
        return {**pictures, "label": torch.randint(0, 5, (size,), generator=rng), "aus": units}

    return batch
