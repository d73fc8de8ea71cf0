"""`merzoo leaderboard`: the board from a folder of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from merzoo.cli.output import print_json, print_lines

app = typer.Typer(add_completion=False, help="Make the board from a folder of runs.", no_args_is_help=True)


@app.command()
def build(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Searched for run folders.")],
    out: Annotated[Path, typer.Option("--out", metavar="SITE", help="Where index.html, board.json and board.md go.")],
    json: Annotated[bool, typer.Option("--json", help="Print the board as JSON.")] = False,
) -> None:
    """Recompute every score from the stored predictions and write the page."""
    from merzoo.leaderboard.build import build as make

    board = make(folder, out)
    if json:
        print_json(board)
        return
    runs = sum(len(group["rows"]) + len(group["references"]) for group in board["groups"])
    print_lines([f"runs: {runs}, tables: {len(board['groups'])}, page: {out / 'index.html'} (also board.json, board.md)"])
    print_lines(f"left out {row['run']}: {row['reason']}" for row in board["left_out"])
