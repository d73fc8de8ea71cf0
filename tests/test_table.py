"""The clip table: every fault is named with the first row that has it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merzoo.data.synthetic import SyntheticFaces
from merzoo.data.table import COLUMNS, checked
from merzoo.errors import DataError

LABELS = ("happy", "sad")


def table(rows: int = 3) -> pd.DataFrame:
    one = {"dataset": "toy", "kind": "micro", "start": 1, "peak": 4, "stop": 8, "fps": 100.0, "frames": 10, "emotion": "sad", "aus": "4", "corrections": ""}
    return pd.DataFrame([{"sample_id": f"toy:{i}", "subject": f"toy:s{i}", "clip_id": str(i), **one} for i in range(rows)])[list(COLUMNS)]


def with_value(column: str, value: Any) -> pd.DataFrame:
    """The table with this value in its second row."""
    made = table()
    made[column] = made[column].astype(object)
    made.at[1, column] = value
    return made


def test_a_good_table_passes_and_its_rows_are_numbered_from_0() -> None:
    shuffled = table().iloc[[2, 0, 1]].astype({"start": float, "frames": object})
    passed = checked(shuffled, LABELS)
    assert list(passed.index) == [0, 1, 2] and list(passed["sample_id"]) == ["toy:2", "toy:0", "toy:1"]
    assert all(passed[c].dtype == np.int64 for c in ("start", "peak", "stop", "frames"))


def test_the_synthetic_faces_are_a_good_table() -> None:
    faces = SyntheticFaces("tiny")
    assert len(checked(faces.table(), faces.labels)) == 19


FAULTS = {
    "a sample twice": ("sample_id", "toy:0", "sample_id occurs twice", "toy:0"),
    "a sample without a name": ("sample_id", "", "sample_id is not a text", ""),
    "a sample that is a number": ("sample_id", 7, "sample_id is not a text", "7"),
    "no subject": ("subject", None, "subject is not a text", "toy:1"),
    "a subject of no data set": ("subject", "s1", "subject does not begin with its dataset", "toy:1"),
    "a subject that is its data set": ("subject", "toy", "subject does not begin with its dataset", "toy:1"),
    "a third kind": ("kind", "long", "neither micro nor macro", "toy:1"),
    "a negative onset": ("start", -1, "not in order", "toy:1"),
    "an onset after the apex": ("start", 5, "not in order", "toy:1"),
    "an apex after the offset": ("peak", 9, "not in order", "toy:1"),
    "an offset after the end": ("stop", 10, "not in order", "toy:1"),
    "half a frame": ("peak", 4.5, "not all whole numbers", "toy:1"),
    "a missing apex": ("peak", float("nan"), "not all whole numbers", "toy:1"),
    "an endless clip": ("frames", float("inf"), "not all whole numbers", "toy:1"),
    "more frames than can be": ("frames", 1e300, "not all whole numbers", "toy:1"),
    "an apex in words": ("peak", "four", "not all whole numbers", "toy:1"),
    "an unknown emotion": ("emotion", "joyous", "not among happy, sad", "toy:1"),
    "a micro clip without emotion": ("emotion", "", "not among happy, sad", "toy:1"),
    "a micro clip whose emotion is missing": ("emotion", float("nan"), "not among happy, sad", "toy:1"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_is_named_with_its_first_row(case: str) -> None:
    column, value, fault, row = FAULTS[case]
    with pytest.raises(DataError) as caught:
        checked(with_value(column, value), LABELS)
    assert fault in str(caught.value) and f"(first: {row})" in str(caught.value) and "\n" not in str(caught.value)


def test_a_macro_clip_needs_no_emotion() -> None:
    made = with_value("emotion", "")
    made.at[1, "kind"] = "macro"
    assert checked(made, LABELS)["emotion"][1] == ""


def test_missing_columns_are_listed() -> None:
    with pytest.raises(DataError, match="lacks the column subject, peak"):
        checked(table().drop(columns=["peak", "subject"]), LABELS)


def test_an_empty_table_is_refused() -> None:
    with pytest.raises(DataError, match="no rows"):
        checked(table().iloc[:0], LABELS)


ANYTHING = st.one_of(st.none(), st.integers(-5, 15), st.floats(), st.text(max_size=5), st.sampled_from(["micro", "macro", "sad", "toy:0"]))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from([c for c in COLUMNS if c != "fps"]), ANYTHING), max_size=4))
def test_whatever_the_cells_hold_a_table_is_good_or_a_data_error(changes: list[tuple[int, str, Any]]) -> None:
    made = table().astype(object)
    for row, column, value in changes:
        made.at[row, column] = value
    try:
        passed = checked(made, LABELS)
    except DataError:
        return
    assert passed["sample_id"].is_unique
    for row in passed.itertuples():
        assert 0 <= row.start <= row.peak <= row.stop < row.frames
        assert row.subject.startswith(row.dataset) and len(row.subject) > len(row.dataset)
        assert row.kind == "macro" or row.emotion in LABELS
