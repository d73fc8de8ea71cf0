"""The committed board: docs/board from the result files in benchmarks/results, its table in the README, and its picture.

    python benchmarks/board.py              builds docs/board and writes the README's table
    python benchmarks/board.py --picture    also takes docs/pictures/board.png from the page, by Chromium
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from command import put_table

from merzoo.leaderboard.build import build
from merzoo.leaderboard.joined import Line, device_name, lines, measured
from merzoo.leaderboard.wording import count, interval, milliseconds
from merzoo.testing.browser import chromium
from merzoo.text import byte_count

HERE = Path(__file__).resolve().parent
RESULTS, README, BOARD, PICTURE = HERE / "results", HERE.parent / "README.md", HERE.parent / "docs" / "board", HERE.parent / "docs" / "pictures" / "board.png"
MARK = "board made by benchmarks/board.py"
DATA, PROTOCOL = "synthetic:benchmark", "loso"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", action="store_true")
    args = parser.parse_args()
    board = build(RESULTS, BOARD)
    for out in board["left_out"]:
        print(f"left out {out['run']}: {out['reason']}")
    put_table(README, MARK, table(board))
    if args.picture:
        picture()


def table(board: dict[str, Any]) -> str:
    """Scores beside costs in Markdown: each run under LOSO on the benchmark identities, with what an eager fp32 pass of that network costs on each device."""
    rows = [
        "| model | seeds | UF1 | making the input, ms | forward pass p50, ms | p95, ms | clips/s at the knee | peak memory | FLOPs | parameters | machine |",
        "|---|--:|---|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    for line in lines(board):
        said = line.filters()
        wanted = (said["data"], said["protocol"]) == (DATA, PROTOCOL) and said["precision"] in ("fp32", None)
        if line.run and wanted and (line.latency is None or line.latency["mode"] == "eager"):
            score = line.run["scores"]["uf1"]
            who = [f"`{line.run['model']}`", str(len(line.run["seeds"])), f"{score['value']:.3f} {interval(score)}"]
            *costs, machine = _costs(line)
            rows.append("| " + " | ".join([*who, *costs, count(line.run["parameters"]), machine]) + " |")
    return "\n".join(rows)


def _costs(line: Line) -> list[str]:
    """Cells of the views of a clip, a latency and its throughput, and of where that was; dashes where none was measured."""
    if line.cost is None or line.latency is None:
        return ["–"] * 7
    told, peak, views = line.latency["summary"], line.latency["peak_bytes"], measured(line.cost, "views")
    low, high = (milliseconds(end) for end in told["p50_interval"])
    return [
        milliseconds(sum(one["summary"]["p50"] for one in views)) if views else "–",
        f"{milliseconds(told['p50'])} [{low}, {high}]",
        milliseconds(told["p95"]),
        "–" if line.throughput is None else f"{line.throughput['per_second']:,.0f}",
        "–" if peak is None else byte_count(peak),
        count(line.cost["flops"]),
        device_name(line.cost) + (", noisy" if line.cost["noise"]["noisy"] else ""),
    ]


def picture() -> None:
    """The page as a reader meets it, at 1280 px, in light colours."""
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 1000}, color_scheme="light")
        page.goto((BOARD / "index.html").as_uri())
        page.wait_for_selector(".js-plotly-plot .point")
        page.screenshot(path=PICTURE, full_page=True)


if __name__ == "__main__":
    main()
