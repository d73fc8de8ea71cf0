"""Many result files that hold what they say: made-up models on the true clips of the synthetic faces, and made-up times. For tests and measurements of boards.

python -m merzoo.testing.many_results FOLDER [N]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from merzoo.benchmark.statistics import rounded, summary
from merzoo.data.synthetic import SyntheticFaces
from merzoo.evaluation.protocols import Fold, Protocol
from merzoo.evaluation.runs import result
from merzoo.evaluation.splits import loso
from merzoo.files import make_folder
from merzoo.registry import list_models
from merzoo.results.about import about
from merzoo.results.migrate import SCHEMA
from merzoo.results.packed import PackedRun
from merzoo.results.reading import write

ENVIRONMENT = {
    "python": "3.12.1",
    "merzoo": "0.1.0",
    "torch": "2.11.0",
    "numpy": "2.3.0",
    "platform": "Linux-6.1-x86_64",
    "cpu": "Made-up CPU @ 3 GHz",
    "device": "cpu",
    "threads": 2,
}
EVERYBODY = ("Ada", "Grace", "Emmy", "Sofja")  # who made them


def write_results(folder: Path | str, n: int, part: str = "benchmark", samples: int = 1000) -> list[Path]:
    """Write n result files that a board takes as consistent: one half `scores` (LOSO of all clips of the part, one seed), the other the `cost` of the same
    models. Installed models come first, then made-up ones. samples: times of a latency. The same arguments give the same files.
    """
    folder = Path(folder)
    make_folder(folder)
    data = SyntheticFaces(part)
    table = data.table()
    protocol, clips = loso(table), table.set_index("sample_id")
    names = [*list_models(), *(f"net-{i:03d}" for i in range(n))]
    written = []
    for at in range(n):
        model, rng = names[at // 2], np.random.default_rng([7, at])
        shared = {
            "schema": SCHEMA,
            "created": f"2026-01-{1 + at % 28:02d}T{at % 24:02d}:00:00+00:00",
            "by": EVERYBODY[at % len(EVERYBODY)],
            "model": model,
            "preset": "small",
            "options": {"strategy": {"epochs": at}},
            "environment": ENVIRONMENT,
            "parts": {"backbone": model, "head": "linear", "auxiliary": [], "strategy": "supervised"},
            **about(model),
        }
        path = folder / f"{at // 2:04d}-{'cost' if at % 2 else 'scores'}.json"
        write(path, {**shared, **(cost(rng, samples) if at % 2 else scores(path, shared, data, protocol, clips, rng))})
        written.append(path)
    return written


def scores(path: Path, shared: dict[str, Any], data: SyntheticFaces, protocol: Protocol, clips: Any, rng: np.random.Generator) -> dict[str, Any]:
    """What a `scores` file holds besides what every file holds; a random share of its predictions is right."""
    facts = {
        **{key: shared[key] for key in ("created", "model", "preset", "options", "parts", "environment")},
        "schema": 1,
        "kind": "evaluation",
        "weights": None,
        "protocol": protocol.to_json(),
        "task": data.task,
        "labels": list(data.labels),
        "seeds": [0],
        "precision": "fp32",
        "parameters": int(rng.integers(1_000, 10_000_000)),
        "flip_labels": 0.0,
        "perturb": [],
        "audit": False,
    }
    tested = [sample for fold in protocol.folds for sample in fold.test_ids]
    about_data = {"name": data.name, "part": data.part, "macro": None, "manifest_hash": data.manifest_hash}
    facts["data"] = {**about_data, "samples": len(tested), "subjects": len(protocol.folds)}
    skill = rng.uniform(0.1, 0.9)
    records = tuple(_fold(fold, protocol, clips, data.labels, skill, rng) for fold in protocol.folds)
    return {"kind": "scores", "run": facts, "folds": records, "result": result(PackedRun(path, facts, records)), "data": facts["data"], "joined": True}


def _fold(fold: Fold, protocol: Protocol, clips: Any, labels: tuple[str, ...], skill: float, rng: np.random.Generator) -> dict[str, Any]:
    predictions = []
    for sample in fold.test_ids:
        label, shares = clips.at[sample, "emotion"], rng.dirichlet(np.ones(len(labels)))
        guess = labels.index(label) if rng.random() < skill else int(rng.integers(len(labels)))
        top = int(shares.argmax())
        shares[[guess, top]] = shares[[top, guess]]
        predictions.append({"sample_id": sample, "subject": clips.at[sample, "subject"], "label": label, "probabilities": shares.round(6).tolist()})
    others = [subject for other in protocol.folds if other is not fold for subject in other.test_subjects]
    stage = {"name": "supervised", "scope": "fold", "subjects": others, "steps": 100, "seconds": float(rng.uniform(1, 60)), "loss": 0.4}
    told = {"schema": 1, "fold_id": fold.fold_id, "seed": 0, "test_subjects": list(fold.test_subjects), "stages": [stage]}
    return {**told, "state_sha256": rng.bytes(32).hex(), "predictions": predictions}


def cost(rng: np.random.Generator, samples: int = 1000) -> dict[str, Any]:
    """What a `cost` file holds besides what every file holds: one latency and a sweep of three batch sizes, on a CPU."""
    base, rate, copied = float(rng.uniform(500, 50_000)), 2e11, 1e10
    flops, moved = int(base * 1e5), int(base * 1e3)
    measurements = [_measured(rng, base, samples, "latency", 1, max(flops / rate, moved / copied) * 1e6)]
    measurements += [_measured(rng, base * batch**0.8, 50, "throughput", batch, None, knee=batch == 64) for batch in (4, 16, 64)]
    blocks = [rounded(float(time)) for time in rng.normal(3000, 10, 8)]
    spread = (max(blocks) - min(blocks)) / float(np.median(blocks))
    return {
        "kind": "cost",
        "weights": None,
        "parameters": int(rng.integers(1_000, 10_000_000)),
        "inputs": {"flow": [2, 112, 112]},
        "looks": 1,
        "flops": flops,
        "bytes": moved,
        "roofline": {"copy_bytes_per_second": copied, "matmul_flops_per_second": {"fp32": rate}},
        "noise": {"blocks_us": blocks, "spread": spread, "limit": 0.03, "noisy": spread > 0.03},
        "measurements": measurements,
        "skipped": [{"scenario": "latency", "precision": "tf32", "layout": None, "mode": None, "batch": 1, "reason": "no GPU"}],
    }


def _measured(rng: np.random.Generator, base: float, samples: int, scenario: str, batch: int, floor: float | None, knee: bool | None = None) -> dict[str, Any]:
    times = [rounded(float(time)) for time in base * (1 + rng.gamma(2, 0.02, samples))]
    told = summary(times)
    return {
        "scenario": scenario,
        "precision": "fp32",
        "layout": "contiguous",
        "mode": "eager",
        "batch": batch,
        "about": {},
        "samples_us": times,
        "device_us": None,
        "summary": told,
        "device_p50": None,
        "warm_up": {"calls": 30, "seconds": 1.5, "steady": True},
        "per_second": batch / told["p50"] * 1e6 if scenario == "throughput" else None,
        "knee": knee,
        "peak_bytes": int(base * 1e3 * batch),
        "energy_joules": None,
        "floor_us": floor,
        "check": {"error": 1e-6, "tolerance": 1e-4, "ok": True},
        "faults": [],
    }


if __name__ == "__main__":
    print(f"{len(write_results(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 500))} files in {sys.argv[1]}")
