"""A published model: a folder (or a repository on the Hub) of config.json, model.safetensors and a model card. Nothing in it is ever run or imported."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merzoo.describe import tree
from merzoo.errors import MerzooError, WeightsError
from merzoo.registry import registry
from merzoo.specs import WeightsSpec
from merzoo.text import plain
from merzoo.version import __version__

if TYPE_CHECKING:
    from merzoo.recognizer import Recognizer

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
FORMAT = 1  # raised when the fields below change their meaning
MAX_BYTES = 2**20  # of config.json; 10,000 subject ids take a quarter of it
MAX_TEXT = 300  # characters of one name
MAX_NAMES = 20_000  # subjects
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Config:
    """What config.json says. `parts`, `options`, `views` and `preprocessing` are what name and preset stood for when it was published.

    parts: names of backbone, head, auxiliary and strategy. options: of the same. views: {"train", "test": {input: [view]}, "reduce"}, the backbone's own where
    the model names none. plugins: {distribution: version} of
    its parts. sha256, bytes: of model.safetensors.
    """

    model: str
    preset: str
    labels: tuple[str, ...]
    task: str
    parts: Mapping[str, Any]
    options: Mapping[str, Any]
    views: Mapping[str, Any]
    preprocessing: Mapping[str, Any]
    plugins: Mapping[str, str]
    sha256: str
    bytes: int
    trained_on: Mapping[str, Any]
    protocol: str = ""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    licence: str = ""
    merzoo: str = __version__

    def to_json(self) -> dict[str, Any]:
        """The object in config.json."""
        facts = tree(self)
        digest, size = facts.pop("sha256"), facts.pop("bytes")
        return {"format": FORMAT, **facts, "weights": {"file": WEIGHTS, "sha256": digest, "bytes": size}}

    @classmethod
    def from_json(cls, value: Any, where: str) -> Config:
        """Raises `WeightsError` naming `where` and the field, for anything that is not what `to_json` writes; further fields are ignored."""
        look = _Look(f"{where}: {CONFIG}")
        facts = look.mapping(value, "its content")
        if "format" not in facts:
            raise WeightsError(f"{where}: {CONFIG} is of no merzoo model; give one that `merzoo publish` made")
        if facts["format"] != FORMAT:
            wrote = f", it was written by merzoo {plain(facts.get('merzoo'), 40)}" if facts.get("merzoo") else ""
            raise WeightsError(f"{where}: {CONFIG} has the format {plain(facts.get('format'), 40)}, this merzoo reads {FORMAT}{wrote}; use that version")
        weights = look.mapping(facts.get("weights"), "weights")
        if weights.get("file") != WEIGHTS:
            look.fail("weights.file", f"'{WEIGHTS}'")
        digest: Any = weights.get("sha256")
        size: Any = weights.get("bytes")
        if not (isinstance(digest, str) and _SHA256.fullmatch(digest)):
            look.fail("weights.sha256", "64 hex digits")
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            look.fail("weights.bytes", "a number of bytes")
        trained_on = look.mapping(facts.get("trained_on"), "trained_on")
        look.texts(trained_on.get("subjects", []), "trained_on.subjects", MAX_NAMES)
        fields: dict[str, Any] = {name: look.text(facts.get(name), name) for name in ("model", "preset", "task", "merzoo")}
        fields |= {name: look.text(facts.get(name, ""), name, empty=True) for name in ("protocol", "licence")}
        fields |= {name: look.mapping(facts.get(name), name) for name in ("parts", "options", "views", "preprocessing", "metrics")}
        fields["plugins"] = {look.text(k, "plugins"): look.text(v, "plugins", empty=True) for k, v in look.mapping(facts.get("plugins"), "plugins").items()}
        labels = look.texts(facts.get("labels"), "labels", 100)
        if len(set(labels)) < max(2, len(labels)):
            look.fail("labels", "two or more different names")
        return cls(labels=labels, sha256=digest, bytes=size, trained_on=trained_on, **fields)

    def agree(self, card: Mapping[str, Any], where: str) -> None:
        """Raise `WeightsError` unless the card in the weights' header says the same of all that names them: another order of labels would name every class
        wrongly, and other people would hide whom they know."""
        said = {"model": self.model, "preset": self.preset, "labels": list(self.labels), "task": self.task, "trained_on": dict(self.trained_on)}
        if other := next((name for name, value in said.items() if card.get(name) != value), None):
            raise WeightsError(f"{where}: {CONFIG} and the header of {WEIGHTS} differ in {other}; it was changed by hand, do not use it")

    def weights_spec(self, tag: str, source: str) -> WeightsSpec:
        """As weights of the model, under a tag, from a source. Raises `WeightsError`."""
        about: dict[str, Any] = {"trained_on": self.trained_on, "protocol": self.protocol, "metrics": self.metrics, "licence": self.licence, "task": self.task}
        return WeightsSpec(tag, self.preset, source, self.sha256, self.labels, **about)


def config_of(recognizer: Recognizer, weights: Path, card: Mapping[str, Any], **about: Any) -> Config:
    """The config of a recogniser whose weights lie in a file, with what their card says. about: protocol, metrics, licence.

    Raises `WeightsError` where the file cannot be read.
    """
    from merzoo.fits import network_facts
    from merzoo.weights import digest

    spec = recognizer.spec
    facts = network_facts(spec, recognizer.preset, recognizer.backbone)
    parts = {entry.plugin for entry in (*registry().parts(spec), *registry().views(spec))}
    versions = {record.distribution: record.version for record in registry().records if record.name in parts}
    size = weights.stat().st_size
    return Config(
        spec.name, recognizer.preset, recognizer.labels, recognizer.task, **facts, plugins=versions,
        sha256=digest(weights), bytes=size, trained_on=dict(card["trained_on"]), **about,
    )  # fmt: skip


def read_config(folder: Path | str, where: str = "") -> Config:
    """The config of a published folder, read with distrust. where: how messages call it. Raises `WeightsError`."""
    path, where = Path(folder) / CONFIG, where or str(folder)
    try:
        if not path.is_file():
            raise WeightsError(f"{where} has no {CONFIG}; give a folder that `merzoo publish` made")
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise WeightsError(f"{where}: {CONFIG} is larger than {MAX_BYTES >> 20} MiB, which no published model's is; do not use it")
        value = json.loads(text.decode("utf-8"), parse_constant=_no_number)
    except MerzooError:
        raise
    except OSError as error:
        raise WeightsError(f"{where}: {CONFIG} cannot be read ({error.strerror}); make it readable") from None
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{where}: {CONFIG} cannot be read as JSON ({plain(error, 120)}); it was not made by `merzoo publish`, or is damaged") from None
    return Config.from_json(value, where)


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number")


class _Look:
    """Checks whose failure names the place and the field."""

    def __init__(self, where: str) -> None:
        self.where = where

    def fail(self, name: str, wanted: str) -> None:
        raise WeightsError(f"{self.where}: {name} is not {wanted}; it was not made by `merzoo publish`, or is damaged")

    def mapping(self, value: Any, name: str) -> Mapping[str, Any]:
        if not isinstance(value, Mapping):
            self.fail(name, "an object")
        return value  # type: ignore[no-any-return]

    def text(self, value: Any, name: str, empty: bool = False) -> str:
        if not isinstance(value, str) or len(value) > MAX_TEXT or not (value or empty) or not value.isprintable():
            self.fail(name, f"a printable text of at most {MAX_TEXT} characters")
        return str(value)

    def texts(self, value: Any, name: str, most: int) -> tuple[str, ...]:
        if not isinstance(value, list) or len(value) > most:
            self.fail(name, f"a list of at most {most} texts")
        return tuple(self.text(item, name) for item in value)


