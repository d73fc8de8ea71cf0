"""`merzoo reproduce`: the numbers a paper reports, measured again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from merzoo.cli.output import print_json, print_lines, print_table
from merzoo.cli.progress import progress


def command(
    model: Annotated[str, typer.Argument(help="A model by name (`merzoo list`).")],
    out: Annotated[Path, typer.Option(help="Folder for the run folders; a second call goes on there.")] = Path("reproduce"),
    root: Annotated[list[str] | None, typer.Option(metavar="NAME=DIR", help="Where a data set lies, if `merzoo data prepare` was not told.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds.")] = 3,
    preset: Annotated[str, typer.Option(help="Another size of the model than the one that belongs to the number.")] = "",
    jobs: Annotated[int, typer.Option(min=0, help="Folds at once; 0: one a core on a CPU, one on a GPU.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    dry: Annotated[bool, typer.Option("--dry-run", help="Say what would be run and what is missing; run nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """For each number the paper reports: the command and, where the data are here, what it gives. Data that are missing are named, with how to ask for them."""
    from merzoo.cli.evaluate import auto_jobs
    from merzoo.data.sources import parse_roots
    from merzoo.reproduce import run, targets, told

    found = targets(model, out / model, parse_roots(root or ()), seeds, preset)
    made: list[dict[str, Any]] = []
    for target in found:
        made.append({"command": target.command, "reported": told(target.rows), "missing": target.missing, "rows": []})
        if not json:
            notes = dict.fromkeys(row.note for row in target.rows if row.note)
            print_lines([target.command, f"  reported: {told(target.rows)}", *(f"  note: {note}" for note in notes)])
        if target.dataset is None:
            if not json:
                print_lines([f"  missing:  {target.missing}"])
        elif not dry:
            with progress() as report:
                made[-1]["rows"] = run(target, model, seeds=seeds, preset=preset, jobs=jobs or auto_jobs(device), device=device, report=report)
            if not json:
                print_table(("  metric", "of", "reported", "re-measured", "95 % interval", "difference"), [_row(row) for row in made[-1]["rows"]])
    if json:
        print_json(made)


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    measured = row["measured"]
    reported = "-" if row["reported"] is None else f"{row['reported']:.4f}"
    if measured is None:
        return f"  {row['metric']}", row["of"], reported, "-", "-", "-"
    difference = "-" if row["difference"] is None else f"{row['difference']:+.4f}" + (" (inside the interval)" if row["inside"] else "")
    interval = "-" if measured["low"] is None else f"{measured['low']:.4f} – {measured['high']:.4f}"
    return f"  {row['metric']}", row["of"], reported, f"{measured['value']:.4f}", interval, difference
