"""A bi-level step on episodes of micro and macro clips is a stage like any other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad
from torch.nn.functional import cross_entropy

from merzoo.data.clips import ClipData, Clips
from merzoo.errors import LeakageError
from merzoo.interfaces import Batch
from merzoo.recognizer import Recognizer, build
from merzoo.training.batches import LabelledBatches
from merzoo.training.data import TrainingData
from merzoo.training.engine import run_stages, state_hash
from merzoo.training.machine import Machine
from merzoo.training.stages import GradientStage, ParameterGroup

MACHINE = Machine("cpu", "fp32", 1)


@dataclass(frozen=True)
class Episodes:
    """Support and query of micro clips from other people, and macro clips beside them."""

    support: LabelledBatches
    query: LabelledBatches
    macro: Clips

    @property
    def clips(self) -> Sequence[Clips]:
        return (self.support.source, self.query.source, self.macro)

    def steps_per_epoch(self) -> int:
        return self.query.steps_per_epoch()

    def draw(self, seed: int, step: int, device: torch.device) -> Batch:
        sides = {name: side.draw(seed, step, device) for name, side in (("support", self.support), ("query", self.query))}
        at = torch.tensor([step % len(self.macro)])
        frames = self.macro.stored({"difference": self.support.views["difference"][0]}, at, device)["difference"]
        return {**sides, "macro": {"difference": frames[..., 8:56, 8:56].float() / 255}}


def bilevel(recognizer: Recognizer, batch: Batch, rng: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
    """One inner step on the support, with macro features beside it; the loss is that of the query under the inner weights."""
    weights = {name: p for name, p in recognizer.named_parameters() if p.requires_grad}

    def inner(fast: dict[str, Tensor]) -> Tensor:
        calm = functional_call(recognizer, fast, (batch["macro"],)).square().mean()
        return cross_entropy(functional_call(recognizer, fast, (batch["support"],)), batch["support"]["label"]) + 0.1 * calm

    slopes = grad(inner)(weights)
    fast = {name: value - 0.1 * slopes[name] for name, value in weights.items()}
    return cross_entropy(functional_call(recognizer, fast, (batch["query"],)), batch["query"]["label"]), {}


def network(data: ClipData) -> Recognizer:
    torch.manual_seed(0)
    options = {"view": "difference", "size": 48, "norm_layer": "groupnorm1"}
    return build(("timm/test_resnet", options), labels=data.labels)


def stage(recognizer: Recognizer, data: ClipData) -> GradientStage:
    known = TrainingData.without(data, (), recognizer.train_views)
    first = sorted(known.micro.subjects)[:2]
    sides = [known.micro.without(first), known.micro.without(known.micro.subjects - set(first))]
    support, query = (LabelledBatches(side, recognizer.backbone.inputs, recognizer.train_views, 4) for side in sides)
    assert not support.source.subjects & query.source.subjects
    return GradientStage("episodes", Episodes(support, query, known.macro), bilevel, (ParameterGroup(("backbone", "head"), 1e-3),), steps=4)


def test_a_bilevel_step_trains_every_parameter_and_repeats(tiny: ClipData) -> None:
    hashes = []
    for _ in range(2):
        recognizer = network(tiny)
        before = {name: p.detach().clone() for name, p in recognizer.named_parameters()}
        run_stages(recognizer, [stage(recognizer, tiny)], seed=1, machine=MACHINE)
        assert all(not torch.equal(p, before[name]) for name, p in recognizer.named_parameters())
        hashes.append(state_hash(recognizer))
    assert hashes[0] == hashes[1]


def test_the_second_derivative_is_there(tiny: ClipData) -> None:
    recognizer = network(tiny).double()
    batch = {name: {k: v.double() if v.is_floating_point() else v for k, v in side.items()} for name, side in episode(recognizer, tiny).items()}
    bias = recognizer.head.linear.bias
    (slope,) = torch.autograd.grad(bilevel(recognizer, batch, torch.Generator())[0], bias)
    with torch.no_grad():
        bias[0] += 1e-5
        up = bilevel(recognizer, batch, torch.Generator())[0]
        bias[0] -= 2e-5
        down = bilevel(recognizer, batch, torch.Generator())[0]
    assert float(slope[0]) == pytest.approx(float(up - down) / 2e-5, rel=1e-4)


def episode(recognizer: Recognizer, data: ClipData) -> Batch:
    return stage(recognizer, data).batches.draw(0, 0, torch.device("cpu"))


def test_a_test_subject_among_the_macro_clips_of_an_episode_is_refused(tiny: ClipData) -> None:
    recognizer = network(tiny)
    with pytest.raises(LeakageError, match="episodes"):
        run_stages(recognizer, [stage(recognizer, tiny)], seed=1, machine=MACHINE, test_subjects=Clips(tiny, "macro").subjects)
