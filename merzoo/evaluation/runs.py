"""The run folder: run.json (what was asked), folds/<seed>/<fold_id>.json (what came out), result.json (scores made from the folds alone).

Each file is written whole or not at all, so a killed run is continued from the folds that stand.
"""

from __future__ import annotations

import contextlib
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from merzoo.errors import RunError
from merzoo.evaluation.auxiliary import auxiliary
from merzoo.evaluation.bootstrap import RESAMPLES
from merzoo.evaluation.oracle import oracle
from merzoo.evaluation.pool import Predictions
from merzoo.evaluation.records import SCHEMA, check_fold, check_run, check_truth
from merzoo.evaluation.results import perturbed, pooled, scored
from merzoo.evaluation.resuming import check_same
from merzoo.evaluation.run import Run
from merzoo.files import dumps, is_leftover, make_folder, read_json, write_atomically
from merzoo.version import __version__

_KEPT: dict[str, tuple[str, ...]] = {  # of run.json in result.json, and the fields that were checked where there could be more
    "model": (),
    "preset": (),
    "parts": ("backbone", "head", "auxiliary", "strategy"),
    "weights": ("tag", "sha256"),
    "data": ("name", "part", "macro", "manifest_hash", "samples", "subjects"),
    "task": (),
    "labels": (),
    "seeds": (),
    "precision": (),
    "parameters": (),
    "reference": (),
    "environment": (),
}


@dataclass(frozen=True)
class RunFolder(Run):
    """A folder that holds one run. Make it with `create`, or read one with `open`."""

    @classmethod
    def create(cls, path: Path | str, facts: Mapping[str, Any], resume: bool = False) -> RunFolder:
        """Start a run, or with `resume` continue the same one.

        facts: {kind: "evaluation" | "training", model, preset, parts, weights: null | {tag, sha256}, data: {name, part, manifest_hash, samples, subjects},
        protocol: `Protocol.to_json()` (evaluation only), labels, seeds, precision, environment: `environment(…)`} and what else the caller wants kept
        (known: "parameters", an int, "reference", a bool, "flip_labels", a share, "perturb", the conditions of each fold's "perturbed", and "options" and
        "views": what the preset stands for). Schema and time of creation are added here.
        Raises `RunError` for a folder that cannot be written, that is neither empty nor a run, or that holds a run asked differently (says in what);
        warns where a continued run began in another environment.
        """
        path = Path(path)
        facts = json.loads(dumps({"schema": SCHEMA, **facts, "created": datetime.now(UTC).isoformat(timespec="seconds")}))
        check_run(facts, path / "run.json")
        make_folder(path)
        if (path / "run.json").exists():
            run = cls.open(path)
            check_same(run.facts, facts, path, resume)
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
        run = cls(path, facts)
        run.check()
        return run

    @property
    def where(self) -> str:
        """run.json."""
        return str(self.path / "run.json")

    def fold_path(self, seed: int, fold_id: str) -> Path:
        """Where a fold stands. Raises `RunError` for a seed or fold that this run does not have."""
        if seed not in self.seeds or fold_id not in self.protocol.by_id:
            raise RunError(f"{self.path} has no fold {fold_id!r} under seed {seed}; its seeds are {self.seeds}, its folds those of its protocol")
        return self.path / "folds" / str(seed) / f"{fold_id}.json"

    def has_fold(self, seed: int, fold_id: str) -> bool:
        """Whether a fold is finished."""
        return self.fold_path(seed, fold_id).is_file()

    def write_fold(self, seed: int, fold_id: str, record: Mapping[str, Any]) -> None:
        """Write a finished fold, whole or not at all.

        record: {test_subjects, stages: [{name, scope: "fold" | "run", subjects, steps, seconds, loss}], state_sha256, predictions: [{sample_id, subject,
        label: a name of the class list, probabilities: C numbers, auxiliary (optional): {task: {output: numbers}}}]}; schema, fold_id and seed are added here.
        In a multi-label run a label is names joined by "+" ("" = none). Optional: "oracle": {"stage", "epochs": [[position of the predicted class, one a
        prediction], one list an epoch, the last that of the predictions]} (not multi-label); "checks": {name: bool or number}; "perturbed": {condition:
        [probabilities, one list a prediction]}; "auxiliary_outputs": {task: {output: names}} of what is scored, each prediction then having
        "auxiliary_truth": {task: {output: [1, 0 or null]}}.
        Raises `LeakageError` where a stage saw a test subject, `RunError` for a record that could not be read back (such as one without a stage, or with a
        stage without subjects), or a folder that cannot be written.
        """
        path = self.fold_path(seed, fold_id)
        full = json.loads(dumps({"schema": SCHEMA, "fold_id": fold_id, "seed": seed, **record}))
        check_fold(full, seed, self.protocol.by_id[fold_id], self.labels, self.task, self.test_subjects, path)
        make_folder(path.parent)
        write_atomically(path, dumps(full))

    def read_fold(self, seed: int, fold_id: str) -> dict[str, Any]:
        """A finished fold, checked. Raises as `Run.read_fold`."""
        path = self.fold_path(seed, fold_id)
        record = read_json(path)
        check_fold(record, seed, self.protocol.by_id[fold_id], self.labels, self.task, self.test_subjects, path)
        return record

    def stray(self) -> list[str]:
        """Files of folds that this run's protocol and seeds do not have."""
        asked = {str(seed) for seed in self.seeds}
        return [str(file) for file in self._files() if file.parent.name not in asked or file.stem not in self.protocol.by_id]

    def _files(self) -> list[Path]:
        return sorted((self.path / "folds").glob("*/*.json"))


