"""What a measurement is held to, by those who make it and by those who read it: without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import Any

TOLERANCE = {"fp32": 1e-3, "tf32": 0.05, "bf16": 0.25, "fp16": 0.05}
"""Precision -> the most that may be lost of the outputs (`merzoo.benchmark.honesty.lost`). Of all models at both presets on a CPU the largest were 1e-5 in
fp32, 0.016 in fp16 and 0.11 in bf16, all by networks that tell random inputs apart by a few percent of their output; TF32 rounds as fp16 does. A constant
answer loses 1."""
GAIN = 1.05  # of a doubled batch, below which doubling has ended
LIMIT = 0.03  # spread of the fixed matrix product beyond which a machine is noisy
FEWEST = 30  # samples of a latency: fewer say little of its 95th percentile


def knee(rates: Mapping[int, float]) -> int:
    """The batch size from which doubling gained less than 5 %, or the largest measured. rates: {batch: samples a second}, batches doubling."""
    sizes = sorted(rates)
    for small, large in pairwise(sizes):
        if rates[large] < GAIN * rates[small]:
            return small
    return sizes[-1]


def told(blocks_us: Sequence[float]) -> dict[str, Any]:
    """The field `noise` of a result file: the spread of the blocks' medians, (max − min) / median, and whether it is above 3 %."""
    spread = (max(blocks_us) - min(blocks_us)) / median(blocks_us) if blocks_us else 0.0
    return {"blocks_us": list(blocks_us), "spread": spread, "limit": LIMIT, "noisy": spread > LIMIT}
