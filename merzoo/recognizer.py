"""The recogniser: backbone, head and auxiliary tasks under one roof, made from a specification."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from merzoo.entries import last_line
from merzoo.errors import NeedsError, UsageError
from merzoo.interfaces import AuxiliaryTask, Backbone, Batch, Head, Strategy
from merzoo.making import make, make_view
from merzoo.needs import check_needs
from merzoo.registry import registry
from merzoo.shapes import feature_shapes, own_views
from merzoo.specs import Config, ModelSpec, Preprocessing, Preset, Task, View, WeightsSpec

if TYPE_CHECKING:
    from merzoo.prediction import Prediction

Part = str | tuple[str, Config]  # a registered name, or one with options


class Recognizer(nn.Module):
    """A network that maps views of a clip to emotions.

    `forward(batch)` gives logits [B, len(labels)]; `predict(video | folder | array)` gives a `Prediction`.
    `weights` says what it was loaded with (None: random).
    """

    auxiliary: Mapping[str, AuxiliaryTask]  # an nn.ModuleDict

    def __init__(
        self,
        spec: ModelSpec,
        preset: str,
        labels: Sequence[str],
        backbone: Backbone,
        head: Head,
        auxiliary: Mapping[str, AuxiliaryTask],
        strategy: Strategy,
        task: Task = "classes",
    ) -> None:
        super().__init__()
        self.spec, self.preset, self.labels, self.strategy, self.task = spec, preset, tuple(labels), strategy, task
        self.backbone, self.head = backbone, head
        self.auxiliary = nn.ModuleDict(auxiliary)  # type: ignore[assignment]
        self.weights: WeightsSpec | None = None

    @property
    def preprocessing(self) -> Preprocessing:
        """How faces become this network's crops."""
        return self.spec.preset(self.preset).preprocessing

    @property
    def train_views(self) -> Mapping[str, tuple[View, ...]]:
        """{input: views} for training: the specification's, else the backbone's own."""
        return self.spec.train_views or {name: (view,) for name, view in self.backbone.views.items()}

    @property
    def test_views(self) -> Mapping[str, tuple[View, ...]]:
        """{input: views} for tests: the specification's, else those of training."""
        return self.spec.test_views or self.train_views

    def forward(self, batch: Batch) -> Tensor:
        """Logits [B, classes] of a batch that holds the backbone's inputs."""
        return self.head(self.backbone(batch))

    def probabilities(self, looks: Sequence[Batch]) -> Tensor:
        """Probabilities [B, classes] in float32: softmax of each look's logits, or their sigmoid where a clip may carry several labels, averaged over looks
        (`ModelSpec.reduce`; our choice)."""
        logits = [self(batch).float() for batch in looks]
        return torch.stack([each.sigmoid() if self.task == "multi-label" else each.softmax(1) for each in logits]).mean(0)

    def auxiliary_predictions(self, looks: Sequence[Batch]) -> dict[str, dict[str, Tensor]]:
        """{task: {output: [B, ...]}} in float32 of the auxiliary tasks that predict, averaged over looks (our choice); {} where none does."""
        tasks = {name: task for name, task in self.auxiliary.items() if task.predicts}
        if not tasks:
            return {}
        features = [self.backbone(batch) for batch in looks]
        found = {name: [task.predict(one) for one in features] for name, task in tasks.items()}
        return {name: {key: torch.stack([look[key].float() for look in each]).mean(0) for key in each[0]} for name, each in found.items()}

    def saved(self) -> dict[str, Tensor]:
        """The state that weights hold: backbone, head, and those auxiliary tasks whose predictions are part of a result."""
        dropped = tuple(f"auxiliary.{name}." for name, task in self.auxiliary.items() if not task.predicts)
        return {k: v for k, v in self.state_dict().items() if not k.startswith(dropped)}

    def predict(self, source: Any, **options: Any) -> Prediction:
        """Emotions in a video file, a folder of frames, or an array uint8 [T, H, W, 3]; see `merzoo.predict`."""
        from merzoo.prediction import predict

        return predict(source, model=self, **options)


def build(
    backbone: Part,
    head: Part = "linear",
    auxiliary: Iterable[Part] = (),
    strategy: Part = "supervised",
    labels: Sequence[str] = (),
    preprocessing: Preprocessing | None = None,
) -> Recognizer:
    """A recogniser of any registered parts whose needs are met, with random weights. A part is a name, or (name, options).

    preprocessing: how faces are cropped; None takes crops large enough for the backbone.
    Raises `NeedsError` naming the part and what it misses, `UnknownNameError` for a name nobody registered, `UsageError` without labels.
    """
    (b, b_options), (h, h_options), (s, s_options) = (_named(part) for part in (backbone, head, strategy))
    tasks = dict(_named(task) for task in auxiliary)
    preset = Preset(b_options, h_options, tasks, s_options, preprocessing or Preprocessing())
    summary = f"{b} + {h}, trained by {s}"
    spec = ModelSpec(f"{b}+{h}+{s}" + "".join(f"+{task}" for task in tasks), summary, b, h, tuple(tasks), s, presets={"full": preset})
    recognizer = assemble(spec, "full", labels)
    if preprocessing is None:
        size = crop_for(recognizer.backbone.inputs)
        recognizer.spec = dataclasses.replace(spec, presets={"full": dataclasses.replace(preset, preprocessing=Preprocessing(size=size))})
    return recognizer


