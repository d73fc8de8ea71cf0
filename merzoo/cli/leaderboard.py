"""`merzoo leaderboard`: runs packed for others, what a board would say of them, and the board."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from merzoo.cli.audit import ROOT
from merzoo.cli.output import print_json, print_lines
from merzoo.cli.progress import progress
from merzoo.cores import cores
from merzoo.evaluation.scores import TITLES

app = typer.Typer(add_completion=False, help="Pack runs into result files, check such files, and make the board from a folder of them.", no_args_is_help=True)
JOIN = "Put sample ids and labels into the file (by default only of rendered faces), or hash the ids and leave the labels out: licensed data stay home."
PLACE = "A folder, in which the file is named by what it holds, or the name of a file, which ends in .json."
SUBJECTS = "Give away the ids of people in data of your own, which may be names."


@app.command()
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder of a finished `merzoo evaluate`.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR_OR_FILE", help=PLACE)],
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who made the run; a board shows it.")] = "",
    join: Annotated[bool | None, typer.Option("--join/--no-join", help=JOIN, show_default=False)] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over another result of that name.")] = False,
    publish_subjects: Annotated[bool, typer.Option("--publish-subjects", help=SUBJECTS)] = False,
    root: Annotated[list[str] | None, typer.Option(metavar="DIR", help=ROOT)] = None,
    remap: Annotated[Path | None, typer.Option(help="The table of labels that the run had, for data of your own.")] = None,
    skip: Annotated[Path | None, typer.Option(metavar="FILE", help="The file of clips to leave out that the run had.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Pack a finished run into one file that others can check: its predictions, what was asked, and on which machine.

    What a board would refuse is not written."""
    from merzoo.data.sources import parse_roots
    from merzoo.results.desk import Desk
    from merzoo.results.export import export as pack

    desk = Desk(parse_roots(root or ()), remap=remap, skip=skip)
    path, value, verdict = pack(run, out, desk, by=by, joined=join, force=force, publish_subjects=publish_subjects)
    if json:
        print_json({"file": str(path), **_told(path, value, verdict)})
        return
    how = "sample ids and labels are in it" if value["joined"] else "sample ids are hashed and labels left out"
    print_lines([f"{path}: {path.stat().st_size:,} bytes, {how}"])
    if verdict.status == "consistent":
        print_lines([f"a board takes it as consistent where {value['data']['name']} is; see merzoo leaderboard check {path}"])
    else:
        print_lines([f"not all of it could be checked here: {verdict.reason}"])


@app.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A result file.")],
    root: Annotated[list[str] | None, typer.Option(metavar="DIR", help=ROOT)] = None,
    remap: Annotated[Path | None, typer.Option(help="The table of labels that the run had, for data of your own.")] = None,
    skip: Annotated[Path | None, typer.Option(metavar="FILE", help="The file of clips to leave out that the run had.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make every score of a result file again from its predictions, and every summary from its times; compare data, weights and environment; say what a board
    would make of it.

    Exit code 0 where it would be taken as consistent, 1 where not, 2 where it is no result file that this merzoo reads."""
    from merzoo.data.sources import parse_roots
    from merzoo.results.checking import check as judge
    from merzoo.results.desk import Desk
    from merzoo.results.reading import read

    value = read(file)
    with progress() as report:
        report(f"checking {file.name}", 0, 1)
        verdict = judge(value, file, Desk(parse_roots(root or ()), remap=remap, skip=skip), deep=True)
    if json:
        print_json({"file": str(file), **_told(file, value, verdict)})
    else:
        print_lines([f"{value.get('model')}, {value['kind']}: {file}"])
        for one in verdict.checks:
            print_lines([f"  {one.status:<12} {one.name}: {one.text}", *(f"                 {line}" for line in one.found)])
        if verdict.made and (found := verdict.made.get("oracle")):
            claimed = ", ".join(f"{TITLES[metric]} {value:.3f}" for metric, value in found["best_epoch_per_fold"].items())
            print_lines([f"  best epoch of each fold: {claimed} ({found['note']})"])
        print_lines(["consistent: a board takes it" if verdict.status == "consistent" else f"refused: a board here leaves it out ({verdict.reason})"])
    if verdict.status != "consistent":
        raise typer.Exit(1)


@app.command()
def build(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Searched for result files and run folders.")],
    out: Annotated[Path, typer.Option("--out", metavar="SITE", help="Where index.html, board.json, board.md, board.csv and costs.csv go.")],
    root: Annotated[list[str] | None, typer.Option(metavar="DIR", help="Where data sets lie, NAME=DIR, if `merzoo data prepare` was not told.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the board as JSON.")] = False,
) -> None:
    """Check every result, recompute every score from the stored predictions, and write the page."""
    from merzoo.data.sources import parse_roots
    from merzoo.leaderboard.build import build as make

    with progress() as report:
        board = make(folder, out, roots=parse_roots(root or ()), jobs=cores(), report=report)
    if json:
        print_json(board)
        return
    rows = [row for group in board["groups"] for row in (*group["rows"], *group["references"])]
    counts = {status: sum(row["status"] == status for row in rows) for status in ("consistent", "re-run", "own run")}
    told = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    print_lines([f"runs: {len(rows)}{f' ({told})' if told else ''}, costs: {len(board['costs'])}, tables: {len(board['groups'])}"])
    print_lines([f"page: {out / 'index.html'} (also board.json, board.md, board.csv, costs.csv)"])
    print_lines(f"left out {row['run']}: {row['reason']}" for row in board["left_out"])


def _told(path: Path, value: dict[str, Any], verdict: Any) -> dict[str, Any]:
    checks = [asdict(check) for check in verdict.checks]
    return {"model": value.get("model"), "kind": value["kind"], "checks": checks, "status": verdict.status, "reason": verdict.reason}