def predictions(run: Run) -> Predictions:
    """The predictions of all finished folds, seeds and draws.

    Raises as `RunFolder.folds`, and `RunError` for no fold, or a sample whose label or subject varies.
    """
    return pooled(run.path, run.labels, run.task, run.protocol, list(run.folds()))


def result(run: Run, resamples: int = RESAMPLES) -> dict[str, Any]:
    """What result.json holds, made from the folds alone. An unfinished run gives the scores so far and "complete": false.

    What `merzoo.evaluation.results.scored` says of the predictions, and: auxiliary (see `merzoo.evaluation.auxiliary`); perturbed, {condition: scores} where
    harder clips were asked for; oracle, where every fold kept its epochs (see `merzoo.evaluation.oracle`); folds; seconds: of all stages, one that serves all
    folds counted once a seed; training_subjects: how many people some stage saw; flip_labels: the share of training clips that got a wrong class; and of
    run.json what names the run.
    Warns where a class never occurs in the truth. Raises as `predictions`, and `RunError` where a fold lacks a condition that was asked for, or
    what is known of a sample for auxiliary tasks varies.
    """
    records = list(run.folds())
    pool = pooled(run.path, run.labels, run.task, run.protocol, records)
    check_truth(records, run.path)
    expected = len(run.seeds) * len(run.protocol.folds)
    conditions = run.facts.get("perturb") or []
    harder = {"perturbed": perturbed(run.path, run.labels, run.task, run.protocol, records, conditions, resamples)} if conditions else {}
    return {
        **{key: _kept(run.facts.get(key), fields) for key, fields in _KEPT.items()},
        "flip_labels": run.facts.get("flip_labels", 0.0),
        "schema": SCHEMA,
        "protocol": {"name": run.protocol.name, "hash": run.protocol.hash, "folds": len(run.protocol.folds)},
        **scored(pool, run.protocol, resamples, f"{run.path}: "),
        **({"auxiliary": found} if (found := auxiliary(run.path, run.protocol, records, resamples)) else {}),
        **harder,
        **({"oracle": chosen} if (chosen := oracle(pool, records)) else {}),
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


def _kept(value: Any, fields: tuple[str, ...]) -> Any:
    return {field: value.get(field) for field in fields} if fields and value is not None else value


def _seconds(records: list[dict[str, Any]]) -> float:
    shared = {(r["seed"], stage["name"]): stage["seconds"] for r in records for stage in r["stages"] if stage["scope"] == "run"}
    return float(sum(shared.values()) + sum(stage["seconds"] for r in records for stage in r["stages"] if stage["scope"] == "fold"))


def environment(device: str, threads: int) -> dict[str, Any]:
    """What the run ran on, for run.json. device: as the user would name it, "cpu" or "NVIDIA H200"; threads: of torch, since bits depend on them."""
    versions = {"merzoo": __version__, **{name: metadata.version(name) for name in ("torch", "numpy")}}
    return {"python": platform.python_version(), **versions, "platform": platform.platform(), "cpu": _cpu_name(), "device": device, "threads": threads}


def _cpu_name() -> str:
    """The processor as /proc/cpuinfo names it, or what the platform knows elsewhere."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
