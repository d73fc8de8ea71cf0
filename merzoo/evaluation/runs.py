"""The run folder: run.json (what was asked), folds/<seed>/<fold_id>.json (what came out), result.json (scores made from the folds alone).

Each file is written whole or not at all, so a killed run is continued from the folds that stand.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import platform
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from merzoo.errors import MerzooWarning, RunError
from merzoo.evaluation.bootstrap import RESAMPLES, bootstrap
from merzoo.evaluation.files import dumps, is_leftover, make_folder, read_json, write_atomically
from merzoo.evaluation.protocols import Fold, Protocol
from merzoo.evaluation.records import SCHEMA, check_fold, check_run
from merzoo.evaluation.scores import METRICS, Predictions, Scores, confusion_matrix, scores_of, warn_of_absent
from merzoo.version import __version__

_NOT_ASKED = ("schema", "created", "environment")  # what may differ between a run and its continuation
_KEPT: dict[str, tuple[str, ...]] = {  # of run.json in result.json, and the fields that were checked where there could be more
    "model": (),
    "preset": (),
    "parts": ("backbone", "head", "auxiliary", "strategy"),
    "weights": ("tag", "sha256"),
    "data": ("name", "part", "manifest_hash", "samples", "subjects"),
    "labels": (),
    "seeds": (),
    "precision": (),
    "parameters": (),
    "reference": (),
    "environment": (),
}


@dataclass(frozen=True)
class RunFolder:
    """A folder that holds one run. Make it with `create`, or read one with `open`; `facts` is the checked content of run.json."""

    path: Path
    facts: Mapping[str, Any]

    @classmethod
    def create(cls, path: Path | str, facts: Mapping[str, Any], resume: bool = False) -> RunFolder:
        """Start a run, or with `resume` continue the same one.

        facts: {kind: "evaluation" | "training", model, preset, parts, weights: null | {tag, sha256}, data: {name, part, manifest_hash, samples, subjects},
        protocol: `Protocol.to_json()` (evaluation only), labels, seeds, precision, environment: `environment(…)`} and what else the caller wants kept
        (known: "parameters", an int, "reference", a bool, and "options" and "views": what the preset stands for). Schema and time of creation are added here.
        Raises `RunError` for a folder that cannot be written, that is neither empty nor a run, or that holds a run asked differently (says in what);
        warns where a continued run began in another environment.
        """
        path = Path(path)
        facts = json.loads(dumps({"schema": SCHEMA, **facts, "created": datetime.now(UTC).isoformat(timespec="seconds")}))
        check_run(facts, path / "run.json")
        make_folder(path)
        if (path / "run.json").exists():
            run = cls.open(path)
            _check_same(run.facts, facts, path, resume)
            return run
        if any(not is_leftover(entry) for entry in path.iterdir()):
            raise RunError(f"{path} is not empty and holds no run; choose another --out")
        write_atomically(path / "run.json", dumps(facts))
        return cls(path, facts)

    @classmethod
    def open(cls, path: Path | str) -> RunFolder:
        """Read a run folder. Raises `RunError` where run.json is missing or not as it should be."""
        path = Path(path)
        if not (path / "run.json").is_file():
            raise RunError(f"{path} holds no run (no run.json); give the folder that --out named")
        facts = read_json(path / "run.json")
        check_run(facts, path / "run.json")
        return cls(path, facts)

    @cached_property
    def protocol(self) -> Protocol:
        """The protocol of an evaluation. Raises `RunError` for a training run, which has none."""
        protocol = check_run(self.facts, self.path / "run.json")
        if protocol is None:
            raise RunError(f"{self.path} is a training run without folds; evaluate the model to get scores")
        return protocol

    @property
    def labels(self) -> tuple[str, ...]:
        """The fixed class list."""
        return tuple(self.facts["labels"])

    @property
    def seeds(self) -> tuple[int, ...]:
        """The run seeds, in the order asked."""
        return tuple(self.facts["seeds"])

    @cached_property
    def test_subjects(self) -> frozenset[str]:
        """Everybody whom some fold tests."""
        return frozenset(subject for fold in self.protocol.folds for subject in fold.test_subjects)

    def fold_path(self, seed: int, fold_id: str) -> Path:
        """Where a fold stands. Raises `RunError` for a seed or fold that this run does not have."""
        if seed not in self.seeds or fold_id not in self.protocol.by_id:
            raise RunError(f"{self.path} has no fold {fold_id!r} under seed {seed}; its seeds are {self.seeds}, its folds those of its protocol")
        return self.path / "folds" / str(seed) / f"{fold_id}.json"

    def has_fold(self, seed: int, fold_id: str) -> bool:
        """Whether a fold is finished."""
        return self.fold_path(seed, fold_id).is_file()

    def missing(self) -> list[tuple[int, Fold]]:
        """(seed, fold) that are still to do, seeds in order, folds in the protocol's order."""
        return [(seed, fold) for seed in self.seeds for fold in self.protocol.folds if not self.has_fold(seed, fold.fold_id)]

    def write_fold(self, seed: int, fold_id: str, record: Mapping[str, Any]) -> None:
        """Write a finished fold, whole or not at all.

        record: {test_subjects, stages: [{name, scope: "fold" | "run", subjects, steps, seconds, loss}], state_sha256, predictions: [{sample_id, subject,
        label: a name of the class list, probabilities: C numbers, auxiliary (optional): {task: {output: numbers}}}], oracle (optional)}; schema, fold_id and
        seed are added here.
        Raises `LeakageError` where a stage saw a test subject, `RunError` for a record that could not be read back or a folder that cannot be written.
        """
        path = self.fold_path(seed, fold_id)
        full = json.loads(dumps({"schema": SCHEMA, "fold_id": fold_id, "seed": seed, **record}))
        check_fold(full, seed, self.protocol.by_id[fold_id], self.labels, self.test_subjects, path)
        make_folder(path.parent)
        write_atomically(path, dumps(full))

    def read_fold(self, seed: int, fold_id: str) -> dict[str, Any]:
        """A finished fold, checked. Raises `LeakageError` and `RunError` naming the file."""
        path = self.fold_path(seed, fold_id)
        record = read_json(path)
        check_fold(record, seed, self.protocol.by_id[fold_id], self.labels, self.test_subjects, path)
        return record

    def folds(self) -> Iterator[dict[str, Any]]:
        """All finished folds, seed by seed in the protocol's order. Raises as `read_fold`, and `RunError` for a fold that nobody asked for."""
        done = {(seed, fold_id) for seed, fold_id in self._found()}
        for seed in self.seeds:
            for fold in self.protocol.folds:
                if (seed, fold.fold_id) in done:
                    yield self.read_fold(seed, fold.fold_id)

    def _found(self) -> Iterator[tuple[int, str]]:
        asked = {str(seed): seed for seed in self.seeds}
        for file in sorted((self.path / "folds").glob("*/*.json")):
            if file.parent.name not in asked or file.stem not in self.protocol.by_id:
                raise RunError(f"{file} is a fold that this run's protocol and seeds do not have; remove it")
            yield asked[file.parent.name], file.stem


