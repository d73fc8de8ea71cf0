"""Measuring models: which scenarios there are, and running them one after the other."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, get_args

from merzoo.benchmark.bench import Bench
from merzoo.benchmark.forward import latency, throughput
from merzoo.benchmark.subject import Subject
from merzoo.benchmark.variants import Variant
from merzoo.errors import UnknownNameError
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


def tasks(scenarios: Iterable[Scenario], variants: Sequence[Variant]) -> Iterator[tuple[str, Callable[[Subject], None]]]:
    """What there is to measure of every model: a few words on each, and the function that measures it and keeps the result in the subject."""
    for scenario in scenarios:
        if scenario == "latency":
            yield from ((f"latency {variant}", lambda subject, variant=variant: latency(subject, variant)) for variant in variants)
        elif scenario == "throughput":
            yield from ((f"throughput {variant}", lambda subject, variant=variant: throughput(subject, variant)) for variant in variants)


def measure_model(name: str, preset: str, bench: Bench, scenarios: Iterable[Scenario], variants: Sequence[Variant], report: Report) -> Subject:
    """Measure a model in every way asked; raises what building it raises."""
    report(f"{name} (building)", 0, 1)
    subject = Subject(name, preset, bench)
    wanted = list(tasks(scenarios, variants))
    for done, (what, measure) in enumerate(wanted):
        report(f"{name} ({what})", done, len(wanted))
        run_task(subject, measure)
    report(f"{name} (done)", len(wanted), len(wanted))
    return subject


def run_task(subject: Subject, measure: Callable[[Subject], None]) -> None:
    """One measurement, or one sweep, and a block of the interleaved matrix product after it."""
    measure(subject)
    subject.blocks_us.append(subject.bench.noise.block())
