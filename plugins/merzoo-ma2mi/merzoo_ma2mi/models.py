"""The models of this plugin: MIACNet pre-trained by MA2MI, and the same network from scratch. Which number is whose: see the README's fidelity table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from merzoo.specs import ModelSpec, Paper, Preprocessing, Preset, Reported, embedded

PACKAGE = Path(__file__).parent

PAPER = Paper(
    title="From Macro to Micro: Boosting micro-expression recognition via pre-training on macro-expression videos",
    authors="Hanting Li, Hongjing Niu, Feng Zhao",
    year=2024,
    arxiv="2405.16451",
    # The abstract names the three data sets; the tables were not available to us, so no value is stated and the class sets are our choice.
    reported=tuple(Reported(data, "loso", "uf1", None, note="class set: our choice", macro="dfew") for data in ("casme2:5", "samm:5", "mmew:4")),
)

# 224 px crops out of 256: MMNet pads before it crops, the zoo stores a margin.
FULL_CROP, FULL_SIZE = Preprocessing(size=256), 224
SMALL_CROP, SMALL_SIZE = Preprocessing(size=128), 112

FULL_NETWORK = {"size": FULL_SIZE}
SMALL_NETWORK = {
    "size": SMALL_SIZE,
    "stem": [[24, 2]],
    "blocks": [[32, 2], [64, 2], [96, 1]],
    "depth": 1,
    "heads": 2,
    "mlp_ratio": 2.0,
    "position_grid": 7,
    "normalise": "symmetric",
    "action_scale": 4.0,
    "action_gain": 10.0,
}
# As large as the face that is seen, also where the network of another paper looks at it shrunk.
FULL_FUTURE = {"size": FULL_SIZE}
SMALL_FUTURE = {
    "size": SMALL_SIZE,
    "channels": 8,
    "down": 4,
    "codec_width": 48,
    "codec_depth": 1,
    "width": 128,
    "depth": 2,
    "heads": 2,
    "mlp_ratio": 2.0,
    "patch": 4,
}
SMALL_HEAD = {"init_std": 0.005}

# MMNet's: one geometry for both frames; the onset may be read up to 0.15/4 of the rise late, the apex as much early.
MMNET_AUGMENTATION = {"flip": 0.5, "turn": 3.0}
MMNET_JITTER = {"start": (0.0, 0.15 / 4), "peak": (-0.15 / 4, 0.0), "variants": 4}
MMNET_RECIPE = {
    "epochs": 74,
    "batch_size": 32,
    "lr": 8e-4,
    "weight_decay": 0.6,
    "augmentation": MMNET_AUGMENTATION,
    "jitter": MMNET_JITTER,
    "schedule": {"kind": "exponential", "warmup": 0.0, "decay": 0.987, "decay_epochs": 50},
}
FULL_FINE_TUNING = {"augmentation": MMNET_AUGMENTATION, "jitter": MMNET_JITTER}
# The head sees 18,816 numbers at once, so that Adam at the backbone's rate would throw its logits about; and it weighs every cell by itself, which
# wider shifts than 3 px undo in a short training.
SMALL_AUGMENTATION = {"shift": 3}
SMALL_RECIPE = {
    "epochs": 36,
    "batch_size": 16,
    "lr": 1e-4,
    "backbone_lr": 1.5e-3,
    "weight_decay": 0.05,
    "label_smoothing": 0.1,
    "augmentation": SMALL_AUGMENTATION,
}
SMALL_MA2MI = {
    "autoencoder": {"steps": 400, "batch_size": 16, "lr": 2e-3},
    "pretext": {"steps": 600, "batch_size": 32, "lr": 1.5e-3, "augmentation": SMALL_AUGMENTATION},
    "fine_tuning": {**SMALL_RECIPE, "backbone_lr": 1e-3},
}


def miacnet_ma2mi() -> ModelSpec:
    """MIACNet, pre-trained on macro-expression videos."""
    return ModelSpec(
        name="miacnet-ma2mi",
        summary="MIACNet pre-trained on macro-expression videos by rebuilding near-future frames (MA2MI)",
        backbone="miacnet",
        head="flatten",
        auxiliary=("future-frame",),
        strategy="ma2mi",
        presets={
            "full": Preset(FULL_NETWORK, {}, {"future-frame": FULL_FUTURE}, {"fine_tuning": FULL_FINE_TUNING}, FULL_CROP),
            "small": Preset(SMALL_NETWORK, SMALL_HEAD, {"future-frame": SMALL_FUTURE}, SMALL_MA2MI, SMALL_CROP),
        },
        weights=embedded(PACKAGE, "miacnet-ma2mi"),
        paper=PAPER,
    )


def miacnet() -> ModelSpec:
    """The same network from scratch, by MMNet's recipe."""
    return ModelSpec(
        name="miacnet",
        summary="MIACNet from scratch: action and position branches on onset and apex",
        backbone="miacnet",
        head="flatten",
        strategy="supervised",
        presets={
            "full": Preset(backbone=FULL_NETWORK, strategy=MMNET_RECIPE, preprocessing=FULL_CROP),
            "small": Preset(backbone=SMALL_NETWORK, head=SMALL_HEAD, strategy=SMALL_RECIPE, preprocessing=SMALL_CROP),
        },
        weights=embedded(PACKAGE, "miacnet"),
        paper=replace(PAPER, reported=()),  # which reports the pre-trained network
    )
