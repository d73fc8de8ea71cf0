"""The clip table: one row a sample, the same columns for every data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, get_args

from merzoo.errors import DataError
from merzoo.specs import Preprocessing, Task

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

COLUMNS = (
    "sample_id",  # unique in all data sets
    "dataset",
    "subject",  # qualified by its data set, so that folds never merge two people
    "clip_id",
    "kind",  # "micro" or "macro"
    "start",  # frame numbers from 0: onset, apex and offset of a micro clip
    "peak",
    "stop",
    "fps",
    "frames",  # how many
    "emotion",  # "" where there is no label; in a multi-label data set all that apply, joined by "+", and a missing value where nobody looked
    "aus",  # "4+12"; "" where none is active, a missing value where nobody coded them
    "corrections",  # what was mended in the annotation, and on whose word
)


class ClipSource(Protocol):
    """Clips that are decoded and stored together, whatever a data set selects of them and however it labels them. It can be sent to another process."""

    @property
    def name(self) -> str:
        """Short name, for messages."""

    @property
    def source_hash(self) -> str:
        """sha256 over everything that decides which clips there are, and their frames."""

    def lengths(self) -> Mapping[str, int]:
        """sample id -> how many frames, clips of one subject next to one another."""

    def crops(self, sample_id: str, preprocessing: Preprocessing) -> np.ndarray:
        """The face in each frame of one clip, aligned and cropped as asked: uint8 [T, size, size, 3], RGB."""


class Dataset(Protocol):
    """What a registered data set is: rows chosen from one or more sources of clips, with their labels. It can be sent to another process."""

    @property
    def name(self) -> str:
        """The name it is registered under."""

    @property
    def part(self) -> str:
        """Which selection or label set; "" where there is only one."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The fixed class list."""

    @property
    def task(self) -> Task:
        """Whether a clip has one label or any number."""

    @property
    def provides(self) -> Sequence[str]:
        """What its rows offer to a strategy: words of `merzoo.needs.VOCABULARY`."""

    @property
    def manifest_hash(self) -> str:
        """sha256 over everything that decides its content."""

    @property
    def sources(self) -> Sequence[ClipSource]:
        """Where the frames of its rows come from."""

    def table(self) -> pd.DataFrame:
        """One row a clip, with `COLUMNS`."""


def labels_of(emotion: str) -> tuple[str, ...]:
    """The labels in a cell of the column `emotion`."""
    return tuple(filter(None, emotion.split("+")))


def checked(table: pd.DataFrame, labels: tuple[str, ...], task: Task = "classes") -> pd.DataFrame:
    """The table itself with its rows numbered from 0 and its frame numbers as int64, if it is one. Raises `DataError` that names the first row at fault."""
    import pandas as pd

    if task not in get_args(Task) or any("+" in label for label in labels):
        raise DataError(f"a data set's task is one of {', '.join(get_args(Task))}, and its labels hold no '+'; found {task!r}, {', '.join(labels)}")

    missing = [c for c in COLUMNS if c not in table.columns]
    if missing:
        raise DataError(f"clip table lacks the column {', '.join(missing)}")
    if table.empty:
        raise DataError("clip table has no rows")
    table = table.reset_index(drop=True)
    numbers = table[["start", "peak", "stop", "frames"]].apply(pd.to_numeric, errors="coerce")
    named = {c: table[c].map(lambda value: isinstance(value, str) and value != "") for c in ("sample_id", "dataset", "subject")}
    qualified = [str(subject).startswith(str(dataset)) and subject != dataset for subject, dataset in zip(table["subject"], table["dataset"], strict=True)]

    def known(emotion: object) -> bool:
        return emotion in labels if task == "classes" else isinstance(emotion, str) and set(labels_of(emotion)) <= set(labels)

    faults = {
        **{f"{column} is not a text": ~is_text for column, is_text in named.items()},
        "sample_id occurs twice": table["sample_id"].duplicated(),
        "subject does not begin with its dataset": ~pd.Series(qualified),
        "start, peak, stop and frames are not all whole numbers": (numbers.isna() | (numbers % 1 != 0) | (numbers.abs() > 2**31)).any(axis=1),
        "kind is neither micro nor macro": ~table["kind"].isin(["micro", "macro"]),
        "start, peak, stop are not in order inside the clip": ~(
            (numbers["start"] >= 0)
            & (numbers["start"] <= numbers["peak"])
            & (numbers["peak"] <= numbers["stop"])
            & (numbers["stop"] < numbers["frames"])
        ),
        f"emotion of a micro clip is not among {', '.join(labels)}": (table["kind"] == "micro") & ~table["emotion"].map(known),
    }
    for fault, rows in faults.items():
        if rows.any():
            raise DataError(f"clip table: {fault} (first: {table.loc[rows, 'sample_id'].iloc[0]})")
    return table.assign(**{column: numbers[column].astype("int64") for column in numbers})
