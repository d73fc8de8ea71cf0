"""The command line. `merzoo list` must not wait for torch, so a verb's module is imported when that verb runs and not before.

To add a verb: write `merzoo/cli/VERB.py` and add a line to `VERBS`. The module has either

* `command`, a function with typer annotations (its docstring is the help text; `typer.Argument` and `typer.Option` in `Annotated`), or
* `app`, a `typer.Typer` with commands of its own, for a verb that is a group (`merzoo leaderboard build`).

A verb is thin: it calls the library and prints with `merzoo.cli.output` (`print_json` for --json, `print_lines` and `print_table` for people).
It raises `MerzooError` for what can go wrong and catches nothing: `main` turns every error into one line on stderr and exit code 2
(MERZOO_DEBUG=1 adds the traceback), a `MerzooWarning` into one line, and Ctrl-C into exit code 130. `raise typer.Exit(n)` ends with another code.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

from merzoo.cli.guard import guarded
from merzoo.training.world import launched

VERBS = {  # verb: (module, attribute, one line of help)
    "list": ("listing", "list_", "Names of models, or of any other kind of part."),
    "info": ("listing", "info", "All about one name: parts, presets, weights, paper."),
    "plugins": ("plugins", "command", "Installed plugins, and what is wrong with those that fail."),
    "doctor": ("doctor", "command", "Check this installation, from Python to the Hub."),
    "predict": ("predict", "command", "Find and name micro-expressions in a face video."),
    "data": ("data", "app", "Check data sets against published counts, and prepare them."),
    "train": ("train", "command", "Train a model on a data set."),
    "evaluate": ("evaluate", "command", "Score a model under a protocol, such as LOSO."),
    "reproduce": ("reproduce", "command", "Measure again what a paper reports."),
    "compare": ("compare", "command", "Compare two runs, subject by subject."),
    "audit": ("audit", "command", "Look for what would make a run's score untrue."),
    "new-plugin": ("new_plugin", "command", "Write a plugin to begin from."),
    "check-plugin": ("check_plugin", "command", "Check a plugin, and say how to mend what is wrong."),
    "publish": ("publish", "command", "Publish trained weights on the Hub, with a model card."),
    "benchmark": ("benchmark", "command", "Measure what models cost: time, memory, arithmetic, energy."),
    "leaderboard": ("leaderboard", "app", "Make the board from a folder of runs."),
}
"""Every verb, in the order of the help text."""


class _Verb(TyperCommand):
    """Stands for a verb until it runs: `make_context` is the first thing that needs the real command."""

    def __init__(self, name: str, module: str, attribute: str, short_help: str) -> None:
        super().__init__(name, short_help=short_help, rich_markup_mode=None)
        self.module, self.attribute = module, attribute

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        return self.real().make_context(info_name, args, parent, **extra)

    def real(self) -> Any:
        """The command itself, imported now."""
        found = getattr(importlib.import_module(f"merzoo.cli.{self.module}"), self.attribute)
        if isinstance(found, typer.Typer):
            found.rich_markup_mode = None
            group = get_group(found)
            group.no_args_is_help = False  # its help would come as an error: "missing command" is one line
            return group
        app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        app.command(self.name)(found)
        return get_command(app)


def _version(asked: bool) -> None:
    if asked:
        from merzoo.version import __version__

        print(f"merzoo {__version__}")
        raise typer.Exit


def _top(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")] = False,
) -> None:
    """A model zoo for micro-expression recognition."""
    if context.invoked_subcommand is None:
        print(context.get_help())


def application() -> TyperGroup:
    """The command group with every verb."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.callback(invoke_without_command=True)(_top)
    group = get_group(app)
    for verb, (module, attribute, short_help) in VERBS.items():
        group.add_command(_Verb(verb, module, attribute, short_help))
    return group


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (by default, the process's own) and return its exit code: 0, 2 after an error, 130 after Ctrl-C."""
    if launched().size > 1:  # else torch warns in each process of what DistributedDataParallel might do without; read when torch is imported
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    given = sys.argv[1:] if arguments is None else list(arguments)
    return guarded(lambda: application().main(given, prog_name="merzoo", standalone_mode=False))
