"""`merzoo train`: a model on all of a data set, into a run folder with weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from merzoo.cli.evaluate import MODEL, ROOT, SET, SKIP
from merzoo.cli.output import print_lines
from merzoo.cli.progress import progress
from merzoo.cores import cores


def command(
    model: Annotated[str, typer.Argument(help=MODEL)],
    out: Annotated[Path, typer.Option(help="The run folder: new, or one to --resume.")],
    data: Annotated[str, typer.Option(help="A data set, NAME or NAME:PART (`merzoo info NAME`), or a table of your own clips (clips.csv).")] = "synthetic",
    root: Annotated[list[str] | None, typer.Option(metavar="DIR", help=ROOT)] = None,
    remap: Annotated[Path | None, typer.Option(help="Table of labels (columns from,to), for data of your own.")] = None,
    skip: Annotated[Path | None, typer.Option(metavar="FILE", help=SKIP)] = None,
    macro: Annotated[str | None, typer.Option(help="Another data set whose macro clips are pre-trained on too, such as dfew.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="PART.OPTION=VALUE", help=SET)] = None,
    preset: Annotated[str, typer.Option(help="The size of the model: full as in the paper, small for a laptop.")] = "full",
    weights: Annotated[str | None, typer.Option("--from", help="Start from these weights (tag, path, hf-hub:… or local-dir:…) and not from scratch.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides every random draw.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run, or start it where there is none.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16.")] = "auto",
) -> None:
    """Train on every clip of a data set. Nobody is held out, so there is no score: `merzoo evaluate` gives one."""
    from merzoo.data.sources import open_dataset, parse_roots
    from merzoo.training.train import WEIGHTS, train
    from merzoo.training.world import launched

    model = ",".join((model, *(settings or ())))
    dataset = open_dataset(data, roots=parse_roots(root or ()), remap=remap, macro=macro, skip=skip)
    with progress() as report:
        train(
            model,
            dataset,
            out=out,
            preset=preset,
            weights=weights,
            seed=seed,
            resume=resume,
            jobs=cores(),
            device=device,
            precision=precision,
            report=report,
        )
    if not launched().first:
        return
    file = out / WEIGHTS
    print_lines([f"{model} ({preset}) trained on {data}", f"weights: {file}", f"use them: merzoo predict VIDEO --model {model} --weights {file}"])
