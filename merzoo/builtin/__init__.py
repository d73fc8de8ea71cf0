"""The plugin inside the core: heads, the timm adaptor, supervised and fitted training, synthetic faces, views and the aligner."""

from __future__ import annotations

from merzoo.hookspecs import hookimpl
from merzoo.registry import Register


@hookimpl
def merzoo_register(register: Register) -> None:
    """Register what comes with the core, through the hook that everybody uses."""
    _networks(register)
    _data(register)


def _networks(register: Register) -> None:
    register.backbone_family(
        "timm",
        "merzoo.builtin.timm_adaptor:TimmBackbone",
        provides=("pooled", "maps"),
        summary="any 2D network of timm by name, such as timm/resnet18",
    )
    register.head("linear", "merzoo.builtin.heads:LinearHead", needs=("pooled",), summary="one linear layer on the pooled features")
    register.head("mlp", "merzoo.builtin.heads:MLPHead", needs=("pooled",), summary="two linear layers on the pooled features")
    register.head("gap", "merzoo.builtin.heads:GapHead", needs=("maps",), summary="global average pooling of the feature maps, then a linear layer")
    register.strategy("supervised", "merzoo.builtin.supervised:Supervised", provides=("multi-label",), summary="cross-entropy over all parameters")
    register.strategy("fit-only", "merzoo.builtin.supervised:FitOnly", needs=("fitted",), summary="fits the head, trains nothing by gradients")


def _data(register: Register) -> None:
    register.dataset(
        "synthetic",
        "merzoo.data.synthetic:SyntheticFaces",
        provides=("macro-clips", "au-labels", "emotion-labels"),
        summary="rendered faces whose action units are known; parts: benchmark (the default), development, weights, demo, tiny",
    )
    _recorded(register)
    _composites(register)
    _own(register)
    register.view("keyframes", "merzoo.views.frames:Keyframes", summary="chosen frames: onset, apex, offset")
    register.view("difference", "merzoo.views.frames:Difference", summary="apex minus onset")
    register.view("sequence", "merzoo.views.frames:Sequence", summary="frames spread evenly over the interval")
    register.view("flow", "merzoo.views.motion:Flow", summary="optical flow from onset to apex, in pixels")
    register.view("strain", "merzoo.views.motion:Strain", summary="optical strain: how the flow stretches the skin")
    register.view("dynamic-image", "merzoo.views.motion:DynamicImage", summary="the interval as one image by approximate rank pooling")
    register.aligner("eyes", "merzoo.faces.align:Aligner", summary="square crop turned and scaled so that the eyes lie at fixed places")


def _own(register: Register) -> None:
    register.dataset(
        "csv",
        "merzoo.data.readers.manifest:Manifest",
        provides=("emotion-labels", "au-labels", "macro-clips"),
        summary="your own clips, listed in a table (clips.csv): a path, a subject and a label a row; part aus: action units",
    )
    register.dataset(
        "folder",
        "merzoo.data.readers.folder:FolderTree",
        provides=("emotion-labels",),
        summary="your own clips in folders SUBJECT/EMOTION/CLIP; part cropped: frames that are crops of faces",
    )


def _recorded(register: Register) -> None:
    where = "merzoo.data.readers"
    emotions, both = ("emotion-labels",), ("emotion-labels", "au-labels")
    register.dataset("casme2", f"{where}.casme2:CasmeII", provides=both, summary="CASME II: 26 subjects at 200 fps; parts: 5 (default), 3, megc2019, 4, 7, aus")
    register.dataset("samm", f"{where}.samm:Samm", provides=both, summary="SAMM: 29 subjects at 200 fps, grey; parts: 5 (default), 3, 8, aus")
    register.dataset("smic", f"{where}.smic:Smic", provides=emotions, summary="SMIC-HS: 16 subjects at 100 fps; part: 3")
    # Its macro-expressions are stills: no motion to pre-train on.
    register.dataset("mmew", f"{where}.mmew:Mmew", provides=both, summary="MMEW: 30 subjects at 90 fps; parts: 6 (default), 3, 4, 7, aus")
    all_three = (*both, "macro-clips")
    register.dataset("casme3", f"{where}.casme3:CasmeIII", provides=all_three, summary="CAS(ME)^3 part A: 94 subjects at 30 fps; parts: 4 (default), 3, 7, aus")
    register.dataset("4dme", f"{where}.fourdme:FourDME", provides=both, summary="4DME, micro: several emotions a clip; parts: 5 (default), 3, aus")
    dfew = "DFEW: 16,372 macro clips from films, 5 official folds; parts: 7 (default), 3"
    register.dataset("dfew", f"{where}.dfew:Dfew", provides=("macro-clips", "emotion-labels"), summary=dfew)


def _composites(register: Register) -> None:
    where = "merzoo.data.composites"
    emotions, both = ("emotion-labels",), ("emotion-labels", "au-labels")
    register.dataset("megc2019", f"{where}:Megc2019", provides=emotions, summary="SMIC-HS, CASME II and SAMM in 3 classes: 442 clips of 68 subjects")
    register.dataset("casme2-samm-mmew", f"{where}:CasmeSammMmew", provides=both, summary="CASME II, SAMM and MMEW in 3 classes: 512 clips")
    register.dataset("cross-emotions", f"{where}:CrossEmotions", provides=emotions, summary="six sets in 3 classes, to leave one out; part: members")
    register.dataset("cross-aus", f"{where}:CrossAus", provides=("au-labels",), summary="12 action units in five sets, to leave one out; part: members")
