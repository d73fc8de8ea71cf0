"""What an outer step costs beside a plain step on the same samples: `python -m merzoo_lightmannet.cost`."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from merzoo.benchmark.memory import peak_bytes
from merzoo.interfaces import Batch
from merzoo.recognizer import Recognizer, build
from merzoo.training.machine import Machine
from merzoo_lightmannet.models import SMALL_NETWORK, SMALL_RECIPE
from merzoo_lightmannet.strategy import MetaAuxiliary

PARTS = {"support": "support", "query": "query", "macro": "macro_clips"}  # of a task: the option that says how many clips a class
LABELS = ("happiness", "surprise", "disgust", "repression", "others")
STEPS: dict[str, dict[str, Any]] = {"plain": {"level": "single"}, "second order": {}, "first order": {"first_order": True}}


@dataclass(frozen=True)
class Case:
    """A network and the size of its episodes."""

    name: str
    network: dict[str, Any]
    shots: Mapping[str, int] = field(default_factory=lambda: {"support": 5, "query": 5, "macro": 5})  # clips a class of each


CASES = (
    Case("full width, 64 px", {"size": 64}),
    Case("small preset, 5 clips a class of each", SMALL_NETWORK),
    Case("small preset, its own episodes", SMALL_NETWORK, {part: SMALL_RECIPE[option] for part, option in PARTS.items()}),
)


def network(case: Case, machine: Machine) -> Recognizer:
    """The recogniser of a case, random, on the machine."""
    torch.manual_seed(0)
    made = build(("lightmannet", case.network), "linear", ["macro-alignment"], "meta-auxiliary", LABELS)
    return made.to(machine.device).to(memory_format=torch.channels_last).train()


def batch(case: Case, recognizer: Recognizer, device: str) -> Batch:
    """A random task of a case, every class as often as every other; more tasks follow one after the other, and cost as much each."""
    rng = torch.Generator().manual_seed(0)

    def side(shots: int) -> Batch:
        label = torch.arange(len(LABELS)).repeat_interleave(shots).to(device)
        shown = {name: torch.rand(len(label), *shape, generator=rng).to(device) for name, shape in recognizer.backbone.inputs.items()}
        return {**shown, "label": label}

    return {"tasks": [{part: side(case.shots[part]) for part in PARTS}]}


def step(recognizer: Recognizer, options: dict[str, Any], seen: Batch, machine: Machine) -> Callable[[], None]:
    """One loss and its backward pass, as the engine calls them; the optimiser, the same for all, is left out."""
    strategy = MetaAuxiliary(**options)
    loss = strategy.single_loss if strategy.level == "single" else strategy.bilevel_loss

    def run() -> None:
        recognizer.zero_grad(set_to_none=True)
        with machine.autocast():
            value = loss(recognizer, seen, torch.Generator())[0]
        value.backward()
        if machine.device != "cpu":
            torch.cuda.synchronize()

    return run


def seconds(case: Case, machine: Machine, repeats: int) -> dict[str, float]:
    """Median seconds of each kind of step, repeats interleaved so that all meet the same neighbours on the machine."""
    torch.set_num_threads(machine.threads)
    recognizer = network(case, machine)
    seen = batch(case, recognizer, machine.device)
    runs = {name: step(recognizer, options, seen, machine) for name, options in STEPS.items()}
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(repeats + 1):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            if repeat:  # the first is warm-up
                taken[name].append(time.perf_counter() - began)
    return {name: statistics.median(times) for name, times in taken.items()}


def peak(case: Case, machine: Machine) -> dict[str, float]:
    """MiB of tensors that each kind of step holds at its peak, gradients and copies of its pictures counted, beyond the weights and the batch."""
    torch.set_num_threads(machine.threads)
    recognizer = network(case, machine)
    seen = batch(case, recognizer, machine.device)
    found = {}
    for name, options in STEPS.items():
        run = step(recognizer, options, seen, machine)
        run()  # what a first step leaves for all that follow is no cost of a step
        recognizer.zero_grad(set_to_none=True)
        found[name] = peak_bytes(run, torch.device(machine.device)) / 2**20
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table: time and memory of a plain step and of both kinds of outer step, and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m merzoo_lightmannet.cost")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto", help="fp32, bf16 or auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=15)
    asked = parser.parse_args(arguments)
    machine = Machine.of(asked.device, asked.precision, asked.threads)
    print(f"{machine.device}, {machine.precision}, {machine.threads} thread(s), torch {torch.__version__}, median of {asked.repeats} interleaved repeats")
    print("| network | step | ms | x plain | peak MiB | x plain |\n|---|---|---|---|---|---|")
    for case in CASES:
        times, memory = seconds(case, machine, asked.repeats), peak(case, machine)
        for name in STEPS:
            ratios = times[name] / times["plain"], memory[name] / memory["plain"]
            print(f"| {case.name} | {name} | {1000 * times[name]:.0f} | {ratios[0]:.2f} | {memory[name]:.0f} | {ratios[1]:.2f} |")


if __name__ == "__main__":
    main()
