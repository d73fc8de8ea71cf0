"""Inputs, variants, arithmetic, memory, noise and energy of a measurement."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from merzoo.benchmark.arithmetic import Work, flops_of, roofline, work_of
from merzoo.benchmark.clock import Clock
from merzoo.benchmark.energy import Meter
from merzoo.benchmark.forward import goes_on
from merzoo.benchmark.inputs import Inputs
from merzoo.benchmark.memory import free_bytes, peak_bytes
from merzoo.benchmark.noise import Noise
from merzoo.benchmark.record import path_of
from merzoo.benchmark.rules import LIMIT, knee, told
from merzoo.benchmark.run import SCENARIOS, Scenario, known, tasks
from merzoo.benchmark.variants import Precision, Variant, choose, flags, impossible, lay_out, runner
from merzoo.errors import UnknownNameError
from merzoo.interfaces import Batch
from merzoo.training.machine import Machine

CPU = torch.device("cpu")


class Network(nn.Module):
    """A convolution and a linear layer on 8 px."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.linear = nn.Conv2d(3, 5, 3, padding=1), nn.Linear(5 * 64, 4)

    def forward(self, batch: Batch) -> torch.Tensor:
        """Logits of batch["x"], [B, 3, 8, 8]."""
        return self.linear(self.convolution(batch["x"]).flatten(1))


def inputs() -> Inputs:
    """Of `Network`."""
    return Inputs({"x": (3, 8, 8)}, CPU)


def test_every_batch_is_fresh_and_lies_in_the_same_memory() -> None:
    made = inputs()
    first = made.fresh(2)["x"]
    before, where = first.clone(), first.data_ptr()
    second = made.fresh(2)["x"]
    assert second.data_ptr() == where
    assert not torch.equal(second, before)
    assert made.bytes_a_sample() == 4 * 3 * 8 * 8


def test_samples_differ_in_level_contrast_and_pattern() -> None:
    x = Inputs({"x": (2, 3, 32, 32)}, CPU).draw(64)["x"]
    assert x.isfinite().all()
    assert x.min() >= 0
    assert x.max() < 2
    level, contrast = x.flatten(1).mean(1), x.flatten(1).std(1)
    assert level.std() > 0.1
    assert contrast.max() > 2 * contrast.min()
    coarse = nn.functional.avg_pool2d(x.flatten(1, 2), 8)
    assert coarse.flatten(2).std(2).mean() > 0.5 * x.flatten(1, 2).flatten(2).std(2).mean(), "white noise would be averaged away"


