"""The baselines: models that every paper should be seen beside. What is whose: see the README's table."""

from __future__ import annotations

from pathlib import Path

from merzoo.specs import ModelSpec, Paper, Preprocessing, Preset, Reported, View, embedded

_HERE = Path(__file__).parent
_TRAINING = {"epochs": 30, "lr": 1e-3, "augmentation": {"flip": 0.5}}
_SMALL = Preprocessing(size=128)
_FULL = Preprocessing(size=256)
_SLIM = {"size": 112, "channels": [16, 32, 64, 128]}  # a quarter of ResNet-18's channels: 0.7 M parameters

_COMPOSITE = "442 samples of SMIC, CASME II and SAMM in three classes, as the abstract says; leave one subject out, as MEGC 2019 asks"
STSTNET = Paper(
    title="Shallow Triple Stream Three-dimensional CNN (STSTNet) for Micro-expression Recognition",
    authors="Sze-Teng Liong, Y.S. Gan, John See, Huai-Qian Khor, Yen-Chang Huang",
    year=2019,
    arxiv="1902.03634",
    reported=(Reported("megc2019", "loso", "uf1", 0.7353, "abstract", _COMPOSITE), Reported("megc2019", "loso", "uar", 0.7605, "abstract", _COMPOSITE)),
)
OFF_APEXNET = Paper(
    title="OFF-ApexNet on Micro-expression Recognition System",
    authors="Sze-Teng Liong, Y.S. Gan, Wei-Chuen Yau, Yen-Chang Huang, Tan Lit Ken",
    year=2018,
    arxiv="1805.08699",
)
LBP_TOP = Paper(
    title="Dynamic Texture Recognition Using Local Binary Patterns with an Application to Facial Expressions",
    authors="Guoying Zhao, Matti Pietikäinen",
    year=2007,
)
DYNAMIC_IMAGE = Paper(
    title="Dynamic Image Networks for Action Recognition",
    authors="Hakan Bilen, Basura Fernando, Efstratios Gavves, Andrea Vedaldi, Stephen Gould",
    year=2016,
)


def _resnet18(name: str, summary: str, view: str, paper: Paper | None = None) -> ModelSpec:
    """ResNet-18 on one view that is a picture; at the small preset with a quarter of its channels."""
    return ModelSpec(
        name=name,
        summary=summary,
        backbone="timm/resnet18",
        train_views={view: (View(view),)},
        presets={
            "full": Preset(backbone={"view": view, "size": 224}, strategy=_TRAINING, preprocessing=_FULL),
            "small": Preset(backbone={"view": view, **_SLIM}, strategy={**_TRAINING, "epochs": 12}, preprocessing=_SMALL),
        },
        weights=embedded(_HERE, name),
        paper=paper,
    )


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
    _resnet18("resnet18-difference", "ResNet-18 on the difference of apex and onset", "difference"),
    _resnet18("resnet18-flow", "ResNet-18 on the optical flow from onset to apex", "flow"),
    _resnet18("dynamic-image-net", "ResNet-18 on the dynamic image: a clip pooled into one picture", "dynamic-image", DYNAMIC_IMAGE),
    ModelSpec(
        name="ststnet",
        summary="STSTNet: three shallow streams on optical strain and flow, 464 parameters before the head",
        backbone="ststnet",
        presets={
            "full": Preset(backbone={"size": 224}, strategy={**_TRAINING, "epochs": 60}, preprocessing=_FULL),
            "small": Preset(backbone={"size": 112}, strategy={**_TRAINING, "epochs": 60}, preprocessing=_SMALL),
        },
        weights=embedded(_HERE, "ststnet"),
        paper=STSTNET,
    ),
    ModelSpec(
        name="off-apexnet",
        summary="Off-ApexNet: two shallow streams on horizontal and vertical optical flow",
        backbone="off-apexnet",
        presets={
            "full": Preset(backbone={"size": 224}, strategy=_TRAINING, preprocessing=_FULL),
            "small": Preset(backbone={"size": 112, "hidden": 256}, strategy=_TRAINING, preprocessing=_SMALL),
        },
        weights=embedded(_HERE, "off-apexnet"),
        paper=OFF_APEXNET,
    ),
    ModelSpec(
        name="lbp-top-svm",
        summary="LBP-TOP histograms and a linear SVM: the field's first baseline",
        backbone="lbp-top",
        head="svm",
        strategy="fit-only",
        presets={
            "full": Preset(backbone={"size": 224}, preprocessing=_FULL),
            "small": Preset(backbone={"size": 112}, preprocessing=_SMALL),
        },
        weights=embedded(_HERE, "lbp-top-svm"),
        paper=LBP_TOP,
    ),
    ModelSpec(
        name="flow-svm",
        summary="optical flow on a grid and a linear SVM: the baseline that costs nothing",
        backbone="flow-grid",
        head="svm",
        strategy="fit-only",
        train_views={"flow": (View("flow"),)},
        presets={"full": Preset(backbone={"size": 224}, preprocessing=_FULL), "small": Preset(backbone={"size": 112}, preprocessing=_SMALL)},
        weights=embedded(_HERE, "flow-svm"),
    ),
)
