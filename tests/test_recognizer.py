"""Building and loading recognisers: any parts that fit, and one clear line for those that do not."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from merzoo.data.clips import ClipData, Clips
from merzoo.entries import Register
from merzoo.errors import MerzooError, NeedsError, UnknownNameError, UsageError, WeightsError
from merzoo.interfaces import AuxiliaryTask, Backbone, Features
from merzoo.loading import load
from merzoo.plugins import load_registry
from merzoo.recognizer import Recognizer, assemble, build, feature_shapes
from merzoo.registry import registry
from merzoo.specs import ModelSpec, Preprocessing, Preset, View
from merzoo.training.batches import test_batches
from merzoo.weights import write

LABELS = ("negative", "positive", "surprise")
NET = ("timm/test_resnet", {"size": 64})  # a small network that timm keeps for tests


class Describe(AuxiliaryTask):
    """Predicts something, so it belongs to the weights."""

    predicts = True

    def __init__(self, features: Features, inputs: dict[str, tuple[int, ...]], width: int = 2) -> None:
        super().__init__()
        self.seen = (features, inputs)
        self.layer = nn.Linear(features.only_pooled().shape[1], width)


class Pretext(Describe):
    """Only shapes training."""

    predicts = False


class TwoMoods(Backbone):
    """With a part that stays in eval mode and a buffer that forward writes."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs, self.views = {"difference": (3, 16, 16)}, {"difference": View("difference")}
        self.convolution, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, batch: dict[str, Any]) -> Features:
        self.calls += 1
        x = self.norm(self.convolution(batch["difference"]))
        return Features(pooled={"b": x.mean((2, 3)), "a": x.amax((2, 3))}, maps={"image": x})


class Fragile(Backbone):
    """Cannot take the inputs that it declares."""

    def __init__(self, size: int = 8) -> None:
        super().__init__()
        self.inputs, self.views = {"difference": (3, size, size)}, {"difference": View("difference")}

    def forward(self, batch: dict[str, Any]) -> Features:
        return Features(pooled={"x": batch["difference"].flatten(1) @ torch.zeros(7, 7)})


class Tensors(Fragile):
    """Gives something other than features."""

    def forward(self, batch: dict[str, Any]) -> Features:
        return batch["difference"]


@pytest.fixture(scope="module", autouse=True)
def registered() -> Iterator[None]:
    """These parts, registered as a plugin's are."""
    parts = {part.__name__: part for part in (Describe, Pretext, TwoMoods, Fragile, Tensors)}
    sys.modules["recognizer_parts"] = SimpleNamespace(**parts)  # type: ignore[assignment]
    register = Register("tests-of-recognizer")
    register.auxiliary_task("describe", "recognizer_parts:Describe", needs=("pooled",))
    register.auxiliary_task("describe-pretext", "recognizer_parts:Pretext", needs=("pooled",))
    register.auxiliary_task("wants-a-pair", "nowhere:Nothing", needs=("pair-code",))
    for name in ("au.v2", "values"):
        register.auxiliary_task(name, "recognizer_parts:Describe")
    register.strategy("wants-aus", "nowhere:Nothing", needs=("au-labels",))
    register.backbone("two-moods", "recognizer_parts:TwoMoods", provides=("pooled", "maps"))
    register.backbone("fragile", "recognizer_parts:Fragile", provides=("pooled",))
    register.backbone("tensors", "recognizer_parts:Tensors", provides=("pooled",))
    register.backbone("mapless", "nowhere:Nothing", provides=("pooled",))
    fresh = load_registry()
    fresh.add(register)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("merzoo.registry._registry", fresh)
        yield
    del sys.modules["recognizer_parts"]


def logits(recognizer: Recognizer, batch: int = 2) -> torch.Tensor:
    inputs = {name: torch.rand(batch, *shape) for name, shape in recognizer.backbone.inputs.items()}
    with torch.no_grad():
        return recognizer.eval()(inputs)


