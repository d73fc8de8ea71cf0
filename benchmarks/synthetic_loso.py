"""Every model under LOSO on the synthetic benchmark identities, small preset, three seeds, with the paired differences that the README quotes.

    python benchmarks/synthetic_loso.py --out RUNS [--models …] [--jobs N]     resumes where it was stopped; writes results/synthetic_loso.json
    python benchmarks/synthetic_loso.py --table                                writes the tables of README.md and docs/synthetic.md
                                                                               from results/synthetic_loso.json

Models that are not asked for keep what was measured of them. Nothing was tuned on these identities: settings were chosen on `synthetic:development`.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from command import put_table

from merzoo.data.synthetic.fairness import fairness
from merzoo.evaluation.compare import compare
from merzoo.evaluation.evaluate import evaluate
from merzoo.evaluation.runs import RunFolder

DATA = "synthetic:benchmark"
NOTES = {  # model: what the README says of it
    "miacnet-ma2mi": "MIACNet pre-trained without labels on macro clips of other people",
    "miacnet": "MIACNet, two branches in MMNet's manner, from random weights",
    "lightmannet": "LightmanNet: episodes, macro alignment, second order",
    "famnet": "FAMNet: apex and clip, action units beside",
    "amnet3d": "its clip branch alone",
    "amnet2d": "its apex branch alone: one picture",
    "flow-svm": "optical flow on a grid, linear SVM",
    "lbp-top-svm": "LBP-TOP, linear SVM",
    "ststnet": "STSTNet on flow and strain",
    "off-apexnet": "Off-ApexNet on flow",
    "resnet18-flow": "ResNet-18 on flow",
    "resnet18-difference": "ResNet-18 on apex minus onset",
    "dynamic-image-net": "ResNet-18 on the dynamic image",
    "resnet18-apex": "ResNet-18 on the apex: one picture",
}
PAIRS = (
    ("miacnet", "resnet18-apex"),
    ("miacnet", "flow-svm"),
    ("miacnet-ma2mi", "miacnet"),
    ("miacnet-ma2mi", "flow-svm"),
    ("lightmannet", "flow-svm"),
    ("lightmannet", "miacnet"),
    ("famnet", "amnet3d"),
    ("famnet", "flow-svm"),
    ("miacnet-ma2mi", "lightmannet"),
    ("miacnet-ma2mi", "famnet"),
)
HERE = Path(__file__).resolve().parent
RESULTS, README = HERE / "results" / "synthetic_loso.json", HERE.parent / "README.md"
DOCUMENT = HERE.parent / "docs" / "synthetic.md"
MARK, DIFFERENCES = "scores made by benchmarks/synthetic_loso.py --table", "differences made by benchmarks/synthetic_loso.py --table"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder of the run folders")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--models", nargs="*", default=[*NOTES])
    parser.add_argument("--table", action="store_true", help="only write the README's table from what was measured")
    args = parser.parse_args()
    if not args.table:
        if args.out is None:
            parser.error("give --out, or --table")
        measure(args.out, args.models, args.seeds, args.jobs)
    measured = json.loads(RESULTS.read_text())
    put_table(README, MARK, table(measured))
    put_table(DOCUMENT, DIFFERENCES, differences(measured))


def measure(out: Path, models: list[str], seeds: int, jobs: int) -> None:
    """Run what is missing, and write the results after each model."""
    known: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {"models": {}, "differences": []}
    for model in models:
        started = time.monotonic()
        at = out / model
        known["models"][model] = evaluate(model, DATA, out=at, preset="small", seeds=seeds, jobs=jobs, resume=at.exists())
        kept = {(one["a"], one["b"]): one for one in known["differences"] if model not in (one["a"], one["b"])}  # those of the earlier run are gone
        kept |= {(a, b): difference(out, a, b) for a, b in PAIRS if model in (a, b) and all((out / name / "result.json").is_file() for name in (a, b))}
        known["differences"] = [kept[pair] for pair in PAIRS if pair in kept]
        known |= {"data": DATA, "fairness": known.get("fairness") or fairness("benchmark")}
        RESULTS.write_text(json.dumps(known, indent=1, default=str) + "\n")
        print(f"{model}: UF1 {known['models'][model]['scores']['uf1']} in {time.monotonic() - started:.0f} s", flush=True)


def difference(folder: Path, a: str, b: str) -> dict[str, Any]:
    """The paired differences, A minus B, without the folders' names: those are of one machine."""
    found = compare(RunFolder.open(folder / a), RunFolder.open(folder / b))
    return {"a": a, "b": b, "difference": found["difference"], "verdict": found["verdict"], "bootstrap": found["bootstrap"]}


def table(measured: dict[str, Any]) -> str:
    """The README's table in Markdown: best first, UF1 and UAR with their intervals, the ceiling above and chance below."""
    ceiling = next(row["macro_f1"] for row in measured["fairness"]["rows"] if row["expected"] == "ceiling")
    ordered = sorted(measured["models"].items(), key=lambda item: -item[1]["scores"]["uf1"]["value"])
    rows = [
        "| model | UF1 | UAR | accuracy | AU F1 | parameters |",
        "|---|---|---|---|---|---|",
        f"| ceiling: logistic regression on the true movement of each action unit | {ceiling:.3f} | | | | |",
    ]
    for name, one in ordered:
        scores = one["scores"]
        shown = [f"{scores[key]['value']:.3f} [{scores[key]['low']:.3f}, {scores[key]['high']:.3f}]" for key in ("uf1", "uar")]
        units = next((f"{out['scores']['au_f1']['value']:.3f}" for task in one.get("auxiliary", {}).values() for out in task.values()), "")
        told = f"`{name}`: {NOTES[name]}" if name in NOTES else f"`{name}`"
        rows.append(f"| {told} | {' | '.join(shown)} | {scores['accuracy']['value']:.3f} | {units} | {one['parameters']:,} |")
    return "\n".join(rows)


def differences(measured: dict[str, Any]) -> str:
    """The paired differences in Markdown, and whether their intervals hold 0."""
    rows = ["| difference in UF1, the same people drawn for both | | |", "|---|---|---|"]
    for one in measured["differences"]:
        uf1 = one["difference"]["uf1"]
        says = "the interval excludes 0" if uf1["excludes_zero"] else "undecided"
        rows.append(f"| `{one['a']}` − `{one['b']}` | {uf1['value']:+.3f} [{uf1['low']:+.3f}, {uf1['high']:+.3f}] | {says} |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
