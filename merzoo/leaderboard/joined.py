"""Scores and costs side by side: the rows of the board's one table."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

FILTERS = ("data", "protocol", "preset", "device", "precision", "mode", "status")


@dataclass(frozen=True)
class Line:
    """A scored run beside one latency measurement of the same network; either may be missing.

    group: position among the board's groups, their number for what has no score. run: a row of that group. cost: one of the board's costs, latency: one of its
    measurements, throughput: that at the knee of the same precision, layout and mode.
    """

    group: int
    run: dict[str, Any] | None
    cost: dict[str, Any] | None = None
    latency: dict[str, Any] | None = None
    throughput: dict[str, Any] | None = None

    @property
    def named(self) -> dict[str, Any]:
        """What says model, preset and status: the run, or the cost where there is none."""
        found = self.run or self.cost
        assert found is not None
        return found

    @property
    def reference(self) -> bool:
        """Whether it is a reference and no competitor."""
        return bool(self.run and self.run["reference"])

    @property
    def main(self) -> str | None:
        """The metric that it is ranked by."""
        return next(iter(self.run["scores"])) if self.run else None

    def filters(self) -> dict[str, str | None]:
        """What it is filtered by; None where it has no such thing, which passes every filter."""
        run, cost, latency = self.run, self.cost, self.latency
        return {
            "data": data_name(run["data"]) if run else None,
            "protocol": run["protocol"]["name"] if run else None,
            "preset": self.named["preset"],
            "device": device_name(cost) if cost else None,
            "precision": latency["precision"] if latency else None,
            "mode": mode(latency) if latency else None,
            "status": run["status"] if run else cost_status(self.named["status"]),
        }

    def numbers(self) -> dict[str, float | None]:
        """What its number columns are sorted by, in the units that they show."""
        run, cost, latency = self.run or {}, self.cost or {}, self.latency or {"summary": {}}
        scores, p50 = run.get("scores", {}), latency["summary"].get("p50")
        chosen, views = run.get("oracle"), measured(cost, "views") if cost else []
        return {
            "score": scores[self.main]["value"] if self.main else None,
            "oracle": chosen["best_epoch_per_fold"][self.main] if chosen and self.main else None,
            **{metric: scores[metric]["value"] if metric in scores else None for metric in ("uar", "accuracy")},
            "seeds": len(run["seeds"]) if run else None,
            "parameters": _first(run.get("parameters"), cost.get("parameters")),
            "flops": cost.get("flops"),
            "views": _ms(sum(one["summary"]["p50"] for one in views)) if views else None,
            "p50": _ms(p50),
            "p95": _ms(latency["summary"].get("p95")),
            "throughput": self.throughput["per_second"] if self.throughput else None,
            "memory": latency.get("peak_bytes"),
            "floor": floor_share(latency),
            "training": run.get("seconds"),
            "reported": next((one["value"] for one in self.reported() if one["value"] is not None), None),
        }

    def reported(self) -> list[dict[str, Any]]:
        """The paper's numbers for the main metric of this run's data, protocol and preset."""
        if not self.run:
            return []
        return [one for one in reported(self.run) if one["metric"] == self.main and not one.get("part") and measures(one, self.run)]


def lines(board: dict[str, Any]) -> list[Line]:
    """Every run beside each latency measurement of its network, group by group and best first, then the costs that no run has."""
    of: dict[str, list[dict[str, Any]]] = {}
    for cost in board["costs"]:
        of.setdefault(network(cost), []).append(cost)
    found, met = [], set()
    for at, group in enumerate(board["groups"]):
        for run in group["rows"] + group["references"]:
            met.add(network(run))
            beside = [line for cost in of.get(network(run), []) for line in _beside(at, run, cost)]
            found += beside or [Line(at, run)]
    alone = [cost for key, costs in sorted(of.items()) if key not in met for cost in costs]
    return found + [line for cost in alone for line in _beside(len(board["groups"]), None, cost)]


def defaults(board: dict[str, Any], table: list[Line]) -> dict[str, str]:
    """What the filters say at first: the group with most runs, the device it was measured on most, fp32 and eager where there are several; "" for all."""
    sizes = [len(group["rows"]) or -1 for group in board["groups"]]
    largest = sizes.index(max(sizes)) if sizes else 0
    chosen = dict.fromkeys(FILTERS, "")
    shown = [line.filters() for line in table if line.group == largest]
    if sizes and shown:
        chosen |= {key: shown[0][key] or "" for key in ("data", "protocol")}
    for key, first in (("device", ""), ("precision", "fp32"), ("mode", "eager")):
        left = [row for row in shown if all(not chosen[name] or row[name] == chosen[name] for name in ("device", "precision"))]
        counted = Counter(said for row in left if (said := row[key]))
        chosen[key] = (first if first in counted else max(sorted(counted), key=counted.__getitem__)) if counted else ""
    return chosen


def options(table: list[Line]) -> dict[str, list[str]]:
    """What each filter can be set to."""
    rows = [line.filters() for line in table]
    return {key: sorted({said for row in rows if (said := row[key])}) for key in FILTERS}


def network(result: dict[str, Any]) -> str:
    """What makes two results those of one network: model, preset, and the options of what a forward pass runs through."""
    options = result["options"]
    return json.dumps([result["model"], result["preset"], *(options.get(part) or {} for part in ("backbone", "head", "auxiliary"))], sort_keys=True)


def cost_status(status: str) -> str:
    """What the page calls the status of a cost file: nobody but its maker can say that the times are those of that machine."""
    return "consistent with itself" if status == "consistent" else status


def data_name(data: dict[str, Any]) -> str:
    """As `merzoo evaluate --data` takes it."""
    return f"{data['name']}:{data['part']}" if data["part"] else data["name"]


def device_name(cost: dict[str, Any]) -> str:
    """The GPU, or the processor and how many threads it lent: times of different ones cannot be compared, though both be called `cpu`."""
    machine = cost["environment"]
    return cost["device"] if cost["device"] != "cpu" else f"{machine.get('cpu') or 'cpu'}, {machine.get('threads')} threads"


def mode(measurement: dict[str, Any]) -> str | None:
    """How the network was run: `eager`, or `eager, contiguous` where the layout is not the one of training, channels-last."""
    layout = measurement["layout"]
    return measurement["mode"] if layout in (None, "channels-last") else f"{measurement['mode']}, {layout}"


def floor_share(measurement: dict[str, Any]) -> float | None:
    """The roofline's least time as a share of the median."""
    floor, p50 = measurement.get("floor_us"), measurement["summary"].get("p50")
    return floor / p50 if floor is not None and p50 else None


