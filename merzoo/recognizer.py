"""The recogniser: backbone, head and auxiliary tasks under one roof; made from a specification, or loaded with weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from merzoo.errors import UsageError
from merzoo.interfaces import AuxiliaryTask, Backbone, Batch, Features, Head, Strategy
from merzoo.needs import check_needs
from merzoo.registry import registry
from merzoo.specs import Config, ModelSpec, Preprocessing, Preset, View, WeightsSpec

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
        self, spec: ModelSpec, preset: str, labels: Sequence[str], backbone: Backbone, head: Head, auxiliary: Mapping[str, AuxiliaryTask], strategy: Strategy
    ) -> None:
        super().__init__()
        self.spec, self.preset, self.labels, self.strategy = spec, preset, tuple(labels), strategy
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
        """Probabilities [B, classes] in float32: softmax of each look's logits, averaged over looks (our choice)."""
        return torch.stack([self(batch).float().softmax(1) for batch in looks]).mean(0)

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

    Raises `NeedsError` naming the part and what it misses, `UnknownNameError` for a name nobody registered, `UsageError` without labels.
    """
    (b, b_options), (h, h_options), (s, s_options) = (_named(part) for part in (backbone, head, strategy))
    tasks = dict(_named(task) for task in auxiliary)
    preset = Preset(b_options, h_options, tasks, s_options, preprocessing or Preprocessing())
    summary = f"{b} + {h}, trained by {s}"
    spec = ModelSpec(f"{b}+{h}+{s}" + "".join(f"+{task}" for task in tasks), summary, b, h, tuple(tasks), s, presets={"full": preset})
    return assemble(spec, "full", labels)


def _named(part: Part) -> tuple[str, Config]:
    return (part, {}) if isinstance(part, str) else part


def assemble(spec: ModelSpec, preset: str, labels: Sequence[str], *, data_provides: Iterable[str] | None = None, for_training: bool = True) -> Recognizer:
    """The recogniser of a specification, with random weights from torch's global seed.

    data_provides: what the data at hand offers ("macro-clips"); None where no data is known yet, and then only the parts are checked.
    for_training False leaves out auxiliary tasks that only shape training.
    """
    if len(set(labels)) < 2 or len(set(labels)) != len(labels):
        raise UsageError(f"labels {list(labels)} must be at least two different names")
    options = spec.preset(preset)
    entries = registry().parts(spec)
    check_needs(entries, data_provides)
    build_backbone, build_head, *build_tasks, build_strategy = (entry.load() for entry in entries)
    backbone: Backbone = _make(build_backbone, spec.backbone, options.backbone)
    shapes = feature_shapes(backbone)
    head: Head = _make(build_head, spec.head, options.head, shapes, len(labels))
    tasks = {}
    for name, build_task in zip(spec.auxiliary, build_tasks, strict=True):
        if for_training or build_task.predicts:
            tasks[name] = _make(build_task, name, options.auxiliary.get(name, {}), shapes, dict(backbone.inputs))
    strategy: Strategy = _make(build_strategy, spec.strategy, options.strategy)
    return Recognizer(spec, preset, labels, backbone, head, tasks, strategy)


def _make(target: Callable[..., Any], name: str, options: Config, *args: Any) -> Any:
    """Call a part with its options; an option it does not know becomes one line."""
    try:
        return target(*args, **options)
    except TypeError as error:
        if "unexpected keyword argument" in str(error):
            raise UsageError(f"{name}: {str(error).split('() ')[-1]}; `merzoo info {name}` shows its options") from error
        raise


def feature_shapes(backbone: Backbone) -> Features:
    """Shapes of a backbone's features for one sample, as meta tensors: nothing is computed."""
    state = {k: torch.empty_like(v, device="meta") for k, v in [*backbone.named_parameters(), *backbone.named_buffers()]}
    batch = {name: torch.empty((1, *shape), device="meta") for name, shape in backbone.inputs.items()}
    training = backbone.training
    backbone.eval()
    try:
        with torch.no_grad():
            return torch.func.functional_call(backbone, state, (batch,))
    finally:
        backbone.train(training)


def load(
    name: str,
    weights: str | Path | None = "default",
    *,
    preset: str | None = None,
    labels: Sequence[str] | None = None,
    device: str | torch.device = "cpu",
) -> Recognizer:
    """A model by name, ready to predict: `load("miacnet-ma2mi")`, `load("miacnet-ma2mi@tag")`.

    weights: "default" takes the model's first weights (those it comes with); a tag; a path to a .safetensors file; None for random weights of the
    full preset. labels are needed only with weights=None. Raises `UnknownNameError`, `WeightsError`, `NeedsError`.
    """
    from merzoo.weights import open_weights

    name, _, tag = name.partition("@")
    spec = registry().model(name)
    if tag:
        weights = tag
    if weights is None:
        if labels is None:
            raise UsageError(f"{name}: random weights know no labels; give labels=[…]")
        return assemble(spec, preset or _first_preset(spec), labels).eval().to(device)
    found, tensors = open_weights(spec, weights)
    recognizer = assemble(spec, found.preset, found.labels, for_training=False)
    if preset is not None and preset != found.preset:
        raise UsageError(f"{name}: weights '{found.tag}' are of preset '{found.preset}', not '{preset}'; leave the preset out, or use weights=None")
    fill(recognizer, tensors, found.tag)
    recognizer.weights = found
    return recognizer.eval().to(device)


def _first_preset(spec: ModelSpec) -> str:
    return "full" if "full" in spec.presets else next(iter(spec.presets))


def fill(recognizer: Recognizer, tensors: Mapping[str, Tensor], tag: str) -> None:
    """Put weights into a recogniser, strictly: raises `WeightsError` that lists every key and shape that differs."""
    from merzoo.weights import differences

    differences(recognizer.saved(), tensors, f"{recognizer.spec.name}@{tag}")
    recognizer.load_state_dict(dict(tensors), strict=False)  # what `saved` leaves out (pretext tasks) may stay as it is


