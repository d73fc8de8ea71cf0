"""A result file of either kind, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from merzoo.results.cost import check_cost
from merzoo.results.desk import Desk
from merzoo.results.scores import check_scores
from merzoo.results.verdict import Verdict


def check(value: Mapping[str, Any], path: Path, desk: Desk, *, deep: bool = False) -> Verdict:
    """What a board makes of the content of a result file, as `merzoo.results.reading.read` gives it. path: for messages. deep: build the network as well,
    to count its parameters, where nothing else is wrong."""
    verdict = check_cost(value, path, desk) if value["kind"] == "cost" else check_scores(value, path, desk)
    if not deep or verdict.faults:
        return verdict
    from merzoo.results.network import parameters

    return replace(verdict, checks=[*verdict.checks, parameters(value, desk)])
