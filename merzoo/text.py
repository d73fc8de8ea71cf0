"""Text to print: what strangers wrote (names, summaries and error messages of plugins, file names, labels in results) made safe, and sizes of files."""

from __future__ import annotations

import re

_USER = re.compile(r"(?<=://)[^/?#\s'\"]*@")
_QUERY = re.compile(r"(://[^?#\s'\"<>]*)[?#][^\s'\"<>]*")
_BEARER = re.compile(r"Bearer\s+[^\s'\"]+")


def plain(text: object, limit: int = 0) -> str:
    """One printable line: control characters, terminal escapes, line ends and invisible signs (bidi overrides, lone surrogates) become backslash escapes.

    With a limit, what is longer is cut to `limit` characters and ends in `…`.
    """
    line = str(text)
    if not line.isprintable():
        line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in line)
    return line[: limit - 1] + "…" if limit and len(line) > limit else line


def without_secrets(text: str, token: str | None = None) -> str:
    """The text without what opens doors: the token, names and passwords in addresses (git@host stays), and what follows their ? or #, which signs them."""
    text = _BEARER.sub("Bearer …", text.replace(token, "…") if token else text)
    return _QUERY.sub(r"\1", _USER.sub(lambda match: match[0] if match[0] == "git@" else "", text))


def byte_count(number: int) -> str:
    """A size as people say it: 412 bytes, 1.5 MB, 23.0 GB, in powers of 1000."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= 0.99995 * size:
            return f"{number / size:,.1f} {unit}"
    return f"{number} bytes"
