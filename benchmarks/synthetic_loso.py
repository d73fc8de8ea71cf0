"""The first board: small models under LOSO on the synthetic benchmark identities, three seeds, with the paired differences that the README quotes.

    python benchmarks/synthetic_loso.py --out RUNS [--jobs N]      resumes where it was stopped; writes benchmarks/results/synthetic_loso.json

Nothing was tuned on these identities: settings were chosen on `synthetic:development`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from merzoo.data.synthetic.fairness import fairness
from merzoo.evaluation.compare import compare
from merzoo.evaluation.evaluate import evaluate
from merzoo.evaluation.runs import RunFolder
from merzoo.leaderboard.build import build

DATA = "synthetic:benchmark"
MODELS = ("flow-svm", "miacnet", "miacnet-ma2mi", "resnet18-apex")
PAIRS = (("miacnet", "resnet18-apex"), ("miacnet", "flow-svm"), ("miacnet-ma2mi", "miacnet"), ("miacnet-ma2mi", "flow-svm"))
RESULTS = Path(__file__).parent / "results" / "synthetic_loso.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the run folders")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--models", nargs="*", default=MODELS)
    args = parser.parse_args()
    results: dict[str, Any] = {}
    for model in args.models:
        started = time.monotonic()
        out = args.out / model
        results[model] = evaluate(model, DATA, out=out, preset="small", seeds=args.seeds, jobs=args.jobs, resume=out.exists())
        print(f"{model}: UF1 {results[model]['scores']['uf1']} in {time.monotonic() - started:.0f} s", flush=True)
    differences = [difference(args.out, a, b) for a, b in PAIRS if a in results and b in results]
    fair = fairness("benchmark")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"data": DATA, "models": results, "differences": differences, "fairness": fair}, indent=1, default=str) + "\n")
    build(args.out, args.out / "board")
    json.dump({"differences": differences, "fairness": fair}, sys.stdout, indent=1, default=str)


def difference(folder: Path, a: str, b: str) -> dict[str, Any]:
    """The paired differences, A minus B, without the folders' names: those are of one machine."""
    found = compare(RunFolder.open(folder / a), RunFolder.open(folder / b))
    return {"a": a, "b": b, "difference": found["difference"], "verdict": found["verdict"], "bootstrap": found["bootstrap"]}


if __name__ == "__main__":
    main()
