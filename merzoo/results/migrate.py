"""Versions of the schema of result files. Every older version is read for good: a step a version, applied one after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from merzoo.errors import ResultError
from merzoo.text import plain
from merzoo.version import __version__

SCHEMA = 1
STEPS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}  # n -> turns a result of version n into one of n + 1


def migrate(value: dict[str, Any], where: str) -> dict[str, Any]:
    """A result of any known version as one of this version. Raises `ResultError` for a newer version, one that is no version, and one without a step."""
    version = value.get("schema")
    if not isinstance(version, int) or isinstance(version, bool) or version < 0:
        raise ResultError(f"{where}: schema is {plain(repr(version), 40)} and no version; export or measure it again")
    if version > SCHEMA:
        reads = f"merzoo {__version__} reads up to {SCHEMA}"
        raise ResultError(f"{where}: its schema is version {version} and {reads}; upgrade merzoo to one that reads version {version}")
    while version < SCHEMA:
        if version not in STEPS:
            raise ResultError(f"{where}: schema version {version} was never released; export or measure it again")
        value = {**STEPS[version](value), "schema": version + 1}
        version += 1
    return value
