"""What a tree holds against what the field says it holds."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from merzoo.data.composite import Composite
from merzoo.data.readers.base import Recorded
from merzoo.data.readers.labels import label_sets, published_for
from merzoo.data.table import Dataset, checked, labels_of

if TYPE_CHECKING:
    import pandas as pd

SHEET = "sheet"  # the pseudo-part of all annotated rows, with or without frames


def verify(dataset: Dataset) -> dict[str, Any]:
    """Compare a data set with its published counts.

    {data, root, release, sheets, annotations, clips {kind: n}, counts, dropped, left_out {sample id: why the part does not use it}, unlabelled, missing,
    notes {sample id: what else was mended or passed over in the clip}, apexes, corrections, remarks, agrees, differs}; a count is
    {data, part, label ("": all), samples, subjects, published {samples, subjects, source} or null, agrees (null: none published)}. Members of a composite are
    verified too ("members"). Raises `DataError` where the data cannot be read at all.
    """
    if isinstance(dataset, Composite):
        return _composite(dataset)
    if not isinstance(dataset, Recorded):
        table = checked(dataset.table(), dataset.labels, dataset.task)
        return _report(dataset.name, [*_counts(dataset.name, "", dataset.part, dataset.labels, table)], {"clips": _kinds(table)})
    reading = dataset.reading
    sheet = reading.sheets[0].name if reading.sheets else ""
    counts = _sheet_counts(dataset, sheet)
    for part in label_sets(dataset.name) or (dataset.part,):
        one = dataset if part == dataset.part else dataset.with_part(part)
        counts += _counts(dataset.name, sheet, part, one.labels, one.table())
    facts = {
        "root": str(dataset.root),
        "release": reading.release,
        "sheets": [path.name for path in reading.sheets],
        "annotations": reading.rows,
        "clips": dict(Counter(clip.kind for clip in reading.recordings.values())),
        "dropped": [asdict(row) for row in reading.dropped],
        "left_out": dataset.left_out(),
        "unlabelled": reading.unlabelled,
        "missing": reading.missing,
        "notes": reading.notes(),
        "apexes": reading.apexes,
        "corrections": [asdict(applied) for applied in reading.corrections],
        "remarks": reading.remarks,
    }
    return _report(dataset.name, counts, facts)


def _composite(dataset: Composite) -> dict[str, Any]:
    table = checked(dataset.table(), dataset.labels, dataset.task)
    members = [verify(member) for member in (*dataset.datasets, *dataset.macro)]
    made = _report(dataset.name, _counts(dataset.name, "", dataset.published_part, dataset.labels, table), {"clips": _kinds(table), "members": members})
    return {**made, "agrees": made["agrees"] and all(m["agrees"] for m in members), "differs": made["differs"] + [d for m in members for d in m["differs"]]}


def _report(name: str, counts: list[dict[str, Any]], facts: dict[str, Any]) -> dict[str, Any]:
    differs = [_told(row) for row in counts if row["agrees"] is False]
    return {"data": name, **facts, "counts": counts, "agrees": not differs, "differs": differs}


def _told(row: dict[str, Any]) -> str:
    known = row["published"]
    what = f"{row['data']}:{row['part']}" + (f" {row['label']}" if row["label"] else "")
    people = [f" of {side['subjects']} subjects" if known["subjects"] is not None else "" for side in (row, known)]
    return f"{what}: {row['samples']} clips{people[0]} found, {known['samples']}{people[1]} published ({known['source']})"


def _sheet_counts(dataset: Recorded, sheet: str) -> list[dict[str, Any]]:
    """All micro rows of the annotation, frames or not, by native emotion; of a data set that has none, all rows."""
    annotated = dataset.reading.annotated
    rows = [(subject, emotion) for kind, subject, emotion in annotated if kind == "micro"] or [(subject, emotion) for _, subject, emotion in annotated]
    if not rows:
        return []
    counts = [_row(dataset.name, sheet, SHEET, "", len(rows), len({subject for subject, _ in rows}))]
    for emotion in dict.fromkeys(emotion for _, emotion in sorted(rows, key=lambda row: row[1])):
        if not emotion:
            continue  # its count would read as that of all
        who = [subject for subject, found in rows if found == emotion]
        counts.append(_row(dataset.name, sheet, SHEET, emotion, len(who), len(set(who))))
    return counts


def _counts(name: str, sheet: str, part: str, labels: tuple[str, ...], table: pd.DataFrame) -> list[dict[str, Any]]:
    """The clips of a part that would be tested, in all and by class: micro clips, or where there are none, macro clips with a label."""
    micro = table[table["kind"] == "micro"]
    tested = micro if len(micro) else table[table["emotion"] != ""]
    counts = [_row(name, sheet, part, "", len(tested), tested["subject"].nunique())]
    for label in labels:
        rows = tested[tested["emotion"].map(lambda cell, label=label: label in labels_of(cell))]
        counts.append(_row(name, sheet, part, label, len(rows), rows["subject"].nunique()))
    return counts


def _row(name: str, sheet: str, part: str, label: str, samples: int, subjects: int) -> dict[str, Any]:
    known = published_for(name, sheet, part, label)
    told = None if known is None else {"samples": known.samples, "subjects": known.subjects, "source": known.source}
    agrees = None if known is None else samples == known.samples and known.subjects in (None, subjects)
    return {"data": name, "part": part, "label": label, "samples": samples, "subjects": subjects, "published": told, "agrees": agrees}


def _kinds(table: pd.DataFrame) -> dict[str, int]:
    return {str(kind): int(n) for kind, n in table["kind"].value_counts().items()}
