from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from merzoo.errors import ResultError
from merzoo.results import migrate as versions
from merzoo.results.checking import check
from merzoo.results.desk import Desk
from merzoo.results.equal import differences
from merzoo.results.reading import dumps, parse, read, read_if_result, write

DATA = Path(__file__).with_name("data")


@pytest.mark.parametrize("name", ["result-1-scores.json", "result-1-cost.json"])
def test_files_of_every_schema_are_read_for_good(name: str) -> None:
    """These files were written when their version was the newest, and are never written again."""
    value = read(DATA / name)
    assert (value["schema"], value["kind"]) == (versions.SCHEMA, name.removesuffix(".json").rpartition("-")[2])
    assert check(value, DATA / name, Desk()).reason == ""


def test_older_versions_are_migrated_step_by_step(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(versions, "SCHEMA", 3)
    monkeypatch.setattr(versions, "STEPS", {1: lambda value: {**value, "who": value["by"]}, 2: lambda value: {**value, "who": value["who"].upper()}})
    path = tmp_path / "old.json"
    write(path, {"schema": 1, "kind": "cost", "by": "Ada"})
    assert read(path) == {"schema": 3, "kind": "cost", "by": "Ada", "who": "ADA"}
    write(path, {"schema": 2, "kind": "cost", "who": "Emmy"})
    assert read(path)["who"] == "EMMY"


def test_every_version_has_a_step_to_the_next() -> None:
    assert sorted(versions.STEPS) == list(range(1, versions.SCHEMA))


def test_what_is_no_result_is_passed_over(tmp_path: Path) -> None:
    """Other JSON beside results is nobody's business; what names both fields and is broken is a result that went wrong."""
    path = tmp_path / "one.json"
    for text in ("{}", "[1]", "not json", '{"schema": 2, "groups": []}', '{"a": {"schema": 1, "kind": "scores"}}', ""):
        path.write_text(text)
        assert read_if_result(path) is None, text
    path.write_text('{"schema": 1, "kind": "scores", ')
    with pytest.raises(ResultError, match="no JSON of a result"):
        read_if_result(path)
    path.write_text('{"schema": 1, "kind": "scores"}')
    assert read_if_result(path) == {"schema": 1, "kind": "scores"}


def test_large_files_are_told_by_their_size(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    path.write_text('{"kind": "scores", "x": "' + "a" * (17 * 2**20) + '", "schema": 1}')
    for reads in (read, read_if_result):
        with pytest.raises(ResultError, match=r"17\.8 MB, at most 16 MiB are read"):
            reads(path)
    path.write_text('{"x": "' + "a" * (17 * 2**20) + '"}')
    assert read_if_result(path) is None
    with pytest.raises(ResultError, match="would have 17"):
        dumps({"x": "a" * (17 * 2**20)}, "one.json")


@pytest.mark.parametrize("number", ["1e308", "-1.5E+10", "1e-400", "123456789012345678901234567890"])
def test_numbers_that_are_large_and_fine(number: str) -> None:
    assert parse(f'{{"n": {number}}}'.encode(), "x")["n"] == json.loads(number)


def test_brackets_in_texts_are_no_depth() -> None:
    text = "[{" * 500 + '\\"]' + "\\\\"
    assert parse(json.dumps({"a": text, "b": [text]}).encode(), "x")["a"] == text


def test_missing_files_and_folders(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.json"):
        with pytest.raises(ResultError, match="missing or no regular file"):
            read(path)


@pytest.mark.parametrize(
    ("claim", "made", "found"),
    [
        ({"a": 1.0}, {"a": 1.0 + 1e-12}, []),
        ({"a": 1}, {"a": 1.0}, []),
        ({"a": 1e6}, {"a": 1e6 + 1e-4}, []),
        ({"a": 0.5}, {"a": 0.5 + 1e-8}, ["a is 0.5, made again it is 0.50000001"]),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3]}}, ["a.b[1] is 2, made again it is 3"]),
        ({"a": [1]}, {"a": [1, 2]}, ["a is [1], made again it is [1, 2]"]),
        ({}, {"a": 1}, ["a is missing, made again it is 1"]),
        ({"a": 1}, {}, ["a is 1, made again there is none"]),
        ({"a": "x"}, {"a": None}, ["a is 'x', made again it is None"]),
        ({"a": True}, {"a": 2}, ["a is True, made again it is 2"]),
        ({"a": None}, {"a": 0.1}, ["a is None, made again it is 0.1"]),
    ],
)
def test_claims_are_compared_field_by_field(claim: Any, made: Any, found: list[str]) -> None:
    assert [*differences(claim, made)] == found