def reported(run: dict[str, Any]) -> list[dict[str, Any]]:
    """The numbers that the paper of a run's model states."""
    return run["paper"]["reported"] if run["paper"] else []


def measures(one: dict[str, Any], run: dict[str, Any]) -> bool:
    """Whether a run measures again what a paper reports: the same data, protocol and preset."""
    return (one["data"], one["protocol"], one.get("preset", "full")) == (data_name(run["data"]), run["protocol"]["name"], run["preset"])


def panel_ids(names: Iterable[str]) -> dict[str, str]:
    """Model name -> id of its panel, which does not depend on what else is on the board. A name that is no plain one ends in a piece of its hash."""

    def made(name: str) -> str:
        if re.fullmatch(r"[a-z0-9._-]{1,80}", name):
            return f"model-{name}"
        return f"model-{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')[:60]}~{hashlib.sha256(name.encode()).hexdigest()[:8]}"

    return {name: made(name) for name in names}


def measured(cost: dict[str, Any], scenario: str) -> list[dict[str, Any]]:
    """The measurements of one scenario, fp32 and eager first."""
    first: Callable[[dict[str, Any]], Any] = lambda m: (m["precision"] != "fp32", m["mode"] != "eager")  # noqa: E731
    return sorted((m for m in cost["measurements"] if m["scenario"] == scenario), key=first)


def _beside(group: int, run: dict[str, Any] | None, cost: dict[str, Any]) -> Iterator[Line]:
    same = ("precision", "layout", "mode")
    knees = {tuple(m[key] for key in same): m for m in measured(cost, "throughput") if m.get("knee")}
    latencies = measured(cost, "latency")
    yield from (Line(group, run, cost, m, knees.get(tuple(m[key] for key in same))) for m in latencies)
    if not latencies:
        yield Line(group, run, cost)


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


def _ms(microseconds: float | None) -> float | None:
    return None if microseconds is None else microseconds / 1e3
