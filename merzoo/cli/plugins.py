"""`merzoo plugins`: which are installed, how each fared, and how to install them again. Nothing here imports torch."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from merzoo.cli.output import print_json, print_lines, print_table
from merzoo.errors import PluginWarning, UsageError
from merzoo.plugins import PluginRecord, record_of, slow
from merzoo.registry import registry


def command(
    name: Annotated[str | None, typer.Argument(help="One plugin, or its distribution, in full.")] = None,
    requirements: Annotated[bool, typer.Option("--requirements", help="Print lines for `pip install -r` that install these plugins again.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the installed plugins, with what each registers or why it failed.

    MERZOO_PLUGINS=a,b loads no others, MERZOO_PLUGINS=-a loads all but that one. Status: ok; warning (loaded, but for what is told); failed; incompatible (its
    distribution requires another merzoo); blocked. A plugin that takes more than 200 ms to load is noted, for every command waits for it. Where
    several distributions claim the plugin name a and none of them is called a or merzoo-a, their plugins are a@DISTRIBUTION, and -DISTRIBUTION blocks one.
    """
    if requirements:
        _requirements(name, json)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PluginWarning)  # what they say is printed below
        records = registry().records
    if name is not None:
        record = record_of(name, records)
        if json:
            print_json(_facts(record))
        else:
            print_lines(_text(record))
    elif json:
        print_json([dataclasses.asdict(record) for record in records])
    else:
        head = ("name", "version", "distribution", "status", "registers", "load")
        print_table(head, [(r.name, r.version, r.distribution, r.status, _counts(r), f"{r.load_ms:.0f} ms") for r in records])
        print_lines(f"{record.name} ({record.distribution}): {text}" for record in records for text in (record.error, slow(record)) if text)


def _requirements(name: str | None, json: bool) -> None:
    if name is not None:
        raise UsageError("--requirements prints all plugins; leave the name away")
    from merzoo.reinstall import requirements

    lines = requirements()
    if json:
        print_json(lines)
    else:
        print_lines(lines)


def _counts(record: PluginRecord) -> str:
    return ", ".join(f"{len(names)} {kind}" for kind, names in record.registers.items()) or "-"


def _facts(record: PluginRecord) -> dict[str, Any]:
    return dataclasses.asdict(record) | {"note": slow(record)}


def _text(record: PluginRecord) -> Iterator[str]:
    yield f"{record.name} · plugin of the distribution {record.distribution} {record.version}".rstrip()
    yield f"  status      {record.status}" + (f": {record.error}" if record.error else "")
    yield f"  load        {record.load_ms:.1f} ms" + (f": it {note}" if (note := slow(record)) else "")
    for kind, names in record.registers.items():
        yield f"  {kind:<15} {', '.join(names)}"
    if not record.registers:
        yield "  registers nothing"
