"""`merzoo benchmark`: what models cost, into one result file a model."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from merzoo.cli.guard import say
from merzoo.cli.output import print_json, print_lines, print_table
from merzoo.cli.progress import progress
from merzoo.text import byte_count, plain

HEAD = ("", "batch", "p50 ms", "95 % interval", "p95 ms", "p99 ms", "IQR ms", "outliers", "per s", "peak MB", "floor")
"""Columns of a model's table, narrow enough that a line of it fits into 120 characters."""


def command(
    out: Annotated[Path, typer.Option(help="A folder for the result files, MODEL-PRESET-DEVICE.json.")],
    models: Annotated[list[str] | None, typer.Argument(help="Models by name; none: all of `merzoo list`.")] = None,
    preset: Annotated[str, typer.Option(help="The size of the models: full as in the paper, for a GPU; small for a laptop.")] = "full",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    scenario: Annotated[list[str] | None, typer.Option(help="latency, throughput, train-step, load, predict or views (repeat for more); none: all.")] = None,
    precision: Annotated[list[str] | None, typer.Option(help="fp32, tf32, bf16 or fp16 (repeat for more); none: what suits the device.")] = None,
    mode: Annotated[list[str] | None, typer.Option(help="eager, compiled or cuda-graph (repeat for more); none: what suits the device.")] = None,
    layout: Annotated[list[str] | None, typer.Option(help="contiguous or channels-last (repeat for both); none: channels-last, as in training.")] = None,
    samples: Annotated[int, typer.Option(min=1, help="Timed calls of a latency; other scenarios take fewer.")] = 1_000,
    seconds: Annotated[float, typer.Option(help="Limit of one measurement, of which a model has about ten; its calls end early, after at least 30.")] = 20.0,
    by: Annotated[str, typer.Option(help="Your name, for the board.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Write over results of the same models that are there.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result files' contents as JSON.")] = False,
) -> None:
    """Measure what models cost. Calls are timed one by one after a warm-up, on fresh random inputs, and their outputs are checked."""
    from merzoo.benchmark.bench import Bench
    from merzoo.benchmark.record import path_of, record, save
    from merzoo.benchmark.run import SCENARIOS, Scenario, known, measure_model
    from merzoo.benchmark.sampling import Limits
    from merzoo.benchmark.variants import Layout, Mode, Precision, choose
    from merzoo.errors import MerzooError, UsageError
    from merzoo.files import make_folder
    from merzoo.registry import list_models, registry
    from merzoo.training.machine import Machine

    bench = Bench(Machine.of(device, "fp32"), Limits(samples, min(30, samples), seconds))
    variants = choose(bench.machine, known("precision", precision, Precision), known("layout", layout, Layout), known("mode", mode, Mode))
    scenarios = known("scenario", scenario, Scenario) or SCENARIOS
    names = list(dict.fromkeys(models or list_models()))
    for name in names:
        registry().model(name).preset(preset)
        if not force and (there := path_of(out, name, preset, bench.device.type)).exists():
            raise UsageError(f"{there} is there; give another --out, or --force to measure again and write over it")
    make_folder(out)
    printed, failed = [], 0
    for name in names:
        try:
            with progress() as report:
                subject = measure_model(name, preset, bench, scenarios, variants, report)
            path = save(subject, out, by)
        except MerzooError as error:
            say(f"{name}: {error}")
            failed += 1
            continue
        except Exception as error:  # a plugin's network may fail in any way, and costs its own line
            if os.environ.get("MERZOO_DEBUG") == "1":
                raise
            say(f"{name}: unexpected {type(error).__name__}: {error}; MERZOO_DEBUG=1 shows where")
            failed += 1
            continue
        found = record(subject, by)
        if json:
            printed.append(found)
        else:
            show(found, path)
    if json:
        print_json(printed)
    if failed:
        say(f"{failed} of {len(names)} models could not be measured")
        raise typer.Exit(2)


