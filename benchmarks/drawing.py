"""Curves of scores with their 95 % intervals, for the pictures in docs/pictures. Needs matplotlib (`pip install merzoo[dev]`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

COLOURS = ("#0b6e99", "#d1495b", "#6a994e", "#8d6a9f")
MARKERS = ("o", "s", "^", "D")
INK, GRID = "#333333", "#e3e3e3"
Score = Mapping[str, float]  # {"value", "low", "high"}


def panels(count: int, columns: int, size: tuple[float, float]) -> tuple[Any, list[Any]]:
    """A figure and its panels, `size` inches each, with one scale of scores for all."""
    rows = -(-count // columns)
    plt.rcParams.update({"font.size": 10, "font.family": "DejaVu Sans", "text.color": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK})
    figure, axes = plt.subplots(rows, columns, figsize=(size[0] * columns, size[1] * rows), squeeze=False, sharey=True, layout="constrained")
    for axis in axes.flat[count:]:
        axis.remove()
    return figure, list(axes.flat[:count])


def curves(axis: Any, ticks: Sequence[str], lines: Mapping[str, Sequence[Score | None]], title: str, unit: str) -> None:
    """One line a model over evenly spaced ticks, its interval as a band; a None leaves its place out."""
    for colour, marker, (name, scores) in zip(COLOURS, MARKERS, lines.items(), strict=False):
        there = [(x, score) for x, score in enumerate(scores) if score]
        at = [x for x, _ in there]
        axis.fill_between(at, [s["low"] for _, s in there], [s["high"] for _, s in there], color=colour, alpha=0.13, linewidth=0)
        axis.plot(at, [s["value"] for _, s in there], color=colour, marker=marker, markersize=5, linewidth=1.8, label=name)
    axis.set_xticks(range(len(ticks)), ticks)
    axis.set_xlim(-0.2, len(ticks) - 0.8)
    axis.set_ylim(0, 1)
    axis.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axis.set_xlabel(unit)
    axis.grid(axis="y", color=GRID)
    axis.set_axisbelow(True)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def finish(figure: Any, axes: Sequence[Any], columns: int, title: str, path: Path) -> None:
    """Names of axes and models, and the picture itself."""
    for axis in axes[::columns]:
        axis.set_ylabel("UF1")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
