"""`merzoo compare`: two runs, subject by subject."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from merzoo.cli.output import print_json, print_lines, print_table
from merzoo.evaluation.compare import compare
from merzoo.evaluation.runs import RunFolder
from merzoo.evaluation.scores import TITLES


def command(
    run_a: Annotated[Path, typer.Argument(help="A run folder.")],
    run_b: Annotated[Path, typer.Argument(help="Another, on the same data.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare two runs on the same samples: scores with 95 % intervals and the paired difference, subjects resampled."""
    made = compare(RunFolder.open(run_a), RunFolder.open(run_b))
    if json:
        print_json(made)
        return
    for side in "ab":
        one = made[side]
        flipped = f", an experiment: a share of {one['flip_labels']:g} of the training labels is wrong" if one["flip_labels"] else ""
        print_lines([f"{side.upper()}  {one['model']} ({one['preset']}, seeds {', '.join(map(str, one['seeds']))}{flipped})  {one['run']}"])
    print_table(("", "A", "B", "A - B", "bootstrap p"), [_row(made, name) for name in made["difference"]])
    boot = made["bootstrap"]
    lacking = f", {boot['lacking_a_class']} of them lack a class" if boot["lacking_a_class"] else ""
    print_lines([made["verdict"], f"95 % intervals by bootstrap over subjects, the same drawn for both, {boot['resamples']:,} resamples{lacking}"])


def _row(made: dict[str, Any], name: str) -> tuple[str, ...]:
    difference = made["difference"][name]
    p = f"{difference['p_bootstrap']:.4f}" if difference["p_bootstrap"] >= 0.0001 else "< 0.0001"
    return TITLES[name], *(_interval(made[side]["scores"][name]) for side in "ab"), _interval(difference, "+.3f"), p


def _interval(estimate: dict[str, float], style: str = ".3f") -> str:
    return f"{estimate['value']:{style}} [{estimate['low']:{style}}, {estimate['high']:{style}}]"
