"""Rows that confirm one another: somebody else ran the same and agrees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from merzoo.evaluation.bootstrap import paired_difference
from merzoo.evaluation.pool import Predictions
from merzoo.evaluation.runs import predictions
from merzoo.leaderboard.entries import Entry
from merzoo.results.desk import Desk
from merzoo.results.packed import opened
from merzoo.results.reading import read

AGREES = 0.05  # of the main metric, the most by which two runs of the same may differ (our choice): an interval that holds 0 may only be a wide one


def merge(entries: Sequence[Entry], source: Path, desk: Desk, resamples: int) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    """The rows of one group of runs that may be compared, in which those that confirm an earlier one of somebody else have become part of it; and the names
    of those that could not be compared, each with the reason.

    A row confirms another of the same model, preset, parts, options and weights if both say who made them, and not the same, and the 95 % interval of the
    paired difference holds 0 for every metric, and that of the main one is at most `AGREES`. The earlier one (by `created`) is shown, as "re-run", with the
    first that confirms it in "rerun": {"by", "source", "difference": {metric: {value, low, high, p_bootstrap}}, "also": files of further ones}.
    """
    pools: dict[str, Predictions] = {}

    def pool(row: dict[str, Any]) -> Predictions:
        name = row["source"]
        if name not in pools:
            path = source / name
            truth = desk.truth(row["data"])
            pools[name] = predictions(opened(read(path), path, None if isinstance(truth, str) else truth))
        return pools[name]

    kept: list[tuple[str, dict[str, Any]]] = []
    left_out: list[tuple[str, str]] = []
    for entry in sorted(entries, key=lambda one: ((one.row or {})["created"], one.name)):
        row = dict(entry.row or {})
        for same, first in kept:
            if same != entry.same or not row["by"] or not first["by"] or row["by"] == first["by"]:
                continue
            try:
                difference = paired_difference(pool(first), pool(row), resamples).scores
            except Exception as error:  # a stranger's file must not take the board down with it
                left_out.append((entry.name, f"it cannot be compared with {first['source']}: {type(error).__name__}: {error}"))
                break
            main = next(iter(row["scores"]))
            if any(one.excludes_zero for one in difference.values()) or abs(difference[main].value) > AGREES:
                continue
            if first["rerun"] is None:
                told = {"by": row["by"], "source": row["source"], "difference": {name: asdict(one) for name, one in difference.items()}, "also": []}
                first |= {"status": "re-run", "rerun": told}
            else:
                first["rerun"]["also"].append(row["source"])
            break
        else:
            kept.append((entry.same, row))
    return [row for _, row in kept], left_out
