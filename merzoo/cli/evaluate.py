"""`merzoo evaluate`: a model under a protocol, into a run folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from merzoo.cli.output import print_json, print_lines, print_table
from merzoo.cli.progress import progress
from merzoo.evaluation.scores import TITLES

MODEL = "A model by name (`merzoo list`), or BACKBONE+HEAD+STRATEGY[+TASK...] of any papers."
SET = "Another option for backbone, head, strategy, preprocessing or an auxiliary task by its name (repeat for more); JSON or text: strategy.recipe.epochs=5."
SKIP = "Leave out the clips that this text file names, a sample id a line."
ROOT = "Where the data lie, if `merzoo data prepare` was not told; NAME=DIR for each where there are several."

FEW_PEOPLE = 16  # below so many the intervals' coverage was not measured (benchmarks/coverage.py)


def command(
    model: Annotated[str, typer.Argument(help=MODEL)],
    out: Annotated[Path, typer.Option(help="The run folder: new, or one to --resume.")],
    data: Annotated[str, typer.Option(help="A data set, NAME or NAME:PART (`merzoo info NAME`), or a table of your own clips (clips.csv).")] = "synthetic",
    root: Annotated[list[str] | None, typer.Option(metavar="DIR", help=ROOT)] = None,
    remap: Annotated[Path | None, typer.Option(help="Table of labels (columns from,to), for data of your own.")] = None,
    skip: Annotated[Path | None, typer.Option(metavar="FILE", help=SKIP)] = None,
    macro: Annotated[str | None, typer.Option(help="Another data set whose macro clips are pre-trained on too, such as dfew.")] = None,
    protocol: Annotated[str, typer.Option(help="How test folds are made (`merzoo list --kind protocol`), or the path of a manifest, *.json.")] = "loso",
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="PART.OPTION=VALUE", help=SET)] = None,
    preset: Annotated[str, typer.Option(help="The size of the model: full as in the paper, small for a laptop.")] = "full",
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds.")] = 1,
    weights: Annotated[str | None, typer.Option("--from", help="Start each fold from these weights (tag or path) and not from scratch.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run, or start it where there is none.")] = False,
    jobs: Annotated[int, typer.Option(min=0, help="Folds at once; 0: one a core on a CPU, one on a GPU, or what a Ray cluster has room for.")] = 0,
    threads: Annotated[int, typer.Option(min=0, help="Threads of a fold, on which the last bits depend; 0: cores shared among the jobs, or 1 on Ray.")] = 0,
    executor: Annotated[str, typer.Option(help="Where folds run: local, or ray (many machines; docs/many-machines.md).")] = "local",
    address: Annotated[str | None, typer.Option(help="A running Ray cluster, HOST:PORT or auto; else RAY_ADDRESS, else one for this run.")] = None,
    gpus: Annotated[float | None, typer.Option(min=0, help="Share of a GPU that a fold takes on Ray; by default 1 where there are GPUs.")] = None,
    fold: Annotated[list[str] | None, typer.Option(help="Run only this fold (repeat for more).")] = None,
    audit: Annotated[bool, typer.Option("--audit", help="Keep every epoch's test predictions, and check that testing changes nothing.")] = False,
    flip_labels: Annotated[float, typer.Option(min=0, max=1, help="Share of the training clips that get a wrong class, to see what that costs.")] = 0.0,
    perturb: Annotated[
        list[str] | None, typer.Option(metavar="KIND=LEVEL", help="Predict test clips made harder too (repeat for more): pixel-noise=10, a KIND alone, or all.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16.")] = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train and test every fold and score the pooled predictions. Nobody is tested on who was trained on, and the last epoch counts."""
    from merzoo.data.sources import open_dataset, parse_roots
    from merzoo.evaluation.evaluate import evaluate
    from merzoo.training.world import launched

    dataset = open_dataset(data, roots=parse_roots(root or ()), remap=remap, macro=macro, skip=skip)
    with progress() as report:
        result = evaluate(
            ",".join((model, *(settings or ()))),
            dataset,
            protocol,
            out=out,
            preset=preset,
            seeds=seeds,
            weights=weights,
            resume=resume,
            jobs=jobs if jobs or executor == "ray" else auto_jobs(device),
            threads=threads,
            executor=executor,
            address=address,
            gpus=gpus,
            device=device,
            precision=precision,
            only=fold or (),
            audit=audit,
            flip_labels=flip_labels,
            perturb=perturb or (),
            report=report,
        )
    if not launched().first:
        return
    if json:
        print_json(result)
    else:
        show(result, out)


