"""Networks that cheat are told, whether they mean to or not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from merzoo.benchmark.bench import Bench
from merzoo.benchmark.forward import timed
from merzoo.benchmark.honesty import Checks, lost
from merzoo.benchmark.inputs import Inputs
from merzoo.benchmark.measurement import Measurement
from merzoo.benchmark.sampling import Limits
from merzoo.benchmark.variants import Forward, Variant
from merzoo.interfaces import Batch
from merzoo.training.machine import Machine

LIMITS = Limits(40, 40, 0.5)
WEIGHT = torch.randn(3 * 16 * 16, 4, generator=torch.Generator().manual_seed(0))


def honest(batch: Batch) -> Tensor:
    """Logits [B, 4]."""
    return batch["x"].flatten(1) @ WEIGHT


def slow(batch: Batch) -> Tensor:
    """The same, in a few milliseconds."""
    square = torch.ones(400, 400)
    for _ in range(8):
        square = (square @ square).clamp(0, 1)
    return honest(batch) * square[0, 0]


def asynchronous(batch: Batch) -> Tensor:
    """Gives its answer at once, and fills it in later, as a GPU does for who does not wait."""
    result, values = torch.zeros(len(batch["x"]), 4), batch["x"].clone()

    def later() -> None:
        time.sleep(0.005)
        result.copy_(honest({"x": values}))

    threading.Thread(target=later).start()
    return result


def cache(key: Callable[[Tensor], object]) -> Forward:
    """`slow`, with answers kept."""
    kept: dict[object, Tensor] = {}

    def forward(batch: Batch) -> Tensor:
        at = key(batch["x"])
        if at not in kept:
            kept[at] = slow(batch)
        return kept[at].clone()

    return forward


def measured(forward: Forward, reference: Forward, batch: int = 1, variant: Variant = Variant()) -> Measurement:  # noqa: B008
    """As the scenarios measure it."""
    bench = Bench(Machine())
    inputs = Inputs({"x": (3, 16, 16)}, bench.device)
    checks = Checks(inputs, reference, bench.clock, batch)
    return timed("latency", forward, checks, bench, inputs, variant, batch, LIMITS)


@pytest.mark.parametrize("batch", [1, 3, 16])
def test_an_honest_network_has_no_fault(batch: int) -> None:
    found = measured(slow, slow, batch)
    assert found["faults"] == []
    assert found["check"] == {"error": 0.0, "tolerance": 1e-3, "ok": True}
    assert found["summary"]["count"] == len(found["samples_us"]) == 40


def test_work_that_goes_on_after_the_clock_is_told() -> None:
    found = measured(asynchronous, asynchronous)
    assert found["faults"]
    assert measured(asynchronous, honest)["check"]["ok"] is False


def test_an_output_that_changes_after_the_clock_is_told_even_where_it_was_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("merzoo.benchmark.honesty.SETTLE", 0.25)  # a busy machine may stall for longer than the usual

    def late(batch: Batch) -> Tensor:
        result = honest(batch)
        threading.Timer(0.1, result.zero_).start()
        return result

    found = measured(late, honest)
    assert any("not done when the clock stopped" in fault for fault in found["faults"])
    assert found["check"]["ok"]


def test_answers_kept_for_equal_inputs_are_told() -> None:
    kept = cache(lambda x: x.numpy().tobytes())
    found = measured(kept, kept)
    assert any("times faster: answers are kept" in fault for fault in found["faults"])


def test_answers_kept_by_address_are_wrong_ones() -> None:
    found = measured(cache(Tensor.data_ptr), slow)
    assert not found["check"]["ok"]
    own = cache(Tensor.data_ptr)
    assert measured(own, own)["faults"], "its own reference is kept too, and then all samples look alike"


def test_a_fast_wrong_variant_is_told() -> None:
    def constant(batch: Batch) -> Tensor:
        return torch.full((len(batch["x"]), 4), float(WEIGHT.mean()))

    found = measured(constant, honest, 4, Variant("bf16"))
    assert not found["check"]["ok"]
    assert any("the output is not that of fp32" in fault for fault in found["faults"])


def test_not_a_number_and_another_shape_are_told() -> None:
    found = measured(lambda batch: honest(batch) * float("nan"), honest)
    assert found["check"] == {"error": None, "tolerance": 1e-3, "ok": False}
    assert found["faults"]
    assert measured(lambda batch: honest(batch)[:, :2], honest)["faults"]


def test_a_network_that_says_the_same_of_everything_cannot_be_checked() -> None:
    def constant(batch: Batch) -> Tensor:
        return torch.ones(len(batch["x"]), 4)

    found = measured(constant, constant)
    assert any("same output" in fault for fault in found["faults"])
    assert found["check"] is None


def test_lost_is_a_share_of_what_tells_samples_apart() -> None:
    expected = torch.tensor([[100.0, 1.0], [100.0, 3.0]])
    assert lost(expected, expected) == 0
    assert lost(expected.mean(0).expand(2, 2), expected) == pytest.approx(1)
    assert lost(expected + torch.tensor([[0.0, 0.1], [0.0, -0.1]]), expected) == pytest.approx(0.1)
    assert lost(expected, expected[:1].expand(2, 2)) is None


def test_a_class_that_was_never_fitted_does_not_hide_the_others() -> None:
    expected = torch.tensor([[-1e30, 1.0], [-1e30, 3.0]])
    assert lost(expected, expected) == 0
    assert lost(expected + torch.tensor([0.0, 1.0]), expected) == pytest.approx(1)


def test_known_batches_come_where_nobody_expects_them() -> None:
    bench = Bench(Machine())
    inputs = Inputs({"x": (3, 16, 16)}, bench.device)
    checks = Checks(inputs, honest, bench.clock, 1)
    first, second = (checks.positions(1000, bench.rng) for _ in range(2))
    assert len(first) == len(second) == 8
    assert first != second
    assert sorted(first.values()) == list(range(8))
