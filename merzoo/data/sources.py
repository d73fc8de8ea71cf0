"""Opening a data set by name, as the command line gives it: `synthetic:development`, `casme2:5`, `clips.csv`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from merzoo.data.clips import ClipData
from merzoo.data.composite import Composite
from merzoo.data.roots import root_of
from merzoo.data.table import Dataset
from merzoo.errors import UsageError
from merzoo.making import make
from merzoo.registry import registry
from merzoo.specs import Preprocessing

MANIFESTS = (".csv", ".tsv", ".xlsx")  # endings by which a file is known as clips of one's own


def open_dataset(data: str, *, roots: Mapping[str, Path] | None = None, remap: Path | None = None, macro: str | None = None) -> Dataset:
    """A registered data set by NAME or NAME:PART, or a table of one's own clips by its path (`clips.csv`).

    roots: where data sets lie, by name; under "" the one asked for, or for a composite the folder that holds its members by name. Where none is given, the
    place that `merzoo data prepare` or `verify` was last told. remap: a table of labels, for data of one's own. macro: another data set whose macro clips are
    added, to pre-train on. Raises `UnknownNameError` for a name or a part that is not there, `DataError` where the data lie nowhere known or are not as they
    should be, `UsageError` for options that the data set does not take.
    """
    roots = dict(roots or {})
    name, part, path = parse(data)
    if path is not None:
        roots[""] = path
    target = registry().get("dataset", name).load()
    takes = inspect.signature(target).parameters
    options: dict[str, Any] = {"part": part} if part else {}
    if "roots" in takes:
        options["roots"] = roots
    elif "root" in takes:
        options["root"] = root_of(name, roots)
    elif roots:
        raise UsageError(f"data set '{name}' is made and not read from a folder; leave out --root")
    if remap is not None:
        if "remap" not in takes:
            raise UsageError(f"data set '{name}' has label sets of its own ({name}:PART); --remap is for tables and folders of your own")
        options["remap"] = remap
    dataset: Dataset = make(target, f"data set '{name}'", options)
    if macro is None:
        return dataset
    others = {key: root for key, root in roots.items() if key}  # the nameless root is the first data set's
    return Composite(dataset.name, dataset.part, (dataset,), macro=(open_dataset(macro, roots=others),))


def open_clips(data: str | Dataset, preprocessing: Preprocessing, *, jobs: int = 1, progress: Callable[[int, int], None] | None = None) -> ClipData:
    """The clips of a data set, given by name or as it is, under a preprocessing, with their store built where there was none."""
    dataset = open_dataset(data) if isinstance(data, str) else data
    return ClipData(dataset, preprocessing, jobs=jobs, progress=progress)


def is_composite(name: str) -> bool:
    """Whether a registered data set is made of others, and so asks for several roots."""
    return "roots" in inspect.signature(registry().get("dataset", name).load()).parameters


def parse_roots(given: Sequence[str]) -> dict[str, Path]:
    """What `--root` says: DIR for the data set asked for (under ""), NAME=DIR for one by name."""
    roots = {}
    for text in given:
        name, equals, folder = text.partition("=")
        known = equals and not Path(text).exists()
        roots[name if known else ""] = Path(folder if known else text).expanduser()
    return roots


def parse(data: str) -> tuple[str, str, Path | None]:
    """Name, part, and the path of a table given as such: ("casme2", "5", None), ("csv", "", Path("clips.csv"))."""
    name, _, part = data.rpartition(":")
    for text, rest in ((data, ""), (name, part)):
        if Path(text).suffix.lower() in MANIFESTS:
            return "csv", rest, Path(text).expanduser()
    name, _, part = data.partition(":")
    return name, part, None
