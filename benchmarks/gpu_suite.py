"""Every model at its paper's size on one GPU, in one command that ends in time.

    python benchmarks/gpu_suite.py --out benchmarks/results/h200 [--device cuda] [--limit 540] [--by NAME]
    python benchmarks/gpu_suite.py --compare FIRST SECOND          what differs between two such runs on one machine
    python benchmarks/gpu_suite.py --reduced --device cpu --out DIR    small models and few samples, to try the suite itself

What matters most comes first and is measured for all models before the next begins: latency, throughput, training steps, views, prediction, then further
precisions, CUDA graphs (a capture that fails may spoil whatever draws numbers after it), loading, and compiled networks. The limit counts from the start of the
process, imports included. What it leaves no time for is among what each file says was skipped. A model's file is written after each of its measurements. Clocks
and settings of the device are left as they are.

`--compare` takes every median but those of loading, which are the file system's; it ends with 1 where one differs by more than 5 % and the fixed matrix product
between the measurements of that model did not vary by more than 3 %.
"""

from __future__ import annotations

# ruff: noqa: E402 (the clock starts before the imports that take seconds)
import time

BEGAN = time.monotonic()

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merzoo.benchmark.bench import Bench
from merzoo.benchmark.measurement import skip
from merzoo.benchmark.record import save
from merzoo.benchmark.rules import told
from merzoo.benchmark.run import Scenario, Task, tasks
from merzoo.benchmark.sampling import Limits
from merzoo.benchmark.subject import Subject
from merzoo.benchmark.variants import Mode, Precision, Variant
from merzoo.cli.guard import guarded, say
from merzoo.cli.output import print_lines, print_table
from merzoo.entries import last_line
from merzoo.errors import ResultError, RunError
from merzoo.files import make_folder
from merzoo.registry import list_models
from merzoo.results.cost import NAMED, called
from merzoo.results.reading import read
from merzoo.training.machine import Machine

REDUCED = ("ststnet", "flow-svm", "miacnet")
LARGEST = 10**6  # bytes of a file
DIFFERENCE = 0.05  # of two medians
LEFT = 10.0  # seconds of the limit in which the last task and the files must end


@dataclass(frozen=True)
class Pass:
    """What is measured for every model before the next pass begins. seconds: limit of one measurement, or of all batch sizes together; guess: seconds that one
    task may take, before one was seen."""

    scenario: Scenario
    variants: tuple[Variant, ...]
    seconds: float
    guess: float


def _variants(mode: Mode, *precisions: Precision) -> tuple[Variant, ...]:
    return tuple(Variant(precision, mode=mode) for precision in precisions)


GPU = (
    Pass("latency", _variants("eager", "fp32", "bf16"), 4.0, 10),
    Pass("throughput", _variants("eager", "bf16"), 6.0, 15),
    Pass("train-step", _variants("eager", "bf16"), 1.5, 10),
    Pass("views", (), 0.5, 3),
    Pass("predict", (), 2.0, 10),
    Pass("throughput", _variants("eager", "fp32"), 6.0, 15),
    Pass("latency", _variants("eager", "tf32", "fp16"), 2.0, 6),
    Pass("latency", _variants("cuda-graph", "bf16", "fp32"), 2.0, 10),
    Pass("load", (), 1.0, 30),
    Pass("latency", _variants("compiled", "bf16", "fp32"), 2.0, 45),
)
CPU = (
    Pass("latency", _variants("eager", "fp32", "bf16"), 0.2, 3),
    Pass("throughput", _variants("eager", "fp32"), 0.6, 3),
    Pass("train-step", _variants("eager", "fp32"), 0.2, 5),
    Pass("views", (), 0.1, 2),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suite, or compare two runs of it; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder of the result files")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--models", nargs="+", help="by default all of merzoo list")
    parser.add_argument("--reduced", action="store_true", help="small models and few samples")
    parser.add_argument("--limit", type=float, default=540, help="seconds")
    parser.add_argument("--by", default="")
    parser.add_argument("--compare", nargs=2, type=Path, metavar=("FIRST", "SECOND"))
    args = parser.parse_args(arguments)
    if args.compare:
        return compare(*args.compare)
    if args.out is None:
        parser.error("give --out, or --compare")
    make_folder(args.out)
    names = args.models or (list(REDUCED) if args.reduced else list_models())
    suite = Suite(Bench(Machine.of(args.device, "fp32"), max_batch=4 if args.reduced else 1024), args.out, args.limit, args.by, 30 if args.reduced else 1_000)
    suite.build(names, "small" if args.reduced else "full")
    for step in CPU if suite.bench.machine.device == "cpu" else GPU:
        suite.run(step)
    return suite.end()