def auto_jobs(device: str) -> int:
    """One process a core on a CPU (small networks do not use two threads well), one on a GPU; under torchrun there are several already."""
    import torch

    from merzoo.cores import cores
    from merzoo.training.world import launched

    if launched().size > 1:
        return 1
    on_gpu = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    return 1 if on_gpu else min(cores(), 8)


def show(result: dict[str, Any], out: Path) -> None:
    """The scores with their intervals, and where the run lies."""
    data, folds, tested = result["data"], result["folds"], result["tested"]
    print_lines(
        [
            f"{result['model']} ({result['preset']}), {result['protocol']['name']} on {':'.join(filter(None, (data['name'], data['part'])))}"
            f" · tested: {_share(tested, data, 'samples')} clips, {_share(tested, data, 'subjects')} subjects, seeds: {len(result['seeds'])}, last epoch"
        ]
    )
    if result["flip_labels"]:
        print_lines([f"an experiment, no score: a share of {result['flip_labels']:g} of the training clips was given a wrong class (--flip-labels)"])
    titles = [TITLES[key] for key in result["scores"]]
    rows = [(title, f"{v['value']:.3f}", f"{v['low']:.3f} – {v['high']:.3f}") for title, v in zip(titles, result["scores"].values(), strict=True)]
    print_table(("score", "value", "95 % interval"), rows)
    print_lines(_remarks(result))
    if "slices" in result:
        print_table(("part", "clips", "subjects", *titles), [*_slices(result)])
    if "auxiliary" in result:
        print_table(("also predicted", "clips", "AU F1", "95 % interval"), [*_auxiliary(result)])
    if "perturbed" in result:
        print_table(("test clips", *titles), [*_perturbed(result)])
    if "oracle" in result:
        print_table(("epoch chosen on the test data (no result)", *titles), [*_oracle(result)])
    if not result["complete"]:
        print_lines([f"unfinished: {folds['done']} of {folds['expected']} folds; continue with --resume"])
    print_lines([f"run folder: {out}"])


def _remarks(result: dict[str, Any]) -> Iterator[str]:
    """What to know before the interval is believed."""
    lacking, resamples = result["bootstrap"]["lacking_a_class"], result["bootstrap"]["resamples"]
    if lacking:
        yield f"{lacking:,} of {resamples:,} resamples lack a class, which counts 0 there: the interval is wide for want of people"
    if result["tested"]["subjects"] < FEW_PEOPLE:
        yield f"with fewer than {FEW_PEOPLE} people an interval is a rough guide"


def _share(tested: dict[str, Any], data: dict[str, Any], what: str) -> str:
    """How many were tested, and "of N" where the data set has more."""
    return f"{tested[what]} of {data[what]}" if tested[what] < data[what] else str(tested[what])


def _slices(result: dict[str, Any]) -> Iterator[tuple[object, ...]]:
    """A row a data set, of the same predictions; where each was left out as a whole, their mean too."""
    for name, one in result["slices"].items():
        yield name, one["samples"], one["subjects"], *(f"{v['value']:.3f} [{v['low']:.3f}, {v['high']:.3f}]" for v in one["scores"].values())
    if "mean_of_slices" in result:
        mean = result["mean_of_slices"]
        yield "mean of parts", "", "", *(f"{mean['value']:.3f}" if name == mean["metric"] else "" for name in result["scores"])


def _auxiliary(result: dict[str, Any]) -> Iterator[tuple[object, ...]]:
    """A row an output of an auxiliary task: mean F1 over its labels."""
    for task, outputs in result["auxiliary"].items():
        for output, one in outputs.items():
            v = one["scores"]["au_f1"]
            yield f"{task}: {output} ({len(one['per_class'])})", one["samples"], f"{v['value']:.3f}", f"{v['low']:.3f} – {v['high']:.3f}"


def _oracle(result: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """What two ways of choosing would have reported."""
    for name, text in (("best_epoch_for_all", "oracle: one best epoch for all"), ("best_epoch_per_fold", "oracle: best epoch of each fold")):
        yield text, *(f"{result['oracle'][name][metric]:.3f}" for metric in result["scores"])


def _perturbed(result: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """A row a condition, the clips as they are first."""
    for condition, scores in {"as they are": result["scores"], **result["perturbed"]}.items():
        yield condition, *(f"{score['value']:.3f} [{score['low']:.3f}, {score['high']:.3f}]" for score in scores.values())
