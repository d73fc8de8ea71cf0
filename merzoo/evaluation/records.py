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
TASKS = ("classes", "multi-label")  # one label a sample, or any number of them ("" = none, else names joined by "+")
MAX_TEXT = 300  # characters of a name
MAX_CLASSES = 100  # a confusion matrix a subject is held in memory
MAX_CONDITIONS = 100  # under which a fold was tested again; each is resampled
MAX_ENVIRONMENT = 50  # entries
MAX_CHECKS = 50  # of a fold
MAX_OUTPUTS = 20  # of all auxiliary tasks together; each is resampled
SUM_TOLERANCE = 1e-3  # bf16 softmax printed in full sums to 1 within this
RESTORE = "restore the file, or delete it and resume the run"
TIE = 1e-4  # of a probability: the same network asked twice on a GPU may call either of two classes this close the first


_NUMBERS = frozenset((float, int))


class ChosenEpochError(RunError):
    """The predictions of a fold are not those of the last epoch that it kept."""


def check_run(facts: Mapping[str, Any], where: Path | str, remedy: str = RESTORE) -> Protocol | None:
    """Check what run.json says and return its protocol (None for a training run). Raises `RunError` naming `where` and the field, with the remedy."""
    look = _Look(where, remedy)
    if facts.get("schema") != SCHEMA:
        raise RunError(f"{where}: schema is {plain(facts.get('schema'), 40)}, this merzoo reads {SCHEMA}; use the merzoo that wrote it")
    for name, known in (("kind", KINDS), ("task", TASKS)):
        look.true(facts.get(name) in known, name, f"one of {', '.join(known)}")
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
    look.true(facts["task"] == "classes" or not any("+" in label for label in labels), "labels", "free of '+', which joins the labels of a sample")
    look.true(bool(seeds) and all(is_count(s) for s in seeds) and len(set(seeds)) == len(seeds), "seeds", "different integers >= 0")
    look.true("parameters" not in facts or facts["parameters"] is None or is_count(facts["parameters"]), "parameters", "an integer")
    look.true(isinstance(facts.get("reference", False), bool), "reference", "true or false")
    share = facts.get("flip_labels", 0.0)
    look.true(is_number(share) and 0 <= share <= 1, "flip_labels", "a share from 0 to 1")
    conditions = look.sequence(facts.get("perturb", []), "perturb")
    for condition in conditions:
        look.text(condition, "perturb")
    look.true(len(set(conditions)) == len(conditions) <= MAX_CONDITIONS, "perturb", f"at most {MAX_CONDITIONS} different conditions")
    if facts["kind"] == "training":
        return None
    look.true(isinstance(facts.get("protocol"), Mapping), "protocol", "a fold manifest")
    look.text(facts["protocol"].get("name"), "protocol.name")
    try:
        return Protocol.from_json(facts["protocol"])
    except DataError as error:
        raise RunError(f"{where}: {plain(error, 300)}") from None


def check_fold(
    record: Mapping[str, Any],
    seed: int,
    fold: Fold,
    labels: tuple[str, ...],
    task: str,
    run_subjects: Iterable[str],
    where: Path | str,
    remedy: str = RESTORE,
) -> None:
    """Check one fold record against the fold that the protocol asked for.

    labels, task: of run.json. run_subjects: everybody whom some fold tests; a stage of scope "run" may have met none of them.
    Raises `LeakageError` where a stage trained on a test subject, `ChosenEpochError` where the predictions are not those of the last epoch that was kept,
    `RunError` for anything else that is not as it should be, with the remedy.
    """
    look = _Look(where, remedy)
    for name, expected in (("schema", SCHEMA), ("seed", seed), ("fold_id", fold.fold_id)):
        look.true(record.get(name) == expected and not isinstance(record.get(name), bool), name, repr(expected))
    tested = look.sequence(record.get("test_subjects"), "test_subjects")
    look.true(all(isinstance(s, str) for s in tested) and set(tested) == set(fold.test_subjects), "test_subjects", "the protocol's for this fold")
    digest = record.get("state_sha256")
    look.true(isinstance(digest, str) and len(digest) == 64 and set(digest) <= set("0123456789abcdef"), "state_sha256", "64 hex digits")
    stages = look.sequence(record.get("stages"), "stages")
    look.true(bool(stages), "stages", "at least one stage: who was trained on would not be known")
    for stage in stages:
        look.true(isinstance(stage, Mapping), "stages", "objects")
        _check_stage(look, stage, set(fold.test_subjects), set(run_subjects), where)
    _check_predictions(look, look.sequence(record.get("predictions"), "predictions"), fold, labels, task)
    _check_outputs(look, record.get("auxiliary_outputs", {}), record["predictions"])
    rows = len(record["predictions"])
    if record.get("oracle") is not None:
        look.true(task == "classes", "oracle", "null in a multi-label task")
        _check_oracle(look, record["oracle"], record["predictions"], len(labels))
    checks, conditions = record.get("checks", {}), record.get("perturbed", {})
    for name, value, most in (("checks", checks, MAX_CHECKS), ("perturbed", conditions, MAX_CONDITIONS)):
        look.true(isinstance(value, Mapping) and len(value) <= most, name, f"an object of at most {most} entries")
        for key in value:
            look.text(key, name)
    for name, value in checks.items():
        look.true(isinstance(value, bool) or is_number(value), f"checks.{name}", "true, false or a finite number")
    for name, per_sample in conditions.items():
        asked = look.sequence(per_sample, f"perturbed.{name}")
        look.true(len(asked) == rows, f"perturbed.{name}", f"{rows} lists of probabilities, in the order of the predictions")
        for shares in asked:
            _check_probabilities(look, shares, labels, task, f"perturbed.{name}")