# Any parts


@pytest.mark.parametrize("head", ["linear", "mlp", "gap", ("mlp", {"hidden": 8, "dropout": 0.5}), ("gap", {"map": "image"})])
@pytest.mark.parametrize("backbone", [NET, ("timm/resnet18", {"size": 64})])
def test_convolutional_networks_take_every_head(backbone: Any, head: Any) -> None:
    made = build(backbone, head, labels=LABELS)
    assert logits(made).shape == (2, 3) and torch.isfinite(logits(made)).all()
    maps = feature_shapes(made.backbone).maps["image"]
    assert maps.ndim == 4 and maps.shape[1] == feature_shapes(made.backbone).pooled["image"].shape[1]


def test_a_transformer_takes_the_linear_head_and_is_refused_by_gap() -> None:
    assert logits(build("timm/vit_tiny_patch16_224", labels=LABELS), 1).shape == (1, 3)
    with pytest.raises(UsageError, match="gap head: this backbone gives no maps"):
        build("timm/vit_tiny_patch16_224", "gap", labels=LABELS)


def test_a_transformer_takes_another_size_than_its_own() -> None:
    made = build(("timm/vit_tiny_patch16_224", {"size": 64}), labels=LABELS)
    assert made.backbone.inputs == {"keyframes": (1, 3, 64, 64)} and logits(made).shape == (2, 3)


def test_channels_last_maps_become_channels_first() -> None:
    made = build(("timm/swin_tiny_patch4_window7_224", {"size": 64}), "gap", labels=LABELS)
    assert feature_shapes(made.backbone).maps["image"].shape == (1, 768, 2, 2)


VIEWS = {"keyframes": (1, 3), "difference": (3,), "flow": (2,), "strain": (1,), "dynamic-image": (3,)}


@pytest.mark.parametrize("view", VIEWS)
def test_a_timm_network_runs_on_every_view_of_real_clips(tiny: ClipData, view: str) -> None:
    made = build(("timm/test_resnet", {"view": view, "size": 48}), labels=tiny.labels).eval()
    assert made.backbone.inputs == {view: (*VIEWS[view], 48, 48)}
    clips = Clips(tiny, "micro")
    with torch.no_grad():
        rows = [made.probabilities(looks) for _, looks in test_batches(clips, made.backbone.inputs, made.test_views, 5, torch.device("cpu"))]
    probabilities = torch.cat(rows)
    assert probabilities.shape == (16, len(tiny.labels)) and torch.allclose(probabilities.sum(1), torch.ones(16), atol=1e-5)


def test_several_keyframes_are_stacked_as_channels() -> None:
    made = build(("timm/test_resnet", {"view_options": {"moments": ["start", "peak", "stop"]}, "size": 32}), labels=LABELS)
    assert made.backbone.inputs == {"keyframes": (3, 3, 32, 32)} and logits(made).shape == (2, 3)


def test_crops_are_large_enough_for_the_backbone() -> None:
    assert build(NET, labels=LABELS).preprocessing == Preprocessing()
    assert build(("timm/test_resnet", {"size": 224}), labels=LABELS).preprocessing.size == 256
    assert build(NET, labels=LABELS, preprocessing=Preprocessing(size=70)).preprocessing.size == 70


def test_the_order_of_pooled_branches_is_that_of_their_names() -> None:
    features = Features(pooled={"b": torch.ones(1, 2), "a": torch.zeros(1, 3)})
    assert features.only_pooled().tolist() == [[0, 0, 0, 1, 1]]
    with pytest.raises(UsageError, match="no pooled features"):
        Features().only_pooled()


def test_features_pass_through_vmap() -> None:
    def network(x: torch.Tensor) -> Features:
        return Features(pooled={"a": x * 2}, extras={"pair-code": x + 1})

    found = torch.vmap(network)(torch.arange(4.0))
    assert found.pooled["a"].tolist() == [0, 2, 4, 6] and found.extras["pair-code"].tolist() == [1, 2, 3, 4]


