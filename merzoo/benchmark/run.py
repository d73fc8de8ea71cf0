"""Measuring models: which scenarios there are, and running them one after the other."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

from merzoo.benchmark.bench import Bench
from merzoo.benchmark.forward import latency, throughput
from merzoo.benchmark.measurement import skip
from merzoo.benchmark.subject import Subject
from merzoo.benchmark.training import train_step
from merzoo.benchmark.variants import Variant
from merzoo.benchmark.whole import load, predict, views
from merzoo.entries import last_line
from merzoo.errors import MerzooError, RunError, UnknownNameError
from merzoo.text import plain

Scenario = Literal["latency", "throughput", "train-step", "load", "predict", "views"]
SCENARIOS: tuple[Scenario, ...] = get_args(Scenario)
Report = Callable[[str, int, int], None]  # what, done, of how many


def known(kind: str, given: Iterable[str] | None, words: Any) -> tuple[Any, ...]:
    """What was asked for of a kind, once each; words: the `Literal` that holds them. Raises `UnknownNameError` with near ones."""
    asked, choices = tuple(dict.fromkeys(given or ())), get_args(words)
    for name in asked:
        if name not in choices:
            raise UnknownNameError(kind, plain(name, 60), difflib.get_close_matches(name, choices), f"(it is one of {', '.join(choices)})")
    return asked


@dataclass(frozen=True)
class Task:
    """One thing to measure of a model: the scenario, what of it in a few words, and the function that keeps what it finds in the subject."""

    scenario: Scenario
    words: str
    measure: Callable[[Subject], None]
    variant: Variant | None = None

    @property
    def captures(self) -> bool:
        """Whether a CUDA graph is captured. Where that fails, torch's generator may go on as if capturing, and whatever draws numbers later fails with it."""
        return self.variant is not None and self.variant.mode == "cuda-graph"

    def run(self, subject: Subject) -> None:
        """Measure, and time a block of the interleaved matrix product after it. Whatever fails costs this task alone, and is among what was skipped."""
        try:
            self.measure(subject)
        except Exception as error:
            if os.environ.get("MERZOO_DEBUG") == "1":
                raise
            subject.skipped.append(skip(self.scenario, f"it failed: {error if isinstance(error, MerzooError) else last_line(error)}"))
        subject.inputs.buffer(1)  # a large batch would take its memory from the models that come after
        subject.blocks_us.append(subject.bench.noise.block())


def tasks(scenarios: Iterable[Scenario], variants: Sequence[Variant]) -> Iterator[Task]:
    """What there is to measure of every model, one measurement or one sweep each."""
    for scenario in scenarios:
        if scenario == "train-step":
            precisions = dict.fromkeys(variant.precision for variant in variants)
            yield from (Task(scenario, f"train-step {precision}", partial(train_step, precision=precision), Variant(precision)) for precision in precisions)
        elif scenario in ("latency", "throughput"):
            measure = latency if scenario == "latency" else throughput
            yield from (Task(scenario, f"{scenario} {variant}", partial(measure, variant=variant), variant) for variant in variants)
        else:
            yield Task(scenario, scenario, {"load": load, "predict": predict, "views": views}[scenario])


def measure_model(name: str, preset: str, bench: Bench, scenarios: Iterable[Scenario], variants: Sequence[Variant], report: Report) -> Subject:
    """Measure a model in every way asked, CUDA graphs after all else. Raises what building it raises, and `RunError` where nothing could be measured."""
    wanted = sorted(tasks(scenarios, variants), key=lambda task: task.captures)
    report(f"{name} (building)", 0, len(wanted))
    subject = Subject(name, preset, bench)
    for done, task in enumerate(wanted):
        report(f"{name} ({task.words})", done, len(wanted))
        task.run(subject)
    report(f"{name} (done)", len(wanted), len(wanted))
    if not subject.measurements:
        raise RunError(f"nothing could be measured: {'; '.join(dict.fromkeys(skipped['reason'] for skipped in subject.skipped))}")
    return subject