def test_inputs_of_one_seed_are_the_same() -> None:
    first, second = (Inputs({"flow": (2, 8, 8), "scalar": (5,)}, CPU, seed=1).draw(2) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert first["scalar"].shape == (2, 5)


def test_flops_are_two_a_multiply_add() -> None:
    network = Network()
    convolution, linear = 2 * 5 * 64 * 3 * 9, 2 * 5 * 64 * 4
    assert flops_of(network, inputs().fresh(1)) == convolution + linear
    assert flops_of(network, inputs().fresh(3)) == 3 * (convolution + linear)


def test_work_counts_bytes_once_each() -> None:
    work = work_of(Network(), inputs().fresh(1))
    assert work.sample_bytes == 4 * (3 * 64 + 4)
    assert work.weight_bytes == 4 * (5 * 3 * 9 + 5 + 4 * 320 + 4)


def test_flops_that_cannot_be_counted_are_unknown() -> None:
    class Refusing(Network):
        def forward(self, batch: Batch) -> torch.Tensor:
            raise RuntimeError("not under a counter")

    assert flops_of(Refusing(), inputs().fresh(1)) is None


def test_floor_is_the_later_of_arithmetic_and_traffic() -> None:
    roof = {"copy_bytes_per_second": 1e9, "matmul_flops_per_second": {"fp32": 1e12, "bf16": 1e15}}
    work = Work(flops=2_000_000, sample_bytes=1_000, weight_bytes=500)
    assert work.floor_us(1, "fp32", roof) == pytest.approx(2.0)
    assert work.floor_us(10, "fp32", roof) == pytest.approx(20.0)
    assert work.floor_us(1, "bf16", roof) == pytest.approx(1.5), "1,500 bytes at 1 GB/s"
    assert work.floor_us(10, "bf16", roof) == pytest.approx(10.5), "weights are moved once"
    assert work.floor_us(1, "fp16", roof) is None
    assert Work(None, 1, 1).floor_us(1, "fp32", roof) is None


def test_roofline_of_this_machine() -> None:
    found = roofline(Clock("cpu"))
    assert found["copy_bytes_per_second"] > 1e8
    assert found["matmul_flops_per_second"].keys() == {"fp32", "bf16"}
    assert min(found["matmul_flops_per_second"].values()) > 1e8


def test_knee_is_where_doubling_gains_less_than_five_percent() -> None:
    rates = {1: 100.0, 2: 190.0, 4: 300.0, 8: 310.0}
    assert knee(rates) == 4
    assert not goes_on(rates)
    assert goes_on({1: 100.0, 2: 190.0})
    assert goes_on({})
    assert knee({1: 100.0, 2: 105.0}) == 2, "a gain of exactly 5 % is one"
    assert knee({1: 100.0, 2: 90.0}) == 1


def test_peak_memory_of_a_call_repeats_to_the_byte() -> None:
    def run() -> torch.Tensor:
        return torch.ones(1000, 1000).sum()

    first, second = peak_bytes(run, CPU), peak_bytes(run, CPU)
    assert first == second
    assert 4_000_000 <= first < 4_100_000
    assert peak_bytes(lambda: None, CPU) == 0
    assert (free_bytes(CPU) or 1) > 0


def test_noise_is_the_spread_of_the_blocks() -> None:
    assert told([100.0, 102.0, 101.0]) == {"blocks_us": [100.0, 102.0, 101.0], "spread": pytest.approx(2 / 101), "limit": LIMIT, "noisy": False}
    assert told([100.0, 104.0])["noisy"]
    assert Noise(Clock("cpu")).block() > 0


def test_energy_is_what_the_meter_says_divided_by_the_calls() -> None:
    """The meter itself needs a GPU; this one counts half a joule a call."""
    calls = 0

    def run() -> None:
        nonlocal calls
        calls += 1

    meter = Meter(SimpleNamespace(nvmlDeviceGetTotalEnergyConsumption=lambda handle: 500 * calls), None)
    assert meter.of_call(run, lambda: None, seconds=0.01) == pytest.approx(0.5)
    assert Meter.of(CPU) is None


def test_variants_of_a_cpu() -> None:
    suited = choose(Machine.of("cpu"))
    assert suited[0] == Variant("fp32", "channels-last", "eager")
    assert {variant.mode for variant in suited} == {"eager"}
    asked = choose(Machine.of("cpu"), ["fp16", "fp32"], ["contiguous"], ["eager", "cuda-graph"])
    assert len(asked) == 4
    assert [bool(impossible(variant, CPU)) for variant in asked] == [True, True, False, True]
    assert "matrix units" in impossible(Variant("tf32"), CPU)


def test_variants_of_a_gpu() -> None:
    made = choose(Machine("cuda"))
    eager = [variant.precision for variant in made if variant.mode == "eager"]
    assert eager == ["fp32", "tf32", "bf16", "fp16"]
    for mode in ("compiled", "cuda-graph"):
        assert [variant.precision for variant in made if variant.mode == mode] == ["fp32", "bf16"]


@pytest.mark.parametrize(("precision", "rounds"), [("fp32", False), ("tf32", True), ("bf16", False), ("fp16", False)])
def test_what_a_gpu_may_round_is_set_and_restored(precision: Precision, rounds: bool) -> None:
    def allowed() -> list[bool]:
        return [torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32]

    before = allowed()
    with pytest.raises(ZeroDivisionError), flags(precision, torch.device("cuda")):
        assert allowed() == [rounds, rounds]
        raise ZeroDivisionError
    assert allowed() == before
    with flags(precision, CPU):
        assert allowed() == before


def test_layouts_change_memory_and_no_number() -> None:
    network, batch = Network(), inputs().fresh(2)
    weight = network.convolution.weight
    before = runner(network, Variant(layout="contiguous"), batch, CPU)(batch)
    after = runner(network, Variant(layout="channels-last"), batch, CPU)(batch)
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(before, after, atol=1e-5)
    lay_out(network, "contiguous")
    assert weight.is_contiguous()


def test_bf16_is_autocast() -> None:
    network, batch = Network(), inputs().fresh(2)
    with flags("bf16", CPU):
        logits = runner(network, Variant("bf16"), batch, CPU)(batch)
    assert logits.dtype == torch.bfloat16
    assert network.linear.weight.dtype == torch.float32


@pytest.mark.slow
def test_a_compiled_network_says_the_same() -> None:
    network, batch = Network(), inputs().fresh(2)
    eager = runner(network, Variant(), batch, CPU)(batch)
    assert torch.allclose(runner(network, Variant(mode="compiled"), batch, CPU)(batch), eager, atol=1e-5)


def test_names_of_files_are_safe_and_apart() -> None:
    folder = Path("out")
    assert path_of(folder, "miacnet", "small", "cpu") == folder / "miacnet-small-cpu.json"
    strange = [path_of(folder, name, "small", "cpu") for name in ("../x", ".._x", "a" * 300, "a" * 301, "miacnet,backbone.size=64")]
    assert len(set(strange)) == 5
    assert all(path.parent == folder and len(path.name) < 150 for path in strange)


def test_what_is_asked_for_is_known_or_told() -> None:
    assert known("scenario", ["load", "load"], Scenario) == ("load",)
    assert known("scenario", None, Scenario) == ()
    with pytest.raises(UnknownNameError, match="unknown scenario 'latncy'; did you mean latency"):
        known("scenario", ["latncy"], Scenario)


def test_every_scenario_has_tasks() -> None:
    made = list(tasks(SCENARIOS, [Variant("fp32"), Variant("bf16")]))
    assert {task.scenario for task in made} == set(SCENARIOS)
    assert [task.words for task in made][:2] == ["latency fp32 eager", "latency bf16 eager"]
