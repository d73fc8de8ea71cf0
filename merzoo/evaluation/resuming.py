"""Whether a run that is asked for again is the one that is there."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from merzoo.errors import MerzooWarning, RunError

_NOT_ASKED = ("schema", "created", "environment")  # what may differ between a run and its continuation


def check_same(there: Mapping[str, Any], asked: Mapping[str, Any], path: Path, resume: bool) -> None:
    """Raise `RunError` unless run.json (`there`) is of the run that is asked for and may be continued; warn where it was begun in another environment."""
    if there["kind"] != asked["kind"]:
        raise RunError(f"{path} holds a run of another kind ({there['kind']}, not {asked['kind']}); choose another --out")
    differs = next(differences(_asked(there), _asked(asked)), None)
    if differs:
        raise RunError(f"{path} holds a run asked differently: {differs}; choose another --out")
    if not resume:
        raise RunError(f"{path} already holds this run; continue it with --resume or choose another --out")
    before, now = ({"processes": 1, **facts["environment"]} for facts in (there, asked))  # which is said where torchrun started several
    other = next(differences(before, now), None)
    if other:
        warnings.warn(f"{path} was begun elsewhere ({other}); its folds may differ in the last bits", MerzooWarning, stacklevel=4)


def _asked(facts: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in facts.items() if key not in _NOT_ASKED}
    if kept.get("protocol"):  # the hash stands for the folds, and for their order too
        kept["protocol"] = {key: kept["protocol"].get(key) for key in ("name", "hash")}
    return kept


def differences(there: Any, here: Any, field: str = "") -> Iterator[str]:
    """Each field in which two JSON values differ, as "preset is 'full' there and 'small' here"."""
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        for key in sorted(there.keys() | here.keys()):
            yield from differences(there.get(key), here.get(key), f"{field}.{key}" if field else key)
    elif there != here:
        yield f"{field} is {there!r} there and {here!r} here"
