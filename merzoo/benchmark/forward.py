"""Scenarios of one forward pass: `latency` at batch 1, `throughput` over batch sizes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from merzoo.benchmark.bench import Bench
from merzoo.benchmark.honesty import FASTER, Checks, cached
from merzoo.benchmark.inputs import Inputs
from merzoo.benchmark.measurement import Measurement, measurement, skip
from merzoo.benchmark.memory import free_bytes, peak_bytes
from merzoo.benchmark.rules import knee
from merzoo.benchmark.sampling import WARM_UP_SHARE, Limits, planned, warm_up
from merzoo.benchmark.subject import Subject
from merzoo.benchmark.variants import Forward, Variant, flags, impossible, lay_out, runner
from merzoo.entries import last_line
from merzoo.interfaces import Batch

SWEEP = (100, 10)  # samples of a batch size: at most, at least
SHARE = 0.25  # of what is left of a sweep's limit, that the calls of the next size may take
FEWEST = 2  # sizes of a sweep that runs late
MEMORY_SHARE = 0.5  # of what is free that a batch may be expected to take


def latency(subject: Subject, variant: Variant) -> None:
    """One sample a call, as a video stream asks for it."""
    _tried(subject, "latency", variant, 1, subject.bench.limits)


def throughput(subject: Subject, variant: Variant) -> None:
    """Batches of 1, 2, 4 … while doubling gains 5 % or more, memory and the limit of seconds last, and the bench allows the size.

    All sizes share the limit: the calls of each may take a quarter of what the sizes before have left (warm-up, checks and the least number of calls count as
    well, and may take more). Batches of 1 and 2 are measured however late it is, since a knee needs two.
    """
    limits, clock = subject.bench.limits.fewer(*SWEEP), subject.bench.clock
    ends = clock.now() + limits.seconds
    rates: dict[int, float] = {}
    batch = 1
    while batch <= subject.bench.max_batch and goes_on(rates):
        if rates and (why := _too_large(subject, batch)):
            subject.skipped.append(skip("throughput", why, variant, batch))
            break
        left = ends - clock.now()
        if left <= 0 and len(rates) >= FEWEST:
            subject.skipped.append(skip("throughput", f"the sizes before it took the limit of {limits.seconds:g} s", variant, batch))
            break
        found = _tried(subject, "throughput", variant, batch, limits.within(SHARE * max(left, SHARE * limits.seconds)))
        if found is None:
            break
        rates[batch] = found["per_second"]
        batch *= 2
    if not rates:
        return
    best = knee(rates)
    how = {"scenario": "throughput", "precision": variant.precision, "layout": variant.layout, "mode": variant.mode, "batch": best}
    for each in subject.measurements:
        if how.items() <= each.items():
            each["knee"] = True  # whatever becomes of the meter
            each["energy_joules"] = _energy_again(subject, variant, best)


def goes_on(rates: Mapping[int, float]) -> bool:
    """Whether a larger batch is worth a look: the knee is the largest one so far."""
    return not rates or knee(rates) == max(rates)


def _too_large(subject: Subject, batch: int) -> str:
    """Why a batch is not tried after half of it was measured; "" where it is. torch tells on a GPU, by an error; a CPU's system would end the process."""
    last, free = subject.measurements[-1]["peak_bytes"], free_bytes(subject.bench.device)
    inputs = 3 * batch * subject.inputs.bytes_a_sample()  # the buffer, a batch to copy into it, and what that is made of
    if subject.bench.device.type == "cpu" and last and free and 2 * last + inputs > MEMORY_SHARE * free:
        return f"it would take about {(2 * last + inputs) / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free"
    return ""


def _tried(subject: Subject, scenario: str, variant: Variant, batch: int, limits: Limits) -> Measurement | None:
    """Measure, and keep what came of it: a measurement, or why there is none."""
    device = subject.bench.device
    why = impossible(variant, device)
    if not why:
        try:
            found = measure(subject, scenario, variant, batch, limits)
            subject.measurements.append(found)
            return found
        except torch.OutOfMemoryError:
            why = "out of memory"
        except Exception as error:  # a compiler that is not there, an operation that cannot be captured: told, and the rest goes on
            why = f"it failed: {last_line(error)}"
        finally:
            if device.type == "cuda":
                torch.cuda.empty_cache()
    subject.skipped.append(skip(scenario, why, variant, batch))
    return None


