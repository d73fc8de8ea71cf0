"""What may stand in the files of a run folder. They may come from strangers: nothing is trusted, and every message names the file."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from merzoo.errors import DataError, LeakageError, RunError
from merzoo.evaluation.protocols import Fold, Protocol
from merzoo.text import plain

SCHEMA = 1
KINDS = ("evaluation", "training")
MAX_TEXT = 300  # characters of a name
MAX_CLASSES = 100  # a confusion matrix a subject is held in memory
MAX_ENVIRONMENT = 50  # entries
SUM_TOLERANCE = 1e-3  # bf16 softmax printed in full sums to 1 within this


def check_run(facts: Mapping[str, Any], where: Path | str) -> Protocol | None:
    """Check what run.json says and return its protocol (None for a training run). Raises `RunError` naming `where` and the field."""
    look = _Look(where)
    if facts.get("schema") != SCHEMA:
        raise RunError(f"{where}: schema is {plain(facts.get('schema'), 40)}, this merzoo reads {SCHEMA}; use the merzoo that wrote it")
    look.true(facts.get("kind") in KINDS, "kind", f"one of {', '.join(KINDS)}")
    for name in ("model", "preset", "precision"):
        look.text(facts.get(name), name)
    for name in ("parts", "data", "environment"):
        look.true(isinstance(facts.get(name), Mapping), name, "an object")
    _check_data(look, facts["data"])
    _check_weights(look, facts.get("weights"))
    for part, name in facts["parts"].items():
        for text in name if isinstance(name, list) else [name]:
            look.text(text, f"parts.{plain(part, 40)}")
    look.true(len(facts["environment"]) <= MAX_ENVIRONMENT, "environment", f"at most {MAX_ENVIRONMENT} entries")
    for key, value in facts["environment"].items():
        look.text(key, "environment")
        if not (value is None or value == "" or is_number(value)):
            look.text(value, f"environment.{plain(key, 40)}")
    labels, seeds = look.sequence(facts.get("labels"), "labels"), look.sequence(facts.get("seeds"), "seeds")
    for label in labels:
        look.text(label, "labels")
    look.true(2 <= len(labels) <= MAX_CLASSES and len(set(labels)) == len(labels), "labels", f"2 to {MAX_CLASSES} different classes")
    look.true(bool(seeds) and all(is_count(s) for s in seeds) and len(set(seeds)) == len(seeds), "seeds", "different integers >= 0")
    look.true("parameters" not in facts or facts["parameters"] is None or is_count(facts["parameters"]), "parameters", "an integer")
    look.true(isinstance(facts.get("reference", False), bool), "reference", "true or false")
    if facts["kind"] == "training":
        return None
    look.true(isinstance(facts.get("protocol"), Mapping), "protocol", "a fold manifest")
    try:
        return Protocol.from_json(facts["protocol"])
    except DataError as error:
        raise RunError(f"{where}: {plain(error, 300)}") from None


def check_fold(record: Mapping[str, Any], seed: int, fold: Fold, labels: tuple[str, ...], run_subjects: Iterable[str], where: Path | str) -> None:
    """Check one fold record against the fold that the protocol asked for.

    run_subjects: everybody whom some fold tests; a stage of scope "run" may have met none of them.
    Raises `LeakageError` where a stage trained on a test subject, `RunError` for anything else that is not as it should be.
    """
    look = _Look(where)
    for name, expected in (("schema", SCHEMA), ("seed", seed), ("fold_id", fold.fold_id)):
        look.true(record.get(name) == expected and not isinstance(record.get(name), bool), name, repr(expected))
    tested = look.sequence(record.get("test_subjects"), "test_subjects")
    look.true(all(isinstance(s, str) for s in tested) and set(tested) == set(fold.test_subjects), "test_subjects", "the protocol's for this fold")
    digest = record.get("state_sha256")
    look.true(isinstance(digest, str) and len(digest) == 64 and set(digest) <= set("0123456789abcdef"), "state_sha256", "64 hex digits")
    look.true(record.get("oracle") is None or isinstance(record["oracle"], Mapping), "oracle", "an object")
    for stage in look.sequence(record.get("stages"), "stages"):
        look.true(isinstance(stage, Mapping), "stages", "objects")
        _check_stage(look, stage, set(fold.test_subjects), set(run_subjects), where)
    _check_predictions(look, look.sequence(record.get("predictions"), "predictions"), fold, labels)


def is_count(value: object) -> bool:
    """Whether a JSON value is an integer >= 0 that fits 63 bits (true and false are none)."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def is_number(value: object) -> bool:
    """Whether a JSON value is a finite number (true and false are none)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1e300 and math.isfinite(value)


class _Look:
    """Checks whose failure names the file and the field."""

    def __init__(self, where: Path | str) -> None:
        self.where = where

    def true(self, condition: bool, field: str, expected: str) -> None:
        if not condition:
            raise RunError(f"{self.where}: {field} is not {expected}; restore the file, or delete it and resume the run")

    def text(self, value: object, field: str) -> None:
        self.true(isinstance(value, str) and 0 < len(value) <= MAX_TEXT and value.isprintable(), field, f"printable text of 1 to {MAX_TEXT} characters")

    def sequence(self, value: object, field: str) -> list[Any]:
        self.true(isinstance(value, list | tuple), field, "a list")
        return list(value)  # type: ignore[call-overload]


def _check_data(look: _Look, data: Mapping[str, Any]) -> None:
    for name in ("name", "manifest_hash"):
        look.text(data.get(name), f"data.{name}")
    if data.get("part") is not None:
        look.text(data["part"], "data.part")
    for name in ("samples", "subjects"):
        look.true(is_count(data.get(name)), f"data.{name}", "a count")


def _check_weights(look: _Look, weights: object) -> None:
    look.true(weights is None or isinstance(weights, Mapping), "weights", "null or {tag, sha256}")
    if isinstance(weights, Mapping):
        for name in ("tag", "sha256"):
            look.text(weights.get(name), f"weights.{name}")


def _check_stage(look: _Look, stage: Mapping[str, Any], tested: set[str], run_subjects: set[str], where: Path | str) -> None:
    look.text(stage.get("name"), "stages.name")
    look.true(stage.get("scope") in ("fold", "run"), "stages.scope", '"fold" or "run"')
    subjects = look.sequence(stage.get("subjects"), "stages.subjects")
    for subject in subjects:
        look.text(subject, "stages.subjects")
    look.true(is_count(stage.get("steps")), "stages.steps", "a count")
    look.true(is_number(stage.get("seconds")) and stage["seconds"] >= 0, "stages.seconds", "a number >= 0")
    look.true(stage.get("loss") is None or is_number(stage["loss"]), "stages.loss", "null or a finite number")
    met = set(subjects) & (run_subjects | tested if stage["scope"] == "run" else tested)
    if met:
        raise LeakageError(f"{where}, stage {stage['name']}", met)


def _check_predictions(look: _Look, predictions: list[Any], fold: Fold, labels: tuple[str, ...]) -> None:
    seen: set[str] = set()
    for p in predictions:
        look.true(isinstance(p, Mapping), "predictions", "objects")
        look.text(p.get("sample_id"), "predictions.sample_id")
        sample = p["sample_id"]
        look.true(sample not in seen, f"predictions: {sample}", "given once")
        seen.add(sample)
        look.true(p.get("subject") in fold.test_subjects, f"predictions: subject of {sample}", "a test subject of this fold")
        look.true(p.get("label") in labels, f"predictions: label of {sample}", f"one of {', '.join(labels)}")
        shares = look.sequence(p.get("probabilities"), f"predictions: probabilities of {sample}")
        fine = len(shares) == len(labels) and all(is_number(x) and x >= 0 for x in shares) and abs(sum(shares) - 1) <= SUM_TOLERANCE
        look.true(fine, f"predictions: probabilities of {sample}", f"{len(labels)} finite numbers >= 0 that sum to 1 within {SUM_TOLERANCE}")
        look.true(_is_auxiliary(p.get("auxiliary", {})), f"predictions: auxiliary of {sample}", "{task: {output: list of finite numbers}}")
    expected = set(fold.test_ids)
    found = f"{len(seen & expected)} of them, {len(seen - expected)} others"
    look.true(seen == expected, "predictions", f"exactly the {len(expected)} test samples of fold {fold.fold_id} (found {found})")


def _is_auxiliary(tasks: object) -> bool:
    outputs = list(tasks.values()) if isinstance(tasks, Mapping) else [None]
    values = [value for output in outputs for value in (output.values() if isinstance(output, Mapping) else [None])]
    return all(isinstance(value, list) and all(map(is_number, value)) for value in values)