class Suite:
    """A run under way. limit: seconds from the start of the process."""

    def __init__(self, bench: Bench, out: Path, limit: float, by: str, samples: int) -> None:
        self.bench, self.out, self.by, self.samples = bench, out, by, samples
        self.limit = limit
        self.subjects: list[Subject] = []
        self.failed: set[str] = set()  # models that were not built, or whose last file could not be written

    def left(self) -> float:
        """Seconds until the last task must have ended."""
        return BEGAN + self.limit - LEFT - time.monotonic()

    def build(self, names: Sequence[str], preset: str) -> None:
        """Put every model on the device, while there is time. One that cannot be built costs a line."""
        for name in names:
            if self.left() < 0:
                self.failed.add(name)
                say(f"{name}: {self.late()}")
                continue
            try:
                self.subjects.append(Subject(name, preset, self.bench))
            except Exception as error:  # a plugin's network may fail in any way
                self.failed.add(name)
                say(f"{name}: {last_line(error)}")
        self.tell(f"{len(self.subjects)} models built")
        if not self.subjects:
            raise RunError("no model could be built")

    def run(self, step: Pass) -> None:
        """One pass over all models, while there is time; a model's file is written each time, with what it has so far."""
        longest = step.guess
        wanted = list(tasks([step.scenario], step.variants))
        todo = [(subject, task) for task in wanted for subject in self.subjects]
        for number, (subject, task) in enumerate(todo):
            if self.left() < longest:
                self.leave_out(step, todo[number:])
                break
            self.bench.limits = Limits(self.samples, min(30, self.samples), step.seconds)
            began = time.monotonic()
            task.run(subject)
            self.keep(subject)
            longest = max(longest, time.monotonic() - began)  # never below the guess: the models that come first may be the small ones
        self.tell(f"{' '.join(dict.fromkeys(task.words for task in wanted))}: done")

    def keep(self, subject: Subject) -> None:
        """Write a model's file. Where that fails, it costs a line, and the next time may do better."""
        name = subject.spec.name
        try:
            if subject.measurements:
                save(subject, self.out, self.by)
            self.failed.discard(name)
        except Exception as error:  # a full disk, or what a plugin says of its model: the others have files of their own
            self.failed.add(name)
            say(f"{name}: {last_line(error)}")

    def late(self) -> str:
        """Why something is left out."""
        return f"the limit of {self.limit:g} s left no time"

    def leave_out(self, step: Pass, todo: Sequence[tuple[Subject, Task]]) -> None:
        """Say in the files what there was no time for."""
        for subject, task in todo:
            subject.skipped.append(skip(step.scenario, self.late(), task.variant))
        for subject in dict.fromkeys(subject for subject, _ in todo):
            self.keep(subject)
        self.tell(f"no time for {len(todo)} of {step.scenario}")

    def tell(self, what: str) -> None:
        """A line of progress."""
        print(f"{time.monotonic() - BEGAN:6.1f} s  {what}", flush=True)

    def end(self) -> int:
        """Say what came of it; 1 where a model or its file failed, a measurement has a fault, or a file is too large."""
        rows, faults = [], 0
        for subject in self.subjects:
            faults += sum(bool(one["faults"]) for one in subject.measurements)
            rows.append((subject.spec.name, len(subject.measurements), len(subject.skipped), f"{told(subject.blocks_us)['spread']:.1%}"))
        print_table(("model", "measured", "skipped", "fixed product varied by"), rows)
        large = [path.name for path in self.out.glob("*.json") if path.stat().st_size > LARGEST]
        print_lines([f"{self.out}: {faults} measurements with faults" + (f"; larger than 1 MB: {', '.join(large)}" if large else "")])
        return int(bool(self.failed or faults or large))


def compare(first: Path, second: Path) -> int:
    """Print the ratios of all medians of two runs, the largest first; 1 where one is out of bounds on a quiet machine."""
    names = sorted({path.name for path in first.glob("*.json")} & {path.name for path in second.glob("*.json")})
    if not names:
        raise ResultError(f"{first} and {second} have no file in common; give two folders that the suite has written")
    rows, worst, noisy = [], 0.0, 0
    for name in names:
        before, after = read(first / name), read(second / name)
        noise = told([*before["noise"]["blocks_us"], *after["noise"]["blocks_us"]])
        noisy += noise["noisy"]
        for what, a, b in _pairs(before, after):
            apart = max(a, b) / min(a, b) - 1
            rows.append((apart, (before["model"], what, f"{a / 1e3:.4g}", f"{b / 1e3:.4g}", f"{b / a:.3f}", f"{noise['spread']:.1%}")))
            if not noise["noisy"]:
                worst = max(worst, apart)
    rows.sort(key=lambda row: -row[0])
    print_table(("model", "measurement", "first ms", "second ms", "ratio", "fixed product varied by"), [row for _, row in rows])
    if rows:
        print_lines([f"{len(rows)} medians of {len(names)} models; the largest difference is {rows[0][0]:.1%}"])
    quiet = f"{worst:.1%} where the fixed product varied by at most 3 %, {DIFFERENCE:.0%} is allowed"
    print_lines([f"the machine was noisy for {noisy} of {len(names)} models; the largest difference is {quiet}"])
    return int(worst > DIFFERENCE)


def _pairs(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, float, float]]:
    """What was measured in both runs without a fault, in words, with both medians in microseconds."""

    def key(one: Mapping[str, Any]) -> str:
        return repr([one[name] for name in NAMED])

    known = {key(one): one for one in before["measurements"] if not one["faults"] and one["scenario"] != "load"}
    for one in after["measurements"]:
        if not one["faults"] and (same := known.get(key(one))):
            yield called(one), same["summary"]["p50"], one["summary"]["p50"]


if __name__ == "__main__":
    raise SystemExit(guarded(main))