def predictions(run: RunFolder) -> Predictions:
    """The predictions of all finished folds and seeds.

    Raises as `RunFolder.folds`, and `RunError` for no fold, a sample tested twice under one seed, or one whose label or subject depends on the seed.
    """
    return _pooled(run, list(run.folds()))


def result(run: RunFolder, resamples: int = RESAMPLES) -> dict[str, Any]:
    """What result.json holds, made from the folds alone. An unfinished run gives the scores so far and "complete": false.

    scores: mean over seeds of the pooled score, with its 95 % interval (`bootstrap`). per_class: mean over seeds; support of one seed. confusion: rows are
    the truth, summed over seeds. seconds: of all stages, one that serves all folds counted once a seed. training_subjects: how many people some stage saw.
    Warns where a class never occurs in the truth. Raises as `predictions`.
    """
    records = list(run.folds())
    pool = _pooled(run, records)
    seeds = {seed: _score(pool, seed) for seed in run.seeds if (pool.seed == seed).any()}
    confusion = np.sum([s.confusion for s in seeds.values()], axis=0)
    absent = warn_of_absent(confusion, run.labels, f"{run.path}: ")
    intervals = bootstrap(pool, resamples)
    expected = len(run.seeds) * len(run.protocol.folds)
    return {
        **{key: _kept(run.facts.get(key), fields) for key, fields in _KEPT.items()},
        "schema": SCHEMA,
        "protocol": {"name": run.protocol.name, "hash": run.protocol.hash, "folds": len(run.protocol.folds)},
        "tested": {"samples": len(set(pool.sample_id.tolist())), "subjects": len(set(pool.subject.tolist()))},
        "truth_sha256": _truth_hash(pool),
        "scores": {name: {"value": e.value, "low": e.low, "high": e.high} for name in METRICS for e in [getattr(intervals, name)]},
        "per_class": {c: _mean_over([s.per_class[c] for s in seeds.values()]) for c in run.labels},
        "confusion": confusion.tolist(),
        "absent_classes": absent,
        "per_seed": [{"seed": seed, **{name: getattr(s, name) for name in METRICS}} for seed, s in seeds.items()],
        "bootstrap": {"resamples": intervals.resamples, "lacking_a_class": intervals.lacking_a_class, "unit": intervals.unit},
        "complete": len(records) == expected,
        "folds": {"done": len(records), "expected": expected},
        "training_subjects": len({subject for r in records for stage in r["stages"] for subject in stage["subjects"]}),
        "seconds": _seconds(records),
    }


