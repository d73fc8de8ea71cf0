"""What commands print: JSON for programs, plain lines and tables for people. Text from strangers is made safe on its way out."""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from merzoo.text import plain


def print_json(value: Any) -> None:
    """Print strict JSON in ASCII: numbers that are not finite become null, tuples lists, and what JSON has no word for its text."""
    print(json.dumps(_clean(value), indent=2, allow_nan=False, default=str))


def _clean(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def print_lines(lines: Iterable[str]) -> None:
    """Print each as one safe line."""
    for line in lines:
        print(plain(line))


def print_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print columns, left-aligned under their heads. On a terminal a line is cut at its edge; in a pipe nothing is."""
    cells = [[plain(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    edge = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    for row in cells:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        print(plain(line, limit=edge))
