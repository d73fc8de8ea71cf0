"""Opening a data set by name, as the command line gives it: `synthetic:development`, `casme2:5`, `clips.csv`."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merzoo.data.composite import Composite, leaves
from merzoo.data.roots import root_of
from merzoo.data.skipping import Skip, read_skip
from merzoo.data.table import Dataset
from merzoo.errors import MerzooWarning, UsageError
from merzoo.making import make
from merzoo.registry import registry
from merzoo.specs import Preprocessing
from merzoo.text import plain

if TYPE_CHECKING:
    from merzoo.data.clips import ClipData

MANIFESTS = (".csv", ".tsv", ".xlsx")  # endings by which a file is known as clips of one's own


def open_dataset(
    data: str, *, roots: Mapping[str, Path] | None = None, remap: Path | None = None, macro: str | None = None, skip: Path | None = None
) -> Dataset:
    """A registered data set by NAME or NAME:PART, or a table of one's own clips by its path (`clips.csv`).

    roots: where data sets lie, by name; under "" the one asked for, or for a composite the folder that holds its members by name. Where none is given, the
    place that `merzoo data prepare` or `verify` was last told. remap: a table of labels, for data of one's own. macro: another data set whose macro clips are
    added, to pre-train on. skip: a text file of sample ids; their clips are left out of all these data sets (`merzoo.data.skipping`), with a warning for ids
    that none has. Raises `UnknownNameError` for a name or a part that is not there, `DataError` where the data lie nowhere known or are not as they should be,
    `UsageError` for options that the data set does not take, and a root of a data set that is not asked for.
    """
    roots = dict(roots or {})
    check_roots(roots, [data] if macro is None else [data, macro])
    lines = None if skip is None else read_skip(skip)
    dataset = open_one(data, roots, remap=remap, skip=lines)
    if macro is not None:
        others = {key: root for key, root in roots.items() if key}  # the nameless root is the first data set's
        dataset = Composite(dataset.name, dataset.part, (dataset,), macro=(open_one(macro, others, skip=lines),))
    if lines is not None:
        _warn_of_unknown(lines, dataset)
    return dataset


def open_one(data: str, roots: Mapping[str, Path], *, remap: Path | None = None, skip: Skip | None = None) -> Dataset:
    """A data set as `open_dataset` gives it, without macro clips of others; roots of other data sets are left aside. Raises as `open_dataset`."""
    name, part, path = parse(data)
    target = registry().get("dataset", name).load()
    takes = inspect.signature(target).parameters
    options: dict[str, Any] = {"part": part} if part else {}
    if path is not None and (name in roots or "" in roots):
        raise UsageError(f"{path} is where the table lies; leave out --root")
    if "roots" in takes:
        options["roots"] = roots
    elif "root" in takes:
        options["root"] = path or root_of(name, roots)
    elif "" in roots:
        raise UsageError(f"data set '{name}' is made and not read from a folder; leave out --root")
    if remap is not None:
        if "remap" not in takes:
            raise UsageError(f"data set '{name}' has label sets of its own ({name}:PART); --remap is for tables and folders of your own")
        options["remap"] = remap
    if skip is not None:
        if "skip" not in takes:
            raise UsageError(f"data set '{name}' leaves no clip out; leave out --skip")
        options["skip"] = skip
    dataset: Dataset = make(target, f"data set '{name}'", options)
    return dataset


def check_roots(roots: Mapping[str, Path], wanted: Sequence[str]) -> None:
    """Raise `UsageError` for a root by a name that none of the data sets has, neither itself nor as a member: another root than that would be read."""
    known = dict.fromkeys(name for data in wanted for name in takes_roots(data))
    for name in roots:
        if name and name not in known:
            remedy = f"give --root DIR, or NAME=DIR with one of {', '.join(known)}" if known else "leave out --root"
            raise UsageError(f"--root {plain(name, 60)}=…: no data set of that name is read for {' and '.join(wanted)}; {remedy}")


def takes_roots(data: str) -> tuple[str, ...]:
    """The names of the data sets that are read from folders when this one is opened: itself, the members of a composite (its class has `chosen`, see
    `merzoo.data.composites.Known`), or none."""
    name, part, _ = parse(data)
    target = registry().get("dataset", name).load()
    if hasattr(target, "chosen"):
        return tuple(target.chosen(part))
    return (name,) if "root" in inspect.signature(target).parameters else ()


def _warn_of_unknown(skip: Skip, dataset: Dataset) -> None:
    """Say which ids left nothing out."""
    met = {sample for leaf in leaves(dataset) for sample in getattr(leaf, "skipped", ())}
    unknown = [sample for sample in skip.lines if sample not in met]
    if unknown:
        first = f"line {skip.lines[unknown[0]]}: {plain(unknown[0], 120)}"
        text = f"{skip.name}: {len(unknown)} of {len(skip.lines)} ids are of no clip that is here (first: {first}); check their spelling"
        warnings.warn(text, MerzooWarning, stacklevel=3)


def open_clips(data: str | Dataset, preprocessing: Preprocessing, *, jobs: int = 1, progress: Callable[[int, int], None] | None = None) -> ClipData:
    """The clips of a data set, given by name or as it is, under a preprocessing, with their store built where there was none."""
    from merzoo.data.clips import ClipData  # the one thing here that needs torch

    dataset = open_dataset(data) if isinstance(data, str) else data
    return ClipData(dataset, preprocessing, jobs=jobs, progress=progress)


def parse_roots(given: Sequence[str]) -> dict[str, Path]:
    """What `--root` says: DIR for the data set asked for (under ""), NAME=DIR for one by name. Raises `UsageError` for an empty one, or two for one name."""
    roots: dict[str, Path] = {}
    for text in given:
        name, equals, folder = text.partition("=")
        if not equals or Path(text).exists():
            name, folder = "", text
        elif not name:
            raise UsageError(f"--root {plain(text, 80)} names no data set before its '='; give DIR or NAME=DIR")
        if not folder.strip():
            raise UsageError(f"--root {plain(repr(text), 80)} names no folder; give DIR or NAME=DIR")
        if name in roots:
            raise UsageError(f"--root {f'{name}=DIR' if name else 'DIR'} is given twice; give one")
        roots[name] = Path(folder).expanduser()
    return roots


def parse(data: str) -> tuple[str, str, Path | None]:
    """Name, part, and the path of a table given as such: ("casme2", "5", None), ("csv", "", Path("clips.csv"))."""
    name, _, part = data.rpartition(":")
    for text, rest in ((data, ""), (name, part)):
        if Path(text).suffix.lower() in MANIFESTS:
            return "csv", rest, Path(text).expanduser()
    name, _, part = data.partition(":")
    return name, part, None
