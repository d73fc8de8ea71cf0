"""Runs with random predictions, written through the real run folder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from merzoo.evaluation.protocols import Fold
from merzoo.evaluation.runs import RunFolder
from merzoo.evaluation.splits import loso

if TYPE_CHECKING:
    import pandas as pd

LABELS = ("negative", "positive", "surprise")
ENVIRONMENT = {
    "python": "3.12.1",
    "merzoo": "0.1.0",
    "torch": "2.11.0",
    "numpy": "2.3.0",
    "platform": "Linux",
    "cpu": "toy cpu",
    "device": "cpu",
    "threads": 1,
}


def clip_table(subjects: int = 6, samples: int = 4, seed: int = 0) -> pd.DataFrame:
    """A clip table of a made-up set "toy": `samples` micro-expressions a subject and one macro clip each."""
    import pandas as pd

    rng = np.random.default_rng(seed)
    rows: list[tuple[str, str, str, str]] = []
    for s in range(1, subjects + 1):
        rows += [(f"s{s}_{i}", f"toy/s{s}", "micro", LABELS[rng.integers(3)]) for i in range(samples)] + [(f"s{s}_macro", f"toy/s{s}", "macro", LABELS[0])]
    return pd.DataFrame(rows, columns=["sample_id", "subject", "kind", "emotion"])


def facts(table: pd.DataFrame, **changed: Any) -> dict[str, Any]:
    """What run.json says of an evaluation on that table."""
    protocol = loso(table)
    return {
        "kind": "evaluation",
        "model": "toynet",
        "preset": "small",
        "parts": {"backbone": "toynet", "head": "linear", "auxiliary": [], "strategy": "supervised"},
        "weights": None,
        "data": {"name": "toy", "part": "benchmark", "manifest_hash": "ab" * 32, "samples": len(table), "subjects": table["subject"].nunique()},
        "protocol": protocol.to_json(),
        "task": "classes",
        "labels": list(LABELS),
        "seeds": [0],
        "precision": "fp32",
        "environment": dict(ENVIRONMENT),
        **changed,
    }


def record(table: pd.DataFrame, fold: Fold, seed: int, skill: float = 0.5, epochs: int = 0, labels: Sequence[str] = LABELS) -> dict[str, Any]:
    """A fold record in which a share `skill` of the predictions is right by construction and the rest is drawn at random.

    epochs: how many to keep as `evaluate --audit` does; all but the last are drawn at random. labels: the class list.
    """
    rng = np.random.default_rng([seed, *fold.fold_id.encode()])
    rows = table.set_index("sample_id").loc[list(fold.test_ids)]
    predictions: list[dict[str, Any]] = []
    for sample, row in rows.iterrows():
        guess = [*labels].index(row["emotion"]) if rng.random() < skill else int(rng.integers(len(labels)))
        shares = rng.dirichlet([1] * len(labels))
        top = int(shares.argmax())
        shares[[guess, top]] = shares[[top, guess]]
        predictions.append({"sample_id": sample, "subject": row["subject"], "label": row["emotion"], "probabilities": shares.tolist()})
    others = sorted(set(table["subject"]) - set(fold.test_subjects))
    made: dict[str, Any] = {
        "test_subjects": list(fold.test_subjects),
        "stages": [{"name": "supervised", "scope": "fold", "subjects": others, "steps": 10, "seconds": 1.5, "loss": 0.4}],
        "state_sha256": hashlib.sha256(f"{seed} {fold.fold_id}".encode()).hexdigest(),
        "predictions": predictions,
    }
    if epochs:
        last = [int(np.argmax(p["probabilities"])) for p in predictions]
        made["oracle"] = {"stage": "supervised", "epochs": [*rng.integers(len(labels), size=(epochs - 1, len(last))).tolist(), last]}
    return made


def write_run(path: Path, table: pd.DataFrame, skill: float = 0.5, folds: int | None = None, epochs: int = 0, **changed: Any) -> RunFolder:
    """A run folder with the first `folds` folds (by default all) of each seed finished."""
    run = RunFolder.create(path, facts(table, **changed))
    for seed in run.seeds:
        for fold in run.protocol.folds[:folds]:
            run.write_fold(seed, fold.fold_id, record(table, fold, seed, skill, epochs, run.labels))
    return run


def write_synthetic_run(path: Path, part: str = "tiny", **changed: Any) -> RunFolder:
    """A run on the clips of the synthetic faces, whose labels and folds can be compared with the data set. Other arguments: as `write_run`."""
    from merzoo.data.synthetic import SyntheticFaces

    faces = SyntheticFaces(part)
    table = faces.table()
    micro = table[table["kind"] == "micro"]
    data: dict[str, Any] = {"name": faces.name, "part": part, "macro": None, "manifest_hash": faces.manifest_hash}
    data |= {"samples": len(micro), "subjects": micro["subject"].nunique()}
    return write_run(path, micro, **{"labels": list(faces.labels), "data": data, "options": {}, **changed})
