"""What a model is, as plain data: no torch here, so that listing a thousand models costs nothing."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from merzoo.errors import UnknownNameError, UsageError, WeightsError

Config = Mapping[str, Any]
Task = Literal["classes", "multi-label"]  # one label a clip, or any number of them


@dataclass(frozen=True)
class View:
    """What a network wants to see of an interval: the name of a registered view kind and its options."""

    kind: str
    options: Config = field(default_factory=dict)


@dataclass(frozen=True)
class Preprocessing:
    """How a face becomes a crop: the registered aligner and the side of the square crop in pixels."""

    aligner: str = "eyes"
    size: int = 128  # px

    def __post_init__(self) -> None:
        if not isinstance(self.aligner, str):
            raise UsageError(f"preprocessing.aligner must be the name of an aligner, not {self.aligner!r}")
        if isinstance(self.size, bool) or not isinstance(self.size, int) or self.size < 1:
            raise UsageError(f"preprocessing.size must be whole pixels, at least 1, not {self.size!r}")


@dataclass(frozen=True)
class Preset:
    """One size of a model: options for each of its parts. What a part is not given keeps its default."""

    backbone: Config = field(default_factory=dict)
    head: Config = field(default_factory=dict)
    auxiliary: Mapping[str, Config] = field(default_factory=dict)  # auxiliary task -> its options
    strategy: Config = field(default_factory=dict)
    preprocessing: Preprocessing = Preprocessing()


@dataclass(frozen=True)
class Reported:
    """A number that a paper states, and how it is measured again here.

    data, protocol, macro, preset: as `merzoo evaluate` takes them. metric: "uf1", "uar", "accuracy" or "au_f1". value: in [0, 1]; None where the paper is
    known to evaluate this way and its table is not known to us. table: where it stands. note: how the paper measured otherwise, what is our choice here.
    part: the data set of a composite that the number is of ("casme2"); "" for one of the whole.
    """

    data: str
    protocol: str
    metric: str
    value: float | None
    table: str = ""
    note: str = ""
    macro: str = ""
    preset: str = "full"
    part: str = ""


@dataclass(frozen=True)
class Paper:
    """The paper behind a model. `reported` holds numbers that the paper itself states, and nothing else."""

    title: str
    authors: str = ""
    year: int | None = None
    arxiv: str = ""
    reported: tuple[Reported, ...] = ()


@dataclass(frozen=True)
class WeightsSpec:
    """One file of weights: where it lies, what it must hash to and what it was trained on.

    source: `package:PACKAGE/PATH` (inside a wheel), `hf://org/repo@<40 hex>/file`, or a local path.
    trained_on: {"data", "manifest_hash", "subjects"}; subjects are qualified ids, so that overlap with a test can be refused.
    """

    tag: str
    preset: str
    source: str
    sha256: str
    labels: tuple[str, ...]
    trained_on: Config = field(default_factory=dict)
    protocol: str = ""
    metrics: Config = field(default_factory=dict)
    licence: str = "Apache-2.0"
    task: Task = "classes"

    def __post_init__(self) -> None:
        """Raises `WeightsError` where a field is not what it should be: cards are files, and overlap with a test is refused on their word."""
        texts = {name: getattr(self, name) for name in ("tag", "preset", "source", "sha256", "protocol", "licence")}
        wrong = [name for name, value in texts.items() if not isinstance(value, str)]
        wrong += [name for name, value in (("trained_on", self.trained_on), ("metrics", self.metrics)) if not isinstance(value, Mapping)]
        if self.task not in get_args(Task):
            wrong.append("task")
        if not _texts(self.labels):
            wrong.append("labels")
        elif isinstance(self.trained_on, Mapping) and not _texts(self.trained_on.get("subjects", ())):
            wrong.append("trained_on.subjects")
        if wrong:
            faults = ", ".join(wrong)
            raise WeightsError(f"weights {self.tag!r}: {faults} of the wrong type; labels and subjects are lists of text, the rest texts or objects")
        object.__setattr__(self, "labels", tuple(self.labels))

    @classmethod
    def from_json(cls, path: Path | str) -> WeightsSpec:
        """Read the card that training wrote beside the weights. Raises `WeightsError` where it is not one."""
        try:
            card: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
            known = {f.name for f in dataclasses.fields(cls)}
            return cls(**{k: v for k, v in card.items() if k in known})
        except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise WeightsError(f"weights card {path} cannot be read ({error}); train again or restore the file") from error


def embedded(package: Path | str, model: str) -> tuple[WeightsSpec, ...]:
    """The weights that come inside a plugin's package folder, from their cards `weights/MODEL-PRESET.json`; the small ones, the default, first.

    () where there are none. Raises `WeightsError` for a card that cannot be read.
    """
    cards = (Path(package) / "weights" / f"{model}-{preset}.json" for preset in ("small", "full"))
    return tuple(WeightsSpec.from_json(card) for card in cards if card.is_file())


def _texts(value: object) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)


@dataclass(frozen=True)
class ModelSpec:
    """A model by name: parts by their registered names, views, presets and weights.

    train_views and test_views map each input of the backbone to the views it is drawn from; several test views of one input are separate looks at a
    clip, and `reduce` says how their probabilities become one ("mean").
    """

    name: str
    summary: str
    backbone: str
    head: str = "linear"
    auxiliary: tuple[str, ...] = ()
    strategy: str = "supervised"
    train_views: Mapping[str, tuple[View, ...]] = field(default_factory=dict)
    test_views: Mapping[str, tuple[View, ...]] = field(default_factory=dict)
    reduce: str = "mean"
    presets: Mapping[str, Preset] = field(default_factory=lambda: {"full": Preset()})
    weights: tuple[WeightsSpec, ...] = ()
    paper: Paper | None = None
    licence: str = "Apache-2.0"

    def preset(self, name: str) -> Preset:
        """The preset of that name. Raises `UnknownNameError`, which lists what there is."""
        if name not in self.presets:
            raise UnknownNameError(f"preset of {self.name}", name, sorted(self.presets))
        return self.presets[name]

    def weights_of(self, tag: str) -> WeightsSpec:
        """The weights of that tag. Raises `UnknownNameError`, which lists the tags."""
        for spec in self.weights:
            if spec.tag == tag:
                return spec
        tags = [spec.tag for spec in self.weights]
        raise UnknownNameError(f"weights tag of {self.name}", tag, tags, "" if tags else "(it comes with no weights: start from random ones)")


NAME = re.compile(r"[a-z0-9]+(?:[-_.][a-z0-9]+)*(?:/[A-Za-z0-9_.-]+)?")


def valid_name(name: str) -> bool:
    """Whether a registered name is made of lower-case words joined by - _ or ., with at most one `family/member` slash: safe in paths, shells and pages."""
    return isinstance(name, str) and len(name) <= 80 and NAME.fullmatch(name) is not None
