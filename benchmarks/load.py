"""How long `merzoo.load` takes, beyond importing torch, of a model in the Hub's cache, and what remembering its sha256 is worth.

    python benchmarks/load.py [--model NAME] [--preset full] [--runs 7]      writes benchmarks/results/load.json

Every run is a fresh process, which imports torch before the clock starts. `first` has to hash the file, as right after the download; `later` finds the hash
remembered. The default is MIACNet with wider layers, which is just above ten million parameters. `timm` says whether the network's code imports timm, which
takes one to two seconds more, as torchvision does; those are not ours.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from merzoo.files import dumps
from merzoo.loading import load
from merzoo.published import CONFIG, WEIGHTS, config_of
from merzoo.weights import write

RESULTS = Path(__file__).parent / "results" / "load.json"
COMMIT = "0" * 40
ONE = """
import sys, time, torch
began = time.perf_counter()
import merzoo
model = merzoo.load(sys.argv[1])
print(time.perf_counter() - began, "timm" in sys.modules, sum(p.numel() for p in model.parameters()))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="miacnet,backbone.mlp_ratio=6")
    parser.add_argument("--preset", default="full")
    parser.add_argument("--runs", type=int, default=7)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        size = publish(args.model, args.preset, folder / "hub" / "models--org--net" / "snapshots" / COMMIT)
        time.sleep(2.5)  # what changed less than two seconds ago is not remembered
        first, later = [], []
        for _ in range(args.runs):
            shutil.rmtree(folder / "cache", ignore_errors=True)
            first.append(one(folder))
            later.append(one(folder))
    found = {
        "model": args.model, "preset": args.preset, "parameters": int(later[0][2]), "bytes": size, "timm": later[0][1] == "True",
        "milliseconds_beyond_torch": {"first": milliseconds(first), "later": milliseconds(later)}, "runs": args.runs,
        "machine": platform.machine(), "cores": os.cpu_count(), "torch": torch.__version__,
    }  # fmt: skip
    RESULTS.write_text(dumps(found), encoding="utf-8")
    print(dumps(found))


def publish(model: str, preset: str, folder: Path) -> int:
    """A published model with random weights where the Hub's client keeps its snapshots; gives the size of the weights in bytes."""
    folder.mkdir(parents=True)
    recognizer = load(model, None, preset=preset, labels=["negative", "positive", "surprise"])
    card = {"model": model, "preset": preset, "labels": list(recognizer.labels), "task": recognizer.task, "trained_on": {"data": "none", "subjects": []}}
    write(folder / WEIGHTS, recognizer.saved(), card)
    config = config_of(recognizer, folder / WEIGHTS, card)
    (folder / CONFIG).write_text(dumps(config.to_json()), encoding="utf-8")
    return (folder / WEIGHTS).stat().st_size


def one(folder: Path) -> list[str]:
    """Seconds, whether timm was imported, and parameters, told by a fresh process."""
    environment = {**os.environ, "HF_HUB_CACHE": str(folder / "hub"), "MERZOO_CACHE": str(folder / "cache"), "HF_HUB_OFFLINE": "1"}
    return subprocess.check_output([sys.executable, "-c", ONE, f"hf-hub:org/net@{COMMIT}"], env=environment, text=True).split()


def milliseconds(runs: list[list[str]]) -> dict[str, float]:
    """Median and extremes."""
    times = [1000 * float(run[0]) for run in runs]
    return {"median": round(statistics.median(times)), "min": round(min(times)), "max": round(max(times))}


if __name__ == "__main__":
    main()
