"""Text from strangers, made safe to print: names, summaries and error messages of plugins, file names, labels in results."""

from __future__ import annotations


def plain(text: object, limit: int = 0) -> str:
    """One printable line: control characters, terminal escapes, line ends and invisible signs (bidi overrides, lone surrogates) become backslash escapes.

    With a limit, what is longer is cut to `limit` characters and ends in `…`.
    """
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(text))
    return line[: limit - 1] + "…" if limit and len(line) > limit else line
