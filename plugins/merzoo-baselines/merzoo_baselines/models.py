"""The baselines: models that every paper should be seen beside."""

from __future__ import annotations

from merzoo.specs import ModelSpec, Preprocessing, Preset, View

_TRAINING = {"epochs": 30, "lr": 1e-3, "augmentation": {"flip": 0.5}}
_SMALL = Preprocessing(size=128)
_FULL = Preprocessing(size=256)

MODELS: tuple[ModelSpec, ...] = (
    ModelSpec(
        name="resnet18-apex",
        summary="ResNet-18 on the apex frame alone: what a single picture tells",
        backbone="timm/resnet18",
        train_views={"keyframes": (View("keyframes", {"moments": ["peak"]}),)},
        presets={
            "full": Preset(backbone={"size": 224}, strategy=_TRAINING, preprocessing=_FULL),
            "small": Preset(backbone={"size": 112}, strategy={**_TRAINING, "epochs": 10}, preprocessing=_SMALL),
        },
    ),
    ModelSpec(
        name="resnet18-difference",
        summary="ResNet-18 on the difference of apex and onset",
        backbone="timm/resnet18",
        train_views={"difference": (View("difference"),)},
        presets={
            "full": Preset(backbone={"view": "difference", "size": 224}, strategy=_TRAINING, preprocessing=_FULL),
            "small": Preset(backbone={"view": "difference", "size": 112}, strategy=_TRAINING, preprocessing=_SMALL),
        },
    ),
    ModelSpec(
        name="flow-svm",
        summary="optical flow on a grid and a linear SVM: the baseline that costs nothing",
        backbone="flow-grid",
        head="svm",
        strategy="fit-only",
        train_views={"flow": (View("flow"),)},
        presets={"full": Preset(backbone={"size": 224}, preprocessing=_FULL), "small": Preset(backbone={"size": 112}, preprocessing=_SMALL)},
    ),
)