def measure(subject: Subject, scenario: str, variant: Variant, batch: int, limits: Limits) -> Measurement:
    """Time the network in a variant at a batch size, with all checks, and count its memory."""
    bench, network = subject.bench, subject.recognizer
    with flags("fp32", bench.device):
        checks = Checks(subject.inputs, _reference(network), bench.clock, batch)
    with flags(variant.precision, bench.device):
        forward = runner(network, variant, subject.inputs.fresh(batch), bench.device)
        found = timed(scenario, forward, checks, bench, subject.inputs, variant, batch, limits)
        if variant.mode != "cuda-graph":  # whose memory is taken at the capture
            found["peak_bytes"] = peak_bytes(_on_one(forward, subject.inputs.fresh(batch)), bench.device)
        if scenario == "latency":
            found["energy_joules"] = _energy(bench, _on_one(forward, subject.inputs.fresh(batch)))
    found["floor_us"] = subject.work.floor_us(batch, variant.precision, bench.roofline)
    return found


def _energy_again(subject: Subject, variant: Variant, batch: int) -> float | None:
    """Joules of one call at the batch size that is reported; of the others nobody asks, and each would take a second."""
    bench, values = subject.bench, subject.inputs.fresh(batch)
    if bench.meter is None:
        return None
    with flags(variant.precision, bench.device):
        return _energy(bench, _on_one(runner(subject.recognizer, variant, values, bench.device), values))


def _energy(bench: Bench, run: Callable[[], Any]) -> float | None:
    """Joules of one call; None without a meter, and where it fails: the times stand without it."""
    if bench.meter is None:
        return None
    try:
        return bench.meter.of_call(run, bench.clock.synchronise)
    except Exception:  # NVML's errors are classes of a library that may be absent
        return None


def _reference(network: nn.Module) -> Forward:
    """A copy of the network that gives logits [B, classes], operation by operation, and goes when this function goes; the network itself where it cannot be
    copied."""
    try:
        other = copy.deepcopy(network)
    except Exception:  # a plugin's network may hold anything, and a device's memory may not hold two
        other = network
    lay_out(other, "contiguous")

    def forward(batch: Batch) -> Tensor:
        with torch.inference_mode():
            logits: Tensor = other(batch)
        return logits

    return forward


def _on_one(forward: Forward, values: Batch) -> Callable[[], Any]:
    return lambda: forward(values)


def timed(scenario: str, forward: Forward, checks: Checks, bench: Bench, inputs: Inputs, variant: Variant, batch: int, limits: Limits) -> Measurement:
    """Warm up, then time calls on fresh inputs, with those whose answers are known slipped in among them, and look for faults."""
    clock = bench.clock
    warm = warm_up(lambda: clock.call(_on_one(forward, inputs.fresh(batch))).wall_us, WARM_UP_SHARE * limits.seconds)
    wall: list[float] = []
    device: list[float] = []
    calls = planned(limits, warm.call_seconds)
    known = checks.positions(calls, bench.rng)
    ends = clock.now() + limits.seconds
    for number in range(calls):
        values = checks.put(known.pop(number)) if (which := known.get(number)) is not None else inputs.fresh(batch)
        result, wall_us, device_us = clock.call(_on_one(forward, values))
        wall.append(wall_us)
        if device_us is not None:
            device.append(device_us)
        if which is not None:
            checks.look(which, result)
        if number + 1 >= limits.least and not known and clock.now() > ends:
            break
    if (faster := cached(forward, inputs, clock, batch)) > FASTER:
        checks.faults.append(f"an input that equals the one before is answered {faster:.1f} times faster: answers are kept")
    check = checks.record(variant.precision)
    return measurement(scenario, wall, warm, variant=variant, batch=batch, device_us=device or None, items=batch, check=check, faults=checks.faults)
