"""From a video, a folder of frames or an array to emotions: `merzoo.predict` and what it gives."""

from __future__ import annotations

import html
import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack, overload

import numpy as np

from merzoo.errors import UsageError
from merzoo.events import Event, name_events
from merzoo.interval import Interval
from merzoo.text import plain

if TYPE_CHECKING:
    import torch

    from merzoo.faces import FaceResult, FrameSource
    from merzoo.faces.spot import Aligner
    from merzoo.recognizer import Recognizer

Face = Literal["largest", "all", "none"]
Source = str | Path | np.ndarray


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model says about one face of a source; events strongest first.

    weights: their tag, None where they are random. trained_on: {"data", "manifest_hash", "subjects" (how many), …}, None where unknown.
    fps: None where the source does not say. face: {"box": [x, y, w, h] in px, "detected_fraction": share of the frames in which the face was found (the
    detector looks at some of a long recording's; the others count as the nearest of those), None where no detector ran}.
    elapsed: s from opening the recording to the last event named, without loading the model; None where it was not measured, and never in what is saved.
    In a notebook it shows itself as its picture.
    """

    source: str
    model: str
    preset: str
    weights: str | None
    trained_on: dict[str, Any] | None
    fps: float | None
    frames: int
    face: dict[str, Any]
    events: list[Event]
    elapsed: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries, lists, text and finite numbers, as in prediction.json; `merzoo predict --json` prints "speed" beside them."""
        names = ("source", "model", "preset", "weights", "trained_on", "fps", "frames", "face")
        return {**{name: getattr(self, name) for name in names}, "events": [event.to_dict() for event in self.events]}

    def save(self, folder: str | Path) -> list[Path]:
        """Write prediction.json and prediction.png, both or neither, and return their paths. Raises `RunError` where they cannot be written."""
        from merzoo.output import save

        return save(self, Path(folder))

    @property
    def frames_per_second(self) -> float | None:
        """How many of the recording's frames were searched in a second, all steps from opening it to naming its events together."""
        return self.frames / self.elapsed if self.elapsed else None

    @property
    def training(self) -> str:
        """What the weights have learned from, in a few words."""
        if self.weights is None:
            return "nothing (random weights)"
        known = self.trained_on or {}
        subjects = f" ({known['subjects']} subjects)" if known.get("subjects") else ""
        return plain(known.get("data") or "unknown data") + subjects

    @property
    def note(self) -> str:
        """How far the result may be trusted, in one line."""
        return note_on(None if self.weights is None else self.training)

    def seconds(self, frame: int) -> float | None:
        """The time of a frame, where the source has a clock."""
        return frame / self.fps if self.fps else None

    def __str__(self) -> str:
        found = self.face["detected_fraction"]
        lines = [f"{self.source}: {self.frames} frames" + (f", {self.fps:g} fps" if self.fps else "")]
        lines[0] += "" if found is None else f", face found in {found:.0%} of them"
        lines[0] += f"; searched at {self.frames_per_second:,.0f} frames a second" if self.frames_per_second else ""
        lines.append(f"{self.model}, preset {self.preset}, weights {self.weights or 'random'}, trained on {self.training}")
        lines += [self._line(event) for event in self.events] or ["  no movement to name"]
        return "\n".join(plain(line) for line in [*lines, self.note])

    def _line(self, event: Event) -> str:
        ranked = sorted(event.probabilities.items(), key=lambda item: -item[1])
        shares = ", ".join(f"{label} {p:.0%}" for label, p in ranked)
        line = f"  onset {event.onset}, apex {event.apex}, offset {event.offset}: {shares}" + ("" if event.confident else " (no movement stands out)")
        return "; ".join((line, *event.beside))

    def _repr_png_(self) -> bytes:
        from merzoo.pictures import png

        return png(self)

    def _repr_html_(self) -> str:
        import base64

        picture = base64.b64encode(self._repr_png_()).decode("ascii")
        return f'<img style="max-width:100%" alt="{html.escape(str(self))}" src="data:image/png;base64,{picture}">'


class Options(TypedDict, total=False):
    """What `predict` takes beside source, model and face."""

    weights: str | Path
    interval: Interval | Sequence[int] | None
    device: str | torch.device
    out: str | Path | None
    max_events: int
    fps: float | None
    progress: Callable[[str], None] | None


@overload
def predict(source: Source, model: str | Recognizer | None = ..., *, face: Literal["all"], **options: Unpack[Options]) -> list[Prediction]: ...
@overload
def predict(source: Source, model: str | Recognizer | None = ..., *, face: Literal["largest", "none"] = ..., **options: Unpack[Options]) -> Prediction: ...
@overload
def predict(source: Source, model: str | Recognizer | None = ..., *, face: Face, **options: Unpack[Options]) -> Prediction | list[Prediction]: ...
def predict(
    source: Source,
    model: str | Recognizer | None = None,
    *,
    weights: str | Path = "default",
    face: Face = "largest",
    interval: Interval | Sequence[int] | None = None,
    device: str | torch.device = "auto",
    out: str | Path | None = None,
    max_events: int = 5,
    fps: float | None = None,
    progress: Callable[[str], None] | None = None,
) -> Prediction | list[Prediction]:
    """Name the micro-expressions in a video file, a folder of frames, or an array uint8 [T, H, W, 3] (RGB).

    model: a name, a recogniser, or None for `default_model`. weights: a tag or a path (see `merzoo.load`).
    face: "largest"; "all" for a list with one prediction a face, largest first; "none" where the frames are face crops already.
    interval: (onset, apex, offset) in frame numbers; without it the recording is searched for at most `max_events`.
    device: "auto" (a GPU if there is one; a recogniser stays where it is), "cpu" or "cuda". out: a folder for prediction.json and prediction.png.
    fps: of folders and arrays, which do not say. progress: called with a few words before each step, and now and then in a long one.
    Memory does not grow with the length of a recording.

    Nothing is written unless everything worked. Raises `MediaError`, `NoFaceError`, `UnknownNameError`, `WeightsError`, `UsageError`, `RunError`.
    """
    from merzoo.faces import face_clips, open_source
    from merzoo.output import save, writable

    tell = progress or (lambda step: None)
    wanted = _interval(interval)
    with writable(None if out is None else Path(out)):
        began = time.perf_counter()
        opened = open_source(source, fps)
        tell("loading the model")
        loading = time.perf_counter()
        recognizer = recognizer_of(model, weights, device)
        began += time.perf_counter() - loading
        preprocessing = recognizer.preprocessing
        tell("finding faces and movements")
        aligner = None if face == "none" else _aligner(preprocessing.aligner)
        faces = face_clips(opened, face=face, size=preprocessing.size, max_events=max_events, interval=wanted, aligner=aligner, tell=progress)
        tell("naming the movements")
        named = iter(name_events(recognizer, [event for result in faces for event in result.events]))
        elapsed = time.perf_counter() - began
        found = [_prediction(recognizer, opened, result, list(itertools.islice(named, len(result.events))), elapsed) for result in faces]
        answer = found if face == "all" else found[0]
        if out is not None:
            tell("drawing the picture")
            save(answer, Path(out))
    return answer


def note_on(training: object | None) -> str:
    """How far results may be trusted, in one line, of weights trained on that; None: random weights."""
    if training is None:
        return "Random weights: these probabilities mean nothing."
    if "synthetic" in str(training).lower():
        return "Trained on synthetic faces: a demonstration, not a diagnosis."
    return "A model's guess from the movement of a face, not a diagnosis."


DEFAULT_MODEL = "miacnet-ma2mi"  # a fixed one: what `merzoo predict` says must not change because another plugin was installed


def default_model() -> str:
    """`DEFAULT_MODEL`, or where that is not installed the first by name that comes with weights of its own, so that no network is needed.

    Raises `UsageError` where there is none.
    """
    from merzoo.registry import registry

    having = [entry.name for entry in registry().entries("model") if entry.spec and entry.spec.weights and not entry.spec.weights[0].source.startswith("hf://")]
    if having:
        return DEFAULT_MODEL if DEFAULT_MODEL in having else having[0]
    raise UsageError("no installed model comes with weights; install a plugin that has some, or give a model and --weights PATH")


def _interval(given: Interval | Sequence[int] | None) -> Interval | None:
    if given is None or isinstance(given, Interval):
        return given
    if len(given) != 3 or not all(isinstance(n, int | np.integer) for n in given):
        raise UsageError(f"interval {plain(given, 60)} is not three frame numbers; give onset, apex, offset")
    return Interval(*map(int, given))


def recognizer_of(model: str | Recognizer | None, weights: str | Path = "default", device: str | torch.device = "auto") -> Recognizer:
    """The recogniser that `predict` means by these, where it shall run; crops that are too small for it are refused here, not after the search."""
    import torch

    from merzoo.loading import load
    from merzoo.recognizer import Recognizer
    from merzoo.views.base import centre

    if not isinstance(model, Recognizer):
        found = load(model or default_model(), weights, device=_device(device))
    elif weights != "default":
        raise UsageError("a recogniser has its weights already; give a model's name to load others")
    else:
        found = model if device == "auto" else model.to(_device(device))
    centre(0, found.preprocessing.size, max(shape[-1] for shape in found.backbone.inputs.values()), torch.device("cpu"))
    return found


def _device(wanted: str | torch.device) -> torch.device:
    import torch

    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError:
        raise UsageError(f"unknown device '{plain(wanted, 40)}'; give auto, cpu or cuda") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError("no CUDA device is usable here; give --device cpu")
    return device


def _aligner(name: str) -> Aligner:
    from merzoo.registry import registry

    return registry().get("aligner", name).load()()


def _prediction(recognizer: Recognizer, source: FrameSource, face: FaceResult, events: list[Event], elapsed: float) -> Prediction:
    weights = recognizer.weights
    trained_on = None if weights is None else _short(weights.trained_on)
    tag = None if weights is None else weights.tag
    about = {"box": [int(v) for v in face.box], "detected_fraction": face.detected_fraction}
    return Prediction(source.name, recognizer.spec.name, recognizer.preset, tag, trained_on, source.fps, face.frame_count, about, events, elapsed)


def _short(trained_on: Mapping[str, Any]) -> dict[str, Any] | None:
    """Training data in a few words and numbers: subjects are counted, not named."""
    short: dict[str, Any] = {}
    for key, value in trained_on.items():
        if isinstance(value, list | tuple | set | frozenset):
            short[str(key)] = len(value)
        elif isinstance(value, str | int | None) or (isinstance(value, float) and math.isfinite(value)):
            short[str(key)] = value
    return short or None
