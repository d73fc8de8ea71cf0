"""One check of a plugin, and what came of it."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from merzoo.blame import told
from merzoo.errors import MerzooError
from merzoo.text import plain

Status = Literal["pass", "fail", "skip"]


class PluginFault(MerzooError):
    """A plugin that does not keep a rule; the text ends with how to mend it."""


class NotChecked(Exception):
    """Nothing can be said: the text says why."""


@dataclass(frozen=True)
class Check:
    """A question about a plugin. run: gives what was seen, in words; raises `MerzooError` for a fault, `NotChecked` where it cannot be asked."""

    name: str
    subject: str  # of whom: a distribution, a part, a model
    run: Callable[[], str]
    package: str = ""  # whose files an error is looked for in


@dataclass(frozen=True)
class Outcome:
    """The answer to one check; the text is one printable line, and that of a failure ends with how to mend it."""

    name: str
    subject: str
    status: Status
    text: str


def outcome(check: Check) -> Outcome:
    """Ask one question. Nothing that a plugin raises gets out; MERZOO_DEBUG=1 shows where it came from."""
    status: Status = "fail"
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what a network prints would end up inside --json
            status, text = "pass", check.run()
    except NotChecked as why:
        status, text = "skip", str(why)
    except (Exception, SystemExit) as error:
        text = str(error) if isinstance(error, MerzooError) else f"{told(error, check.package)}; mend the code that raises it, MERZOO_DEBUG=1 shows all"
        if os.environ.get("MERZOO_DEBUG") == "1":
            traceback.print_exception(error)
    return Outcome(check.name, check.subject, status, plain(" ".join(text.split()), limit=600))


def outcomes(checks: Iterable[Check]) -> Iterator[Outcome]:
    """The answers one by one, in order."""
    return map(outcome, checks)
