"""Training a model on all of a data set, into a run folder with weights that can be loaded."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from merzoo.cores import cores
from merzoo.data.clips import Clips
from merzoo.data.sources import open_clips
from merzoo.data.table import Dataset
from merzoo.errors import RunError
from merzoo.evaluation.divided import create
from merzoo.evaluation.folds import Plan, prepare
from merzoo.evaluation.starting import NamedStart, facts_of, named_start, offered, refuse_no_effect, warn_of_size
from merzoo.evaluation.workers import Report
from merzoo.files import write_atomically
from merzoo.recognizer import Recognizer
from merzoo.registry import registry
from merzoo.specs import ModelSpec
from merzoo.training.data import only_kind
from merzoo.training.distributed import check
from merzoo.training.engine import run_stages
from merzoo.training.machine import Machine
from merzoo.training.seeds import derive
from merzoo.training.world import join
from merzoo.weights import write

WEIGHTS = "weights.safetensors"


def train(
    model: str | ModelSpec,
    data: str | Dataset = "synthetic",
    *,
    out: str | Path,
    preset: str = "full",
    weights: str | None = None,
    seed: int = 0,
    resume: bool = False,
    device: str = "auto",
    precision: str = "auto",
    threads: int = 0,
    jobs: int = 1,
    report: Report | None = None,
    checkpoint_seconds: float = 30.0,
) -> Recognizer:
    """Train a model on every clip of the data set and return it. Nobody is held out, so there is no score: `evaluate` gives one.

    The run folder `out` gets run.json, log.jsonl (one line a logged step), and weights.safetensors with its card in the header, which
    `merzoo.load(model, weights=PATH)` reads. weights: what to start from (None: random). jobs: processes that build
    the clip store. Where torchrun started this process among others, they share each batch (see `merzoo.training.distributed`). Raises any `MerzooError`.
    """
    say = report or (lambda text, done, total: None)
    out = Path(out)
    spec = registry().model(model) if isinstance(model, str) else model
    start = named_start(spec, weights)
    world, device = join(device)
    machine = replace(Machine.of(device, precision, threads or max(1, cores() // world.local_size)), world=world)
    clips = world.in_turn(lambda: open_clips(data, spec.preset(preset).preprocessing, jobs=jobs, progress=lambda done, total: say("clip store", done, total)))
    plan = Plan(spec, preset, clips.dataset, clips.labels, frozenset(), machine, out, start.start, checkpoint_seconds, kind=only_kind(clips))
    recognizer, stages = prepare(plan, clips, None, seed, data_provides=offered(clips.dataset, start))
    refuse_no_effect(recognizer, start)
    check(recognizer, stages, machine)  # before anything is written
    parameters = sum(value.numel() for value in recognizer.saved().values())
    run = create(world, out, {"kind": "training", **facts_of(spec, preset, clips, plan.kind, [seed], machine, start, parameters)}, resume)
    if resume and world.agreed((out / WEIGHTS).is_file):
        raise RunError(f"{out} is finished; load its {WEIGHTS}, or choose another --out")
    warn_of_size(spec, preset, machine, parameters)
    checkpoints = out / "checkpoint.safetensors"
    logs = run_stages(
        recognizer,
        stages,
        seed=derive(seed, "train"),
        machine=machine,
        checkpoints=checkpoints,
        every_seconds=checkpoint_seconds,
        progress=lambda stage, step, total, losses: say(f"{stage} (loss {losses['loss']:.3f})", step, total),
    )
    if world.first:
        rows = [json.dumps({"stage": log.name, **row}) for log in logs for row in log.rows]
        write_atomically(run.path / "log.jsonl", "".join(f"{row}\n" for row in rows))
        write(out / WEIGHTS, recognizer.saved(), card(recognizer, Clips(clips, "micro"), Clips(clips, "macro"), start=start))
        checkpoints.unlink(missing_ok=True)
    world.meet()
    return recognizer


def card(recognizer: Recognizer, *clips: Clips, start: NamedStart | None = None) -> dict[str, Any]:
    """What weights say of themselves: model, preset, labels, and whom they know: subjects of these clips and of the weights they began from."""
    dataset = clips[0].data.dataset
    subjects = sorted((start.subjects if start else frozenset()).union(*(c.subjects for c in clips)))
    began = {"began_from": start.tag} if start and start.tag else {}
    name = f"{dataset.name}:{dataset.part}" if dataset.part else dataset.name
    return {
        "model": recognizer.spec.name,
        "preset": recognizer.preset,
        "labels": list(recognizer.labels),
        "task": recognizer.task,
        "trained_on": {"data": name, "manifest_hash": dataset.manifest_hash, "subjects": subjects, **began},
        "torch": torch.__version__,
    }
