"""Result files, read with distrust: they come from strangers. What is no plain, small, shallow JSON object of a known version is refused with the reason."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from merzoo.errors import ResultError
from merzoo.files import write_atomically
from merzoo.results.migrate import migrate
from merzoo.text import byte_count, plain

MAX_BYTES = 16 * 2**20  # the most predictions that a file of this size holds are about 100,000
PEEK = 2**20  # bytes at the end of a larger file, in which its last keys stand
MAX_DEPTH = 32  # of lists and objects inside one another; a run's options reach about ten
KINDS = ("scores", "cost")
_TEXT = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_LARGE = re.compile(rb"[eE]\+?[0-9]{3}|[0-9]{300}")  # without these no number is too large for a float
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEP = bytes.maketrans(b"[]{}", bytes((1, 255, 1, 255)))  # of depth, as int8
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def read(path: Path) -> dict[str, Any]:
    """The content of a result file, migrated to this version of the schema; what its fields hold is checked later.

    Raises `ResultError` that says why for a file that is missing, larger than 16 MiB (told before it is read), no JSON object, nested deeper than 32 or gives
    a key twice; that holds NaN, an infinite number or half a character; whose schema is newer than this merzoo reads, or whose kind is unknown.
    """
    value = parse(_bytes(path), plain(path, 200))
    return check_envelope(value, plain(path, 200))


def parse(raw: bytes, where: str) -> dict[str, Any]:
    """The JSON object in these bytes. Raises `ResultError` as `read`."""
    signs = _TEXT.sub(b"", raw)
    depth = _depth(signs)
    if depth > MAX_DEPTH:
        raise ResultError(f"{where}: lists and objects lie {depth:,} deep inside one another, at most {MAX_DEPTH} are read; no result of merzoo does")
    try:
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_number, parse_float=_finite if _LARGE.search(signs) else None)
        if _SURROGATE.search(raw):
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:  # UnicodeError is a ValueError
        raise ResultError(f"{where} is no JSON of a result ({plain(error, 160)}); export or measure it again") from None
    if not isinstance(value, dict):
        raise ResultError(f"{where} holds no JSON object; export or measure it again")
    return value


def check_envelope(value: dict[str, Any], where: str) -> dict[str, Any]:
    """The same, migrated. Raises `ResultError` for a version or kind that is not known."""
    if "schema" not in value or "kind" not in value:
        raise ResultError(f"{where} is no result file (it has no schema and kind); make one with merzoo leaderboard export")
    made = migrate(value, where)
    if made["kind"] not in KINDS:
        raise ResultError(f"{where}: kind is {plain(made['kind'], 40)}, none of {', '.join(KINDS)}; export or measure it again")
    return made


def read_if_result(path: Path) -> dict[str, Any] | None:
    """As `read`; None for a JSON file that does not claim to be a result: neither an object whose own keys hold schema and kind, nor broken and naming both.

    Other JSON files that lie beside results are nobody's business.
    """
    shown = plain(path, 200)
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
            if len(raw) > MAX_BYTES:
                file.seek(-PEEK, 2)
                raw += file.read()
    except OSError as error:
        raise ResultError(f"{shown} cannot be read ({error.strerror}); check the path") from None
    if b'"schema"' not in raw or b'"kind"' not in raw:
        return None
    value = parse(raw if len(raw) <= MAX_BYTES else _bytes(path), shown)
    return check_envelope(value, shown) if {"schema", "kind"} <= value.keys() else None


def dumps(value: Any, where: str) -> str:
    """A result as it is written: one line, sorted keys. Raises `ResultError` where it would be larger than readers take."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False) + "\n"
    if (size := len(text.encode())) > MAX_BYTES:
        raise ResultError(f"{where} would have {byte_count(size)}, readers take {MAX_BYTES >> 20} MiB; evaluate with fewer seeds, or without --audit")
    return text


def write(path: Path, value: Any) -> None:
    """Write a result file, whole or not at all. Raises `ResultError` for one that is too large, `RunError` where it cannot be written."""
    write_atomically(path, dumps(value, plain(path, 200)))


def _bytes(path: Path) -> bytes:
    shown = plain(path, 200)
    try:
        if not path.is_file():
            raise ResultError(f"{shown} is missing or no regular file; give the path of a result file")
        if (size := path.stat().st_size) > MAX_BYTES:
            raise ResultError(f"{shown} has {byte_count(size)}, at most {MAX_BYTES >> 20} MiB are read; no result of merzoo is larger")
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)  # it may have grown
    except OSError as error:
        raise ResultError(f"{shown} cannot be read ({error.strerror}); check the path") from None
    if len(raw) > MAX_BYTES:
        raise ResultError(f"{shown} is larger than {MAX_BYTES >> 20} MiB; no result of merzoo is")
    return raw


def _depth(signs: bytes) -> int:
    """How deep lists and objects lie in JSON without its texts, told without parsing: a parser goes that deep too."""
    brackets = np.frombuffer(signs.translate(_STEP, _NO_BRACKETS), dtype=np.int8)
    return int(np.cumsum(brackets, dtype=np.int64).max(initial=0))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {plain(next(k for k in keys if keys.count(k) > 1), 60)!r} is given twice in one object")
    return made


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is too large for a number")
    return value
