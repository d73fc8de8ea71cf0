"""Shared by the tests of this plugin: the tiny synthetic faces."""

from __future__ import annotations

import pytest

from merzoo.data.clips import ClipData
from merzoo.data.sources import open_clips
from merzoo.specs import Preprocessing


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ClipData:
    """4 people with micro clips of 5 labels at 64 px."""
    return open_clips("synthetic:tiny", Preprocessing(size=64))
