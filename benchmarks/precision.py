"""Whether the default precision costs score: the same models under LOSO in fp32 and in bf16 autocast, and the paired difference over subjects and seeds.

    python benchmarks/precision.py --out RUNS [--models …] [--seeds 5]      resumes where it was stopped; writes results/precision.json

Needs a processor (or a GPU) that multiplies bf16; else the default is fp32, and there is nothing to compare.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from merzoo.evaluation.compare import compare
from merzoo.evaluation.evaluate import evaluate
from merzoo.evaluation.runs import RunFolder
from merzoo.files import dumps

DATA, PRESET = "synthetic:benchmark", "small"
MODELS = ("ststnet", "off-apexnet")
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
            "precisions": [run.facts["precision"] for run in runs], "scores": [made[side]["scores"] for side in "ab"], "difference": made["difference"],
        }  # fmt: skip
        RESULTS.write_text(dumps(found), encoding="utf-8")
        print(f"{model}: {made['verdict']}", flush=True)


if __name__ == "__main__":
    main()
