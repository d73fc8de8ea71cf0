"""Trains weights that ship inside a plugin: `python -m merzoo.embed MODEL --package PACKAGE`.

Everything that decides them is in the model's preset, the data's version and the seed. Beside the weights lie their card, with scores on people that
no stage has seen, and the training log; `merzoo.specs.embedded` reads the cards.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from merzoo.cli.guard import guarded
from merzoo.cli.progress import progress
from merzoo.cores import cores
from merzoo.data.clips import Clips
from merzoo.data.sources import open_clips
from merzoo.errors import LeakageError, UsageError
from merzoo.evaluation.folds import predict_clips
from merzoo.evaluation.scores import METRICS, scores
from merzoo.evaluation.workers import Report
from merzoo.recognizer import Recognizer
from merzoo.training.machine import Machine
from merzoo.training.train import WEIGHTS, card, train
from merzoo.weights import digest

MAX_BYTES = 4_000_000  # of one model's weights inside a wheel
TAG = "synthetic"


def make(
    model: str,
    package: Path,
    work: Path,
    *,
    data: str = "synthetic:weights",
    score_on: str = "synthetic:benchmark",
    preset: str = "small",
    seed: int = 0,
    threads: int = 1,
    resume: bool = False,
    report: Report | None = None,
) -> dict[str, Any]:
    """Train a preset of a model on all of `data` and score it on the micro clips of `score_on`; on a CPU with so many threads, which decide the last bits.

    Weights, card and log go into the folder `weights` of `package`, the run into `work`; returns the card.
    Raises `LeakageError` where the two data sets share a person, `UsageError` where the weights are too large to ship.
    """
    jobs = cores()
    recognizer = train(model, data, out=work, preset=preset, seed=seed, resume=resume, device="cpu", threads=threads, jobs=jobs, report=report)
    if (size := (work / WEIGHTS).stat().st_size) > MAX_BYTES:
        raise UsageError(f"{model} ({preset}) has {size / 1e6:.1f} MB of weights; at most {MAX_BYTES / 1e6:g} MB ship with a plugin: make the preset smaller")
    clips = open_clips(data, recognizer.preprocessing)
    written = card(recognizer, Clips(clips, "micro"), Clips(clips, "macro"))
    metrics = score(recognizer, score_on, frozenset(written["trained_on"]["subjects"]))
    protocol = f"trained on all of {data}, last epoch; scored on all micro clips of {score_on}, other people"
    return embed(work, package, {**written, "protocol": protocol, "metrics": metrics, "seed": seed, "threads": threads})


def embed(work: Path, package: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """Put a finished run's weights and log into a package, with their card, `facts` and where they lie; returns the card."""
    folder, name = package / "weights", f"{facts['model']}-{facts['preset']}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.safetensors").write_bytes((work / WEIGHTS).read_bytes())
    (folder / f"{name}.jsonl").write_bytes((work / "log.jsonl").read_bytes())
    where = {"source": f"package:{package.name}/weights/{name}.safetensors", "sha256": digest(folder / f"{name}.safetensors")}
    full = {**facts, "tag": TAG, **where}
    (folder / f"{name}.json").write_text(json.dumps(full, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return full


def score(recognizer: Recognizer, data: str, trained_on: frozenset[str]) -> dict[str, Any]:
    """UF1, UAR and accuracy on all micro clips of a data set. Raises `LeakageError` where somebody in it was trained on."""
    clips = Clips(open_clips(data, recognizer.preprocessing), "micro")
    if met := clips.subjects & trained_on:
        raise LeakageError(f"scores on {data}", met)
    rows = predict_clips(recognizer, clips, Machine.of("cpu"))
    labels = list(recognizer.labels)
    guesses = [labels[max(range(len(labels)), key=row["probabilities"].__getitem__)] for row in rows]
    found = scores([row["label"] for row in rows], guesses, labels)
    return {"data": data, "clips": len(rows), "subjects": len(clips.subjects), **{name: round(getattr(found, name), 4) for name in METRICS}}


def command(
    models: Annotated[list[str], typer.Argument(help="Models by name.")],
    package: Annotated[str, typer.Option(help="The plugin's Python package, installed for editing; weights go into its folder `weights`.")],
    data: Annotated[str, typer.Option(help="What to train on.")] = "synthetic:weights",
    score_on: Annotated[str, typer.Option(help="Micro clips of other people, for the card.")] = "synthetic:benchmark",
    preset: Annotated[str, typer.Option(help="The size of the model.")] = "small",
    work: Annotated[Path | None, typer.Option(help="Folder of the training runs: kept, and gone on from where it exists.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides every random draw.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="Of torch; they decide the last bits.")] = 1,
) -> None:
    """Train the weights that ship with a plugin."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise UsageError(f"package '{package}' is not installed; pip install -e the plugin")
    for model in models:
        with tempfile.TemporaryDirectory() as scratch, progress() as report:
            run = (work or Path(scratch)) / model
            how = {"data": data, "score_on": score_on, "preset": preset, "seed": seed, "threads": threads}
            card = make(model, Path(found.origin).parent, run, **how, resume=run.exists(), report=report)  # type: ignore[arg-type]
        print(json.dumps({key: card[key] for key in ("model", "preset", "sha256", "metrics")}, indent=1), flush=True)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command()(command)
    sys.exit(guarded(lambda: app(standalone_mode=False)))