def show(found: Mapping[str, Any], path: Path) -> None:
    """Print a record for people."""
    print_lines(_about(found))
    rows = [_row(one) for one in found["measurements"]]
    if rows:
        print_table(HEAD, rows)
        print_lines(["outliers of all samples; IQR: interquartile range; floor: share of p50 that the roofline of this machine dictates"])
    for one in found["measurements"]:
        for fault in one["faults"]:
            print_lines([f"FAULT  {_what(one)}: {fault}. Its times are not shown and must not be used"])
    for skipped in found["skipped"]:
        print_lines([f"skipped  {_what(skipped)}: {skipped['reason']}"])
    print_lines([f"written: {path}", ""])


def _about(found: Mapping[str, Any]) -> Iterator[str]:
    environment, roof, noise = found["environment"], found["roofline"], found["noise"]
    weights = f"weights {found['weights']['tag']}" if found["weights"] else "random weights"
    inputs = ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in found["inputs"].items())
    yield f"{found['model']} ({found['preset']}, {weights}): {found['parameters']:,} parameters, inputs {inputs}, {found['looks']} look(s) a clip"
    flops = "FLOPs not counted" if found["flops"] is None else f"{_count(found['flops'])}FLOP (2 a multiply-add)"
    yield f"  a look takes {flops} and moves at least {byte_count(found['bytes'])}"
    rates = ", ".join(f"{name} {_count(rate)}FLOP/s" for name, rate in roof["matmul_flops_per_second"].items())
    name = environment["cpu"] if environment["device"] == "cpu" else environment["device"]
    yield f"  on {name}, {environment['threads']} threads, torch {environment['torch']}"
    yield f"  which copies {byte_count(round(roof['copy_bytes_per_second']))}/s and multiplies {rates}"
    verdict = "noisy; measure again on an idle machine" if noise["noisy"] else "quiet"
    yield f"  a fixed matrix product between measurements varied by {noise['spread']:.1%} (limit {noise['limit']:.0%}): {verdict}"


def _row(one: Mapping[str, Any]) -> list[str]:
    if one["faults"]:
        return [_what(one, False), _or_dash(one["batch"]), "FAULT", *["-"] * (len(HEAD) - 3)]
    times = one["summary"]
    low, high = times["p50_interval"]
    floor = None if one["floor_us"] is None else f"{100 * one['floor_us'] / times['p50']:.2g}%"
    peak = None if one["peak_bytes"] is None else f"{one['peak_bytes'] / 1e6:.1f}"
    rate = None if one["per_second"] is None else _digits(one["per_second"]) + (" knee" if one["knee"] else "")
    spread = [_ms(times[name]) for name in ("p95", "p99", "iqr")]
    outliers = f"{times['outliers']}/{times['count']}"
    return [_what(one, False), _or_dash(one["batch"]), _ms(times["p50"]), f"{_ms(low)}-{_ms(high)}", *spread, outliers, *map(_or_dash, (rate, peak, floor))]


def _what(one: Mapping[str, Any], with_batch: bool = True) -> str:
    """What a measurement is of, in a few words."""
    layout = one["layout"] if one["layout"] not in (None, "channels-last") else None
    about = [f"{value} frames" if name == "frames" else value for name, value in one.get("about", {}).items()]
    batch = f"batch {one['batch']}" if with_batch and one["batch"] else None
    words = dict.fromkeys(str(part) for part in (one["scenario"], *about, one["precision"], one["mode"], layout, batch) if part)
    return plain(" ".join(words), 60)


def _ms(microseconds: float) -> str:
    return _digits(microseconds / 1e3)


def _digits(value: float) -> str:
    """Three significant digits, without an exponent."""
    if value >= 1000 or value == 0:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".") if value >= 0.001 else f"{value:.5f}"


def _count(number: float) -> str:
    for unit, size in (("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:g} "


def _or_dash(value: object) -> str:
    return "-" if value is None else str(value)