def write_result(run: RunFolder) -> dict[str, Any]:
    """Make the result and put it into result.json. Raises as `result`, and `RunError` where it cannot be written."""
    made = result(run)
    write_atomically(run.path / "result.json", dumps(made))
    return made


def _pooled(run: RunFolder, records: list[dict[str, Any]]) -> Predictions:
    rows = [(record["seed"], p) for record in records for p in record["predictions"]]
    if not rows:
        raise RunError(f"{run.path} has no finished fold; continue it with --resume")
    if len({(seed, p["sample_id"]) for seed, p in rows}) != len(rows):
        raise RunError(f"{run.path} tests a sample in two folds of one seed; pooled scores need each sample once")
    truth: dict[str, tuple[str, str]] = {}
    for _, p in rows:
        if truth.setdefault(p["sample_id"], (p["subject"], p["label"])) != (p["subject"], p["label"]):
            raise RunError(f"{run.path} gives {p['sample_id']} another label or subject under another seed; run it again")
    position = {label: i for i, label in enumerate(run.labels)}
    return Predictions(
        classes=run.labels,
        sample_id=np.array([p["sample_id"] for _, p in rows], dtype=np.str_),
        subject=np.array([p["subject"] for _, p in rows], dtype=np.str_),
        label=np.array([position[p["label"]] for _, p in rows], dtype=np.int64),
        probabilities=np.array([p["probabilities"] for _, p in rows], dtype=np.float64),
        seed=np.array([seed for seed, _ in rows], dtype=np.int64),
    )


def _kept(value: Any, fields: tuple[str, ...]) -> Any:
    return {field: value.get(field) for field in fields} if fields and value is not None else value


def _score(pool: Predictions, seed: int) -> Scores:
    rows = pool.seed == seed
    return scores_of(confusion_matrix(pool.label[rows], pool.predicted[rows], len(pool.classes)), pool.classes)


def _mean_over(rows: list[Mapping[str, float]]) -> dict[str, float]:
    return {"f1": float(np.mean([r["f1"] for r in rows])), "recall": float(np.mean([r["recall"] for r in rows])), "support": max(r["support"] for r in rows)}


def _truth_hash(pool: Predictions) -> str:
    """sha256 of (sample, subject, label): runs whose truth differs are not comparable, whatever they call their data."""
    truth = sorted({(i, s, pool.classes[y]) for i, s, y in zip(pool.sample_id.tolist(), pool.subject.tolist(), pool.label.tolist(), strict=True)})
    return hashlib.sha256(json.dumps(truth, separators=(",", ":")).encode()).hexdigest()


def _seconds(records: list[dict[str, Any]]) -> float:
    shared = {(r["seed"], stage["name"]): stage["seconds"] for r in records for stage in r["stages"] if stage["scope"] == "run"}
    return float(sum(shared.values()) + sum(stage["seconds"] for r in records for stage in r["stages"] if stage["scope"] == "fold"))


def environment(device: str, threads: int) -> dict[str, Any]:
    """What the run ran on, for run.json. device: as the user would name it, "cpu" or "NVIDIA H200"; threads: of torch, since bits depend on them."""
    versions = {"merzoo": __version__, **{name: metadata.version(name) for name in ("torch", "numpy")}}
    return {"python": platform.python_version(), **versions, "platform": platform.platform(), "cpu": _cpu_name(), "device": device, "threads": threads}


def _check_same(there: Mapping[str, Any], asked: Mapping[str, Any], path: Path, resume: bool) -> None:
    differs = next(_differences(_asked(there), _asked(asked)), None)
    if differs:
        raise RunError(f"{path} holds a run asked differently: {differs}; choose another --out")
    if not resume:
        raise RunError(f"{path} already holds this run; continue it with --resume or choose another --out")
    other = next(_differences(there["environment"], asked["environment"]), None)
    if other:
        warnings.warn(f"{path} was begun elsewhere ({other}); its folds may differ in the last bits", MerzooWarning, stacklevel=3)


def _asked(facts: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in facts.items() if key not in _NOT_ASKED}
    if kept.get("protocol"):  # the hash stands for the folds, and for their order too
        kept["protocol"] = {key: kept["protocol"].get(key) for key in ("name", "hash")}
    return kept


def _differences(there: Any, here: Any, field: str = "") -> Iterator[str]:
    """Each field in which two JSON values differ, as "preset is 'full' there and 'small' here"."""
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        for key in sorted(there.keys() | here.keys()):
            yield from _differences(there.get(key), here.get(key), f"{field}.{key}" if field else key)
    elif there != here:
        yield f"{field} is {there!r} there and {here!r} here"


def _cpu_name() -> str:
    """The processor as /proc/cpuinfo names it, or what the platform knows elsewhere."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
