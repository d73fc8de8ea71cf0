"""How a command ends when something goes wrong: one line on stderr and an exit code."""

from __future__ import annotations

import difflib
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import typer

from merzoo.errors import MerzooError, MerzooWarning
from merzoo.text import plain
from merzoo.training import world

ERROR, INTERRUPTED = 2, 130
_CHOICE = re.compile(r"'([^']*)' is not one of (.+)")


def guarded(run: Callable[[], Any]) -> int:
    """Call `run` and return the exit code; errors and warnings become one line each."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that knows no δ gets \u03b4, not a traceback
            stream.reconfigure(errors="backslashreplace")
    with warnings.catch_warnings():
        _one_line_warnings()
        try:
            code = run()
            if code == INTERRUPTED:  # typer makes an exit code of Ctrl-C, and says nothing
                raise KeyboardInterrupt
            sys.stdout.flush()  # a full disk shows here, while it can still be said
        except (Exception, KeyboardInterrupt) as error:
            return _failed(error)
    return code if isinstance(code, int) else 0


def _failed(error: BaseException) -> int:
    if os.environ.get("MERZOO_DEBUG") == "1":
        traceback.print_exception(error)
    if not world.speaks():
        return ERROR
    try:
        return _told(error)
    finally:
        world.said()


def _told(error: BaseException) -> int:
    if isinstance(error, KeyboardInterrupt):
        say("interrupted; a run folder goes on with the same command and --resume")
        return INTERRUPTED
    if isinstance(error, BrokenPipeError):  # the reader left, as `head` does
        return 1
    say(_sentence(error))
    return ERROR


def _sentence(error: BaseException) -> str:
    if isinstance(error, MerzooError):
        return str(error)
    if isinstance(error, typer.TyperException):
        context: Any = getattr(error, "ctx", None)
        return _told_better(error.format_message().rstrip(".")) + (f"; see '{context.command_path} --help'" if context else "")
    if isinstance(error, OSError) and error.strerror:
        names = [str(name) for name in (error.filename, error.filename2) if name is not None]
        return ": ".join([*names, error.strerror])
    if isinstance(error, typer.Abort):
        return "aborted"
    if world.lost(error):
        return "another process of this run is gone, and torchrun tells which; start them again with --resume"
    return f"unexpected {type(error).__name__}: {error}; MERZOO_DEBUG=1 shows where, please report it"


def _told_better(message: str) -> str:
    """What typer says of options, with near words where a choice is misspelt."""
    message = message.replace("Value error, ", "")
    choice = _CHOICE.search(message)
    near = difflib.get_close_matches(choice[1], re.findall(r"'([^']*)'", choice[2])) if choice else []
    return message + (f"; did you mean {' or '.join(near)}?" if near else "")


def say(text: str) -> None:
    """One line on stderr, `merzoo: …`, safe to print."""
    print(f"merzoo: {plain(' '.join(text.split()))}", file=sys.stderr)


def _one_line_warnings() -> None:
    """Ours are one line each, once; those of libraries are theirs to show under -W, PYTHONWARNINGS or MERZOO_DEBUG=1."""
    shown = warnings.showwarning
    said = set[str]()  # a library that catches warnings makes Python forget which it has shown

    def show(message: Warning | str, category: type[Warning], filename: str, lineno: int, file: Any = None, line: str | None = None) -> None:
        if issubclass(category, MerzooWarning):
            if str(message) not in said and world.launched().first:
                said.add(str(message))
                say(f"warning: {message}")
        else:
            shown(message, category, filename, lineno, file, line)

    warnings.showwarning = show
    if not sys.warnoptions and os.environ.get("MERZOO_DEBUG") != "1":
        warnings.simplefilter("ignore")
        warnings.simplefilter("default", MerzooWarning)
