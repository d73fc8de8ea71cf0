"""The model of this plugin. Every size and number is our choice: see the README's fidelity table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from merzoo.specs import ModelSpec, Paper, Preprocessing, Preset, embedded

PAPER = Paper(
    title="Meta-Auxiliary Learning for Micro-Expression Recognition",
    authors="Jingyao Wang et al.",
    year=2024,
    arxiv="2404.12024",  # its abstract names no data set, and its tables were not available to us, so nothing is reported
)

FULL_NETWORK = {"size": 224}
# The face itself tells people apart before it tells emotions, so that with few of them it is turned down and what has changed turned up.
SMALL_NETWORK: dict[str, Any] = {"size": 112, "width": 16, "groups": 4, "layers": [1, 1, 1, 1], "difference_scale": 4.0, "spatial_scale": 0.25, "pool": 2}
# Second derivatives are taken of support and macro clips alone, so that a query of more clips comes cheap.
SMALL_RECIPE: dict[str, Any] = {"steps": 150, "tasks": 1, "support": 2, "query": 6, "macro_clips": 2, "beta": 3e-3}


def lightmannet() -> ModelSpec:
    """The encoder with a linear head, trained on episodes beside macro-expressions."""
    return ModelSpec(
        name="lightmannet",
        summary="onset and apex by a group-norm ResNet-18, meta-trained across people with macro-expressions as an auxiliary task",
        backbone="lightmannet",
        head="linear",
        auxiliary=("macro-alignment",),
        strategy="meta-auxiliary",
        presets={
            "full": Preset(backbone=FULL_NETWORK, preprocessing=Preprocessing(size=256)),
            "small": Preset(backbone=SMALL_NETWORK, strategy=SMALL_RECIPE, preprocessing=Preprocessing(size=128)),
        },
        weights=embedded(Path(__file__).parent, "lightmannet"),
        paper=PAPER,
    )
