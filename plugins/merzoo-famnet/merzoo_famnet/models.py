"""The models of this plugin: FAMNet and each of its branches alone. Which number is whose: see the README's fidelity table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from merzoo.specs import ModelSpec, Paper, Preprocessing, Preset, Reported, embedded

TITLE = "FAMNet: Integrating 2D and 3D Features for Micro-expression Recognition via Multi-task Learning and Hierarchical Attention"
AUTHORS, YEAR, ARXIV = "Liangyu Fu, Xuecheng Wu, Danlei Huang, Xinyi Yin", 2025, "2508.13483"
COMPOSITE = "one pair of numbers for SAMM, CASME II and MMEW together; that they are joined, in 3 classes, by LOSO over all people, is our choice"
CASME3 = "the class set (4 of part A) and LOSO are our choice"
REPORTED = (
    Reported("casme2-samm-mmew", "loso", "uar", 0.8375, table="abstract", note=COMPOSITE),
    Reported("casme2-samm-mmew", "loso", "uf1", 0.8403, table="abstract", note=COMPOSITE),
    Reported("casme3:4", "loso", "uar", 0.51, table="abstract", note=CASME3),
    Reported("casme3:4", "loso", "uf1", 0.4342, table="abstract", note=CASME3),
)

FULL_CROP, SMALL_CROP = Preprocessing(size=256), Preprocessing(size=128)
BATCH_3D = 16

# Ours alone: what a laptop trains in a quarter of a minute.
SMALL_2D = {"size": 112, "widths": [16, 24, 32, 64], "layers": [1, 1, 1, 1], "stem": 16, "reduction": 8, "pool": False}
SMALL_3D = {
    "size": 56,
    "frames": 8,
    "widths": [16, 32, 64, 96],
    "layers": [1, 1, 1, 1],
    "stem": 16,
    "reduction": 8,
    "pool": False,
    "reference": "first",
    "gain": 8.0,
}
SMALL_RECIPE = {"epochs": 18, "batch_size": 16, "lr": 6e-3, "weight_decay": 0.05, "label_smoothing": 0.1}
SMALL_2D_RECIPE = {**SMALL_RECIPE, "epochs": 5, "lr": 2e-3}  # one picture tells next to nothing on synthetic faces, so no more is spent on it


def _model(
    name: str, summary: str, full: Mapping[str, Any], small: Mapping[str, Any], small_network: Mapping[str, Any], reported: tuple[Reported, ...] = ()
) -> ModelSpec:
    return ModelSpec(
        name=name,
        summary=summary,
        backbone=name,
        head="late-fusion",
        auxiliary=("au-detection",),
        strategy="multi-task",
        presets={
            "full": Preset(strategy=full, preprocessing=FULL_CROP),
            "small": Preset(backbone=small_network, strategy=small, preprocessing=SMALL_CROP),
        },
        weights=embedded(Path(__file__).parent, name),
        paper=Paper(TITLE, AUTHORS, YEAR, ARXIV, reported),
    )


def amnet2d() -> ModelSpec:
    """The spatial branch alone."""
    summary = "AMNet2D: ResNet-18 with attention on the apex frame, trained on emotions and action units"
    return _model("amnet2d", summary, {}, {"recipe": SMALL_2D_RECIPE}, SMALL_2D)


def amnet3d() -> ModelSpec:
    """The temporal branch alone."""
    summary = "AMNet3D: 3D ResNet-18 with attention on the clip, trained on emotions and action units"
    return _model("amnet3d", summary, {"recipe": {"batch_size": BATCH_3D}}, {"recipe": SMALL_RECIPE}, SMALL_3D)


def famnet() -> ModelSpec:
    """Both, trained apart and fused."""
    summary = "FAMNet: AMNet2D on the apex and AMNet3D on the clip, fused late, trained on emotions and action units"
    full = {"branches": {"temporal": {"batch_size": BATCH_3D}}}
    small = {"recipe": SMALL_RECIPE, "branches": {"spatial": SMALL_2D_RECIPE}}
    return _model("famnet", summary, full, small, {"spatial": SMALL_2D, "temporal": SMALL_3D}, REPORTED)
