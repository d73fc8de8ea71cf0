"""`merzoo list` and `merzoo info`: what there is. Nothing here imports torch."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import typer

from merzoo.cli.output import print_json, print_lines, print_table
from merzoo.entries import Entry, Kind
from merzoo.registry import info as describe
from merzoo.registry import registry

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def list_(
    pattern: Annotated[str | None, typer.Argument(help="A name; *, ? and [..] are wildcards.")] = None,
    kind: Annotated[Literal[Kind, "protocol"], typer.Option(help="What to list.")] = "model",
    json: Json = False,
) -> None:
    """List models, or parts of another kind, by name."""
    if kind == "protocol":
        _protocols(pattern, json)
        return
    entries = registry().entries(kind, pattern)
    if json:
        print_json([_row(entry) for entry in entries])
    elif entries:
        print_table(("name", "plugin", "weights", "summary"), [(e.shown, e.plugin, ", ".join(_tags(e)) or "-", e.summary) for e in entries])
    else:
        near = registry().near(kind, pattern.strip("*")) if pattern else []
        guess = f"; did you mean {' or '.join(near)}?" if near else ""
        print_lines([f"no {kind}{f' matches {pattern}' if pattern else ' is registered'}{guess}"])


def _protocols(pattern: str | None, json: bool) -> None:
    """Protocols are no parts that plugins register: they are made from a clip table alone."""
    from merzoo.evaluation.catalogue import PROTOCOLS

    found = {name: known.summary for name, known in PROTOCOLS.items() if fnmatch.fnmatchcase(name, pattern or "*")}
    if json:
        print_json([{"name": name, "kind": "protocol", "summary": summary} for name, summary in found.items()])
    elif found:
        print_table(("name", "summary"), [*found.items()])
    else:
        print_lines([f"no protocol matches {pattern}"])


def _row(entry: Entry) -> dict[str, Any]:
    return {"name": entry.shown, "kind": entry.kind, "plugin": entry.plugin, "summary": entry.summary, "weights": _tags(entry)}


def _tags(entry: Entry) -> list[str]:
    return [weights.tag for weights in entry.spec.weights] if entry.spec else []


def info(
    name: Annotated[str, typer.Argument(help="A model, a part of any kind, or a published model (hf-hub:org/repo, local-dir:PATH).")],
    kind: Annotated[Kind | None, typer.Option(help="Which one, where a model and a part share the name.")] = None,
    json: Json = False,
) -> None:
    """Show all that is known about a name without loading it."""
    facts = describe(name, kind)
    if json:
        print_json(facts)
    else:
        print_lines(_text(facts))


def _text(facts: dict[str, Any]) -> Iterator[str]:
    yield f"{facts['name']} · {facts['kind']} of {facts['plugin']}"
    if facts["summary"]:
        yield f"  {facts['summary']}"
    if facts["kind"] == "model":
        yield from _model(facts)
    else:
        yield f"  target      {facts['target']}"
    yield f"  needs       {', '.join(facts['needs']) or '-'}"
    yield f"  provides    {', '.join(facts['provides']) or '-'}"
    if facts.get("missing"):
        yield f"  MISSING     {', '.join(facts['missing'])}: these parts do not fit"
    for other in facts["also"]:
        yield f"  also a {other}: merzoo info {facts['name']} --kind {other}"


def _model(facts: dict[str, Any]) -> Iterator[str]:
    for part in facts["parts"]:
        yield f"  {part['kind']:<15} {part['name']} ({part['plugin']})"
    for side in ("train", "test"):
        for name, views in facts["views"][side].items():
            yield f"  {side} view      {name}: " + ", ".join(view["kind"] + _options(view["options"]) for view in views)
    if not any(facts["views"][side] for side in ("train", "test")):
        yield "  views       the backbone's own"
    for name, preset in facts["presets"].items():
        sizes = preset["preprocessing"]
        yield f"  preset      {name}: {sizes['size']} px, aligned by {sizes['aligner']}" + _preset(preset)
    for weights in facts["weights"]:
        yield f"  weights     {_weights(weights)}"
    if not facts["weights"]:
        yield "  weights     none"
    if paper := facts["paper"]:
        yield "  paper       " + ", ".join(str(paper[key]) for key in ("title", "authors", "year", "arxiv") if paper[key])
        for row in paper["reported"]:
            value = "not known to us" if row["value"] is None else row["value"]
            yield f"    reported  {row['metric']} {value} on {row['data']} under {row['protocol']}" + (f" ({row['table']})" if row["table"] else "")
    yield f"  licence     {facts['licence']}"


def _options(options: dict[str, Any]) -> str:
    return f"({', '.join(f'{key}={value}' for key, value in options.items())})" if options else ""


def _preset(preset: dict[str, Any]) -> str:
    parts = {"backbone": preset["backbone"], "head": preset["head"], "strategy": preset["strategy"], **preset["auxiliary"]}
    return "".join(f"; {name}{_options(options)}" for name, options in parts.items() if options)


def _weights(weights: dict[str, Any]) -> str:
    trained = weights["trained_on"]
    subjects = trained.get("subjects", ())
    count = f", {len(subjects)} subjects" if isinstance(subjects, list) and subjects else ""
    metrics = ", ".join(f"{key} {value}" for key, value in weights["metrics"].items())
    line = f"{weights['tag']}: preset {weights['preset']}, trained on {trained.get('data', 'unknown data')}{count}"
    return line + (f"; {metrics}" if metrics else "") + (f" ({weights['protocol']})" if weights["protocol"] else "") + f"; {weights['licence']}"
