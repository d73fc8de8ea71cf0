"""What `merzoo doctor` looks at: Python, libraries, the machine, folders, plugins, data and the Hub. Each check stands alone, so that what is broken is told
and not stumbled over; nothing is written but a probe file that is removed."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterable, Iterator

from merzoo.doctor.check import Check, State
from merzoo.entries import last_line

__all__ = ["CHECKS", "Check", "State", "examine", "worst"]

CHECKS = {
    "python": "software:python",
    "merzoo": "software:merzoo",
    "dependencies": "software:dependencies",
    "opencv": "software:opencv",
    "torch": "machine:torch",
    "gpu": "machine:gpu",
    "cache": "folders:cache",
    "hub-cache": "folders:hub_cache",
    "disk": "folders:disk",
    "plugins": "zoo:plugins",
    "data": "zoo:data",
    "hub": "hub:reach",
}
"""Every check, module:function, in the order of the report. Imported one by one: what they need may be what is broken."""


def examine(names: Iterable[str] = CHECKS) -> Iterator[Check]:
    """Run checks, one after another. A check that itself breaks is a failure with the error's last line."""
    for name in names:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of libraries; ours are told by the checks
                module, _, function = CHECKS[name].partition(":")
                found: list[Check] = list(getattr(importlib.import_module(f"merzoo.doctor.{module}"), function)())
            yield from found
        except (Exception, SystemExit) as error:
            yield Check(name, "fail", f"the check itself broke: {last_line(error)}", "mend what it names, or report it")


def worst(checks: Iterable[Check]) -> State:
    """The worst state among checks: "fail", "warn" or "ok"."""
    states = {check.state for check in checks}
    return "fail" if "fail" in states else "warn" if "warn" in states else "ok"