def check_truth(records: Iterable[Mapping[str, Any]], where: Path | str) -> None:
    """Raise `RunError` where checked fold records disagree, over seeds and folds, on what is known of a sample for auxiliary tasks."""
    known: dict[str, Any] = {}
    for p in (p for record in records if record.get("auxiliary_outputs") for p in record["predictions"]):
        if known.setdefault(p["sample_id"], p.get("auxiliary_truth")) != p.get("auxiliary_truth"):
            raise RunError(f"{where} gives {p['sample_id']} another auxiliary truth in another fold; run it again")


def check_data(data: object, where: Path | str, remedy: str = RESTORE) -> None:
    """Check what run.json says of its data: {name, part, macro, manifest_hash, samples, subjects}. Raises `RunError` as `check_run`."""
    look = _Look(where, remedy)
    look.true(isinstance(data, Mapping), "data", "an object")
    assert isinstance(data, Mapping)
    _check_data(look, data)


def is_count(value: object) -> bool:
    """Whether a JSON value is an integer >= 0 that fits 63 bits (true and false are none)."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def is_number(value: object) -> bool:
    """Whether a JSON value is a finite number (true and false are none)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1e300 and math.isfinite(value)


class _Look:
    """Checks whose failure names the file and the field."""

    def __init__(self, where: Path | str, remedy: str) -> None:
        self.where, self.remedy = where, remedy

    def true(self, condition: bool, field: str, expected: str) -> None:
        if not condition:
            raise RunError(f"{self.where}: {field} is not {expected}; {self.remedy}")

    def text(self, value: object, field: str) -> None:
        self.true(_is_text(value), field, f"printable text of 1 to {MAX_TEXT} characters")

    def sequence(self, value: object, field: str) -> list[Any]:
        self.true(isinstance(value, list | tuple), field, "a list")
        return list(value)  # type: ignore[call-overload]


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_TEXT and value.isprintable()


def _check_data(look: _Look, data: Mapping[str, Any]) -> None:
    for name in ("name", "manifest_hash"):
        look.text(data.get(name), f"data.{name}")
    for name in ("part", "macro"):
        if data.get(name) is not None:
            look.text(data[name], f"data.{name}")
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
    look.true(bool(subjects), "stages.subjects", "at least one subject whom the stage was trained on")
    for subject in subjects if not all(map(_is_text, subjects)) else ():
        look.text(subject, "stages.subjects")
    look.true(is_count(stage.get("steps")), "stages.steps", "a count")
    look.true(is_number(stage.get("seconds")) and stage["seconds"] >= 0, "stages.seconds", "a number >= 0")
    look.true(stage.get("loss") is None or is_number(stage["loss"]), "stages.loss", "null or a finite number")
    met = set(subjects) & (run_subjects | tested if stage["scope"] == "run" else tested)
    if met:
        raise LeakageError(f"{where}, stage {stage['name']}", met)


def _check_predictions(look: _Look, predictions: list[Any], fold: Fold, labels: tuple[str, ...], task: str) -> None:
    seen: set[str] = set()
    names, subjects = (frozenset(labels) if task == "classes" else frozenset()), frozenset(fold.test_subjects)
    for p in predictions:
        if type(p) is dict and _is_fine(p, subjects, names, len(labels)) and p["sample_id"] not in seen:
            seen.add(p["sample_id"])
            continue
        look.true(isinstance(p, Mapping), "predictions", "objects")
        look.text(p.get("sample_id"), "predictions.sample_id")
        sample = p["sample_id"]
        look.true(sample not in seen, f"predictions: {sample}", "given once")
        seen.add(sample)
        look.true(p.get("subject") in fold.test_subjects, f"predictions: subject of {sample}", "a test subject of this fold")
        _check_label(look, p.get("label"), labels, task, f"predictions: label of {sample}")
        _check_probabilities(look, p.get("probabilities"), labels, task, f"predictions: probabilities of {sample}")
        look.true(_is_auxiliary(p.get("auxiliary", {})), f"predictions: auxiliary of {sample}", "{task: {output: list of finite numbers}}")
    expected = set(fold.test_ids)
    found = f"{len(seen & expected)} of them, {len(seen - expected)} others"
    look.true(seen == expected, "predictions", f"exactly the {len(expected)} test samples of fold {fold.fold_id} (found {found})")


