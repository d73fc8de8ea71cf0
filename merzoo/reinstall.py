"""The installed plugins as lines for `pip install -r`: what `merzoo plugins --requirements` prints."""

from __future__ import annotations

import json
import re
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from merzoo.installed import CORE, Shipped, distributions, read
from merzoo.text import plain, without_secrets

_PROJECT = re.compile(r"[A-Z0-9](?:[A-Z0-9._-]*[A-Z0-9])?", re.I)  # as names of distributions are specified
_PATH = re.compile(r"[\w./+@~-]+", re.A)  # what pip takes as it stands
_URL = re.compile(r"[\w.~:/?#\[\]@!&'()*+,;=%-]+", re.A)
_REFERENCE = re.compile(r"[\w./+-]+", re.A)


def requirements() -> list[str]:
    """A line for merzoo and each distribution that brings plugins, whether these load or not, merzoo first, then by name.

    `name==version`; an editable installation as `-e PATH`, one from a URL as `name @ URL`, both as its direct_url.json says (PEP 610). What cannot be
    written as a line that pip takes becomes a comment.
    """
    found = sorted(distributions(), key=lambda shipped: (shipped.name != CORE, shipped.name.lower()))
    missing = [] if any(shipped.name == CORE for shipped in found) else ["# merzoo itself is not installed here: it runs from a checkout"]
    return [*missing, *map(_line, found)]


def _line(shipped: Shipped) -> str:
    from packaging.version import InvalidVersion, Version

    if not _PROJECT.fullmatch(shipped.name):
        return f"# '{plain(shipped.name, 80)}' is left out: it is no name of a distribution"
    origin = _origin(shipped)
    if origin is not None:
        return origin
    try:
        return f"{shipped.name}=={Version(shipped.version)}"
    except InvalidVersion:
        return f"# {shipped.name} is left out: '{plain(shipped.version, 40)}' is no version"


def _origin(shipped: Shipped) -> str | None:
    """The line of a distribution that came from elsewhere than a package index; None where it did not."""
    about = _direct_url(shipped.distribution)
    url = about.get("url")
    if not isinstance(url, str):
        return None
    if not url.isprintable():  # urlsplit would join lines
        return _left_out(shipped)
    url = without_secrets(url)  # these lines are shared
    folder = about.get("dir_info")
    if url.startswith("file:") and isinstance(folder, dict) and folder.get("editable") is True:
        path = url2pathname(urlsplit(url).path)
        where = path if _PATH.fullmatch(path) else Path(path).as_uri() if Path(path).is_absolute() else url
        return f"-e {where}" if _URL.fullmatch(where) else _left_out(shipped)
    fragments = []
    vcs, archive = about.get("vcs_info"), about.get("archive_info")
    if isinstance(vcs, dict):
        system, commit = str(vcs.get("vcs", "")), str(vcs.get("commit_id", ""))
        if not (re.fullmatch("[a-z]+", system) and _REFERENCE.fullmatch(commit)):
            return _left_out(shipped)
        url = f"{system}+{url}@{commit}"
    if isinstance(archive, dict) and (digest := _digest(archive)):
        fragments.append(digest)
    if isinstance(below := about.get("subdirectory"), str):
        fragments.append(f"subdirectory={below}")
    line = f"{shipped.name} @ {url}" + (f"#{'&'.join(fragments)}" if fragments else "")
    return line if _URL.fullmatch(line.split(" @ ", 1)[1]) else _left_out(shipped)


def _left_out(shipped: Shipped) -> str:
    return f"# {shipped.name} is left out: its direct_url.json cannot be read"


def _direct_url(distribution: Distribution) -> dict[str, Any]:
    try:
        about = json.loads(read(distribution, "direct_url.json") or "{}")
    except (ValueError, RecursionError):
        return {}
    return about if isinstance(about, dict) else {}


def _digest(archive: dict[str, Any]) -> str:
    """`sha256=…` of an archive, by the newer field or the older."""
    hashes = archive.get("hashes")
    digest = hashes.get("sha256") if isinstance(hashes, dict) else str(archive.get("hash", "")).removeprefix("sha256=")
    return f"sha256={digest}" if re.fullmatch("[0-9a-f]{64}", str(digest)) else ""
