"""The same network timed by merzoo's harness and by timm's method, alternating in one process: do they agree?

    python benchmarks/fidelity.py [--device cpu|cuda] [--model resnet18] [--batch 64] [--img-size 224]     writes benchmarks/results/fidelity.json

timm's method, as its benchmark.py has it: one random batch, 10 calls to warm up, then 40 calls, the device waited for after each, and the mean. Merzoo's: warm
up until steady, then as many calls, each on a fresh batch and waited for before and after; the median is compared. Network, weights, layout, arithmetic and
batch are the same for both; so is who begins, in turn.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

import torch

from merzoo.benchmark.bench import Bench
from merzoo.benchmark.forward import timed
from merzoo.benchmark.honesty import Checks
from merzoo.benchmark.inputs import Inputs
from merzoo.benchmark.sampling import Limits
from merzoo.benchmark.variants import Variant, flags, runner
from merzoo.cli.guard import guarded
from merzoo.evaluation.runs import environment
from merzoo.files import dumps, write_atomically
from merzoo.interfaces import Batch
from merzoo.training.machine import Machine

RESULTS = Path(__file__).parent / "results" / "fidelity.json"
WARM_UP, ITERATIONS = 10, 40  # timm's defaults


class OnPictures(torch.nn.Module):
    """A network of timm that takes a batch as merzoo's do."""

    def __init__(self, name: str) -> None:
        super().__init__()
        import timm

        self.network = timm.create_model(name)

    def forward(self, batch: Batch) -> torch.Tensor:
        """Logits of batch["image"], [B, 3, H, W]."""
        logits: torch.Tensor = self.network(batch["image"])
        return logits


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--img-size", type=int, default=224)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--iterations", type=int, default=ITERATIONS)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args(arguments)
    bench = Bench(Machine.of(args.device, "fp32"))
    torch.manual_seed(0)
    network = OnPictures(args.model).eval().to(bench.device)
    inputs = Inputs({"image": (3, args.img_size, args.img_size)}, bench.device)
    ours, timms = alternate(network, inputs, bench, Variant(args.precision), args.batch, args.iterations, args.repeats)
    ratios = [one / other for one, other in zip(ours, timms, strict=True)]
    name = torch.cuda.get_device_name(bench.device) if bench.clock.on_gpu else "cpu"
    found: dict[str, Any] = {
        "environment": {**environment(name, bench.machine.threads), "timm": metadata.version("timm")},
        "model": args.model, "batch": args.batch, "img_size": args.img_size, "precision": args.precision, "iterations": args.iterations,
        "merzoo_us": ours, "timm_us": timms, "ratios": ratios, "median_ratio": median(ratios),
    }  # fmt: skip
    write_atomically(args.out, dumps(found))
    print(f"{args.model}, batch {args.batch}, {args.img_size} px, {args.precision}, on {name if bench.clock.on_gpu else found['environment']['cpu']}")
    print(f"merzoo {median(ours) / 1e3:.3f} ms, timm's method {median(timms) / 1e3:.3f} ms a batch (medians of {args.repeats})")
    print(f"ratio {median(ratios):.4f} (median of {', '.join(f'{ratio:.3f}' for ratio in ratios)})")
    return 0


def alternate(
    network: torch.nn.Module, inputs: Inputs, bench: Bench, variant: Variant, batch: int, iterations: int, repeats: int
) -> tuple[list[float], list[float]]:
    """Microseconds a batch by merzoo's harness and by timm's method, `repeats` times each; they take turns, and in who begins."""
    ours: list[float] = []
    timms: list[float] = []
    with flags(variant.precision, bench.device):
        forward = runner(network, variant, inputs.fresh(batch), bench.device)
        fp32 = runner(network, Variant(layout=variant.layout), inputs.fresh(batch), bench.device)
        for repeat in range(repeats):
            both: list[Callable[[], None]] = [
                lambda: ours.append(by_merzoo(forward, fp32, inputs, bench, variant, batch, iterations)),
                lambda: timms.append(by_timm(forward, inputs.draw(batch), bench, iterations)),
            ]
            for measure in both if repeat % 2 == 0 else reversed(both):
                measure()
    return ours, timms


def by_merzoo(forward: Any, fp32: Any, inputs: Inputs, bench: Bench, variant: Variant, batch: int, iterations: int) -> float:
    """Median of the calls, as `throughput` takes them."""
    checks = Checks(inputs, fp32, bench.clock, batch)
    found = timed("throughput", forward, checks, bench, inputs, variant, batch, Limits(iterations, iterations, 10.0))
    if found["faults"]:
        raise SystemExit(f"the measurement has a fault: {'; '.join(found['faults'])}")
    return float(found["summary"]["p50"])


def by_timm(forward: Any, values: Batch, bench: Bench, iterations: int) -> float:
    """Mean of the calls."""
    for _ in range(WARM_UP):
        forward(values)
    bench.clock.synchronise()
    total = 0.0
    for _ in range(iterations):
        began = time.perf_counter()
        forward(values)
        bench.clock.synchronise()
        total += time.perf_counter() - began
    return 1e6 * total / iterations


if __name__ == "__main__":
    raise SystemExit(guarded(main))