def _is_fine(p: dict[str, Any], subjects: frozenset[str], labels: frozenset[str], classes: int) -> bool:
    """Whether a prediction of one label is as it should be, told in a tenth of the time that it takes to say what is wrong; False in doubt."""
    sample, subject, label, shares = p.get("sample_id"), p.get("subject"), p.get("label"), p.get("probabilities")
    if not (type(sample) is type(subject) is type(label) is str and type(shares) is list and "auxiliary" not in p):
        return False
    numbers = set(map(type, shares)) <= _NUMBERS and len(shares) == classes and min(shares) >= 0 and abs(sum(shares) - 1) <= SUM_TOLERANCE
    return numbers and _is_text(sample) and subject in subjects and label in labels


def _check_label(look: _Look, label: object, labels: tuple[str, ...], task: str, field: str) -> None:
    if task == "classes":
        look.true(label in labels, field, f"one of {', '.join(labels)}")
        return
    names = label.split("+") if isinstance(label, str) and label else []
    fine = isinstance(label, str) and set(names) <= set(labels) and len(set(names)) == len(names)
    look.true(fine, field, f"different ones of {', '.join(labels)} joined by '+', or empty")


def _check_probabilities(look: _Look, value: object, labels: tuple[str, ...], task: str, field: str) -> None:
    shares = look.sequence(value, field)
    numbers = len(shares) == len(labels) and all(is_number(x) and x >= 0 for x in shares)
    if task == "classes":
        look.true(numbers and abs(sum(shares) - 1) <= SUM_TOLERANCE, field, f"{len(labels)} finite numbers >= 0 that sum to 1 within {SUM_TOLERANCE}")
    else:
        look.true(numbers and all(x <= 1 for x in shares), field, f"{len(labels)} numbers from 0 to 1")


def _check_oracle(look: _Look, oracle: object, predictions: list[Any], classes: int) -> None:
    """What the test clips were taken for after each epoch: one entry a sample, in the order of the predictions, which are those of the last."""
    rows = len(predictions)
    look.true(isinstance(oracle, Mapping), "oracle", "an object")
    assert isinstance(oracle, Mapping)
    look.text(oracle.get("stage"), "oracle.stage")
    epochs = look.sequence(oracle.get("epochs"), "oracle.epochs")
    look.true(bool(epochs), "oracle.epochs", "at least one epoch")
    for epoch in epochs:
        fine = isinstance(epoch, list) and len(epoch) == rows and all(is_count(position) and position < classes for position in epoch)
        look.true(fine, "oracle.epochs", f"lists of {rows} positions below {classes}")
    others = [p["sample_id"] for p, last in zip(predictions, epochs[-1], strict=True) if p["probabilities"][last] < max(p["probabilities"]) - TIE]
    if others:
        told = f"{look.where}: the predictions are not those of the last epoch ({len(others)} of {rows} differ, first: {others[0]})"
        raise ChosenEpochError(f"{told}; an epoch may have been chosen on the test data: delete the file and resume the run")


def _check_outputs(look: _Look, tasks: object, predictions: list[Any]) -> None:
    """{task: {output: names}}: each prediction then has as many probabilities, and as many of 1, 0 and null for the truth."""
    look.true(isinstance(tasks, Mapping), "auxiliary_outputs", "an object")
    assert isinstance(tasks, Mapping)
    size = max(len(tasks), sum(len(outputs) for outputs in tasks.values() if isinstance(outputs, Mapping)))
    look.true(size <= MAX_OUTPUTS, "auxiliary_outputs", f"at most {MAX_OUTPUTS} outputs of all tasks together")
    for task, outputs in tasks.items():
        look.text(task, "auxiliary_outputs")
        look.true(isinstance(outputs, Mapping), f"auxiliary_outputs.{task}", "an object")
        for output, given in outputs.items():
            look.text(output, f"auxiliary_outputs.{task}")
            where = f"auxiliary_outputs.{task}.{output}"
            names = look.sequence(given, where)
            for name in names:
                look.text(name, where)
            look.true(0 < len(set(names)) == len(names) <= MAX_CLASSES, where, f"1 to {MAX_CLASSES} different names")
            for p in predictions:
                shares, truth = (_inside(p.get(key), task, output) for key in ("auxiliary", "auxiliary_truth"))
                fine = len(shares) == len(truth) == len(names) and all(is_number(x) and 0 <= x <= 1 for x in shares)
                look.true(fine and all(x is None or (is_count(x) and x < 2) for x in truth), where, "probabilities, and 1, 0 or null, of each prediction")


def _inside(value: object, *path: str) -> list[Any]:
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, list) else []


def _is_auxiliary(tasks: object) -> bool:
    outputs = list(tasks.values()) if isinstance(tasks, Mapping) else [None]
    values = [value for output in outputs for value in (output.values() if isinstance(output, Mapping) else [None])]
    return all(isinstance(value, list) and all(map(is_number, value)) for value in values)
