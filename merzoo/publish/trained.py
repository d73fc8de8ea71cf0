"""A finished training run, read with distrust: its weights are loaded strictly, and everything they and run.json say must agree."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from merzoo.builtin.supervised import FitOnly
from merzoo.describe import tree
from merzoo.errors import RunError, WeightsError
from merzoo.evaluation.records import is_number
from merzoo.evaluation.resuming import differences
from merzoo.evaluation.runs import RunFolder
from merzoo.files import MAX_BYTES
from merzoo.publish.sources import Source, own_subjects, sources
from merzoo.recognizer import Recognizer, assemble, fill
from merzoo.registry import registry
from merzoo.specs import WeightsSpec
from merzoo.text import plain
from merzoo.training.train import WEIGHTS
from merzoo.weights import digest, read


@dataclass(frozen=True)
class Trained:
    """A training run: its folder, its weights' file, the network that holds them, and what its log says of each stage ({name, steps, first, last}: losses)."""

    run: RunFolder
    weights: Path
    recognizer: Recognizer
    trained_on: Mapping[str, Any]
    stages: tuple[Mapping[str, Any], ...]

    @cached_property
    def sources(self) -> tuple[Source, ...]:
        """The data sets of its data, one by one, and those that the weights it began from knew."""
        return sources(self.facts["data"], self.trained_on["subjects"] if self.facts.get("weights") else ())

    @cached_property
    def own_subjects(self) -> tuple[str, ...]:
        """Ids among those it was trained on that may be names of people."""
        return own_subjects(self.trained_on["subjects"], self.sources)

    @cached_property
    def synthetic(self) -> bool:
        """Whether it met nobody but rendered faces."""
        rendered = all(source.kind == "synthetic" for source in self.sources)
        return rendered and all(subject.partition(":")[0] == "synthetic" for subject in self.trained_on["subjects"])

    @property
    def fitted(self) -> bool:
        """Whether it was fitted in one go and not trained: there are no steps, no epochs and no precision to tell of."""
        return isinstance(self.recognizer.strategy, FitOnly) or self.whole

    @property
    def whole(self) -> bool:
        """Whether it has no parameter at all that could begin from anything: what it keeps is fitted as a whole."""
        return not any(True for _ in self.recognizer.parameters())

    @property
    def noun(self) -> str:
        """What to call it."""
        return "model" if self.fitted else "network"

    @property
    def others(self) -> str:
        """What to call those that were scored."""
        return f"{self.noun}s {'fitted' if self.fitted else 'trained'} the same way"

    @property
    def facts(self) -> Mapping[str, Any]:
        """What run.json says."""
        return self.run.facts


def read_training(path: Path | str) -> Trained:
    """Read what `merzoo train` left. Raises `RunError` where it is not finished or no training, `WeightsError` where weights and run.json disagree or the
    weights do not load strictly, `UnknownNameError` where the model is not registered here."""
    run = RunFolder.open(path)
    file = run.path / WEIGHTS
    if run.facts["kind"] != "training":
        raise RunError(f"{run.path} is an evaluation, whose networks are not kept; give the folder of a `merzoo train`, and this one as --scores")
    if not file.is_file():
        raise RunError(f"{run.path} holds no {WEIGHTS}: its training is not finished; go on with `merzoo train … --resume`")
    tensors, card = read(file)
    try:
        told = {name: card[name] for name in ("model", "preset", "labels", "task", "trained_on")}
    except KeyError as error:
        raise WeightsError(f"{file} does not say its {error.args[0]}; only weights written by `merzoo train` are published") from None
    weights = WeightsSpec("trained", told["preset"], str(file), digest(file), told["labels"], told["trained_on"], task=told["task"])
    trained_on = {name: weights.trained_on[name] for name in ("data", "manifest_hash", "subjects", "began_from") if name in weights.trained_on}
    _check_card(run, told, trained_on, file)
    recognizer = _loaded(run, tensors, file)
    recognizer.weights = weights
    return Trained(run, file, recognizer, trained_on, _stages(run.path / "log.jsonl"))


def _check_card(run: RunFolder, told: Mapping[str, Any], trained_on: Mapping[str, Any], file: Path) -> None:
    """Raise `WeightsError` unless the card in the weights' header is the one that this run wrote."""
    data, began = run.facts["data"], run.facts.get("weights")
    asked = {
        **{name: run.facts[name] for name in ("model", "preset", "labels", "task")},
        "data": f"{data['name']}:{data['part']}" if data.get("part") else data["name"],
        "manifest_hash": data["manifest_hash"],
        "began_from": began["tag"] if began else None,
    }
    found = {**{name: told[name] for name in ("model", "preset", "labels", "task")}, **{name: trained_on.get(name) for name in list(asked)[4:]}}
    if differs := next(differences(found, asked), None):
        raise WeightsError(f"{file} is not of this run: {plain(differs, 300)} in run.json; put back the file that training wrote")
    if not trained_on.get("subjects"):
        raise WeightsError(f"{file} does not say whom it was trained on, so that nobody could tell whom it may be tested on; train again")


def _loaded(run: RunFolder, tensors: Mapping[str, Any], file: Path) -> Recognizer:
    """The network of the run with its weights. Raises where its name means another network today, or the weights do not fit it."""
    facts = run.facts
    spec = registry().model(facts["model"])
    options = tree(spec.preset(facts["preset"]))
    today = {
        "parts": {"backbone": spec.backbone, "head": spec.head, "auxiliary": list(spec.auxiliary), "strategy": spec.strategy},
        "options": options,
        "views": {"train": tree(spec.train_views), "test": tree(spec.test_views)},
    }
    if differs := next(differences({name: facts.get(name) for name in today}, json.loads(json.dumps(today))), None):
        raise RunError(f"{run.path} was made with other settings of {spec.name}: {plain(differs, 300)}; install the plugin it was made with, or train again")
    recognizer = assemble(spec, facts["preset"], run.labels, facts["task"], for_training=False)
    fill(recognizer, tensors, file.name)
    parameters = sum(value.numel() for value in tensors.values())
    if facts.get("parameters") not in (None, parameters):
        raise WeightsError(f"{file} has {parameters} parameters, its run.json says {facts['parameters']}; put back the file that training wrote")
    return recognizer.eval()


def _stages(path: Path) -> tuple[Mapping[str, Any], ...]:
    """What log.jsonl says of each stage; stages that are fitted log nothing. A log that is missing or no log says nothing."""
    found: dict[str, dict[str, Any]] = {}
    try:
        if path.stat().st_size > MAX_BYTES:
            return ()
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            name, step, loss = row["stage"], row["step"], row.get("loss")
            if not (isinstance(name, str) and is_number(step) and (loss is None or is_number(loss))):
                return ()
            stage = found.setdefault(name, {"name": name, "steps": 0, "first": loss, "last": loss})
            stage["steps"], stage["last"] = max(stage["steps"], int(step) + 1), loss
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ()
    return tuple(found.values())
