"""Everything that an installed plugin is checked for, by `merzoo check-plugin NAME` and by the pytest fixture `merzoo_check`:

the distribution (merzoo.testing.distribution), each part (merzoo.testing.parts), and each model's contract at preset small on the tiny part of the synthetic
faces (merzoo.testing.contract).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

from merzoo.entries import Entry
from merzoo.errors import MerzooError
from merzoo.registry import registry
from merzoo.testing.distribution import Subject, distribution_checks, find
from merzoo.testing.outcomes import Check, NotChecked, Outcome
from merzoo.testing.parts import part_checks, target

PRESET = "small"
PAPERS = "is_described"  # the check of a specification and its weights, for which nothing is trained
BUILDS = "builds_on_meta"  # the first check of a model that builds it, and the one that tells why it cannot be built
QUICK = (PAPERS, BUILDS)


def plugin_checks(name: str, quick: bool = False) -> tuple[Subject, list[Check]]:
    """The plugin of that name (or of the distribution of that name) and its checks in order, none of them asked yet.

    quick: the checks of models for which something must be computed are skipped. Raises `UnknownNameError` where no such plugin is installed.
    """
    subject = find(name)
    checks = [*distribution_checks(subject), *part_checks(subject)]
    models = [entry for entry in subject.entries if entry.spec is not None]
    checks += [check for entry in models for check in model_checks(entry, quick)]
    return subject, [dataclasses.replace(check, package=subject.found.package) for check in checks]


def model_checks(entry: Entry, quick: bool = False) -> Iterator[Check]:
    """The contract of one model; what it trains serves all its checks."""
    from merzoo.testing.contract import CHECKS, Case

    shown = f"model {entry.name}"
    case = functools.cache(lambda: Case.of(entry.name, PRESET))

    @functools.cache
    def unbuilt() -> Exception | None:
        try:
            case().build()
        except Exception as error:
            return error
        return None

    def ask(check: str) -> str:
        _ready(entry, check)
        if quick and check not in QUICK:
            raise NotChecked("left out by --quick")
        if check != PAPERS and (error := unbuilt()) is not None:
            if check == BUILDS:
                raise error
            raise NotChecked(f"it cannot be built; {BUILDS} tells why, and comes first")
        if check == PAPERS:
            _described(entry, CHECKS[check])
        else:
            CHECKS[check](case())
        return (CHECKS[check].__doc__ or "").strip().splitlines()[0]

    for check in (PAPERS, *(check for check in CHECKS if check != PAPERS)):
        yield Check(check, shown, functools.partial(ask, check))


def _described(entry: Entry, check: Any) -> None:
    """Papers need no clips, and are asked of a model that has no small preset too."""
    from merzoo.testing.contract import Case

    assert entry.spec is not None
    check(Case(entry.spec, None, PRESET))  # type: ignore[arg-type]


def _ready(entry: Entry, check: str) -> None:
    """Raise `NotChecked` where the model cannot be built for a reason that another check tells."""
    zoo = registry()
    if len([claim for claim in zoo.entries("model") if claim.name == entry.name]) > 1:
        raise NotChecked("two plugins claim its name; that comes first")
    if check == PAPERS or entry.spec is None:
        return
    if PRESET not in entry.spec.presets:
        raise NotChecked(f"it has no preset {PRESET}; that comes first")
    try:
        for part in zoo.parts(entry.spec):
            target(part)
    except MerzooError:
        raise NotChecked("one of its parts is not there; that comes first") from None


def as_json(subject: Subject, found: list[Outcome]) -> dict[str, Any]:
    """{plugin, distribution, checks: [{name, subject, status, text}], passed}; status is "pass", "fail" or "skip"."""
    rows = [{"name": one.name, "subject": one.subject, "status": one.status, "text": one.text} for one in found]
    return {"plugin": subject.record.name, "distribution": subject.record.distribution, "checks": rows, "passed": passed(found)}


def passed(found: list[Outcome]) -> bool:
    """Whether nothing failed."""
    return all(one.status != "fail" for one in found)
