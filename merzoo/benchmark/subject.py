"""A model that is measured: its network on the device, what it must do at least, and what has been measured of it."""

from __future__ import annotations

from typing import Any

import torch

from merzoo.benchmark.arithmetic import Work, work_of
from merzoo.benchmark.bench import Bench
from merzoo.benchmark.clips import labels, training_data
from merzoo.benchmark.inputs import Inputs
from merzoo.benchmark.measurement import Measurement
from merzoo.loading import load
from merzoo.recognizer import Recognizer, assemble
from merzoo.registry import registry
from merzoo.specs import ModelSpec, WeightsSpec
from merzoo.training.batches import looks_of
from merzoo.training.engine import run_stages
from merzoo.training.machine import Machine

LABELS = ("negative", "positive", "surprise")  # of a network without weights: as many as the composite of MEGC2019 has
SEED = 0


class Subject:
    """A model by name at a preset. Raises `UnknownNameError`, and what building or loading it raises."""

    def __init__(self, name: str, preset: str, bench: Bench) -> None:
        self.spec, self.preset, self.bench = registry().model(name), preset, bench
        self.spec.preset(preset)  # raises before anything is built
        self.recognizer = recognizer_of(self.spec, preset, bench.machine).to(bench.device)
        self.inputs = Inputs(self.recognizer.backbone.inputs, bench.device)
        self.work: Work = work_of(self.recognizer, self.inputs.fresh(1))
        self.measurements: list[Measurement] = []
        self.skipped: list[dict[str, Any]] = []
        self.blocks_us: list[float] = [bench.noise.block()]

    def facts(self) -> dict[str, Any]:
        """What a result file says of the network beside its measurements."""
        weights = self.recognizer.weights
        return {
            "weights": None if weights is None else {"tag": weights.tag, "sha256": weights.sha256},
            "parameters": sum(parameter.numel() for parameter in self.recognizer.parameters()),
            "inputs": {name: list(shape) for name, shape in self.recognizer.backbone.inputs.items()},
            "looks": len(looks_of(self.recognizer.test_views)),
            "flops": self.work.flops,
            "bytes": self.work.sample_bytes + self.work.weight_bytes,
        }


def recognizer_of(spec: ModelSpec, preset: str, machine: Machine) -> Recognizer:
    """The model with the weights that come with it at this preset, else with random ones (torch's seed is set), without tasks that only shape training.

    A model without parameters is fitted to a few synthetic clips: what is not fitted answers every clip alike, and a wrong answer could not be told.
    """
    own = weights_at(spec, preset)
    torch.manual_seed(SEED)
    if own is not None:
        return load(spec.name, own.tag)
    fitted = assemble(spec, preset, LABELS, for_training=False)
    if not any(True for _ in fitted.parameters()):
        fitted = assemble(spec, preset, labels(), for_training=False)
        run_stages(fitted, fitted.strategy.stages(fitted, training_data(fitted, 1)), seed=SEED, machine=machine)
    return fitted.eval()


def weights_at(spec: ModelSpec, preset: str) -> WeightsSpec | None:
    """The first weights of a preset that come inside a package: nothing is fetched to be timed."""
    return next((weights for weights in spec.weights if weights.preset == preset and weights.source.startswith("package:")), None)
