"""A finished run as one result file, for the boards of others."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from merzoo.errors import ResultError
from merzoo.evaluation.multilabel import THRESHOLD
from merzoo.evaluation.protocols import natural
from merzoo.evaluation.records import MAX_TEXT, TIE
from merzoo.evaluation.run import Run
from merzoo.evaluation.runs import RunFolder, result
from merzoo.publish.sources import own_subjects, sources
from merzoo.results.about import about
from merzoo.results.migrate import SCHEMA
from merzoo.results.packed import PackedRun, hidden, renamed
from merzoo.text import plain

DIGITS = 6  # decimals of a probability
DATA = ("name", "part", "macro", "manifest_hash", "samples", "subjects")
FOLD = ("schema", "fold_id", "seed", "test_subjects", "stages", "state_sha256", "checks", "oracle", "perturbed")  # that name no sample


def pack(run: RunFolder, by: str = "", joined: bool | None = None) -> dict[str, Any]:
    """The content of a `scores` file (docs/results.md) of a finished run.

    by: who made it. joined: whether sample ids and labels stand in it (None: where all data are rendered by merzoo, which everybody has). Else ids are
    hashed, and labels and all that auxiliary tasks tell of clips are left out, since they are labels too. Probabilities are rounded to 6 decimals where
    that changes no decision; `result` is made from what is packed. The same run gives the same content.
    Raises `ResultError` for a run of training, an unfinished one, one with flipped labels, and a name that is no printable text; else as `result`.
    """
    if by and not (by.isprintable() and len(by) <= MAX_TEXT):
        raise ResultError(f"--by is not printable text of at most {MAX_TEXT} characters; give a name")
    facts, records = run.facts, check_whole(run)
    digest = facts["data"]["manifest_hash"]
    if joined is None:
        joined = all(source.kind == "synthetic" for source in sources(facts["data"]))
    if joined:
        kept = [_rounded(record) for record in records]
        made = result(PackedRun(run.path, facts, tuple(kept)))
    else:
        kept = [{**{key: record[key] for key in FOLD if key in record}, "predictions": record["predictions"]} for record in map(_rounded, records)]
        kept = [{**record, "predictions": [_bare(p) for p in record["predictions"]]} for record in kept]
        made = result(PackedRun(run.path, facts, tuple(kept)))
        kept = [{**record, "predictions": [_hashed(p, digest) for p in record["predictions"]]} for record in kept]
        facts = renamed(facts, lambda sample: hidden(digest, sample))
    shared = {
        "schema": SCHEMA,
        "kind": "scores",
        "created": str(facts["created"]),
        "by": by,
        **{key: facts[key] for key in ("model", "preset", "parts", "environment")},
        "options": facts.get("options", {}),  # older runs do not say
        **about(facts["model"]),
    }
    data = {key: facts["data"].get(key) for key in DATA}
    return json.loads(json.dumps({**shared, "run": facts, "folds": kept, "result": made, "data": data, "joined": joined}))


def check_whole(run: Run) -> list[dict[str, Any]]:
    """The folds of a run that may stand on a board. Raises `ResultError` for one that may not, and as `Run.folds`."""
    if share := run.facts.get("flip_labels"):
        raise ResultError(f"{run.path}: a share of {share:g} of its training labels was flipped, which is an experiment and no score")
    records, expected = list(run.folds()), len(run.seeds) * len(run.protocol.folds)
    if len(records) < expected:
        raise ResultError(f"{run.path}: only {len(records)} of {expected} folds are finished; continue it with --resume")
    return records


def names_of_people(run: Run) -> tuple[str, ...]:
    """Ids of people in the run that may be their names: of data of one's own, and of data sets that are not known here."""
    met = {subject for record in run.folds() for stage in record["stages"] for subject in stage["subjects"]}
    return own_subjects(sorted(met | run.test_subjects, key=natural), sources(run.facts["data"]))


def file_name(value: Mapping[str, Any]) -> str:
    """What a file of scores is called: MODEL-PRESET-DATA-PROTOCOL.json, and who made it, in small letters and digits."""
    data = value["data"]
    words = (value["model"], value["preset"], data["name"], data["part"] or "", value["result"]["protocol"]["name"], value["by"])
    return "-".join(filter(None, (re.sub(r"[^a-z0-9]+", "-", plain(word).lower()).strip("-")[:60] for word in words))) + ".json"


def _rounded(record: Mapping[str, Any]) -> dict[str, Any]:
    """A fold record whose probabilities are rounded, row by row where no decision changes: the class, each label, whether it is the last epoch's."""
    predictions = record["predictions"]
    last = record["oracle"]["epochs"][-1] if record.get("oracle") else None
    shares = _round([p["probabilities"] for p in predictions], last)
    made = {**record, "predictions": [{**p, "probabilities": row} for p, row in zip(predictions, shares, strict=True)]}
    if record.get("perturbed"):
        made["perturbed"] = {name: _round(rows) for name, rows in record["perturbed"].items()}
    for p in made["predictions"]:
        if p.get("auxiliary"):
            p["auxiliary"] = {task: {output: _round([row])[0] if row else row for output, row in outputs.items()} for task, outputs in p["auxiliary"].items()}
    return made


def _round(rows: list[list[float]], last: list[int] | None = None) -> list[list[float]]:
    exact = np.array(rows, dtype=np.float64)
    short = exact.round(DIGITS)

    def decided(shares: np.ndarray) -> np.ndarray:
        told = [shares.argmax(axis=1)[:, None], shares >= THRESHOLD]
        if last is not None:
            told.append(shares[np.arange(len(shares)), last][:, None] < shares.max(axis=1, keepdims=True) - TIE)
        return np.concatenate(told, axis=1)

    same = (decided(exact) == decided(short)).all(axis=1, keepdims=True)
    return np.where(same, short, exact).tolist()


def _bare(prediction: Mapping[str, Any]) -> dict[str, Any]:
    return {key: prediction[key] for key in ("sample_id", "subject", "label", "probabilities")}


def _hashed(prediction: Mapping[str, Any], digest: str) -> dict[str, Any]:
    return {"sample_id": hidden(digest, prediction["sample_id"]), **{key: prediction[key] for key in ("subject", "probabilities")}}
