"""The result file of a model that was measured (docs/results.md, kind `cost`)."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from merzoo.benchmark.rules import told
from merzoo.benchmark.subject import Subject
from merzoo.describe import named_parts, tree
from merzoo.evaluation.runs import environment
from merzoo.results.about import about
from merzoo.results.migrate import SCHEMA
from merzoo.results.reading import write

MAX_NAME = 120  # characters of a file's name
_UNSAFE = re.compile(r"[^A-Za-z0-9._+=,-]")


def record(subject: Subject, by: str = "") -> dict[str, Any]:
    """All that was measured of a model, as a result file holds it."""
    bench, spec = subject.bench, subject.spec
    name = torch.cuda.get_device_name(bench.device) if bench.clock.on_gpu else "cpu"
    return {
        "schema": SCHEMA,
        "kind": "cost",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "by": by,
        "model": spec.name,
        "preset": subject.preset,
        "parts": named_parts(spec),
        "options": tree(spec.preset(subject.preset)),
        **about(spec.name),
        "environment": {**environment(name, bench.machine.threads), **_libraries(bench.clock.on_gpu)},
        **subject.facts(),
        "roofline": bench.roofline,
        "noise": told(subject.blocks_us),
        "measurements": subject.measurements,
        "skipped": subject.skipped,
    }


def _libraries(on_gpu: bool) -> dict[str, Any]:
    return {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()} if on_gpu else {}


def save(subject: Subject, folder: Path, by: str = "") -> Path:
    """Write the record as MODEL-PRESET-DEVICE.json into a folder; gives its path. Raises `RunError` where it cannot be written."""
    path = path_of(folder, subject.spec.name, subject.preset, subject.bench.device.type)
    write(path, record(subject, by))
    return path


def path_of(folder: Path, model: str, preset: str, device: str) -> Path:
    """Where the record of a model lies. The name is one that every file system takes; what another name could be mistaken for gets a digest."""
    stem = f"{model}-{preset}-{device}"
    safe = _UNSAFE.sub("_", stem)[:MAX_NAME]
    return folder / (f"{safe}.json" if safe == stem else f"{safe}-{hashlib.sha256(stem.encode()).hexdigest()[:8]}.json")
