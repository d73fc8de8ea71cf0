"""`merzoo doctor`: what may be wrong with this installation, and what to do about it."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from merzoo.cli.output import print_json, print_lines

_MARKS = {"ok": "ok", "warn": "warn", "fail": "FAIL"}


def command(json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Check Python, libraries, GPU, folders, disk, plugins, data and the Hub.

    Exit code 0 where all is well or there are warnings alone, 1 where something fails. Nothing is changed; the Hub is asked once, unless HF_HUB_OFFLINE=1.
    """
    from merzoo.doctor import examine, worst

    checks = []
    for check in examine():
        checks.append(check)
        if not json:
            print_lines([f"{_MARKS[check.state]:<5} {check.name:<13} {check.text}", *([f"{'':<19} mend: {check.remedy}"] if check.remedy else [])])
    result = worst(checks)
    if json:
        print_json({"result": result, "checks": [dataclasses.asdict(check) for check in checks]})
    else:
        counts = {state: sum(check.state == state for check in checks) for state in ("fail", "warn")}
        print_lines(["all is well" if result == "ok" else f"{counts['fail']} failed, {counts['warn']} warning{'' if counts['warn'] == 1 else 's'}"])
    if result == "fail":
        raise typer.Exit(1)
