"""The numbers a paper reports, measured again: for each the exact command, and the result where the data are here."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merzoo.data.composite import Composite
from merzoo.data.sources import check_roots, open_dataset, parse, takes_roots
from merzoo.errors import DataError, UsageError
from merzoo.registry import registry
from merzoo.specs import ModelSpec, Reported

if TYPE_CHECKING:
    from merzoo.data.table import Dataset


@dataclass(frozen=True)
class Target:
    """One way in which a paper evaluates, with all the numbers it reports of it.

    command: what runs it by hand. dataset: where the data are here. missing: else, what is not and how to ask for it.
    """

    rows: tuple[Reported, ...]
    command: str
    out: Path
    dataset: Dataset | None
    missing: str = ""


def targets(model: str | ModelSpec, out: Path, roots: Mapping[str, Path] | None = None, seeds: int = 3, preset: str = "") -> list[Target]:
    """What the model's paper reports, one target a data set and protocol. preset: instead of the one that belongs to the number.

    Raises `UsageError` for a model without a paper, a paper that reports nothing, or a root of a data set that none of it is about.
    """
    spec = registry().model(model) if isinstance(model, str) else model
    if spec.paper is None or not spec.paper.reported:
        raise UsageError(f"{spec.name} has no reported number to reproduce; `merzoo evaluate {spec.name}` scores it on data of your choice")
    check_roots(roots or {}, [name for row in spec.paper.reported for name in (row.data, row.macro) if name])
    groups: dict[tuple[str, ...], list[Reported]] = {}
    for row in spec.paper.reported:
        groups.setdefault((row.data, row.protocol, row.macro, preset or row.preset), []).append(row)
    return [_target(spec, tuple(rows), *key, out=out, roots=roots or {}, seeds=seeds) for key, rows in groups.items()]


def run(target: Target, model: str | ModelSpec, *, seeds: int = 3, preset: str = "", jobs: int = 1, device: str = "auto",
        report: Callable[[str, int, int], None] | None = None) -> list[dict[str, Any]]:  # fmt: skip
    """Evaluate one target whose data are here, going on where an earlier attempt stopped; reported and re-measured side by side.

    A list of {data, protocol, metric, part, reported, table, note, measured {value, low, high} (null where the result has none), of: what was measured, as
    `measured` says it, difference (null: nothing reported), inside (whether the reported value lies in the interval; null without one), run}. Raises as
    `evaluate`, and `UsageError` where the data are missing.
    """
    from merzoo.evaluation.evaluate import evaluate

    if target.dataset is None:
        raise UsageError(target.missing)
    first = target.rows[0]
    result = evaluate(
        model, target.dataset, first.protocol, out=target.out, preset=preset or first.preset, seeds=seeds, jobs=jobs, device=device, resume=True, report=report
    )  # fmt: skip
    return [_compared(row, result, target.out) for row in target.rows]


def _compared(row: Reported, result: Mapping[str, Any], out: Path) -> dict[str, Any]:
    found, of = measured(row, result)
    facts = {**asdict(row), "reported": row.value, "measured": found, "of": of, "difference": None, "inside": None, "run": str(out)}
    del facts["value"]
    if found is not None and row.value is not None:
        inside = None if found["low"] is None else found["low"] <= row.value <= found["high"]
        facts |= {"difference": found["value"] - row.value, "inside": inside}
    return facts


def measured(row: Reported, result: Mapping[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """What of a result a reported number is compared with, None where the result has no such score, and in words what it is.

    A number of one data set is compared with that slice. Where each data set was left out as a whole, a number of all is compared with the mean over the data
    sets, as CD6ME averages; that mean has no interval ("low" and "high" null). Any other is compared with the score of all clips pooled.
    """
    slices = result.get("slices", {})
    if row.part:
        return slices.get(row.part, {}).get("scores", {}).get(row.metric), f"clips of {row.part}"
    if row.protocol == "lodo" and "mean_of_slices" in result:
        each = [one["scores"][row.metric]["value"] for one in slices.values() if row.metric in one["scores"]]
        mean = {"value": sum(each) / len(each), "low": None, "high": None} if each else None
        return mean, "mean over data sets"
    return result["scores"].get(row.metric), "all clips"


def _target(
    spec: ModelSpec, rows: tuple[Reported, ...], data: str, protocol: str, macro: str, preset: str, *, out: Path, roots: Mapping[str, Path], seeds: int
) -> Target:
    place = out / re.sub(r"[^A-Za-z0-9.-]+", "-", f"{data}-{protocol}-{preset}" + (f"-{macro}" if macro else ""))
    words = ["merzoo", "evaluate", spec.name, "--data", data, "--protocol", protocol, "--preset", preset, "--seeds", str(seeds)]
    words += ["--macro", macro] if macro else []
    given = {key: root for name in (data, macro) if name for key, root in _of(name, roots).items()}
    for key, root in given.items():
        words += ["--root", f"{key}={root}" if key else str(root)]
    words += ["--out", str(place)]
    opened: list[Dataset] = []
    missing = []
    for name in (data, macro):
        if name:
            try:
                opened.append(_open(name, roots))
            except DataError as error:
                missing.append(f"{error} ({_ask(name)})")
    if missing:
        return Target(rows, shlex.join(words), place, None, "; ".join(missing))
    dataset = opened[0] if len(opened) == 1 else Composite(opened[0].name, opened[0].part, opened[:1], macro=opened[1:])
    return Target(rows, shlex.join(words), place, dataset)


def _open(name: str, roots: Mapping[str, Path]) -> Dataset:
    """The data set, read, so that what is wrong with it is known before anything runs."""
    dataset = open_dataset(name, roots=_of(name, roots))
    dataset.table()
    return dataset


def _of(name: str, roots: Mapping[str, Path]) -> dict[str, Path]:
    """The roots that concern one data set; the nameless one holds the members of composites."""
    taken = takes_roots(name)
    return {key: root for key, root in roots.items() if key in taken or (not key and len(taken) > 1)}


def _ask(name: str) -> str:
    """How to get a data set, from the class that reads it."""
    short = parse(name)[0]
    ask = getattr(registry().get("dataset", short).load(), "ask", "")
    return f"to get {short}: {ask}" if ask else f"see `merzoo info {short}`"


def told(rows: Sequence[Reported]) -> str:
    """What the paper reports of a target, in words: "uf1 0.8403 (Table 3), casme2 uf1 0.9 (Table 3)"."""
    said = ((row, "not known to us" if row.value is None else row.value) for row in rows)
    return ", ".join(f"{row.part} {row.metric} {value}".strip() + (f" ({row.table})" if row.table else "") for row, value in said)
