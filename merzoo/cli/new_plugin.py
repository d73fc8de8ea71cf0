"""`merzoo new-plugin`: a distribution to begin from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from merzoo.cli.output import print_lines
from merzoo.new_plugin import new_plugin, next_commands


def command(
    name: Annotated[str, typer.Argument(help="Of the model: lower-case words joined by - _ or ., as in tiny-net.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to put merzoo-NAME into.")] = Path(),
    author: Annotated[str, typer.Option(help="Your name, for pyproject.toml and LICENSE.")] = "",
) -> None:
    """Write a plugin merzoo-NAME that installs, lists, trains and passes its tests: put your network into its network.py."""
    folder = new_plugin(name, out, author)
    print_lines([f"{folder} is written; its network.py is the place for your network. Next:", ""])
    print_lines(f"    {line}" for line in next_commands(name, folder))
