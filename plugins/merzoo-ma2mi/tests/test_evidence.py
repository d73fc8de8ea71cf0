"""Measures, pictures and the scripts, on the tiny faces."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from merzoo_ma2mi import evidence, measures
from merzoo_ma2mi.pairs import Delta
from merzoo_ma2mi.reconstruction import columns, picture

from merzoo.data.clips import Clips
from merzoo.registry import registry
from merzoo.specs import Preprocessing


@pytest.fixture
def tiny_spec(monkeypatch, parts):
    """The real model with a preset that trains in a second."""
    spec = registry().model("miacnet-ma2mi")
    tasks = {"future-frame": parts["future-frame"]}
    preset = replace(spec.preset("small"), backbone=parts["backbone"], auxiliary=tasks, strategy=parts["strategy"], preprocessing=Preprocessing(size=64))
    small = replace(spec, presets={"small": preset})
    monkeypatch.setattr(type(registry()), "model", lambda self, name: small)
    return small


def test_swapped_codes_are_of_other_clips():
    positions = [0, 0, 1, 2, 2, 1, 3, 0]
    other = measures.of_another_clip(positions)
    assert sorted(other) == [*range(8)]
    assert all(positions[i] != positions[j] for i, j in enumerate(other))


def test_ratio_interval_holds_the_ratio():
    rng = np.random.default_rng(0)
    bottom = rng.uniform(1, 2, 60)
    value, low, high = measures.ratio_interval(0.5 * bottom + rng.normal(0, 0.1, 60), bottom, np.repeat(np.arange(12), 5))
    assert low < value < high and value == pytest.approx(0.5, abs=0.05)


def test_probe_finds_what_is_linear_and_nothing_else():
    rng = np.random.default_rng(0)
    features, subject = rng.normal(size=(120, 10)), np.repeat(np.arange(12), 10)
    target = features[:, :3] @ rng.normal(size=(3, 2))
    for wanted, y in ((1.0, target), (0.0, rng.normal(size=(120, 2)))):
        residual, spread = measures.probe(features, y, subject)
        assert 1 - residual.sum() / spread.sum() == pytest.approx(wanted, abs=0.15)


def test_picture_shows_a_row_a_pair(tiny, make, tmp_path):
    recognizer = make()
    shown = columns(recognizer, Clips(tiny, "macro"), rows=3, gain=5)
    assert len(shown) == 6 and all(column.shape == (3, 3, 48, 48) for column in shown)
    assert torch.allclose(shown[4], (0.5 + 5 * (shown[1] - shown[0])).clamp(0, 1), atol=1e-5)
    assert torch.allclose(shown[5], torch.tensor(0.5), atol=1e-4)  # untrained, it rebuilds the first frame
    image = cv2.imread(str(picture(recognizer, Clips(tiny, "macro"), tmp_path / "new" / "picture.png", rows=3)))
    assert image.shape == (3 * 160 + 22, 6 * 160, 3)


def test_errors_of_an_untrained_pretext_are_those_of_a_copy(tiny, make):
    recognizer = make()
    batches = measures.batches_for(recognizer, Clips(tiny, "macro"), Delta())
    found = measures.errors(recognizer, batches, measures.drawn_pairs(batches, 10, 0))
    assert np.allclose(found.rebuilt, found.copy) and np.allclose(found.swapped, found.copy) and len(found.copy) == 10


def test_evidence_runs_and_writes(tiny_spec, tiny, tmp_path, capsys):
    assert evidence.main(["--data", "synthetic:tiny", "--out", str(tmp_path), "--quick"]) == 0
    found = json.loads((tmp_path / "evidence.json").read_text())
    assert found["held_out"] == ["synthetic:s5102"] and found["quick"]
    assert 0 < found["noise_floor"] < 1 and found["error_over_control"]["low"] <= found["error_over_control"]["value"]
    assert "| measure | value |" in (tmp_path / "evidence.md").read_text() and (tmp_path / "reconstruction.png").is_file()
    assert "error of the control" in capsys.readouterr().out


def test_evidence_says_in_one_line_what_is_wrong(tmp_path, capsys):
    assert evidence.main(["--data", "synthetic:nowhere", "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: ")
