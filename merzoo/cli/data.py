"""`merzoo data verify` and `merzoo data prepare`: what a tree holds, and its clips decoded once."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from merzoo.cli.output import print_json, print_lines, print_table
from merzoo.cli.progress import progress
from merzoo.cores import cores

if TYPE_CHECKING:
    from merzoo.data.table import Dataset

app = typer.Typer(add_completion=False, help="Licensed data sets and your own: check them, prepare them.")

Name = Annotated[str, typer.Argument(help="A data set, NAME or NAME:PART (`merzoo list --kind dataset`), or a table of your own clips (clips.csv).")]
Root = Annotated[list[str] | None, typer.Option(metavar="DIR", help="Where it was extracted; for a composite, NAME=DIR for each. It is remembered.")]
Remap = Annotated[Path | None, typer.Option(help="Table of labels (columns from,to), for data of your own.")]
Skip = Annotated[Path | None, typer.Option(metavar="FILE", help="Leave out the clips that this text file names, a sample id a line.")]
SHOWN = 12  # rows of each list; --json has all


@app.command()
def verify(
    name: Name,
    root: Root = None,
    remap: Remap = None,
    skip: Skip = None,
    all_: Annotated[bool, typer.Option("--all", help="Print every row of every list.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Read annotation and folders; print what was found against the published counts, and all that is left out or mended. Exit code 1 where totals differ."""
    from merzoo.data.sources import open_dataset, parse_roots
    from merzoo.data.verify import verify as check

    roots = parse_roots(root or ())
    dataset = open_dataset(_lenient(name), roots=roots, remap=remap, skip=skip)
    made = check(dataset)
    _keep(name, dataset, roots)
    if json:
        print_json(made)
    else:
        for one in (*made.get("members", ()), made):
            _show(one, None if all_ else SHOWN)
        known = any(count["published"] for one in (*made.get("members", ()), made) for count in one["counts"])
        as_published = "totals are as published" if known else "no totals are published to compare these with"
        print_lines([as_published if made["agrees"] else "totals differ from the published ones:", *(f"  {line}" for line in made["differs"])])
    if not made["agrees"]:
        raise typer.Exit(1)


@app.command()
def prepare(
    name: Name,
    root: Root = None,
    remap: Remap = None,
    skip: Skip = None,
    model: Annotated[str | None, typer.Option(help="Prepare crops as this model wants them.")] = None,
    preset: Annotated[str, typer.Option(help="The model's preset.")] = "full",
    size: Annotated[int | None, typer.Option(min=16, max=1024, help="Side of the crops in px, where no model is given (128).")] = None,
    jobs: Annotated[int, typer.Option(min=0, help="Processes; 0: one a core.")] = 0,
    check: Annotated[bool, typer.Option("--check", help="Read all that is prepared, and compare it with what was written.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Decode, align and crop every clip once, into the cache; a second call is instant, an interrupted one goes on."""
    from merzoo.data.sources import open_dataset, parse_roots
    from merzoo.data.store import open_store
    from merzoo.data.store import verify as verify_store
    from merzoo.errors import UsageError
    from merzoo.registry import registry
    from merzoo.specs import Preprocessing

    if model and size:
        raise UsageError("--model says the size of the crops; leave out --size")
    preprocessing = registry().model(model).preset(preset).preprocessing if model else Preprocessing(size=size or Preprocessing().size)
    roots = parse_roots(root or ())
    dataset = open_dataset(name, roots=roots, remap=remap, skip=skip)
    sources = dataset.sources
    _keep(name, dataset, roots)
    began = time.monotonic()
    made: list[dict[str, Any]] = []
    with progress() as report:
        for source in sources:
            store = open_store(source, preprocessing, jobs=jobs or cores(), progress=partial(report, f"clip store of {source.name}"))
            lengths = source.lengths()
            made.append({"data": source.name, "clips": len(lengths), "frames": sum(lengths.values()), "folder": str(store.folder)})
            if check:
                verify_store(store, partial(report, f"chunks of {source.name} read"))
                made[-1]["chunks_checked"] = len(store.chunks)
    seconds = time.monotonic() - began
    if json:
        print_json({"size": preprocessing.size, "aligner": preprocessing.aligner, "seconds": round(seconds, 3), "stores": made})
        return
    for one in made:
        print_lines([f"{one['data']}: {one['clips']:,} clips, {one['frames']:,} frames at {preprocessing.size} px in {one['folder']}"])
        if check:
            print_lines([f"{one['data']}: {one['chunks_checked']} chunks read, all as they were written"])
    print_lines([f"ready after {seconds:.1f} s"])


def _lenient(name: str) -> str:
    """megc2019 refuses other totals: to be verified, it is opened as what is there."""
    return "megc2019:partial" if name in ("megc2019", "megc2019:3") else name


def _keep(name: str, dataset: Dataset, roots: Mapping[str, Path]) -> None:
    """Remember where the data that were read lie, if that was said."""
    from merzoo.data.composite import leaves
    from merzoo.data.roots import remember
    from merzoo.data.sources import parse

    if roots and parse(name)[2] is None:
        remember({leaf.name: leaf.root for leaf in leaves(dataset) if hasattr(leaf, "root")})


def _show(made: Mapping[str, Any], most: int | None) -> None:
    head = f"{made['data']}: " + ", ".join(f"{n:,} {kind} clips" for kind, n in made["clips"].items())
    if "root" in made:
        head += f" ({made['release']} frames) of {made['annotations']:,} annotations in {', '.join(made['sheets']) or 'folders'} below {made['root']}"
    print_lines([head])
    rows = [(f"{c['part'] or '-'}", c["label"] or "all", c["samples"], c["subjects"], *_published(c)) for c in made["counts"]]
    print_table(("part", "class", "clips", "subjects", "published", ""), rows)
    _list("left out", [f"{d['where']}: {d['what']}: {d['why']}" for d in made.get("dropped", ())], most)
    _list("left out by this part's labels", [f"{clip}: {why}" for clip, why in made.get("left_out", {}).items()], most)
    _list("folders without an annotation", made.get("unlabelled", ()), most)
    _list("clips with frames missing", [f"{clip}: {n}" for clip, n in made.get("missing", {}).items()], most)
    _list("apex taken as the middle frame", [f"{clip}: {why}" for clip, why in made.get("apexes", {}).items()], most)
    _list("notes on clips", [f"{clip}: {'; '.join(notes)}" for clip, notes in made.get("notes", {}).items()], most)
    _list("remarks", made.get("remarks", ()), most)
    _list("corrections", [_correction(c) for c in made.get("corrections", ())], most)
    print_lines([""])


def _published(count: Mapping[str, Any]) -> tuple[str, str]:
    known = count["published"]
    if known is None:
        return "-", ""
    text = f"{known['samples']}" + (f" of {known['subjects']} subjects" if known["subjects"] is not None else "")
    return f"{text} ({known['source']})", "" if count["agrees"] else "differs"


def _correction(c: Mapping[str, Any]) -> str:
    what = c["correction"]
    done = f"{c['found']!r} -> {c['new']!r}" if not c["why_not"] else f"not applied: {c['why_not']}"
    return f"row {c['number'] or '-'}: {what['field']} {done} ({what['source']})"


def _list(title: str, lines: Any, most: int | None) -> None:
    lines = list(lines)
    if lines:
        print_lines([f"{title}: {len(lines)}", *(f"  {line}" for line in lines[:most])])
        if most is not None and len(lines) > most:
            print_lines([f"  … and {len(lines) - most} more (--all)"])
