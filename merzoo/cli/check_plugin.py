"""`merzoo check-plugin`: what is wrong with a plugin, and how to mend it."""

from __future__ import annotations

from typing import Annotated

import typer

from merzoo.cli.output import print_json, print_lines

FAILED = 1  # the exit code where a check failed; 2 is that of a command that could not be run


def command(
    name: Annotated[str, typer.Argument(help="An installed plugin, or its distribution (`merzoo plugins`).")],
    quick: Annotated[bool, typer.Option("--quick", help="Leave out what trains a model: seconds instead of minutes.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check a plugin: that it loads, is light, registers what it says, and that its models keep the contract, at preset small on synthetic faces.

    A line a check; what fails says how to mend it. Exit code 0 if nothing failed, 1 if something did, 2 for a plugin that is not installed.
    """
    from merzoo.testing.outcomes import outcomes
    from merzoo.testing.plugin_checks import as_json, passed, plugin_checks

    subject, checks = plugin_checks(name, quick)
    found = []
    for one in outcomes(checks):
        found.append(one)
        if not json:
            status = one.status.upper() if one.status == "fail" else one.status
            print_lines([f"{status:<5}{one.name:<26}{one.subject}: {one.text}"])
    if json:
        print_json(as_json(subject, found))
    else:
        failed, skipped = (sum(one.status == status for one in found) for status in ("fail", "skip"))
        print_lines([f"{subject.record.name}: {len(found)} checks, {failed} failed, {skipped} skipped"])
    if not passed(found):
        raise typer.Exit(FAILED)
