"""What each idea of a paper is worth on synthetic development identities: one command a paper, a table and a picture.

    python benchmarks/ablations.py ma2mi|lightmannet|famnet --out RUNS     resumes where it was stopped; writes results/ablation_PAPER.json,
                                                                                    its picture and its table in docs/ablations.md
    python benchmarks/ablations.py PAPER --table                           writes the table into docs/ablations.md and draws the picture again

Preset small, every fold from scratch, last epoch. `subject-4fold` tests each of the 24 people once, by networks that met 18 others; what has too few people
or seeds to be told apart is said to be so. The variants are `merzoo evaluate` names, printed with each row, so that any of them runs by hand.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from command import put_table

from merzoo.evaluation.compare import compare
from merzoo.evaluation.evaluate import evaluate
from merzoo.evaluation.runs import RunFolder

DATA, PROTOCOL, PRESET = "synthetic:development", "subject-4fold", "small"
HERE = Path(__file__).resolve().parent
RESULTS, PICTURES, DOCUMENT = HERE / "results", HERE.parent / "docs" / "pictures", HERE.parent / "docs" / "ablations.md"

VARIANTS: dict[str, dict[str, str]] = {  # paper: {what is shown: the model's name}; the first is what the others are compared with
    "ma2mi": {
        "MA2MI, two branches": "miacnet-ma2mi",
        "MA2MI, action only": "miacnet-ma2mi,backbone.branches=action",
        "from scratch, two branches": "miacnet",
        "from scratch, action only": "miacnet,backbone.branches=action",
        "MA2MI, δ 0.04 to 0.08 s": "miacnet-ma2mi,strategy.delta.seconds=[0.04,0.08]",
    },
    "lightmannet": {
        "full: bi-level, macro alignment": "lightmannet",
        "primary task only": "lightmannet,strategy.level=single,strategy.aux_weight=0",
        "+ auxiliary, single level": "lightmannet,strategy.level=single",
        "bi-level, λ = 0": "lightmannet,strategy.aux_weight=0",
        "macro labels shuffled": "lightmannet,macro-alignment.shuffle_macro_labels=true",
    },
    "famnet": {
        f"{network}, {task}, attention {switch}": f"{model}{without}{attention}"
        for network, model in (("fused", "famnet"), ("3D", "amnet3d"), ("2D", "amnet2d"))
        for task, without in (("MER + FAUD", ""), ("MER", "+late-fusion+multi-task"))
        for switch, attention in (("on", ""), ("off", ",backbone.attention=none"))
    },
}


def measure(paper: str, out: Path, seeds: int, jobs: int) -> None:
    """Run what is missing and write the results after each variant."""
    measured: dict[str, Any] = {"paper": paper, "data": DATA, "protocol": PROTOCOL, "preset": PRESET, "seeds": seeds, "variants": []}
    first: Path | None = None
    for shown, model in VARIANTS[paper].items():
        started = time.monotonic()
        at = out / paper / shown.replace(" ", "_").replace(",", "")
        one = evaluate(model, DATA, PROTOCOL, out=at, preset=PRESET, seeds=seeds, jobs=jobs, resume=at.exists())
        units = next((out["scores"]["au_f1"] for task in one.get("auxiliary", {}).values() for out in task.values()), None)
        row = {"shown": shown, "model": model, **{key: one[key] for key in ("scores", "per_seed", "parameters", "seconds", "tested")}, "au_f1": units}
        if first is not None:
            row["difference"] = compare(RunFolder.open(at), RunFolder.open(first))["difference"]["uf1"]
        first = first or at
        measured["variants"].append(row)
        measured["environment"] = one["environment"]
        path = RESULTS / f"ablation_{paper}.json"
        path.write_text(json.dumps(measured, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"{shown}: UF1 {one['scores']['uf1']['value']:.3f} in {time.monotonic() - started:.0f} s", flush=True)


def table(measured: dict[str, Any]) -> str:
    """The variants in Markdown: UF1 with its interval and the paired difference to the first."""
    units = any(row["au_f1"] for row in measured["variants"])
    columns = ["variant", "UF1", "minus the first", *(["AU F1"] if units else []), "`merzoo evaluate … --preset small`"]
    rows = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for row in measured["variants"]:
        score, apart = row["scores"]["uf1"], row.get("difference")
        told = f"{apart['value']:+.3f} [{apart['low']:+.3f}, {apart['high']:+.3f}]" if apart else ""
        au = f" {row['au_f1']['value']:.3f} |" if row["au_f1"] else " |" if units else ""
        rows.append(f"| {row['shown']} | {score['value']:.3f} [{score['low']:.3f}, {score['high']:.3f}] | {told} |{au} `{row['model']}` |")
    return "\n".join(rows)


def draw(measured: dict[str, Any]) -> None:
    """UF1 of each variant with its interval, the first on top."""
    from drawing import COLOURS, GRID, plt

    variants = measured["variants"][::-1]
    figure, axis = plt.subplots(figsize=(7.4, 1.3 + 0.36 * len(variants)), layout="constrained")
    reference = measured["variants"][0]["scores"]["uf1"]["value"]
    axis.axvline(reference, color=COLOURS[0], linewidth=1, linestyle=":")
    for y, row in enumerate(variants):
        score = row["scores"]["uf1"]
        colour = COLOURS[0] if y == len(variants) - 1 else COLOURS[3]
        axis.plot([score["low"], score["high"]], [y, y], color=colour, linewidth=3, alpha=0.35, solid_capstyle="butt")
        axis.plot(score["value"], y, "o", color=colour, markersize=6)
        axis.text(1.01, y, f"{score['value']:.3f}", va="center", transform=axis.get_yaxis_transform())
    axis.set_yticks(range(len(variants)), [row["shown"] for row in variants])
    axis.set_xlim(0, 1)
    axis.set_xlabel("UF1, 95 % interval over people")
    axis.grid(axis="x", color=GRID)
    axis.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    tested, seeds = measured["variants"][0]["tested"], measured["seeds"]
    people = f"{tested['samples']} clips of {tested['subjects']} rendered people"
    title = f"{measured['paper']}: {measured['data']}, {measured['protocol']}, {people}, preset {measured['preset']}, {seeds} seed{'s' * (seeds > 1)}"
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    figure.savefig(PICTURES / f"ablation_{measured['paper']}.png", dpi=110, metadata={"Software": None})
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paper", choices=[*VARIANTS])
    parser.add_argument("--out", type=Path, help="folder of the run folders")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--table", action="store_true", help="only write the table and draw what was measured")
    args = parser.parse_args()
    if not args.table:
        if args.out is None:
            parser.error("give --out, or --table")
        measure(args.paper, args.out, args.seeds, args.jobs)
    measured = json.loads((RESULTS / f"ablation_{args.paper}.json").read_text(encoding="utf-8"))
    draw(measured)
    put_table(DOCUMENT, f"{args.paper}, made by benchmarks/ablations.py", table(measured))


if __name__ == "__main__":
    main()
