"""The five official splits of DFEW and the votes of its annotators."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from merzoo.data.readers.parse import parse_int, parse_text
from merzoo.data.readers.sheets import read_sheet
from merzoo.errors import DataError

if TYPE_CHECKING:
    from merzoo.data.readers.base import Recorded
    from merzoo.data.readers.reading import Reading

SETS = 5
COLUMNS = {"video": ("video_name", "video", "clip", "order"), "label": ("label", "annotation", "emotion")}
VOTES = ("1happy", "2sad", "3neutral", "4angry", "5surprise", "6disgust", "7fear")
LARGEST = 99_999  # a clip's number has five digits


@dataclass
class Annotation:
    """Of the single-labelled clips, by number: label (1 to 7, 0 where there is no single one), the test set it is in, and where that stands."""

    labels: dict[int, int] = field(default_factory=dict)
    folds: dict[int, str] = field(default_factory=dict)
    where: dict[int, str] = field(default_factory=dict)


def read_splits(dataset: Recorded, reading: Reading, files: Sequence[Path]) -> Annotation:
    """Labels and official folds. What the ten files say against each other is remarked. Raises `DataError` where no file of splits is found."""
    found = _splits(files)
    tests, trains = ({k: path for (kind, k), path in found.items() if kind == name} for name in ("test", "train"))
    if not found:
        raise DataError(
            f"{dataset.name}: no test(single-labeled)/set_1.csv or single_testset_1.csv is below {dataset.root}; "
            f"extract EmoLabel_DataSplit of {dataset.title} there, without renaming its folders"
        )
    annotation = Annotation()
    members = {("test", k): _read(reading, path, str(k), annotation) for k, path in sorted(tests.items())}
    members |= {("train", k): _read(reading, path, "", annotation) for k, path in sorted(trains.items())}
    lost = [f"{kind} set {k}" for kind in ("test", "train") for k in range(1, SETS + 1) if (kind, k) not in members]
    if lost:
        reading.remarks.append(f"split files that are not there: {', '.join(lost)}")
    for k in sorted(tests.keys() & trains.keys()):
        both, neither = members["test", k] & members["train", k], annotation.labels.keys() - members["test", k] - members["train", k]
        for clips, fault in ((both, "in both"), (neither, "in neither")):
            if clips:
                reading.remarks.append(f"train set {k} is not what test set {k} leaves: {_some(clips)} {fault}")
    without = {clip for clip in annotation.labels if clip not in annotation.folds}
    if without and len(tests) == SETS:
        reading.remarks.append(f"{_some(without)} in no test set")
    return annotation


def _splits(files: Sequence[Path]) -> dict[tuple[str, int], Path]:
    """{("train" or "test", number): file} in either tree."""
    found: dict[tuple[str, int], Path] = {}
    for path in files:
        name, parent = path.name.lower(), path.parent.name.lower()
        in_folder, by_name = re.fullmatch(r"set_([1-9])\.csv", name), re.fullmatch(r"single_(train|test)set_([1-9])\.csv", name)
        split = re.match(r"(train|test)\W*single", parent)
        if by_name:
            found.setdefault((by_name[1], int(by_name[2])), path)
        elif in_folder and split:
            found.setdefault((split[1], int(in_folder[1])), path)
    return found


def _read(reading: Reading, path: Path, fold: str, annotation: Annotation) -> set[int]:
    """The clips of one file. fold: the number of a test set, "" of a train set."""
    name = f"{path.parent.name}/{path.name}"
    reading.sheets.append(path)
    clips: set[int] = set()
    repeated, other_label, other_fold = set(), set(), set()
    for row in read_sheet(path, COLUMNS, required=("video", "label")).rows:
        clip, label = _number(row.cells.get("video")), parse_int(row.cells.get("label"))
        if clip is None or label is None or not 0 <= label <= len(VOTES):
            fault = (
                f"video_name {parse_text(row.cells.get('video'))!r} is no number of a clip"
                if clip is None
                else f"label {row.cells.get('label')!r} is not 0 to 7"
            )
            reading.unnamed(f"{name} row {row.number}", parse_text(row.cells.get("video")), fault)
            continue
        repeated |= {clip} & clips
        clips.add(clip)
        other_label |= {clip} if annotation.labels.setdefault(clip, label) != label else set()
        annotation.where.setdefault(clip, f"{name} row {row.number}")
        if fold:
            other_fold |= {clip} if annotation.folds.setdefault(clip, fold) != fold else set()
    faults = (
        (repeated, "twice"),
        (other_label, "with another label than before, which stays"),
        (other_fold, "and in an earlier test set, which stays their fold"),
    )
    reading.remarks += [f"{name}: {_some(these)} in it {fault}" for these, fault in faults if these]
    return clips


def read_votes(reading: Reading, annotation: Annotation, files: Sequence[Path]) -> dict[int, str]:
    """{clip: "happy 9, neutral 1"} of annotation.xlsx, if it is there; where its label is not that of the splits is remarked."""
    found = [path for path in files if re.fullmatch(r"annotation\.(xlsx|xls|csv)", path.name.lower())]
    votes: dict[int, str] = {}
    differing = set()
    for path in found[:1]:
        columns = {"clip": ("order", "video_name", "video"), "label": ("label", "annotation", "emotion"), **{vote: (vote, vote[1:]) for vote in VOTES}}
        reading.sheets.append(path)
        for row in read_sheet(path, columns, required=("clip", *VOTES)).rows:
            clip = _number(row.cells.get("clip"))
            counts = [parse_int(row.cells.get(vote)) or 0 for vote in VOTES]
            if clip is None:
                reading.unnamed(f"{path.name} row {row.number}", parse_text(row.cells.get("clip")), "no number of a clip")
                continue
            votes[clip] = ", ".join(f"{vote[1:]} {count}" for vote, count in zip(VOTES, counts, strict=True) if count > 0)
            label = parse_int(row.cells.get("label"))
            if label is not None and annotation.labels.get(clip, label) != label:
                differing.add(clip)
        if differing:
            reading.remarks.append(f"{path.name}: {_some(differing)} with another label than in the splits, which are followed")
    return votes


def _number(cell: object) -> int | None:
    """A clip's number: 1, "00001" or "00001.avi"."""
    number = parse_int(re.sub(r"\.(avi|mp4)$", "", cell.strip(), flags=re.IGNORECASE)) if isinstance(cell, str) else parse_int(cell)
    return number if number is not None and 0 < number <= LARGEST else None


def _some(clips: Iterable[int]) -> str:
    listed = sorted(clips)
    return f"{len(listed)} clips ({', '.join(f'{clip:05d}' for clip in listed[:3])}{', …' if len(listed) > 3 else ''})"
