"""Boards of made-up runs and costs, for the tests of the page."""

from __future__ import annotations

import hashlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np

from merzoo.evaluation.fewshot import few_shot
from merzoo.leaderboard.build import collect
from merzoo.testing.runs import clip_table, write_run

CREATED = "2026-11-20T10:00:00Z"
GPU, CPU = "NVIDIA H200", "toy cpu, 2 threads"  # as the page names them
SAME = {"part": "", "macro": "", "preset": "small"}
PAPER = {
    "title": "Shallow Streams {on} Flow & Strain",
    "authors": "Ada Müller, Sun-Yi Li",
    "year": 2019,
    "arxiv": "1902.03634",
    "reported": [
        {"data": "toy:benchmark", "protocol": "loso", "metric": "uf1", "value": 0.735, "table": "table 2", "note": "best epoch", **SAME},
        {"data": "megc2019", "protocol": "loso", "metric": "uar", "value": None, "table": "", "note": "", **SAME, "part": "casme2"},
    ],
}
FIDELITY = [["", "the paper says", "our choice"], ["input", "flow, 28 px", "the same"], ["numbers", "UF1 0.735", "see the board"]]
MODELS = {  # skill, ms
    "streams": (0.7, 2.1),
    "deepnet-ma2mi": (0.68, 9.7),
    "deepnet": (0.6, 9.5),
    "clipnet": (0.52, 31.0),
    "flow-svm": (0.57, 0.41),
    "resnet18-apex": (0.1, 5.4),
}