def test_the_same_seed_gives_the_same_network() -> None:
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(build(NET, labels=LABELS).saved())
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])
    assert not all(torch.equal(states[0][k], states[2][k]) for k in states[0])


def test_the_looks_of_a_clip_are_averaged_as_probabilities() -> None:
    made = build(NET, labels=LABELS).eval()
    looks = [{"keyframes": torch.rand(2, 1, 3, 64, 64)} for _ in range(3)]
    with torch.no_grad():
        wanted = sum(made(look).softmax(1) for look in looks) / 3
        assert torch.allclose(made.probabilities(looks), wanted)


# Auxiliary tasks


def test_tasks_are_handed_shapes_and_only_those_that_predict_are_saved() -> None:
    made = build(NET, auxiliary=["describe-pretext", ("describe", {"width": 5})], labels=LABELS)
    features, inputs = made.auxiliary["describe"].seen  # type: ignore[attr-defined]
    assert features.only_pooled().is_meta and inputs == {"keyframes": (1, 3, 64, 64)}
    assert made.auxiliary["describe"].layer.out_features == 5  # type: ignore[attr-defined,union-attr]
    saved, whole = made.saved().keys(), made.state_dict().keys()
    assert whole - saved == {"auxiliary.describe-pretext.layer.weight", "auxiliary.describe-pretext.layer.bias"}
    assert {"auxiliary.describe.layer.weight", "head.linear.weight"} <= saved


def test_loading_leaves_out_what_only_shapes_training(tmp_path: Path) -> None:
    preset = Preset(backbone={"size": 64})
    spec = ModelSpec("with-tasks", "for tests", NET[0], auxiliary=("describe-pretext", "describe"), presets={"small": preset})
    register = Register("tests-of-loading")
    register.model(spec)
    registry().add(register)
    made = assemble(spec, "small", LABELS)
    write(tmp_path / "w.safetensors", made.saved(), {"model": "with-tasks", "preset": "small", "labels": list(LABELS)})
    loaded = load("with-tasks", tmp_path / "w.safetensors")
    assert list(loaded.auxiliary) == ["describe"]
    assert all(torch.equal(value, made.saved()[name]) for name, value in loaded.saved().items())


# Shapes


def test_shapes_are_found_and_the_network_stays_as_it_was() -> None:
    backbone = TwoMoods()
    backbone.norm.eval()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    pointers = {name: value.data_ptr() for name, value in backbone.state_dict().items()}
    features = feature_shapes(backbone)
    assert all(x.is_meta for x in (*features.pooled.values(), *features.maps.values()))
    assert features.only_pooled().shape == (1, 8) and features.maps["image"].shape == (1, 4, 14, 14)
    assert all(torch.equal(value, before[name]) and value.data_ptr() == pointers[name] for name, value in backbone.state_dict().items())
    assert (backbone.training, backbone.convolution.training, backbone.norm.training) == (True, True, False)
    assert all(p.requires_grad for p in backbone.parameters())


# Needs


def test_needs_are_checked_before_anything_is_imported() -> None:
    """The targets lie in a module that is not there: had anything been imported, this would be another error."""
    with pytest.raises(NeedsError) as caught:
        build("mapless", "gap", labels=LABELS)
    assert (caught.value.part, caught.value.missing) == ("head 'gap'", ("maps",))
    with pytest.raises(NeedsError, match="auxiliary-task 'wants-a-pair' needs pair-code"):
        build("timm/resnet18", auxiliary=["wants-a-pair"], labels=LABELS)
    with pytest.raises(NeedsError, match="strategy 'fit-only' needs fitted"):
        build("mapless", strategy="fit-only", labels=LABELS)


