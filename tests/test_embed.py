"""Weights that ship inside a plugin: trained, scored on other people, and read back from their card."""

from __future__ import annotations

from pathlib import Path

import pytest

from merzoo import embed
from merzoo.data.clips import ClipData
from merzoo.errors import LeakageError, UsageError
from merzoo.loading import load
from merzoo.registry import registry
from merzoo.specs import ModelSpec, Preprocessing, Preset, embedded
from merzoo.weights import digest

RECIPE = {"epochs": 1, "batch_size": 8}
SMALL = Preset({"view": "difference", "size": 48}, strategy=RECIPE, preprocessing=Preprocessing(size=64))
SPEC = ModelSpec("tiny-difference", "a small network for this test", backbone="timm/test_resnet", presets={"small": SMALL})


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(registry()), "model", lambda self, name: SPEC)


def test_weights_are_scored_on_other_people_or_not_at_all(tiny: ClipData, tmp_path: Path) -> None:
    package = tmp_path / "merzoo_paper"
    with pytest.raises(LeakageError, match="scores on synthetic:tiny"):
        embed.make("tiny-difference", package, tmp_path / "run", data="synthetic:tiny", score_on="synthetic:tiny")
    assert not (package / "weights").exists()
    recognizer = load("tiny-difference", weights=tmp_path / "run" / "weights.safetensors")
    found = embed.score(recognizer, "synthetic:tiny", frozenset())
    assert found["clips"] == 16 and found["subjects"] == 4 and 0 <= found["uf1"] <= 1
    assert recognizer.weights is not None
    facts = {"model": "tiny-difference", "preset": "small", "labels": list(recognizer.labels), "trained_on": recognizer.weights.trained_on, "metrics": found}
    embed.embed(tmp_path / "run", package, facts)
    (card,) = embedded(package, "tiny-difference")
    assert card.sha256 == digest(package / "weights" / "tiny-difference-small.safetensors") and card.tag == "synthetic"
    assert card.source == "package:merzoo_paper/weights/tiny-difference-small.safetensors"
    assert card.trained_on["subjects"] == sorted(set(tiny.table["subject"])) and card.trained_on["manifest_hash"] == tiny.dataset.manifest_hash
    assert '"supervised"' in (package / "weights" / "tiny-difference-small.jsonl").read_text()


def test_weights_too_large_to_ship_are_refused(tiny: ClipData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed, "MAX_BYTES", 1000)
    with pytest.raises(UsageError, match=r"at most 0\.001 MB ship"):
        embed.make("tiny-difference", tmp_path / "package", tmp_path / "run", data="synthetic:tiny", score_on="synthetic:demo")


def test_no_card_no_weights(tmp_path: Path) -> None:
    assert embedded(tmp_path, "tiny-difference") == ()
