"""One entry of `measurements` in a result file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from merzoo.benchmark.sampling import WarmUp
from merzoo.benchmark.statistics import summary
from merzoo.benchmark.variants import Variant

Measurement = dict[str, Any]


def measurement(
    scenario: str,
    samples_us: Sequence[float],
    warm_up: WarmUp,
    *,
    variant: Variant | None = None,
    batch: int | None = None,
    about: Mapping[str, Any] | None = None,
    device_us: Sequence[float] | None = None,
    items: int | None = None,
    **more: Any,
) -> Measurement:
    """A measurement as docs/results.md describes it. items: what a call gets done (clips, frames), for `per_second`. more: any of its other fields."""
    said = summary(samples_us)
    return {
        "scenario": scenario,
        "precision": variant.precision if variant else None,
        "layout": variant.layout if variant else None,
        "mode": variant.mode if variant else None,
        "batch": batch,
        "about": dict(about or {}),
        "samples_us": list(samples_us),
        "device_us": None if device_us is None else list(device_us),
        "summary": said,
        "device_p50": None if device_us is None else median(device_us),
        "warm_up": warm_up.record(),
        "per_second": None if items is None else 1e6 * items / said["p50"],
        "knee": False,
        "peak_bytes": None,
        "energy_joules": None,
        "floor_us": None,
        "check": None,
        "faults": [],
        **more,
    }


def skip(scenario: str, reason: str, variant: Variant | None = None, batch: int | None = None) -> dict[str, Any]:
    """An entry of `skipped`."""
    how = {name: getattr(variant, name) if variant else None for name in ("precision", "layout", "mode")}
    return {"scenario": scenario, **how, "batch": batch, "reason": reason}
