"""The command line of benchmarks that measure into a JSON file and draw a picture from it."""

from __future__ import annotations

import argparse
import json
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
