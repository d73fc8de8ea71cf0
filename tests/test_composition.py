"""Papers crossed with one another: every backbone under every strategy. Which pairs are possible follows from the needs; those train, others are refused."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from merzoo.compatibility import Column, columns, missing, parts
from merzoo.compose import lender
from merzoo.data.clips import ClipData, Clips
from merzoo.data.synthetic import SyntheticFaces
from merzoo.entries import Entry
from merzoo.errors import NeedsError
from merzoo.evaluation.predicting import predict_clips
from merzoo.recognizer import Recognizer, assemble, build
from merzoo.registry import registry
from merzoo.specs import Preprocessing
from merzoo.training.data import TrainingData
from merzoo.training.engine import run_stages
from merzoo.training.machine import Machine
from merzoo.training.stages import GradientStage

STEPS = 2
AMNET = {"widths": [8, 8, 12, 16], "layers": [1, 1, 1, 1], "stem": 8, "reduction": 4}
SPATIAL, TEMPORAL = {"size": 48, **AMNET}, {"size": 40, "frames": 4, **AMNET}
FINE_TUNING = {"epochs": 1, "batch_size": 8}
PRETEXT = {"steps": STEPS, "batch_size": 4}
OPTIONS: dict[str, dict[str, Any]] = {  # that make a part small; others as they are
    "timm/test_resnet": {"view": "difference", "size": 48},
    "miacnet": {"size": 48, "stem": [[8, 2]], "blocks": [[12, 2], [16, 1]], "depth": 1, "heads": 2, "mlp_ratio": 2.0, "normalise": "symmetric"},
    "lightmannet": {"size": 48, "width": 8, "groups": 2, "layers": [1, 1, 1, 1]},
    "amnet2d": SPATIAL,
    "amnet3d": TEMPORAL,
    "famnet": {"spatial": SPATIAL, "temporal": TEMPORAL},
    "off-apexnet": {"size": 48, "hidden": 32},
    "ststnet": {"size": 48},
    "flow-grid": {"size": 48},
    "lbp-top": {"size": 48},
    "future-frame": {"channels": 4, "down": 4, "codec_width": 16, "codec_depth": 1, "width": 32, "depth": 1, "heads": 2, "mlp_ratio": 2.0},
    "supervised": FINE_TUNING,
    "ma2mi": {"autoencoder": PRETEXT, "pretext": PRETEXT, "fine_tuning": FINE_TUNING},
    "meta-auxiliary": {"tasks": 2, "support": 1, "query": 1, "macro_clips": 1, "steps": STEPS},
    "multi-task": {"recipe": FINE_TUNING},
}
BESIDES = {"multi-task": "au-detection"}  # an auxiliary task that is no need of the strategy, and what it is for
ZOO = registry()
BACKBONES = [*(entry for entry in ZOO.entries("backbone") if not entry.family), ZOO.get("backbone", "timm/test_resnet")]
COLUMNS = columns(ZOO)


def chosen(backbone: Entry, column: Column) -> list[Entry]:
    found = parts(ZOO, backbone, column)
    more = BESIDES.get(column.strategy.name)
    return [*found[:-1], *([ZOO.get("auxiliary-task", more)] if more in {task.name for task in ZOO.entries("auxiliary-task")} else []), found[-1]]


def built(entries: list[Entry], data: ClipData) -> Recognizer:
    torch.manual_seed(0)
    backbone, head, *tasks, strategy = ((entry.name, OPTIONS.get(entry.name, {})) for entry in entries)
    return build(backbone, head, tasks, strategy, labels=data.labels, preprocessing=Preprocessing(size=64))


@pytest.mark.parametrize("column", COLUMNS, ids=[column.strategy.name for column in COLUMNS])
@pytest.mark.parametrize("backbone", BACKBONES, ids=[backbone.name for backbone in BACKBONES])
def test_a_pair_trains_or_is_refused_by_the_missing_need(tiny: ClipData, backbone: Entry, column: Column) -> None:
    entries = chosen(backbone, column)
    words = missing(entries)
    if words:
        with pytest.raises(NeedsError) as caught:
            built(entries, tiny)
        assert set(caught.value.missing) <= set(words) and all(word in str(caught.value) for word in caught.value.missing)
        return
    recognizer = built(entries, tiny)
    before = {name: value.clone() for name, value in recognizer.state_dict().items()}
    stages = recognizer.strategy.stages(recognizer, TrainingData.without(tiny, (), recognizer.train_views))
    stages = [dataclasses.replace(s, steps=STEPS, epochs=None) if isinstance(s, GradientStage) else s for s in stages]
    logs = run_stages(recognizer, stages, seed=1, machine=Machine("cpu", "fp32", 1))
    assert [log.steps for log in logs] == [STEPS if isinstance(s, GradientStage) else 0 for s in stages]
    moved = {name.partition(".")[0] for name, value in recognizer.state_dict().items() if not torch.equal(value, before[name])}
    trained_parts = {"head"} | ({"backbone"} if column.head is None and any(True for _ in recognizer.backbone.parameters()) else set())
    assert moved >= trained_parts
    rows = predict_clips(recognizer, Clips(tiny, "micro"), Machine("cpu", "fp32", 1))
    assert len(rows) == 16 and all(sum(row["probabilities"]) == pytest.approx(1, abs=1e-4) for row in rows)


@pytest.fixture(scope="module")
def crops(clip_cache: Path) -> Callable[[Preprocessing], ClipData]:
    """The tiny part under any preprocessing, opened once each."""
    return functools.cache(lambda preprocessing: ClipData(SyntheticFaces("tiny"), preprocessing))


@pytest.mark.parametrize("column", COLUMNS, ids=[column.strategy.name for column in COLUMNS])
@pytest.mark.parametrize("backbone", BACKBONES, ids=[backbone.name for backbone in BACKBONES])
def test_a_pair_of_the_table_exists_under_its_name_with_the_options_it_borrows(
    crops: Callable[[Preprocessing], ClipData], backbone: Entry, column: Column
) -> None:
    entries = parts(ZOO, backbone, column)
    if missing(entries):
        return  # refused, as above
    first, head, *tasks, strategy = (entry.name for entry in entries)
    name = "+".join([first, head, strategy, *tasks]) + ("" if lender(ZOO, backbone) else ",backbone.size=112,preprocessing.size=128")
    spec = ZOO.model(name)
    preset = "small" if "small" in spec.presets else "full"
    data = crops(spec.preset(preset).preprocessing)
    recognizer = assemble(spec, preset, data.labels, data_provides=data.dataset.provides)
    stages = recognizer.strategy.stages(recognizer, TrainingData.without(data, (), recognizer.train_views))
    for stage in stages:
        if isinstance(stage, GradientStage):
            assert stage.batches.draw(0, 0, torch.device("cpu"))
    assert stages


def test_at_least_five_backbones_and_four_strategies_are_crossed_with_pairs_of_both_kinds() -> None:
    names = {entry.plugin for entry in BACKBONES}
    if len(names) < 4:
        pytest.skip(f"only the plugins {', '.join(sorted(names))} are installed")
    pairs = {(backbone.name, column.strategy.name): missing(chosen(backbone, column)) for backbone in BACKBONES for column in COLUMNS}
    assert len(BACKBONES) >= 5 and len(COLUMNS) >= 4
    assert pairs["amnet2d", "ma2mi"] == ["pair-code"] and pairs["famnet", "ma2mi"] == []
    possible = {strategy: sum(not words for (_, s), words in pairs.items() if s == strategy) for _, strategy in pairs}
    assert all(count >= 2 for count in possible.values()), possible