def test_what_only_data_can_provide_is_asked_of_the_data_at_hand() -> None:
    spec = ModelSpec("m", "for tests", "mapless", strategy="wants-aus")
    with pytest.raises(NeedsError, match="wants-aus"):
        assemble(spec, "full", LABELS, data_provides=iter(["emotion-labels"]))
    with pytest.raises(MerzooError, match="nowhere"):  # the needs are met, and so the parts are imported
        assemble(spec, "full", LABELS, data_provides=["au-labels"])


# One clear line

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "an option of the head": ({"head": ("mlp", {"depth": 3})}, "head 'mlp' has no option depth; its options: hidden, dropout"),
    "an option of the strategy": ({"strategy": ("supervised", {"epoch": 3})}, "strategy 'supervised' has no option epoch"),
    "an option of the augmentation": ({"strategy": ("supervised", {"augmentation": {"zoom": 2}})}, "zoom"),
    "an option of the timm network": ({"backbone": ("timm/test_resnet", {"size": 64, "depth": 3})}, "cannot be built with size=64, depth=3"),
    "a task with a dot": ({"auxiliary": ["au.v2"]}, "'au.v2' cannot be part of a network under this name"),
    "a task with a name of torch's": ({"auxiliary": ["values"]}, "'values' cannot be part of a network under this name"),
    "an option of the task": ({"auxiliary": [("describe", {"height": 1})]}, "auxiliary task 'describe' has no option height; its options: width"),
    "a value of the wrong kind": ({"head": ("mlp", {"hidden": "many"})}, "head 'mlp': hidden must be a whole number, not 'many'"),
    "a negative width": ({"head": ("mlp", {"hidden": -1})}, "head 'mlp' cannot be built"),
    "options that are none": ({"head": ("mlp", [1])}, "a part is a name or"),
    "a part that is none": ({"head": 7}, "a part is a name or"),
    "a map that is not there": ({"head": ("gap", {"map": "attention"})}, "no map 'attention'; this backbone gives image"),
    "an unknown head": ({"head": "liner"}, "linear"),
    "an unknown network of timm": ({"backbone": "timm/resnet19"}, "resnet18"),
    "a view that timm networks do not take": ({"backbone": ("timm/test_resnet", {"view": "sequence"})}, "is none of keyframes"),
    "moments that are none": ({"backbone": ("timm/test_resnet", {"view_options": {"moments": ["apex"]}})}, "start, peak, stop"),
    "inputs that do not suit": ({"backbone": "fragile"}, "Fragile cannot take its inputs difference [3, 8, 8]: RuntimeError: "),
    "features that are none": ({"backbone": "tensors"}, "must return merzoo.interfaces.Features, as in `return Features(pooled={\"…\": x})`, not a Tensor"),
    "a size of nothing": ({"backbone": ("timm/test_resnet", {"size": 0})}, "cannot"),
    "no labels": ({"labels": ()}, "at least two"),
    "one label": ({"labels": ["happy"]}, "at least two"),
    "a label twice": ({"labels": ["happy", "sad", "happy"]}, "at least two different"),
    "labels in one text": ({"labels": "sad"}, "labels sad must be"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_built_is_one_clear_line(case: str) -> None:
    changed, words = WRONG[case]
    with pytest.raises(MerzooError) as caught:
        build(**{"backbone": NET, "labels": LABELS, **changed})
    assert words in str(caught.value) and "\n" not in str(caught.value)


SPEC = ModelSpec("m", "for tests", NET[0], presets={"full": Preset(backbone={"size": 64})})
WRONG_SPECS = {
    "an unknown preset": ({}, "huge", "full"),
    "an unknown way to reduce": ({"reduce": "max"}, "full", "'mean'"),
    "views of an input that is not there": ({"train_views": {"flow": (View("flow"),)}}, "full", "inputs are keyframes"),
    "an input without views": ({"test_views": {"keyframes": ()}}, "full", "one or more"),
    "an unknown view": ({"train_views": {"keyframes": (View("keyframe"),)}}, "full", "keyframes"),
    "a wrong option of a view": ({"test_views": {"keyframes": (View("keyframes", {"frames": 1}),)}}, "full", "no option frames"),
}


@pytest.mark.parametrize("case", WRONG_SPECS)
def test_a_specification_that_cannot_be_is_one_clear_line(case: str) -> None:
    changed, preset, words = WRONG_SPECS[case]
    with pytest.raises(MerzooError) as caught:
        assemble(dataclasses.replace(SPEC, **changed), preset, LABELS)  # type: ignore[arg-type]
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_tests_must_show_every_input(monkeypatch: pytest.MonkeyPatch) -> None:
    class TwoInputs(TwoMoods):
        def __init__(self) -> None:
            super().__init__()
            self.inputs = {**self.inputs, "keyframes": (2, 3, 16, 16)}

    monkeypatch.setattr(sys.modules["recognizer_parts"], "TwoMoods", TwoInputs)
    half = {"difference": (View("difference"),)}
    whole = {**half, "keyframes": (View("keyframes"),)}
    spec = dataclasses.replace(SPEC, backbone="two-moods", train_views=half, presets={"full": Preset()})
    with pytest.raises(UsageError, match="no view of the input 'keyframes' is given for tests"):
        assemble(spec, "full", LABELS)
    assemble(dataclasses.replace(spec, test_views=whole), "full", LABELS)  # training may show one branch alone


def test_a_fault_of_a_part_itself_is_not_laid_on_options() -> None:
    class Broken(Backbone):
        def __init__(self) -> None:
            raise ZeroDivisionError

    sys.modules["recognizer_parts"].TwoMoods, kept = Broken, TwoMoods  # type: ignore[attr-defined]
    try:
        with pytest.raises(ZeroDivisionError):
            build("two-moods", labels=LABELS)
    finally:
        sys.modules["recognizer_parts"].TwoMoods = kept  # type: ignore[attr-defined]


def test_imagenet_weights_that_cannot_be_had_are_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match="ImageNet weights of timm/test_resnet cannot be had") as caught:
        build(("timm/test_resnet", {"size": 64, "pretrained": True}), labels=LABELS)
    assert "\n" not in str(caught.value)


