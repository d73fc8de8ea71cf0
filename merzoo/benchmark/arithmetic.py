"""What a forward pass must do at least: operations, bytes, and the time that the machine's roofline allows for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from merzoo.benchmark.clock import Clock
from merzoo.benchmark.variants import AUTOCAST, Precision, Variant, flags, impossible
from merzoo.interfaces import Batch

COPIED = {"cpu": 2**26, "cuda": 2**30}  # bytes: far more than a cache holds
SIDE = {"cpu": 1024, "cuda": 8192}  # of the square matrices that are multiplied
REPEATS = 10


@dataclass(frozen=True)
class Work:
    """Of a forward pass: flops and moved bytes of each sample, and the bytes of weights, which are moved once whatever the batch.

    flops: None where they could not be counted.
    """

    flops: int | None
    sample_bytes: int
    weight_bytes: int

    def floor_us(self, batch: int, precision: Precision, roofline: Mapping[str, Any]) -> float | None:
        """The least time that the roofline allows a batch, in microseconds; None where flops or the rate of the precision are unknown.

        max(flops / rate, bytes / bandwidth) (Williams et al. 2009), bytes in fp32 once each. Less is no contradiction: a convolution may be done in fewer
        operations than its definition has (Winograd), and weights may stay in a cache.
        """
        rate = roofline["matmul_flops_per_second"].get(precision)
        if self.flops is None or not rate:
            return None
        seconds = max(self.flops * batch / rate, (self.weight_bytes + self.sample_bytes * batch) / roofline["copy_bytes_per_second"])
        return 1e6 * seconds


def work_of(network: nn.Module, one: Batch) -> Work:
    """The work of a forward pass of one sample. one: a batch of one."""
    with torch.inference_mode():
        logits = network(one)
    moved = sum(_bytes(tensor) for tensor in (*one.values(), logits))
    return Work(flops_of(network, one), moved, sum(_bytes(tensor) for tensor in (*network.parameters(), *network.buffers())))


def flops_of(network: nn.Module, batch: Batch) -> int | None:
    """Floating-point operations of a forward pass by torch's counter, 2 for each multiply-add: matrix products, convolutions and attention alone. None where
    the counter fails."""
    try:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(batch)
        return int(counter.get_total_flops())
    except Exception:  # a plugin's operation that the counter cannot pass through
        return None


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def roofline(clock: Clock) -> dict[str, Any]:
    """What the machine can do at best: copied bytes a second (read and written ones counted) and operations a second of a square matrix product in each
    precision that it has. The fastest of ten repeats, since a roof is what cannot be passed."""
    device = clock.device
    rates = {precision: _matmul_rate(clock, precision) for precision in get_args(Precision) if not impossible(Variant(precision), device)}
    return {"copy_bytes_per_second": _copy_rate(clock), "matmul_flops_per_second": rates}


def _copy_rate(clock: Clock) -> float:
    source = torch.ones(COPIED[clock.device.type] // 4, device=clock.device)
    target = torch.empty_like(source)
    return 2 * COPIED[clock.device.type] / _fastest(clock, lambda: target.copy_(source))


def _matmul_rate(clock: Clock, precision: Precision) -> float:
    side = SIDE[clock.device.type]
    a, b = (torch.randn(side, side, device=clock.device, dtype=AUTOCAST.get(precision, torch.float32)) for _ in range(2))
    with flags(precision, clock.device):
        return 2 * side**3 / _fastest(clock, lambda: torch.mm(a, b))


def _fastest(clock: Clock, run: Callable[[], object]) -> float:
    """Seconds."""
    return min(clock.call(run).wall_us for _ in range(REPEATS)) / 1e6
