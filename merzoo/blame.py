"""What to say of an error that a plugin's code raised: the line of its own files that it came from, and how to mend it."""

from __future__ import annotations

import re
import traceback
from pathlib import Path

from merzoo import specs
from merzoo.entries import Register, last_line
from merzoo.errors import MerzooError
from merzoo.text import plain

_CALLED = re.compile(r"TypeError: (\w+)\.")


def place(error: BaseException, package: str) -> str:
    """The innermost line of the package's own files that led to an error, as in "merzoo_leaf/plugin.py:12"; "" where none did."""
    lines = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:
        lines.append((error.filename, error.lineno or 0))
    own = [f"{file}:{line}" for name, line in lines if (file := _inside(name, package))]
    return plain(own[-1], 120) if own else ""


def told(error: BaseException, package: str) -> str:
    """The last line of a traceback with its place, safe to print."""
    where = place(error, package)
    return last_line(error) + (f" ({where})" if where else "")


def failure(error: BaseException, package: str, limit: int) -> str:
    """The last line of a traceback with its place and how to mend it, at most `limit` characters."""
    where, remedy = place(error, package), _remedy(error, package)
    tail = (f" ({where})" if where else "") + (f"; {remedy}" if remedy else "")
    return plain(last_line(error), limit - len(tail)) + tail


def _inside(name: str, package: str) -> str:
    """A file's name from its package on; "" for the files of others."""
    path = Path(name)
    parents = path.parts[:-1]
    if package in parents:
        return "/".join(path.parts[len(parents) - 1 - parents[::-1].index(package) :])
    return path.name if path.stem == package else ""


def _remedy(error: BaseException, package: str) -> str:
    if isinstance(error, MerzooError):
        return ""  # it ends with its own
    if isinstance(error, ModuleNotFoundError) and error.name and (other := error.name.partition(".")[0]) != package:
        return f"install {plain(other, 60)}, or declare it as a dependency of the plugin"
    if not place(error, package):
        return "correct its entry point, or install it again"
    called = _CALLED.match(last_line(error))
    if called and hasattr(specs, called[1]):
        return f"see merzoo.specs.{called[1]} for what it takes"
    if called and called[1] == Register.__name__:
        return "see merzoo.entries.Register for what it takes"
    return "mend the code there"
