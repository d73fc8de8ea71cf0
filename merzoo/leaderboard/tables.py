"""The board as Markdown and as CSV. All text in it is strangers' text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from merzoo.evaluation.scores import TITLES
from merzoo.leaderboard.joined import device_name, mode
from merzoo.leaderboard.wording import clips_tested, count, duration, interval, milliseconds, training
from merzoo.tables import csv_text
from merzoo.text import plain

SCORES = (
    *("data", "part", "protocol", "labels", "model", "preset", "weights", "status", "by", "confirmed_by", "reference", "created", "source"),
    *("metric", "value", "low", "high", "seeds", "samples", "subjects", "parameters", "seconds", "precision", "device", "cpu", "merzoo"),
)
COSTS = (
    *("model", "preset", "device", "cpu", "scenario", "precision", "layout", "mode", "batch", "about", "count", "p50_us", "p50_low_us", "p50_high_us"),
    *("p95_us", "p99_us", "device_p50_us", "per_second", "knee", "peak_bytes", "energy_joules", "floor_us", "parameters", "flops", "noisy"),
    *("status", "by", "created", "source", "merzoo", "torch"),
)


def markdown(board: dict[str, Any]) -> str:
    """The tables of the page as Markdown."""
    return "\n".join(_markdown_lines(board)) + "\n"


def scores_csv(board: dict[str, Any]) -> str:
    """A line a run and metric, with `SCORES` as columns."""
    made: list[tuple[object, ...]] = [SCORES]
    for group in board["groups"]:
        data, protocol, tested = group["data"], group["protocol"]["name"], group["tested"]
        for row in group["rows"] + group["references"]:
            machine, confirmed = row["environment"], row["rerun"]["by"] if row["rerun"] else ""
            who = (data["name"], data["part"], protocol, "+".join(group["labels"]), row["model"], row["preset"], row["weights"] and row["weights"]["tag"])
            whence = (row["status"], row["by"], confirmed, bool(row["reference"]), row["created"], row["source"])
            costs = (len(row["seeds"]), tested["samples"], tested["subjects"], row["parameters"], row["seconds"], row["precision"])
            where = tuple(machine.get(name) for name in ("device", "cpu", "merzoo"))
            made += [(*who, *whence, metric, score["value"], score["low"], score["high"], *costs, *where) for metric, score in row["scores"].items()]
    return csv_text(made)


def costs_csv(board: dict[str, Any]) -> str:
    """A line a measurement, with `COSTS` as columns."""
    made: list[tuple[object, ...]] = [COSTS]
    for cost in board["costs"]:
        machine, noisy = cost["environment"], cost["noise"] and cost["noise"].get("noisy")
        for one in cost["measurements"]:
            told, about = one["summary"], " ".join(f"{key}={value}" for key, value in one["about"].items())
            what = tuple(one[name] for name in ("scenario", "precision", "layout", "mode", "batch"))
            who = (cost["model"], cost["preset"], cost["device"], machine.get("cpu"), *what)
            times = (told["count"], told["p50"], *told["p50_interval"], told["p95"], told["p99"], one["device_p50"])
            more = tuple(one[name] for name in ("per_second", "knee", "peak_bytes", "energy_joules", "floor_us"))
            whence = (cost["status"], cost["by"], cost["created"], cost["source"], machine.get("merzoo"), machine.get("torch"))
            made.append((*who, about, *times, *more, cost["parameters"], cost["flops"], noisy, *whence))
    return csv_text(made)


def _markdown_lines(board: dict[str, Any]) -> Iterator[str]:
    yield "# Micro-expression recognition: the board"
    yield "\nLast epoch of a fixed budget, predictions pooled over folds, mean over seeds; 95 % intervals by bootstrap over subjects."
    yield "Rows can be compared within a table only."
    for group in board["groups"]:
        yield from _group(group)
    if board["costs"]:
        yield from _latencies(board["costs"])
    if board["left_out"]:
        yield "\n## Left out\n"
        yield from (f"* {_md(out['run'])}: {_md(out['reason'])}" for out in board["left_out"])


def _group(group: dict[str, Any]) -> Iterator[str]:
    data, protocol, tested = group["data"], group["protocol"], group["tested"]
    part = f" ({_md(data['part'])})" if data["part"] else ""
    yield f"\n## {_md(data['name'])}{part}, {_md(protocol['name'])}"
    classes = ", ".join(_md(name) for name in group["labels"])
    yield f"\n{clips_tested(group)} samples, {tested['subjects']} subjects, {protocol['folds']} folds; classes: {classes}."
    yield f"Data {_md(data['manifest_hash'][:12])}, protocol {protocol['hash'][:12]}, truth {group['truth_sha256'][:12]}.\n"
    titles = " | ".join(TITLES[m] for m in group["metrics"])
    yield f"| model | preset | training | seeds | {titles} | parameters | training time | status |"
    yield f"|---|---|---|--:|{'---|' * len(group['metrics'])}--:|--:|---|"
    for row in group["rows"] + group["references"]:
        scores = [f"{s['value']:.3f} {_md(interval(s))}" for s in (row["scores"][m] for m in group["metrics"])]
        name = _md(row["model"]) + (" (reference)" if row["reference"] else "")
        what = [name, _md(row["preset"]), _md(training(row)), str(len(row["seeds"]))]
        cells = [*what, *scores, count(row["parameters"]), duration(row["seconds"]), _status(row)]
        yield "| " + " | ".join(cells) + " |"


def _status(row: dict[str, Any]) -> str:
    by = f" by {_md(row['by'])}" if row["by"] else ""
    return f"{row['status']}{by}" + (f", confirmed by {_md(row['rerun']['by'])}" if row["rerun"] else "")


def _latencies(costs: list[dict[str, Any]]) -> Iterator[str]:
    yield "\n## Latency at batch 1\n"
    yield "Wall time of one forward pass, with the 95 % interval of the median. All measurements are in costs.csv.\n"
    yield "| model | preset | device | precision | mode | p50, ms | p95, ms | parameters | by |"
    yield "|---|---|---|---|---|--:|--:|--:|---|"
    for cost in costs:
        for one in (one for one in cost["measurements"] if one["scenario"] == "latency" and one["batch"] == 1):
            told = one["summary"]
            ends = ", ".join(f"{end / 1e3:.3g}" for end in told["p50_interval"])
            what = [cost["model"], cost["preset"], device_name(cost), one["precision"] or "", mode(one) or ""]
            times = [f"{milliseconds(told['p50'])} {_md(f'[{ends}]')}", milliseconds(told["p95"])]
            yield "| " + " | ".join([*map(_md, what), *times, count(cost["parameters"]), _md(cost["by"])]) + " |"


def _md(text: str) -> str:
    """Text that Markdown takes as it is."""
    return re.sub(r"([\\`*_{}\[\]()<>#+!|~&$:@])", r"\\\1", plain(text))