class Page(HTMLParser):
    """The tags of a page with their attributes, its ids, what it points to, and the text of each script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[str | None, str]] = []
        self.feed(text)
        self.ids = [found["id"] for _, found in self.attributes if found.get("id")]
        self.links = [value for _, found in self.attributes for name, value in found.items() if name in ("href", "src", "srcset", "data", "action") and value]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append((dict(attrs).get("type"), ""))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)


def made_board(folder: Path) -> dict[str, Any]:
    """Six models on two data sets and with few clips, costs on two machines, a reference, and a run that is left out."""
    table, other = clip_table(subjects=12, samples=8), clip_table(subjects=5, seed=4)
    for name, (skill, _) in MODELS.items():
        epochs = 8 if name == "streams" else 0
        write_run(folder / name, table, skill=skill, epochs=epochs, model=name, seeds=[0, 1, 2], parameters=int(10 ** (3 + 3 * skill)))
    write_run(folder / "chance", table, skill=0.0, model="chance", reference=True)
    data = {"name": "other", "part": None, "manifest_hash": "cd" * 32, "samples": 25, "subjects": 5}
    write_run(folder / "elsewhere", other, skill=0.9, model="streams", data=data, environment={"python": "3.11.9", "device": "cpu"})
    for k in (1, 3):
        protocol = few_shot(table[table["kind"] == "micro"], k, draws=3).to_json()
        machine = {"python": "3.12.1", "device": "cpu", "threads": k}  # in which they differ, so that none is taken for a copy
        write_run(folder / f"few-{k}", table, skill=0.2 + k / 10, model="streams", protocol=protocol, environment=machine)
    write_run(folder / "half", table, model="half", folds=2)
    board = collect(folder, 200)
    timed = {name: ms for name, (_, ms) in MODELS.items() if name != "resnet18-apex"}
    costs = [cost(name, "small", device, ms * factor) for device, factor in (("cpu", 1), (GPU, 0.1)) for name, ms in timed.items()]
    return dressed(board, [*costs, cost("giant", "full", GPU, 12.0)])


def dressed(board: dict[str, Any], costs: list[dict[str, Any]]) -> dict[str, Any]:
    """The board with what its rows say of their makers, and costs."""
    for group in board["groups"]:
        for row in group["rows"] + group["references"]:
            row |= {"source": f"{row['run']}.json", "status": "consistent", "by": "Ada", "created": CREATED, "paper": None, "fidelity": []}
            if row["model"] == "streams":
                row |= {"status": "re-run", "paper": PAPER, "fidelity": FIDELITY}
                row["rerun"] = {"by": "Grace", "source": "grace/streams.json", "also": []}
                row["rerun"]["difference"] = {metric: {"value": 0.01, "low": -0.03, "high": 0.05, "p_bootstrap": 0.6} for metric in group["metrics"]}
            if row["model"] == "streams" and group["protocol"]["name"] == "loso":
                clean = row["scores"]
                row["perturbed"] = {
                    f"{kind}={level}": {m: {k: s[k] * (1 - 0.1 * n) for k in s} for m, s in clean.items()}
                    for kind, levels in (("pixel-noise", (5, 10, 20)), ("jpeg", (90, 70, 50)))
                    for n, level in enumerate(levels)
                }
    return {**board, "costs": costs}


def cost(model: str, preset: str, device: str, ms: float) -> dict[str, Any]:
    """A cost as docs/results.md says, at a median of about `ms` in fp32 and eager."""
    rng = np.random.default_rng(list(hashlib.sha256(f"{model} {device}".encode()).digest()[:8]))
    gpu = device != "cpu"
    modes = [("fp32", "eager", 1.0), ("bf16", "eager", 0.7), *([("bf16", "cuda-graph", 0.3)] if gpu else [])]
    measurements = [m for precision, mode, factor in modes for m in _timed(rng, ms * factor, precision, mode, gpu)]
    measurements += [
        _measurement(rng, "train-step", ms * 20, gpu, precision="fp32", layout="channels-last", mode="eager", batch=32, per_second=1600 / ms),
        _measurement(rng, "load", 180, gpu, about={"state": "cold"}),
        _measurement(rng, "views", 4.2, gpu, about={"input": "flow", "view": "flow"}),
    ]
    return {
        "source": f"{model}-{device}.json",
        "by": "Ada",
        "created": CREATED,
        "status": "consistent",
        "model": model,
        "preset": preset,
        "options": {},
        "parameters": 412_337,
        "environment": {"python": "3.12.1", "merzoo": "0.1.0", "torch": "2.11.0", "cpu": "toy cpu", "device": device, "threads": 2},
        "device": device,
        "flops": 1_270_000_000,
        "bytes": 2_000_000,
        "looks": 1,
        "inputs": {"flow": [2, 112, 112]},
        "roofline": {"copy_bytes_per_second": 2.1e10, "matmul_flops_per_second": {"fp32": 1.1e11, "bf16": 2.2e11}},
        "noise": {"blocks_us": [100, 101, 102], "spread": 0.02, "limit": 0.03, "noisy": False},
        "measurements": measurements,
        "skipped": [{"scenario": "latency", "precision": "fp16", "layout": "contiguous", "mode": "compiled", "batch": 1, "reason": "no compiler"}],
        "parts": {"backbone": model, "head": "linear", "auxiliary": [], "strategy": "supervised"},
        "weights": None,
    }


def _timed(rng: np.random.Generator, ms: float, precision: str, mode: str, gpu: bool) -> list[dict[str, Any]]:
    how = {"precision": precision, "layout": "channels-last", "mode": mode}
    made = [_measurement(rng, "latency", ms, gpu, batch=1, check={"error": 1e-5, "tolerance": 1e-3, "ok": True}, **how)]
    for batch in (1, 8, 64):
        rate = 1000 / ms * batch / (1 + batch / 20)
        made.append(_measurement(rng, "throughput", 1000 * batch / rate, gpu, batch=batch, per_second=rate, knee=batch == 64, **how))
    return made


def _measurement(rng: np.random.Generator, scenario: str, ms: float, gpu: bool, **changed: Any) -> dict[str, Any]:
    p50 = 1000 * ms * float(rng.uniform(0.95, 1.05))
    spread = float(rng.uniform(0.01, 0.2))
    times = {"mean": p50, "p50": p50, "p95": p50 * (1 + spread), "p99": p50 * (1 + 2 * spread), "min": p50 * 0.9, "max": p50 * 3, "iqr": p50 * spread / 4}
    times |= {"p50_interval": [p50 * 0.98, p50 * 1.02], "p95_interval": [p50 * 1.1, p50 * 1.3]}
    return {
        "scenario": scenario,
        **dict.fromkeys(("precision", "layout", "mode", "batch", "per_second", "knee", "check")),
        "about": {},
        "device_us": None,
        "device_p50": None,
        "summary": {"count": 1000, **times, "outliers": 7},
        "warm_up": {"calls": 50, "seconds": 0.4, "steady": True},
        "peak_bytes": 18_400_000,
        "energy_joules": 0.05 if gpu else None,
        "floor_us": p50 * 0.3 if scenario in ("latency", "throughput") else None,
        "faults": [],
        **changed,
    }
