"""A checkpoint inside a stage: weights, optimiser state and position in one safetensors file, written whole or not at all."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from merzoo.errors import RunError, WeightsError
from merzoo.training.finite import NotFiniteError, check_parameters
from merzoo.weights import read, write

if TYPE_CHECKING:
    from merzoo.training.engine import StageLog


def save(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer | None, position: dict[str, Any]) -> None:
    """Write the state of a model and its optimiser with a JSON position."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    if optimizer is not None:
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in state.items() if value is not None}
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, {name: value.clone() for name, value in tensors.items()}, position)


def restore(path: Path, model: nn.Module) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Put a checkpoint's weights into the model; returns its position and the optimiser's tensors for `restore_optimizer`."""
    try:
        tensors, position = read(path)
        model.load_state_dict({name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")})
    except (WeightsError, RuntimeError) as error:
        raise RunError(f"checkpoint {path} cannot be used ({str(error).splitlines()[0]}); delete it and that part is trained again") from error
    return position, {name: value for name, value in tensors.items() if name.startswith("optimizer.")}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    """Put the optimiser's tensors back, each in its parameter's memory format: the fused kernels walk both by address."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        _, index, name = key.split(".", 2)
        like = parameters[int(index)]
        if value.shape == like.shape:
            value = torch.empty_like(like, dtype=value.dtype, requires_grad=False).copy_(value)
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


class Saver:
    """Writes the state inside a stage to the checkpoint file, every so many seconds; nowhere where the path is None.

    finished: logs of the stages before it.
    """

    def __init__(self, path: Path | None, every: float, finished: Sequence[StageLog]) -> None:
        self.path, self.every, self.finished = path, every, finished
        self.began = self.last = time.perf_counter()

    def due(self) -> bool:
        """Whether it is time again."""
        return self.path is not None and time.perf_counter() - self.last >= self.every

    def save(self, model: nn.Module, optimizer: torch.optim.Optimizer, log: StageLog, step: int) -> None:
        """Write the state before `step`. Raises `NotFiniteError` where a parameter is not finite: a network that broke must not replace the last good one."""
        if self.path is None:
            return
        check_parameters(optimizer, step - 1)
        inside = {"log": {**asdict(log), "seconds": log.seconds + time.perf_counter() - self.began}, "step": step}
        save(self.path, model, optimizer, {"finished": [asdict(x) for x in self.finished], "inside": inside})
        self.last = time.perf_counter()

    def rescue(self, model: nn.Module, optimizer: torch.optim.Optimizer, log: StageLog, step: int, buffers: Sequence[torch.Tensor] | None) -> str:
        """Write the state before the step that went wrong, where it is still there: `buffers` as they were before it, None where the optimiser may have
        stepped since. Says in words what is kept."""
        if self.path is None:
            return "no state is kept, for want of a checkpoint file"
        if buffers is not None:
            with contextlib.suppress(NotFiniteError):
                for buffer, before in zip(model.buffers(), buffers, strict=True):
                    buffer.copy_(before)
                self.save(model, optimizer, log, step)
                return f"the state before it is kept in {self.path}"
        return f"the last state that was saved is kept in {self.path}" if self.path.is_file() else "no state had been saved before"
