"""How scores fall on harder test clips, and with wrong labels in training: small models on synthetic faces.

    python benchmarks/robustness.py --out RUNS      resumes where it was stopped; writes results/robustness.json and docs/pictures/robustness.png
    python benchmarks/robustness.py --draw          draws the picture again from results/robustness.json

Each model is trained once a fold on clean clips, and then meets its test clips clean and under each perturbation. For label flips it is trained again.
The levels, the part and the number of folds are our choice, so that all of it runs on one core in less than an hour.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from command import run

from merzoo.data.perturb import KINDS
from merzoo.evaluation.evaluate import evaluate

DATA, PROTOCOL, PRESET = "synthetic:development", "subject-4fold", "small"
MODELS = ("flow-svm", "miacnet")
FLIPS = (0.1, 0.2, 0.4)
HERE = Path(__file__).resolve().parent
RESULTS, PICTURE = HERE / "results" / "robustness.json", HERE.parent / "docs" / "pictures" / "robustness.png"


def measure(out: Path, models: list[str], seeds: int, jobs: int) -> None:
    """Run what is missing and write the results after each model."""
    measured: dict[str, Any] = {}
    for model in models:
        started = time.monotonic()
        common = {"data": DATA, "protocol": PROTOCOL, "preset": PRESET, "seeds": seeds, "jobs": jobs}
        clean = evaluate(model, **common, out=out / model, perturb=("all",), resume=(out / model).exists())
        flipped = {}
        for share in FLIPS:
            at = out / f"{model}-flips-{share}"
            flipped[str(share)] = evaluate(model, **common, out=at, flip_labels=share, resume=at.exists())["scores"]
        measured[model] = {"clean": clean["scores"], "perturbed": clean["perturbed"], "flip_labels": flipped}
        about = {name: clean[name] for name in ("tested", "bootstrap", "environment")} | {"data": clean["data"], "protocol": clean["protocol"]}
        kinds = {kind: {"summary": how.summary, "unit": how.unit, "levels": how.levels} for kind, how in KINDS.items()}
        RESULTS.write_text(json.dumps({**about, "preset": PRESET, "seeds": seeds, "kinds": kinds, "models": measured}, indent=1) + "\n")
        print(f"{model}: {time.monotonic() - started:.0f} s", flush=True)


def draw(measured: dict[str, Any]) -> None:
    """A panel a perturbation, one for label flips; a line a model."""
    from drawing import curves, finish, panels

    figure, axes = panels(len(measured["kinds"]) + 1, 3, (3.7, 3.0))
    models = measured["models"]
    for axis, (kind, about) in zip(axes, measured["kinds"].items(), strict=False):
        levels = [f"{level:g}" for level in about["levels"]]
        lines = {name: [one["clean"]["uf1"], *(one["perturbed"][f"{kind}={level}"]["uf1"] for level in levels)] for name, one in models.items()}
        curves(axis, ["clean", *levels], lines, kind, about["unit"])
    shares = [str(share) for share in FLIPS]
    lines = {name: [one["clean"]["uf1"], *(one["flip_labels"][share]["uf1"] for share in shares)] for name, one in models.items()}
    curves(axes[-1], ["none", *(f"{float(share):.0%}" for share in shares)], lines, "label flips", "training clips with a wrong class")
    data, protocol, tested = measured["data"], measured["protocol"], measured["tested"]
    seeds = f"{measured['seeds']} seed" + "s" * (measured["seeds"] > 1)
    title = (
        f"UF1 on harder test clips, and after training with wrong labels. Bands: 95 % interval over subjects\n{data['name']}:{data['part']}, "
        f"{protocol['name']}, {tested['samples']} clips of {tested['subjects']} subjects, preset {measured['preset']}, {seeds}"
    )
    finish(figure, axes, 3, title, PICTURE)


if __name__ == "__main__":
    run(__doc__, MODELS, RESULTS, measure, draw)
