"""Shared by the tests of this plugin: the tiny synthetic faces, and a recogniser small enough to train in a second."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from merzoo.data.clips import ClipData
from merzoo.data.sources import open_clips
from merzoo.recognizer import Recognizer, build
from merzoo.specs import Preprocessing

NETWORK = {"size": 48, "width": 8, "groups": 2, "layers": [1, 1, 1, 1], "difference_scale": 4.0}
STRATEGY = {"tasks": 2, "support": 2, "query": 2, "macro_clips": 2, "steps": 3}


@pytest.fixture(scope="session")
def tiny() -> ClipData:
    """4 people with micro clips, 3 others with macro clips, 64 px."""
    return open_clips("synthetic:tiny", Preprocessing(size=64))


@pytest.fixture
def make(tiny: ClipData) -> Callable[..., Recognizer]:
    """A small recogniser under the strategy; options go to the strategy, `task` to the alignment."""

    def make(task: dict[str, Any] | None = None, **strategy: Any) -> Recognizer:
        torch.manual_seed(0)
        parts = ("lightmannet", NETWORK), "linear", [("macro-alignment", task or {})], ("meta-auxiliary", {**STRATEGY, **strategy})
        return build(*parts, labels=tiny.labels, preprocessing=Preprocessing(size=64))

    return make
