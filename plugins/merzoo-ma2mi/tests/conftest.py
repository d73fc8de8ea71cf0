"""Shared by the tests of this plugin: the tiny synthetic faces, and recognisers small enough to train in a second."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from merzoo.data.clips import ClipData
from merzoo.data.sources import open_clips
from merzoo.recognizer import Recognizer, build
from merzoo.specs import Preprocessing

NETWORK = {"size": 48, "stem": [[8, 2]], "blocks": [[12, 2], [16, 1]], "depth": 1, "heads": 2, "mlp_ratio": 2.0, "normalise": "symmetric"}
TASK = {"channels": 4, "down": 4, "codec_width": 16, "codec_depth": 1, "width": 32, "depth": 1, "heads": 2, "mlp_ratio": 2.0}
STRATEGY = {
    "autoencoder": {"steps": 3, "batch_size": 4, "lr": 2e-3},
    "pretext": {"steps": 3, "batch_size": 4, "lr": 2e-3},
    "fine_tuning": {"epochs": 1, "batch_size": 8},
}


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ClipData:
    """4 people with micro clips, 3 others with macro clips of 12 frames at 20 fps, 64 px."""
    return open_clips("synthetic:tiny", Preprocessing(size=64))


@pytest.fixture
def parts() -> dict[str, dict]:
    """The options of a small backbone, future-frame task and strategy."""
    return {"backbone": NETWORK, "future-frame": TASK, "strategy": STRATEGY}


@pytest.fixture
def make(tiny: ClipData) -> Callable[..., Recognizer]:
    """A small recogniser with the pretext; options go to the future-frame task, `network` to the backbone."""

    def make(strategy: dict | None = None, network: dict | None = None, **task: object) -> Recognizer:
        torch.manual_seed(0)
        parts = ("miacnet", {**NETWORK, **(network or {})}), "flatten", [("future-frame", {**TASK, **task})], ("ma2mi", strategy or STRATEGY)
        return build(*parts, labels=tiny.labels, preprocessing=Preprocessing(size=64))

    return make
