"""How much a few labelled clips teach: K clips a class of people who are not tested, 20 draws, small models on synthetic faces.

    python benchmarks/few_shot.py --out RUNS      resumes where it was stopped; writes results/few_shot.json and docs/pictures/few_shot.png
    python benchmarks/few_shot.py --draw          draws the picture again from results/few_shot.json

With --models miacnet-ma2mi a pretext learns from macro clips of other people, without labels, before each K.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from command import run

from merzoo.evaluation.evaluate import evaluate

DATA, PRESET = "synthetic:development", "small"
SHOTS = (1, 3, 5)
MODELS = ("flow-svm", "miacnet")
HERE = Path(__file__).resolve().parent
RESULTS, PICTURE = HERE / "results" / "few_shot.json", HERE.parent / "docs" / "pictures" / "few_shot.png"


def measure(out: Path, models: list[str], seeds: int, jobs: int) -> None:
    """Run what is missing and write the results after each model."""
    measured: dict[str, Any] = {}
    for model in models:
        started = time.monotonic()
        found = {}
        for shots in SHOTS:
            at = out / f"{model}-{shots}"
            found[shots] = evaluate(model, DATA, f"few-shot-{shots}", out=at, preset=PRESET, seeds=seeds, jobs=jobs, resume=at.exists())
        measured[model] = {str(shots): {name: one[name] for name in ("scores", "per_class", "tested")} for shots, one in found.items()}
        first = found[SHOTS[0]]
        about = {name: first[name] for name in ("data", "draws", "bootstrap", "environment")}
        RESULTS.write_text(json.dumps({**about, "preset": PRESET, "seeds": seeds, "models": measured}, indent=1) + "\n")
        print(f"{model}: {time.monotonic() - started:.0f} s", flush=True)


def draw(measured: dict[str, Any]) -> None:
    """UF1 against K, a line a model."""
    from drawing import curves, finish, panels

    figure, axes = panels(1, 1, (6.4, 4.2))
    shots = [str(k) for k in SHOTS]
    lines = {name: [one[k]["scores"]["uf1"] for k in shots] for name, one in measured["models"].items()}
    data = measured["data"]
    curves(axes[0], shots, lines, "", "labelled clips a class (K)")
    seeds = f"{measured['seeds']} seed" + "s" * (measured["seeds"] > 1)
    title = (
        "UF1 after learning from K clips a class\nBands: 95 % interval over subjects and draws\n"
        f"{data['name']}:{data['part']}, preset {measured['preset']}, {measured['draws']} draws, {seeds}"
    )
    finish(figure, axes, 1, title, PICTURE)


if __name__ == "__main__":
    run(__doc__, MODELS, RESULTS, measure, draw)
