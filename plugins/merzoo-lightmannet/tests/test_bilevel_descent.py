"""The two levels on a model of two parameters, in float64: against finite differences, against MAML written by hand, and in their limits."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from merzoo_lightmannet.bilevel import bilevel, bilevel_slopes, carrying
from torch import Tensor

WEIGHT = 0.5  # λ


def theta() -> dict[str, Tensor]:
    """One parameter of the network and one of the alignment head."""
    return {name: torch.tensor(value, dtype=torch.float64, requires_grad=True) for name, value in (("network", 0.7), ("alignment", -0.4))}


def losses(shift: float, weight: float):
    """(level 1, level 2) of one task; smooth, nothing symmetric about them, and the alignment parameter stands in L_aux alone."""

    def level_one(p: Mapping[str, Tensor]) -> Tensor:
        primary = (p["network"].sin() - shift).square()
        return primary + weight * (p["network"] * p["alignment"] + shift).tanh() if weight else primary

    def level_two(p: Mapping[str, Tensor]) -> Tensor:
        return (p["network"].exp() - 2 * shift).square()

    return level_one, level_two


def tasks(weight: float = WEIGHT):
    return [losses(shift, weight) for shift in (0.3, -0.8, 1.1)]


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("name", ["network", "alignment"])
def test_the_gradient_of_level_two_is_that_of_finite_differences(name, steps):
    how = {"alpha": 0.1, "steps": steps}
    _, slopes = bilevel_slopes(theta(), tasks(), **how)
    ends = []
    for nudge in (1e-6, -1e-6):
        params = theta()
        params[name] = (params[name] + nudge).detach().requires_grad_()
        ends.append(bilevel(params, tasks(), **how).item())
    assert float(slopes[name]) == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-7)


@pytest.mark.parametrize("first_order", [False, True])
def test_task_by_task_gives_the_gradient_of_the_mean(first_order):
    params = theta()
    how = {"alpha": 0.1, "steps": 2, "first_order": first_order}
    value, slopes = bilevel_slopes(params, tasks(), **how)
    whole = bilevel(params, tasks(), **how)
    wanted = torch.autograd.grad(whole, list(params.values()), allow_unused=True)
    assert value.item() == pytest.approx(whole.item(), rel=1e-14)
    assert float(slopes["network"]) == pytest.approx(float(wanted[0]), rel=1e-12)
    assert (wanted[1] is None) == first_order  # level 2 says nothing to the alignment head in first order


def test_without_the_auxiliary_task_it_is_maml():
    """Against MAML (Finn et al. 2017) with every derivative worked out by hand: dL/dθ = L_Q'(θ') (1 − α L_S''(θ))."""
    alpha, at = 0.1, theta()["network"].detach()
    by_hand, values = [], []
    for shift in (0.3, -0.8, 1.1):
        slope = 2 * (at.sin() - shift) * at.cos()
        curve = 2 * (at.cos().square() - (at.sin() - shift) * at.sin())
        fast = at - alpha * slope
        by_hand.append(2 * (fast.exp() - 2 * shift) * fast.exp() * (1 - alpha * curve))
        values.append((fast.exp() - 2 * shift).square())
    value, slopes = bilevel_slopes(theta(), tasks(weight=0.0), alpha=alpha)
    assert float(value) == pytest.approx(float(torch.stack(values).mean()), rel=1e-14)
    assert float(slopes["network"]) == pytest.approx(float(torch.stack(by_hand).mean()), rel=1e-13)
    assert "alignment" not in slopes


def test_an_inner_step_of_length_zero_is_plain_training_on_the_query():
    params = theta()
    value, slopes = bilevel_slopes(params, tasks(), alpha=0.0, steps=2)
    plain = torch.stack([level_two(params) for _, level_two in tasks()]).mean()
    assert torch.equal(value, plain.detach())
    assert float(slopes["network"]) == pytest.approx(float(torch.autograd.grad(plain, params["network"])[0]), rel=1e-14)
    assert float(slopes["alignment"]) == 0.0


def test_second_order_teaches_the_alignment_head_and_first_order_takes_level_one():
    second, first = (bilevel_slopes(theta(), tasks(), alpha=0.1, first_order=order)[1] for order in (False, True))
    params = theta()
    level_one = torch.stack([one(params) for one, _ in tasks()]).mean()
    wanted = torch.autograd.grad(level_one, params["alignment"])[0]
    assert float(first["alignment"]) == pytest.approx(float(wanted), rel=1e-14)
    assert float(second["alignment"]) != 0 and abs(float(second["alignment"]) - float(wanted)) > 1e-3
    assert abs(float(second["network"]) - float(first["network"])) > 1e-3  # the curvature counts


def test_a_carried_value_hands_each_parameter_its_slope():
    params = theta()
    slopes = {"network": torch.tensor(3.0, dtype=torch.float64)}
    (2 * carrying(torch.tensor(5.0), params, slopes)).backward()
    assert float(params["network"].grad) == 6.0 and params["alignment"].grad is None
