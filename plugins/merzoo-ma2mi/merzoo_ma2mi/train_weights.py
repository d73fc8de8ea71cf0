"""Trains the weights that ship with this package, by one command: `python -m merzoo_ma2mi.train_weights`.

Everything that decides them is in the model's preset, the data's version and the seed. Beside the weights lie their card, with scores on people that
no stage has seen, and the training log.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from merzoo.data.clips import Clips
from merzoo.data.sources import open_clips
from merzoo.errors import LeakageError, MerzooError
from merzoo.evaluation.folds import predict_clips
from merzoo.evaluation.scores import METRICS, scores
from merzoo.recognizer import Recognizer
from merzoo.training.machine import Machine
from merzoo.training.train import WEIGHTS, card, train
from merzoo.weights import digest

HERE = Path(__file__).parent / "weights"
PRESET = "small"


def make(model: str, data: str, score_on: str, folder: Path, work: Path, *, seed: int = 0, resume: bool = False) -> dict[str, Any]:
    """Train the small preset of a model on all of `data` and score it on the micro clips of `score_on`.

    Weights, card and log go into `folder`, the run into `work`; returns the card.

    Raises `LeakageError` where the two data sets share a person.
    """
    recognizer = train(model, data, out=work, preset=PRESET, seed=seed, resume=resume, device="cpu", jobs=os.cpu_count() or 1, report=_tell)
    clips = open_clips(data, recognizer.preprocessing)
    written = card(recognizer, Clips(clips, "micro"), Clips(clips, "macro"))
    metrics = score(recognizer, score_on, frozenset(written["trained_on"]["subjects"]))
    protocol = f"trained on all of {data}, last epoch; scored on all micro clips of {score_on}, other people"
    return embed(work, folder, {**written, "protocol": protocol, "metrics": metrics, "seed": seed})


def embed(work: Path, folder: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """Put a finished run's weights and log into `folder`, with their card, `facts` and where they lie; returns the card."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{facts['model']}-{PRESET}"
    (folder / f"{name}.safetensors").write_bytes((work / WEIGHTS).read_bytes())
    (folder / f"{name}.jsonl").write_bytes((work / "log.jsonl").read_bytes())
    where = {"source": f"package:{Path(__file__).parent.name}/weights/{name}.safetensors", "sha256": digest(folder / f"{name}.safetensors")}
    full = {**facts, "tag": "synthetic", **where}
    (folder / f"{name}.json").write_text(json.dumps(full, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return full


def score(recognizer: Recognizer, data: str, trained_on: frozenset[str]) -> dict[str, Any]:
    """UF1, UAR and accuracy on all micro clips of a data set."""
    clips = Clips(open_clips(data, recognizer.preprocessing), "micro")
    if met := clips.subjects & trained_on:
        raise LeakageError(f"scores on {data}", met)
    rows = predict_clips(recognizer, clips, Machine.of("cpu"))
    labels = list(recognizer.labels)
    guesses = [labels[max(range(len(labels)), key=row["probabilities"].__getitem__)] for row in rows]
    found = scores([row["label"] for row in rows], guesses, labels)
    return {"data": data, "clips": len(rows), "subjects": len(clips.subjects), **{name: round(getattr(found, name), 4) for name in METRICS}}


def _tell(text: str, done: int, total: int) -> None:
    print(f"\r{text}: {done}/{total}\x1b[K", end="\n" if done == total else "", file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m merzoo_ma2mi.train_weights", description="Train the weights that ship with merzoo-ma2mi.")
    parser.add_argument("--model", default="miacnet-ma2mi", choices=["miacnet-ma2mi", "miacnet"])
    parser.add_argument("--data", default="synthetic:weights")
    parser.add_argument("--score-on", default="synthetic:benchmark", help="micro clips of other people, for the card")
    parser.add_argument("--folder", type=Path, default=HERE, help="where weights, card and log go")
    parser.add_argument("--work", type=Path, help="run folder; kept, and resumed from where it exists")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            work = options.work or Path(scratch) / "run"
            found = make(options.model, options.data, options.score_on, options.folder, work, seed=options.seed, resume=work.exists())
    except MerzooError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json.dumps({key: found[key] for key in ("model", "preset", "sha256", "metrics")}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