# Loading


def test_random_weights_are_of_the_full_preset_and_need_labels() -> None:
    made = load("flow-svm", None, labels=LABELS)
    assert (made.preset, made.labels, made.weights, made.training) == ("full", LABELS, None, False)
    assert load("flow-svm", None, labels=LABELS, preset="small").preset == "small"
    with pytest.raises(UsageError, match="give labels"):
        load("flow-svm", None)
    with pytest.raises(UnknownNameError, match="small"):
        load("flow-svm", None, labels=LABELS, preset="smal")


def test_what_contradicts_the_weights_is_refused(tmp_path: Path) -> None:
    made = load("flow-svm", None, labels=LABELS, preset="small")
    write(tmp_path / "w.safetensors", made.saved(), {"model": "flow-svm", "preset": "small", "labels": list(LABELS)})
    assert load("flow-svm", tmp_path / "w.safetensors", preset="small", labels=list(LABELS)).preset == "small"
    with pytest.raises(UsageError, match="of preset 'small', not 'full'"):
        load("flow-svm", tmp_path / "w.safetensors", preset="full")
    with pytest.raises(UsageError, match="leave the labels out"):
        load("flow-svm", tmp_path / "w.safetensors", labels=["a", "b", "c"])
    with pytest.raises(UsageError, match="given twice"):
        load("flow-svm@v1", tmp_path / "w.safetensors")
    with pytest.raises(UsageError, match="given twice"):
        load("flow-svm@v1", None, labels=LABELS)


def test_a_model_nobody_registered_lists_near_ones() -> None:
    with pytest.raises(UnknownNameError, match="flow-svm"):
        load("flow-svn")
