"""Clips to leave out, as a text file names them: one that cannot be decoded would otherwise keep all others from being prepared."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from merzoo.errors import DataError
from merzoo.text import plain

MAX_BYTES = 16 * 2**20  # half a million ids


@dataclass(frozen=True)
class Skip:
    """What `read_skip` found. lines: {sample id: line of the file}."""

    name: str
    lines: dict[str, int]


def read_skip(path: Path | str) -> Skip:
    """A text file with a sample id a line; what follows a # at the start of a line or after a space is a comment. Raises `DataError` for no such file."""
    path = Path(path).expanduser()
    try:
        if not path.is_file() or path.stat().st_size > MAX_BYTES:
            raise DataError(f"--skip {path} is no text file of at most {MAX_BYTES >> 20} MiB; give one with a sample id a line")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise DataError(f"--skip {path} cannot be read ({plain(error, 120)}); give a text file in UTF-8 with a sample id a line") from None
    ids = [re.split(r"(?:^|\s)#", line, maxsplit=1)[0].strip() for line in text.splitlines()]
    return Skip(path.name, {sample: number for number, sample in reversed([*enumerate(ids, 1)]) if sample})
