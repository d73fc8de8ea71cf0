"""Copies of a training run that say something else, for the tests of publishing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import yaml

from merzoo.weights import read, write


def copied(run: Path, to: Path, **changed: Any) -> Path:
    """A copy of a run whose run.json says something else."""
    shutil.copytree(run, to, ignore=shutil.ignore_patterns("published"))
    facts = json.loads((to / "run.json").read_text())
    (to / "run.json").write_text(json.dumps({**facts, **changed}))
    return to


def renamed(run: Path, to: Path, name: str, subjects: list[str]) -> Path:
    """A copy of a training run as if it had been made on other data."""
    facts = json.loads((run / "run.json").read_text())["data"]
    copied(run, to, data={**facts, "name": name, "part": None})
    tensors, card = read(to / "weights.safetensors")
    write(to / "weights.safetensors", tensors, {**card, "trained_on": {**card["trained_on"], "data": name, "subjects": subjects}})
    return to


def head(card: str) -> dict[str, Any]:
    return yaml.safe_load(card.split("---\n")[1])
