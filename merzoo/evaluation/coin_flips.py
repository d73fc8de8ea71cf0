"""Coin flips that beat the state of the art, if the best epoch of each test subject may be kept.

    python -m merzoo.evaluation.coin_flips [--out RUN] [--draws 800] [--seed 2019]

A run on the shape of the MEGC2019 composite in which nothing is learned: each of 800 "epochs" guesses every clip's class with equal chances, and the last
one is the prediction. Its headline is what chance scores. Its oracle columns are what is reported by code that keeps, for each held-out subject, the epoch
of highest test accuracy, and by code that keeps one epoch for all. Epochs of a real training resemble one another, so real inflation is smaller.

From the published counts: 442 clips, 68 subjects, and of each part its subjects and its clips of each class. Not published, and drawn here with a fixed
seed: which subject has which clips. Each subject of a part gets one clip of a random class, and every other clip a random subject.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from merzoo.errors import UsageError
from merzoo.evaluation.protocols import Fold, Protocol, fold_id
from merzoo.evaluation.runs import RunFolder, environment, write_result

CLASSES = ("negative", "positive", "surprise")
MEGC2019 = {"smic": (16, (70, 51, 43)), "casme2": (24, (88, 32, 25)), "samm": (28, (92, 26, 15))}  # subjects, clips a class
SEED = 2019
Clip = tuple[str, str, int]  # sample id, subject, position of its class


def megc2019_shape(seed: int = SEED) -> list[Clip]:
    """442 made-up clips of 68 subjects with the class totals of each part of MEGC2019."""
    rng = np.random.default_rng(seed)
    clips: list[Clip] = []
    for part, (subjects, totals) in MEGC2019.items():
        labels = rng.permutation(np.repeat(np.arange(len(totals)), totals))
        people = np.concatenate([np.arange(subjects), rng.integers(subjects, size=len(labels) - subjects)])
        names = [f"{part}:{person + 1:02d}" for person in people.tolist()]
        clips += [(f"{name}/{n}", name, label) for n, (name, label) in enumerate(zip(names, labels.tolist(), strict=True))]
    return clips


def coin_flips(path: Path | str, draws: int = 800, seed: int = SEED) -> dict[str, Any]:
    """Write the run into `path` and return its result, with "oracle". Raises `UsageError` for fewer than one draw, and as `RunFolder.create`."""
    if draws < 1:
        raise UsageError(f"{draws} draws choose nothing; ask for at least 1")
    clips = megc2019_shape(seed)
    of: dict[str, list[Clip]] = {}
    for clip in clips:
        of.setdefault(clip[1], []).append(clip)
    folds = tuple(Fold(fold_id(subject), tuple(c[0] for c in theirs), (subject,)) for subject, theirs in of.items())
    run = RunFolder.create(path, _facts(clips, Protocol("loso", folds), draws, seed))
    rng = np.random.default_rng([seed, draws])
    for fold, theirs in zip(folds, of.values(), strict=True):
        flips = rng.integers(len(CLASSES), size=(draws, len(theirs)))
        run.write_fold(0, fold.fold_id, _record(fold, theirs, flips, sorted(of)))
    return write_result(run)


def _facts(clips: Sequence[Clip], protocol: Protocol, draws: int, seed: int) -> dict[str, Any]:
    return {
        "kind": "evaluation",
        "model": "coin-flips",
        "preset": f"{draws} draws",
        "parts": {"strategy": "guess"},
        "weights": None,
        "data": {
            "name": "megc2019-shape",
            "part": f"seed {seed}",
            "manifest_hash": hashlib.sha256(repr(clips).encode()).hexdigest(),
            "samples": len(clips),
            "subjects": len({subject for _, subject, _ in clips}),
        },
        "protocol": protocol.to_json(),
        "task": "classes",
        "labels": list(CLASSES),
        "seeds": [0],
        "precision": "none",
        "parameters": 0,
        "reference": True,  # on a board it stands apart from models
        "environment": environment("cpu", threads=1),
    }


def _record(fold: Fold, clips: Sequence[Clip], flips: np.ndarray, everybody: Sequence[str]) -> dict[str, Any]:
    last = np.eye(len(CLASSES))[flips[-1]]
    return {
        "test_subjects": list(fold.test_subjects),
        "stages": [
            {
                "name": "guess",
                "scope": "fold",
                "subjects": [subject for subject in everybody if subject not in fold.test_subjects],
                "steps": 0,
                "seconds": 0.0,
                "loss": None,
            }
        ],
        "state_sha256": hashlib.sha256(flips.tobytes()).hexdigest(),
        "predictions": [
            {"sample_id": sample, "subject": subject, "label": CLASSES[label], "probabilities": shares}
            for (sample, subject, label), shares in zip(clips, last.tolist(), strict=True)
        ],
        "oracle": {"stage": "guess", "epochs": flips.tolist()},
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the run and print the headline beside the oracle columns; returns the exit code."""
    from merzoo.cli.guard import guarded  # the command's side: what is below does not need it

    parser = argparse.ArgumentParser(prog="python -m merzoo.evaluation.coin_flips", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="the run folder (default: none is kept)")
    parser.add_argument("--draws", type=int, default=800, help="how many epochs there are to choose from")
    parser.add_argument("--seed", type=int, default=SEED)
    args = parser.parse_args(arguments)
    return guarded(lambda: _demonstrate(args.out, args.draws, args.seed))


def _demonstrate(out: Path | None, draws: int, seed: int) -> None:
    from merzoo.cli.output import print_lines, print_table

    with tempfile.TemporaryDirectory() as nowhere:
        made = coin_flips(out or Path(nowhere) / "run", draws, seed)
    data, chosen = made["data"], made["oracle"]
    print_lines([f"uniform guesses for {data['samples']} clips of {data['subjects']} subjects (the shape of MEGC2019), {draws} independent draws"])
    ways = {"headline": "last draw (the headline)", "best_epoch_for_all": "oracle: one draw for all", "best_epoch_per_fold": "oracle: one draw a subject"}
    print_table(("", "UF1", "UAR", "accuracy"), [(text, *(f"{chosen[way][m]:.3f}" for m in made["scores"])) for way, text in ways.items()])
    print_lines([chosen["note"], *([f"run folder: {out}; look closer with merzoo audit {out}"] if out else [])])


if __name__ == "__main__":
    raise SystemExit(main())