def crop_for(inputs: Mapping[str, tuple[int, ...]]) -> int:
    """The side in px of a stored crop for these inputs: the usual one, or a seventh larger than the largest input, which leaves room for shifts (our
    choice)."""
    usual, side = Preprocessing().size, max(shape[-1] for shape in inputs.values())
    return usual if side <= usual else side + -(-side // 7)


def _named(part: Part) -> tuple[str, Config]:
    if isinstance(part, str):
        return part, {}
    if isinstance(part, tuple) and len(part) == 2 and isinstance(part[0], str) and isinstance(part[1], Mapping):
        return part
    raise UsageError(f"a part is a name or (name, {{option: value}}), not {part!r}")


def assemble(
    spec: ModelSpec,
    preset: str,
    labels: Sequence[str],
    task: Task = "classes",
    *,
    data_provides: Iterable[str] | None = None,
    for_training: bool = True,
    sizes: Mapping[str, Tensor] | None = None,
) -> Recognizer:
    """The recogniser of a specification, with random weights from torch's global seed.

    task: "multi-label" where a clip may carry any number of the labels; training then needs a strategy that provides "multi-label".
    data_provides: what the data at hand offers ("macro-clips"); None where no data is known yet, and then only the parts are checked.
    for_training False leaves out auxiliary tasks that only shape training. sizes: the state that a stranger's weights hold; each part is compared with it
    before it takes any memory. Raises `UsageError` for labels, options or views that cannot be, `NeedsError` and `UnknownNameError` before any part is
    imported, `WeightsError` for other sizes.
    """
    if isinstance(labels, str) or len(set(labels)) < 2 or len(set(labels)) != len(labels):
        raise UsageError(f"labels {labels if isinstance(labels, str) else list(labels)} must be at least two different names")
    if spec.reduce != "mean":
        raise UsageError(f"{spec.name}: reduce '{spec.reduce}' is not known; several test views of a clip are reduced by their 'mean'")
    options = spec.preset(preset)
    entries = registry().parts(spec)
    if task == "multi-label" and for_training and "multi-label" not in entries[-1].provides:
        raise NeedsError(f"data with several labels a clip, trained by the strategy '{spec.strategy}',", ["multi-label"])
    check_needs(entries, None if data_provides is None else frozenset(data_provides))
    build_backbone, build_head, *build_tasks, build_strategy = (entry.load() for entry in entries)
    backbone: Backbone = _part("backbone", sizes, build_backbone, f"backbone '{spec.backbone}'", options.backbone)
    shapes = feature_shapes(backbone, options.backbone)
    head: Head = _part("head", sizes, build_head, f"head '{spec.head}'", options.head, shapes, len(labels))
    tasks = {}
    for name, build_task in zip(spec.auxiliary, build_tasks, strict=True):
        if "." in name or hasattr(nn.ModuleDict, name):  # torch has a use of its own for these
            raise UsageError(f"auxiliary task '{name}' cannot be part of a network under this name; its plugin must register it under another")
        if for_training or build_task.predicts:
            its = options.auxiliary.get(name, {})
            tasks[name] = _part(f"auxiliary.{name}", sizes, build_task, f"auxiliary task '{name}'", its, shapes, dict(backbone.inputs))
    strategy: Strategy = make(build_strategy, f"strategy '{spec.strategy}'", options.strategy)
    recognizer = Recognizer(spec, preset, labels, backbone, head, tasks, strategy, task)
    _check_views(recognizer)
    return recognizer


def _part(prefix: str, sizes: Mapping[str, Tensor] | None, target: Any, what: str, options: Config, *args: Any) -> Any:
    """`make`, after the state of the part, told on the meta device, was compared with what `sizes` has of it."""
    if sizes is not None:
        from merzoo.weights import differences

        wanted = {f"{prefix}.{key}": value for key, value in weightless(target, what, options, *args).state_dict().items()}
        differences(wanted, {key: value for key, value in sizes.items() if key.startswith(f"{prefix}.")}, f"the {what}")
    return make(target, what, options, *args)


def weightless(target: Any, what: str, options: Config, *args: Any) -> Any:
    """`make` on the meta device: names and shapes without numbers. Raises `UsageError` for a part that cannot be made there, too."""
    try:
        with torch.device("meta"):
            return make(target, what, options, *args)
    except (RuntimeError, NotImplementedError) as error:
        raise UsageError(f"{what} cannot be built without memory ({last_line(error)}); its plugin fails `merzoo check-plugin`") from error


def _check_views(recognizer: Recognizer) -> None:
    """Raise unless every view is one that can be built, of an input that the backbone has, and tests show all of its inputs."""
    name, inputs = recognizer.spec.name, recognizer.backbone.inputs
    if not recognizer.spec.train_views:
        own_views(recognizer.backbone)
    for views in (recognizer.train_views, recognizer.test_views):
        for wanted, choices in views.items():
            if wanted not in inputs or not choices:
                raise UsageError(f"{name}: views of the input '{wanted}' are given, but its backbone's inputs are {', '.join(inputs)}; each needs one or more")
            for view in choices:
                make_view(view)
    if unseen := [wanted for wanted in inputs if wanted not in recognizer.test_views]:
        raise UsageError(f"{name}: no view of the input '{unseen[0]}' is given for tests; its backbone's inputs are {', '.join(inputs)}")


def fill(recognizer: Recognizer, tensors: Mapping[str, Tensor], tag: str) -> None:
    """Put weights into a recogniser, strictly: raises `WeightsError` that lists every key and shape that differs."""
    from merzoo.weights import differences

    differences(recognizer.saved(), tensors, f"{recognizer.spec.name}@{tag}")
    recognizer.load_state_dict(dict(tensors), strict=False)  # what `saved` leaves out (pretext tasks) may stay as it is
