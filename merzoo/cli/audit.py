"""`merzoo audit`: whether a run's score can be believed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from merzoo.cli.output import print_json, print_lines, print_table
from merzoo.evaluation.scores import TITLES

ROOT = "Where the run's data lie, if `merzoo data prepare` was not told; for clips of your own, their table (clips.csv)."
COLUMNS = {"headline": "last epoch", "best_epoch_for_all": "oracle: one best epoch for all", "best_epoch_per_fold": "oracle: best epoch of each fold"}


def command(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    root: Annotated[list[str] | None, typer.Option(metavar="DIR", help=ROOT)] = None,
    remap: Annotated[Path | None, typer.Option(help="The table of labels that the run had, for data of your own.")] = None,
    skip: Annotated[Path | None, typer.Option(metavar="FILE", help="The file of clips to leave out that the run had.")] = None,
    data: Annotated[bool, typer.Option("--data/--no-data", help="Compare labels and folds with the data set, and its clips with one another.")] = True,
    strict: Annotated[bool, typer.Option("--strict", help="What could not be checked counts as failed.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Look for test subjects in training, one person under two names, statistics of test data, labels and folds that are not the data set's, and copied clips;
    show what choosing on the test would claim.

    Exit code 1 where a check failed."""
    from merzoo.data.sources import parse_roots
    from merzoo.evaluation.audit import audit
    from merzoo.evaluation.audit_data import open_data
    from merzoo.evaluation.runs import RunFolder

    folder = RunFolder.open(run)
    dataset, why = open_data(folder, parse_roots(root or ()), remap=remap, skip=skip) if data else (None, "--no-data")
    made = audit(folder, dataset, why)
    if json:
        print_json(made)
    else:
        _show(made)
    if not made["passed"] or (strict and any(check["status"] != "passed" for check in made["checks"])):
        raise typer.Exit(1)


def _show(made: dict[str, Any]) -> None:
    print_lines([f"{made['model']} under {made['protocol']}: {made['run']}"])
    for check in made["checks"]:
        print_lines([f"  {check['status']:<12} {check['name']}: {check['text']}", *(f"                 {line}" for line in check["found"])])
    found = made["oracle"]
    if found:
        rows = [(TITLES[metric], *(f"{found[column][metric]:.3f}" for column in COLUMNS)) for metric in made["scores"]]
        print_table(("", *COLUMNS.values()), rows)
        print_lines([found["note"]])
