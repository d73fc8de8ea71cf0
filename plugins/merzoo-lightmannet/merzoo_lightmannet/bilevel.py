"""Two levels of descent, as pure functions of named parameters: any model and any losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

Params = Mapping[str, Tensor]
Loss = Callable[[Params], Tensor]  # a scalar, from parameters by name


def slopes_of(loss: Tensor, params: Params, create_graph: bool = False) -> dict[str, Tensor]:
    """The gradient of a scalar by the name of the parameter; parameters that it does not depend on are left out."""
    device = loss.device.type
    # Backward passes take the precisions of the forward pass they belong to. With a graph of their own they would be cast once more by autocast.
    with torch.autocast(device, enabled=False):
        found = torch.autograd.grad(loss, list(params.values()), create_graph=create_graph, allow_unused=True)
    return {name: slope for name, slope in zip(params, found, strict=True) if slope is not None}


def adapted(params: Params, loss: Loss, *, alpha: float, steps: int, first_order: bool = False) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Level 1: θ' after `steps` steps θ' ← θ' − α ∇loss(θ'), and the gradient at θ itself, without a graph.

    Second order keeps the graph of the steps, so that θ' can be differentiated by θ; first order takes the gradients for constants (Finn et al. 2017,
    section 5.2), so that dθ'/dθ = 1.
    """
    fast, first = dict(params), {}
    for step in range(steps):
        slopes = slopes_of(loss(fast), fast, create_graph=not first_order)
        if step == 0:
            first = {name: slope.detach() for name, slope in slopes.items()}
        fast = {name: value - alpha * slopes[name] if name in slopes else value for name, value in fast.items()}
    return fast, first


def bilevel(params: Params, tasks: Sequence[tuple[Loss, Loss]], *, alpha: float, steps: int = 1, first_order: bool = False) -> Tensor:
    """Level 2: the mean over tasks (loss of level 1, loss of level 2) of the second loss at θ'; differentiable by θ.

    θ_i' = θ − α ∇ level_one_i(θ)        (once, or `steps` times)
    (1/N) Σ_i level_two_i(θ_i')
    """
    losses = [level_two(adapted(params, level_one, alpha=alpha, steps=steps, first_order=first_order)[0]) for level_one, level_two in tasks]
    return torch.stack(losses).mean()


def bilevel_slopes(
    params: Params, tasks: Sequence[tuple[Loss, Loss]], *, alpha: float, steps: int = 1, first_order: bool = False
) -> tuple[Tensor, dict[str, Tensor]]:
    """`bilevel` and its gradient, one task after the other: memory for one task's graph, however many there are.

    First order: what level 2 does not depend on (the alignment head) takes the gradient of level 1 at θ, its mean over tasks, instead of none.
    """
    total: dict[str, Tensor] = {}
    losses = []
    for level_one, level_two in tasks:
        fast, first = adapted(params, level_one, alpha=alpha, steps=steps, first_order=first_order)
        loss = level_two(fast)
        slopes = slopes_of(loss, params)
        if first_order:
            slopes = {**first, **slopes}
        losses.append(loss.detach())
        for name, slope in slopes.items():
            total[name] = total[name] + slope / len(tasks) if name in total else slope / len(tasks)
    return torch.stack(losses).mean(), total


class _Carried(torch.autograd.Function):
    """A value whose gradients are known already."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, count: int, *both: Tensor) -> Tensor:
        ctx.save_for_backward(*both[:count])
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        slopes = ctx.saved_tensors
        return (None, None, *(None for _ in slopes), *(grads[0] * slope for slope in slopes))


def carrying(value: Tensor, params: Params, slopes: Params) -> Tensor:
    """`value` as a scalar whose `backward` gives each parameter its slope: what a step hands to an optimiser that calls `backward` itself."""
    names = list(slopes)
    carried: Tensor = _Carried.apply(value, len(names), *(slopes[n] for n in names), *(params[n] for n in names))
    return carried
