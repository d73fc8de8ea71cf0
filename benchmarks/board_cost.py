"""What a whole board costs: every model under LOSO on six data sets with five seeds, from step times that were measured.

    python benchmarks/board_cost.py [--costs results/costs] [--seeds 5] [--models 20]      writes results/board_cost.json and the table of docs/many-machines.md

Seconds of a model = seeds x sum over sets of [folds x clips that a fold trains on x passes over them x seconds a clip] + seeds x sets x its stages that run
once for all folds. Seconds a clip are those of `merzoo benchmark`'s train-step in the result files, in bf16 where it is there. Predicting, reading the store
and making views are left out. Hours are those of the machine that the file was measured on, with all its cores. The mean over the models that are there
stands for those that are not.

FLOPs are of the paper's size, counted by torch: three forward passes of the recogniser a clip and pass. Bi-level steps and pretext decoders cost more than
that, and are counted as if they did not.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from command import put_table

from merzoo.benchmark.arithmetic import flops_of
from merzoo.benchmark.clips import labels, training_data
from merzoo.errors import MerzooError
from merzoo.recognizer import assemble
from merzoo.registry import registry
from merzoo.training.stages import GradientStage

HERE = Path(__file__).resolve().parent
RESULTS, DOCUMENT = HERE / "results" / "board_cost.json", HERE.parent / "docs" / "many-machines.md"
SETS = {  # clips and subjects with a label, as `merzoo info NAME` expects them
    "casme2": (247, 26),
    "samm": (136, 28),
    "smic-hs": (164, 16),
    "mmew": (300, 30),
    "4dme": (267, 41),  # 41 people is a guess: what was published to us gives clips alone
    "casme3": (860, 94),
}
PRETRAINED = 16_372  # clips of DFEW, whatever a stage that runs once for all folds learns from


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--costs", type=Path, default=HERE / "results" / "costs")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--models", type=int, default=20)
    args = parser.parse_args()
    shown = sum(clips * (people - 1) for clips, people in SETS.values())  # clips shown in one pass of every fold: folds x clips x (1 - 1/folds)
    trainings = args.seeds * sum(people for _, people in SETS.values())
    rows = {}
    for path in sorted(args.costs.glob("*.json")):
        cost = json.loads(path.read_text(encoding="utf-8"))
        if row := row_of(cost, args.seeds, shown):
            rows[f"{row['model']} ({row['preset']})"] = row
    hours = [row["hours"] for row in rows.values()]
    exa = [row["full_exaflop"] for row in rows.values()]
    found = {
        "sets": SETS, "seeds": args.seeds, "models": args.models, "trainings_a_model": trainings, "clips_shown_a_pass": shown, "rows": rows,
        "hours": args.models * sum(hours) / len(hours), "full_exaflop": args.models * sum(exa) / len(exa),
    }  # fmt: skip
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    put_table(DOCUMENT, "board cost", table(found))
    print(table(found))


def table(found: dict[str, Any]) -> str:
    """A row a model, and one of the whole board."""
    lines = ["| model | precision, device | ms a clip | hours | full size, EFLOP |", "|---|---|---|---|---|"]
    for name, row in found["rows"].items():
        where = f"{row['precision']}, {row['device']}"
        lines.append(f"| {name} | {where} | {row['milliseconds_a_clip']:.2f} | {row['hours']:.1f} | {row['full_exaflop']:.2f} |")
    lines.append(f"| **{found['models']} models** | | | **{found['hours']:.0f}** | **{found['full_exaflop']:.0f}** |")
    return "\n".join(lines)


def row_of(cost: dict[str, Any], seeds: int, shown: int) -> dict[str, Any] | None:
    """Of one result file; None where it has no training step."""
    steps = [m for m in cost["measurements"] if m["scenario"] == "train-step" and m.get("summary")]
    precision = "bf16" if any(m["precision"] == "bf16" for m in steps) else "fp32"
    a_clip = {m["about"]["stage"]: m["summary"]["p50"] / m["batch"] / 1e6 for m in steps if m["precision"] == precision}
    if not a_clip:
        return None
    model, preset = cost["model"], cost["preset"]
    seconds, _ = of_stages(model, preset, seeds, shown, a_clip)
    _, clips = of_stages(model, "full", seeds, shown, {})
    network = assemble(registry().model(model), "full", labels()).eval()
    flops = flops_of(network, {name: torch.zeros(1, *shape) for name, shape in network.backbone.inputs.items()}) or 0
    return {
        "model": model, "preset": preset, "device": cost["environment"].get("device"), "precision": precision, "hours": seconds / 3600,
        "milliseconds_a_clip": 1e3 * sum(a_clip.values()) / len(a_clip), "full_exaflop": 3 * flops * clips / 1e18,
    }  # fmt: skip


def of_stages(model: str, preset: str, seeds: int, shown: int, a_clip: dict[str, float]) -> tuple[float, float]:
    """Seconds, and clips shown, of all gradient stages of a model in all folds, sets and seeds."""
    network = assemble(registry().model(model), preset, labels())
    data = training_data(network, 8)
    seconds = clips = 0.0
    for stage in network.strategy.stages(network, data):
        if not isinstance(stage, GradientStage):
            continue
        pretext = all(each.kind == "macro" for each in stage.clips)
        if pretext:  # once a seed and set: its people are tested nowhere
            many = stage.total_steps() * getattr(stage.batches, "batch_size", 1) if stage.steps else (stage.epochs or 0) * PRETRAINED
            many *= seeds * len(SETS)
        else:
            passes = stage.total_steps() / stage.batches.steps_per_epoch()
            many = seeds * shown * passes
        seconds += many * a_clip.get(stage.name, 0.0)
        clips += many
    return seconds, clips


if __name__ == "__main__":
    try:
        main()
    except MerzooError as error:
        raise SystemExit(str(error)) from error
