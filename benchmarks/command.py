"""What benchmarks share: the command line of those that measure into a JSON file and draw a picture from it, and tables inside a document."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Measure = Callable[[Path, list[str], int, int], None]  # folder of the run folders, models, seeds, jobs


def run(about: str | None, models: Sequence[str], results: Path, measure: Measure, draw: Callable[[dict[str, Any]], None]) -> None:
    """Parse the arguments, measure unless only the picture is asked for, and draw from what `results` holds."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder of the run folders")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--models", nargs="*", default=models)
    parser.add_argument("--draw", action="store_true", help="only draw what was measured")
    args = parser.parse_args()
    if not args.draw:
        if args.out is None:
            parser.error("give --out, or --draw")
        measure(args.out, args.models, args.seeds, args.jobs)
    draw(json.loads(results.read_text()))


def put_table(document: Path, name: str, table: str) -> None:
    """Put a table into a document, between its marks `<!-- NAME -->` and `<!-- end of NAME -->`."""
    document.write_text(with_table(document.read_text(encoding="utf-8"), name, table), encoding="utf-8")


def with_table(text: str, name: str, table: str) -> str:
    """The text with the table between the marks. Raises `ValueError` where the marks are not there once."""
    made, times = re.subn(f"(<!-- {name} -->\n).*?(\n<!-- end of {name} -->)", lambda found: found[1] + table + found[2], text, flags=re.DOTALL)
    if times != 1:
        raise ValueError(f"the marks of '{name}' are there {times} times, not once")
    return made
