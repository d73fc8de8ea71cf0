"""Text in a model card: everything that is put into it is escaped, so that strangers' names stay names in Markdown, HTML and BibTeX."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from merzoo.text import plain

_MARKS = re.compile(r"([\\`*_{}\[\]<>#|~&$@]|:(?=//)|(?<=www)\.)", re.IGNORECASE)  # the last two: GitHub's Markdown, which the Hub speaks, makes links of them
_CODE = re.compile(r"[\w./:@,+=-]+", re.ASCII)


class Safe(str):
    """Markdown that was made here, and is put in as it is."""

    __slots__ = ()


def escaped(value: Any) -> Safe:
    """One line that Markdown shows as it is, anywhere but at the beginning of a line."""
    if isinstance(value, Safe):
        return value
    return Safe(_MARKS.sub(lambda mark: "&#92;" if mark[0] == "\\" else f"\\{mark[0]}", plain(value)))  # of \\( and \\[ the Hub makes formulas


def code(value: Any) -> Safe:
    """As code, where it holds nothing but letters, digits and what names and hashes are made of; else as escaped text, since code knows no escapes."""
    return Safe(f"`{value}`") if _CODE.fullmatch(str(value)) else escaped(value)


def bibtex(value: Any) -> Safe:
    """The value of a BibTeX field inside a code block: one line without braces, backslashes and comment signs."""
    return Safe("{" + re.sub(r"[{}\\%\"]", "", plain(value)) + "}")


def table(head: Sequence[Any], rows: Iterable[Sequence[Any]], right: Iterable[int] = ()) -> Safe:
    """A table; columns by their numbers in `right` are aligned right."""
    numbers = set(right)
    rule = "|".join("--:" if column in numbers else "---" for column in range(len(head)))
    lines = [f"|{rule}|" if cells is None else f"| {' | '.join(map(escaped, cells))} |" for cells in (head, None, *rows)]
    return Safe("\n".join(lines))


def template(name: str) -> Any:
    """A template of this package. What it prints is escaped, but for `Safe` text."""
    environment = Environment(loader=PackageLoader("merzoo.publish", "."), finalize=escaped, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(code=code, bibtex=bibtex)
    return environment.get_template(name)
