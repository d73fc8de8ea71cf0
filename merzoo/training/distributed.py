"""A stage on several processes: each takes its share of every batch, and DistributedDataParallel averages the gradients.

The batch of a step is the one that a single process would have drawn. A stage that cannot be divided (a loss that is no mean over samples, a fit) is run by
the first process alone, in the bits of a run without torchrun, and its weights are handed to the others: the same work in each would give nobody anything,
and on GPUs not even the same numbers.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from merzoo.data.clips import Clips
from merzoo.errors import MerzooWarning, RunError, TrainingError
from merzoo.interfaces import Batch
from merzoo.training.checkpoint import Saver
from merzoo.training.machine import Machine
from merzoo.training.seeds import derive, seed_all
from merzoo.training.stages import DividedBatches, GradientStage, Loss, Stage
from merzoo.training.world import World

if TYPE_CHECKING:
    from merzoo.recognizer import Recognizer

WEIGHT = "weight of the share"  # beside the inputs of a batch on its way to the loss


def divisible(stage: Stage) -> bool:
    """Whether several processes may share a stage."""
    return isinstance(stage, GradientStage) and stage.divisible and isinstance(stage.batches, DividedBatches)


def warn_of_undivided(stages: Sequence[Stage], machine: Machine) -> None:
    """Warn of stages that one process trains alone."""
    for stage in stages if machine.world.size > 1 else ():
        if isinstance(stage, GradientStage) and not divisible(stage):
            text = f"stage '{stage.name}' is not known to be divisible, so the first process trains it alone while the others wait"
            warnings.warn(text, MerzooWarning, stacklevel=3)


def check(recognizer: Recognizer, stages: Sequence[Stage], machine: Machine) -> None:
    """Raise `TrainingError` for a stage whose batch norms would see a share instead of a batch, where they cannot be told of the others: torch synchronises
    them on GPUs alone."""
    if machine.world.size == 1 or machine.device.startswith("cuda"):
        return
    for stage in stages:
        if divisible(stage) and (found := _batch_norm(recognizer, stage)):
            raise TrainingError(
                f"stage '{stage.name}': {found} is a batch norm, and each of {machine.world.size} processes would see its share of the batch alone; "
                "train in one process, on GPUs, or with a backbone that has no-running-statistics"
            )


def _batch_norm(recognizer: Recognizer, stage: Stage) -> str | None:
    """The path of a batch norm in what a stage trains."""
    assert isinstance(stage, GradientStage)
    paths = [path for group in stage.groups for path in group.paths]
    for name, module in recognizer.named_modules():
        if _is_batch_norm(module) and any(f"{name}.".startswith(f"{path}.") or not path for path in paths):
            return name
    return None


def _is_batch_norm(module: nn.Module) -> bool:
    return isinstance(module, _BatchNorm) and not isinstance(module, nn.SyncBatchNorm)


def synchronised(recognizer: Recognizer) -> dict[str, nn.Module]:
    """Make all batch norms count the samples of all processes; gives those that were there, which share their parameters and statistics, by their paths."""
    from timm.layers import convert_sync_batchnorm  # torch's own would lose the activation inside a norm of timm

    before = {name: module for name, module in recognizer.named_modules() if _is_batch_norm(module)}
    convert_sync_batchnorm(recognizer)
    return before


def same_place(world: World, path: Path | None, place: list[int]) -> None:
    """Wait until all processes have read a checkpoint. Raises `RunError` where they do not stand at the same place ([finished stages, step])."""
    world.meet()
    first = world.agreed(lambda: place)
    if first != place:
        raise RunError(f"process {world.rank} does not see the checkpoint {path} as the first does; put --out on a file system that all of them share")


def share(stage: Stage, world: World) -> Stage | None:
    """A stage as this process runs it: whole, its share, or not at all (None)."""
    if world.size == 1:
        return stage
    if not divisible(stage):
        return stage if world.first else None
    assert isinstance(stage, GradientStage) and isinstance(stage.batches, DividedBatches)
    return replace(stage, batches=Share(stage.batches, world), loss=_SharedLoss(stage.loss, world))


@dataclass(frozen=True)
class Share:
    """Of each batch the samples of one process: shares differ by one sample at most."""

    whole: DividedBatches
    world: World

    @property
    def clips(self) -> Sequence[Clips]:
        """What is drawn from."""
        return self.whole.clips

    def steps_per_epoch(self) -> int:
        """As many as there are."""
        return self.whole.steps_per_epoch()

    def draw(self, seed: int, step: int, device: torch.device) -> Batch:
        """The share of that step, and the weight of its mean."""
        part, weight = part_of(self.world, self.whole.samples(step))
        return {**self.whole.draw_part(seed, step, device, part), WEIGHT: weight}


def part_of(world: World, samples: int) -> tuple[slice, float]:
    """A process's part of so many samples, and the weight that makes the mean over processes one over samples.

    One for whom none is left takes the first along, at weight 0: whoever computes nothing answers no exchange, and the others would wait.
    """
    start, stop = samples * world.rank // world.size, samples * (world.rank + 1) // world.size
    return (slice(start, stop), (stop - start) * world.size / samples) if stop > start else (slice(0, 1), 0.0)


class _Weighted(nn.Module):
    """A module whose forward is a stage's loss, as DistributedDataParallel wants it."""

    def __init__(self, recognizer: Recognizer, loss: Loss) -> None:
        super().__init__()
        self.recognizer, self.loss = recognizer, loss

    def forward(self, batch: Batch, rng: torch.Generator, weight: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss and logs of a share, times its weight; the logs have no gradient that would be waited for."""
        loss, logs = self.loss(self.recognizer, batch, rng)
        return loss * weight, {name: value.detach() * weight for name, value in logs.items()}


class _SharedLoss:
    """A stage's loss on a share: its value is that of the whole batch, its gradient, once it is averaged, too."""

    def __init__(self, loss: Loss, world: World) -> None:
        self.loss, self.world = loss, world
        self.network: DistributedDataParallel | None = None
        self.norms: dict[str, nn.Module] = {}

    def begin(self, recognizer: Recognizer) -> DistributedDataParallel:
        """At the first step, when it is known what is frozen: the network, its batch norms counting the samples of all processes (on GPUs; elsewhere none is
        trained, see `check`)."""
        if next(recognizer.parameters()).is_cuda:
            self.norms = synchronised(recognizer)
        # A stage may leave parameters aside (the pretext's control spares the backbone), so those that a loss reached are looked for.
        self.network = DistributedDataParallel(_Weighted(recognizer, self.loss), broadcast_buffers=False, find_unused_parameters=True)
        return self.network

    def end(self, recognizer: Recognizer) -> None:
        """Put the batch norms back, which are those of one process again."""
        self.network = None
        for name, module in self.norms.items():
            recognizer.set_submodule(name, module)

    def __call__(self, recognizer: Recognizer, batch: Batch, rng: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        batch = dict(batch)
        weight = batch.pop(WEIGHT)
        network = self.network or self.begin(recognizer)
        if self.world.rank:  # other samples, other noise
            seed_all(derive(torch.initial_seed(), "rank", self.world.rank), next(recognizer.parameters()).device)
            rng = torch.Generator().manual_seed(derive(rng.initial_seed(), "rank", self.world.rank))
        loss, logs = network(batch, rng, weight)
        means = torch.stack([value.detach().float() for value in (loss, *logs.values())]) / self.world.size
        distributed.all_reduce(means)  # before the gradient: where it is not finite, every process knows at the same step
        return loss - loss.detach() + means[0], dict(zip(logs, means[1:], strict=True))


class Follower(Saver):
    """What a process has for a checkpoint that does not write any."""

    def __init__(self) -> None:
        super().__init__(None, 0.0, ())

    def rescue(self, *args: Any) -> str:
        """Wait for the first process, which has met the same and tells what it kept; it ends this one."""
        time.sleep(600)
        return "the first process says what is kept"


def saver(world: World, path: Path | None, every: float, finished: Any) -> Saver:
    """Who writes checkpoints: the first process."""
    return Saver(path, every, finished) if world.first else Follower()


def settle(recognizer: Recognizer, stage: Stage | None, log: dict[str, Any], world: World) -> dict[str, Any]:
    """After a stage, as `share` gave it: everyone has the log and the weights of the first process. Waits for it without a limit."""
    if isinstance(stage, GradientStage) and isinstance(stage.loss, _SharedLoss):
        stage.loss.end(recognizer)
    facts = world.agreed(lambda: log)
    if world.size > 1:
        with torch.no_grad():
            for value in (*recognizer.parameters(), *recognizer.buffers()):
                flat = value.detach().contiguous().reshape(-1).view(torch.uint8)
                distributed.broadcast(flat, 0)
                value.copy_(flat.view(value.dtype).reshape(value.shape))
    return facts
