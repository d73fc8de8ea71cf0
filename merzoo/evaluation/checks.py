"""A question that an audit asks of a run, and its answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from merzoo.text import plain

Status = Literal["passed", "failed", "not checked"]
SHOWN = 20  # examples kept of each kind of finding


@dataclass(frozen=True)
class Check:
    """One question and its answer. found: up to 20 examples of what is wrong."""

    name: str
    status: Status
    text: str
    found: list[str] = field(default_factory=list)


def verdict(name: str, found: Sequence[str], passed: str, failed: str) -> Check:
    """Passed where nothing is found, else failed, with how many there are."""
    if found:
        return Check(name, "failed", f"{len(found)} {failed}", [plain(one) for one in found[:SHOWN]])
    return Check(name, "passed", passed)
