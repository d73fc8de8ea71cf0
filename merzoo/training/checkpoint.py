"""A checkpoint inside a stage: weights, optimiser state and position in one safetensors file, written whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from merzoo.errors import RunError, WeightsError
from merzoo.weights import read, write


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
