"""Whether the default precision costs score: the same models under LOSO in fp32 and in bf16 autocast, and the difference of UF1.

Both runs of a seed begin with the same weights and see the same batches, so the interval resamples subjects and seeds, the same for both (our choice; `merzoo
compare` lets each run have the noise of its own seeds, and its wider interval stands beside).

    python benchmarks/precision.py --out RUNS [--models …] [--seeds 5]      resumes where it was stopped; writes results/precision.json

Needs a processor (or a GPU) that multiplies bf16; else the default is fp32, and there is nothing to compare.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from merzoo.evaluation.compare import compare
from merzoo.evaluation.evaluate import evaluate
from merzoo.evaluation.pool import Predictions
from merzoo.evaluation.runs import RunFolder, predictions
from merzoo.files import dumps

DATA, PRESET = "synthetic:benchmark", "small"
MODELS = ("ststnet", "resnet18-difference")  # shallow, and deep with batch norms
RESAMPLES = 2000
RESULTS = Path(__file__).resolve().parent / "results" / "precision.json"


def main() -> None:
    """Run what is missing and write the differences after each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the run folders")
    parser.add_argument("--models", nargs="*", default=MODELS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1)
    args = parser.parse_args()
    found = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    for model in args.models:
        runs = []
        for precision in ("auto", "fp32"):
            out = args.out / f"{model}-{precision}"
            evaluate(model, DATA, out=out, preset=PRESET, seeds=args.seeds, precision=precision, jobs=args.jobs, resume=out.exists())
            runs.append(RunFolder.open(out))
        made = compare(*runs)
        found[model] = {
            "data": DATA, "preset": PRESET, "seeds": args.seeds, "environment": runs[0].facts["environment"], "bootstrap": made["bootstrap"],
            "paired": paired(*map(predictions, runs)), "precisions": [run.facts["precision"] for run in runs],
            "scores": [made[side]["scores"] for side in "ab"], "difference": made["difference"],
        }  # fmt: skip
        RESULTS.write_text(dumps(found), encoding="utf-8")
        print(f"{model}: {found[model]['paired']}; {made['verdict']}", flush=True)


def paired(a: Predictions, b: Predictions) -> dict[str, float]:
    """UF1 of A minus that of B, mean over seeds, with a 95 % interval, and the share of predictions in which both name the same class."""
    subjects, seeds = np.unique(a.subject), np.unique(a.seed)
    counts = [[[of(pool, (pool.subject == who) & (pool.seed == seed)) for who in subjects] for seed in seeds] for pool in (a, b)]
    difference = np.asarray(counts, float)  # [runs, seeds, subjects, (true positives, named, occurring), classes]
    rng = np.random.default_rng(0)
    drawn = [uf1(difference, rng.integers(len(seeds), size=len(seeds)), rng.integers(len(subjects), size=len(subjects))) for _ in range(RESAMPLES)]
    value = uf1(difference, np.arange(len(seeds)), np.arange(len(subjects)))
    low, high = np.quantile(drawn, (0.025, 0.975))
    return {"uf1_difference": float(value), "low": float(low), "high": float(high), "same_class": float((named(a) == named(b)).mean())}


def named(pool: Predictions) -> np.ndarray:
    """The class that each prediction names, in the order of seeds and samples."""
    return pool.predicted[np.lexsort((pool.sample_id, pool.seed))]


def of(pool: Predictions, mask: np.ndarray) -> list[np.ndarray]:
    """True positives, how often each class is named and how often it occurs, [classes] each."""
    truth, said = (np.eye(len(pool.classes))[positions[mask]] for positions in (pool.label, pool.predicted))
    return [(truth * said).sum(0), said.sum(0), truth.sum(0)]


def uf1(counts: np.ndarray, seeds: np.ndarray, subjects: np.ndarray) -> float:
    """UF1 of the first run minus that of the second, over drawn seeds and subjects."""
    right, said, there = np.moveaxis(counts[:, seeds][:, :, subjects].sum(2), 2, 0)
    first, second = (2 * right / np.maximum(said + there, 1)).mean(axis=(1, 2))
    return float(first - second)


if __name__ == "__main__":
    main()
