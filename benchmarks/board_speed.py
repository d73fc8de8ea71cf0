"""How long a board of many result files takes to build, how large its page is, and how fast it sorts in chromium.

    python benchmarks/board_speed.py [--results 500]      prints, and writes results/board_speed.json

The results are made up (`merzoo.testing.many_results`): one half scores on the clips of `synthetic:benchmark`, the other costs of the same models. Building is
reading, making every score again with its interval, checking, and the page; the first build of a process, and a second,
with as many processes as cores, as the command does. A sort is timed from the click on a
column's head to the rows laid out anew.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

from merzoo.evaluation.runs import environment
from merzoo.leaderboard.build import build
from merzoo.testing.browser import chromium, sort_ms
from merzoo.testing.many_results import write_results

RESULTS = Path(__file__).resolve().parent / "results" / "board_speed.json"
COLUMNS = ("p50", "score", "parameters", "model")
ROUNDS = 5


def sorts(page_file: Path) -> list[float]:
    """Milliseconds of each sort, columns and directions in turn, the first click included."""
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(page_file.as_uri())
        return [sort_ms(page, column) for _ in range(ROUNDS) for column in COLUMNS]


def measure(results: int) -> dict[str, object]:
    """What the module says."""
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        source, site = Path(folder) / "results", Path(folder) / "site"
        write_results(source, results)
        for _ in range(2):
            started = time.perf_counter()
            board = build(source, site, jobs=os.cpu_count() or 1)
            seconds.append(time.perf_counter() - started)
        taken = sorts(site / "index.html")
        size = (site / "index.html").stat().st_size
    shown = sum(len(group["rows"]) for group in board["groups"]) + len(board["costs"])
    return {
        "results": results,
        "on_the_board": shown,
        "build_seconds": {"first": round(seconds[0], 2), "second": round(seconds[1], 2)},
        "page_bytes": size,
        "sort_ms": {"first": round(taken[0], 1), "median": round(statistics.median(taken), 1), "most": round(max(taken), 1), "sorts": len(taken)},
        "environment": environment("cpu", 1),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=int, default=500)
    measured = measure(parser.parse_args().results)
    RESULTS.write_text(json.dumps(measured, indent=1) + "\n")
    print(json.dumps(measured, indent=1))
