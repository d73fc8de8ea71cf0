"""Which plugins are installed, read from the files that installers leave; nothing of them is imported here."""

from __future__ import annotations

import contextlib
import email
import importlib
import importlib.metadata
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from merzoo import hookspecs
from merzoo.entries import last_line
from merzoo.version import __version__

BUILTIN = "merzoo-builtin"
CORE = "merzoo"  # the distribution
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_ABOUT_MERZOO = re.compile(r"\s*merzoo(?![A-Za-z0-9._-])", re.I)
_ANY_MERZOO = re.compile(r"\s*merzoo\s*", re.I)  # no version, no marker: what packaging need not be imported for


@dataclass(frozen=True)
class Found:
    """A plugin before it is loaded.

    name: as its entry point has it, or claimed@distribution where that name is another plugin's too. problem: why it will not be loaded.
    requires: its distribution's requirements (Requires-Dist). claimed: what its entry point has, where that is not `name`.
    package: the import package that its entry point names.
    """

    name: str
    distribution: str
    version: str
    load: Callable[[], object]
    problem: str = ""
    requires: tuple[str, ...] = ()
    claimed: str = ""
    package: str = ""


@dataclass(frozen=True)
class Shipped:
    """An installed distribution that has entry points in our group. Its texts are strangers'."""

    name: str
    version: str
    requires: tuple[str, ...]
    distribution: importlib.metadata.Distribution


def normal(name: str) -> str:
    """A distribution's or plugin's name as names are compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed() -> list[Found]:
    """Every plugin among the installed distributions, ours first, sorted by name; no two of one name.

    Where several distributions claim a name, the one that is called so (NAME or merzoo-NAME) keeps it, and the others' plugins are not loaded. Where none is,
    or two are, each is loaded and goes by name@distribution, so that nobody's plugin is lost to a stranger's.
    """
    found = [plugin for shipped in distributions() for plugin in _plugins(shipped)]
    if not any(plugin.name == BUILTIN and plugin.distribution == CORE and not plugin.problem for plugin in found):  # run from a checkout that is not installed
        found.append(Found(BUILTIN, CORE, __version__, lambda: importlib.import_module("merzoo.builtin"), package=CORE))
    claims = Counter(normal(plugin.name) for plugin in found)
    apart = [plugin for plugin in found if claims[normal(plugin.name)] == 1]
    for name in sorted(name for name, count in claims.items() if count > 1):
        apart += _settle([plugin for plugin in found if normal(plugin.name) == name])
    return sorted(apart, key=lambda plugin: (plugin.name != BUILTIN, plugin.name, plugin.distribution))


def distributions() -> Iterator[Shipped]:
    """The distributions on the path that bring plugins; where one is there twice, the first counts, as for imports.

    They are read one at a time: `importlib.metadata.entry_points()` raises for all where one has a damaged entry_points.txt.
    """
    seen: set[str] = set()
    for distribution in importlib.metadata.distributions():
        if f"[{hookspecs.PROJECT}]" not in read(distribution, "entry_points.txt"):
            continue
        about = _headers(distribution)
        name = str(about["Name"] or "") or _folder(distribution)
        if normal(name) in seen:
            continue
        seen.add(normal(name))
        yield Shipped(name, str(about["Version"] or ""), tuple(map(str, about.get_all("Requires-Dist") or ())), distribution)


def _plugins(shipped: Shipped) -> Iterator[Found]:
    known = (shipped.name, shipped.version)
    try:
        points = [point for point in shipped.distribution.entry_points if point.group == hookspecs.PROJECT]
    except Exception as error:
        yield Found(shipped.name, *known, _nothing, f"its entry_points.txt cannot be read ({last_line(error)}); reinstall it")
        return
    for point in points:
        problem = "" if _NAME.fullmatch(point.name) else "the name of its entry point is not made of letters, digits and - _ ."
        package = point.value.partition(":")[0].partition(".")[0].strip()
        yield Found(point.name, *known, point.load, problem, shipped.requires, package=package)


def read(distribution: importlib.metadata.Distribution, file: str) -> str:
    """A text of a distribution's metadata folder; "" where there is none or it cannot be read."""
    try:
        return distribution.read_text(file) or ""
    except (OSError, UnicodeError):
        return ""


def readme(distribution: importlib.metadata.Distribution) -> str:
    """The README as a distribution's metadata hold it, or as it is now where it is installed for editing; "" where there is none."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        origin = json.loads(distribution.read_text("direct_url.json") or "{}")
        if origin["dir_info"]["editable"]:
            return (Path(unquote(urlparse(origin["url"]).path)) / "README.md").read_text(encoding="utf-8")
    facts: Any = distribution.metadata
    return str(facts.get("Description") or facts.get_payload() or "")


def _headers(distribution: importlib.metadata.Distribution) -> Message:
    """The fields of METADATA without the long description below them, which takes most of the time to parse."""
    text = read(distribution, "METADATA") or read(distribution, "PKG-INFO")
    return email.message_from_string(text.replace("\r\n", "\n").lstrip("\n").partition("\n\n")[0])


def _folder(distribution: importlib.metadata.Distribution) -> str:
    """What to call a distribution whose METADATA is damaged (its plugin may still work): by its folder, NAME-VERSION.dist-info."""
    path = getattr(distribution, "_path", None)  # no public way leads to the folder
    return path.name.partition("-")[0] if isinstance(path, Path) else "unknown"


def _nothing() -> object:
    return None


def _settle(same: list[Found]) -> list[Found]:
    """The plugins that claim one name, under names that differ (see `installed`)."""
    of: dict[str, list[Found]] = {}
    for plugin in same:
        of.setdefault(plugin.distribution, []).append(plugin)
    claims = [_once(plugins) for plugins in of.values()]
    if len(claims) == 1:
        return claims
    name = normal(same[0].name)
    owns = (CORE,) if name == BUILTIN else (name, f"{CORE}-{name}")
    owners = [plugin for plugin in claims if normal(plugin.distribution) in owns]
    owner = owners[0] if len(owners) == 1 else None
    return [plugin if plugin is owner else _apart(plugin, owner.distribution if owner else "") for plugin in claims]


def _once(plugins: list[Found]) -> Found:
    """What one distribution has under a name."""
    if len(plugins) == 1:
        return plugins[0]
    return replace(plugins[0], problem=f"the plugin name is there twice in the entry points of {plugins[0].distribution}; install another version of it")


def _apart(plugin: Found, owner: str) -> Found:
    """A plugin without the name that it claims, which is not loaded where that is a distribution's own."""
    told = f"the plugin name {plugin.name} belongs to the distribution {owner}, and {plugin.distribution} claims it too; uninstall {plugin.distribution}"
    return replace(plugin, name=f"{plugin.name}@{plugin.distribution}", claimed=plugin.name, problem=plugin.problem or (told if owner else ""))


def misfit(plugin: Found, version: str = __version__) -> str:
    """Why a plugin does not go with this version of merzoo, by its distribution's requirements, with the remedy; "" where it does.

    Raises `packaging.requirements.InvalidRequirement` for a requirement on merzoo that cannot be read.
    """
    lines = [line for line in plugin.requires if _ABOUT_MERZOO.match(line) and not _ANY_MERZOO.fullmatch(line)]
    if not lines:
        return ""
    from packaging.requirements import Requirement
    from packaging.version import InvalidVersion, Version

    for requirement in map(Requirement, lines):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        missed = [part for part in requirement.specifier if not part.contains(version, prereleases=True)]
        if not missed:
            continue
        try:
            older = all(Version(part.version.removesuffix(".*")) > Version(version) for part in missed)
        except InvalidVersion:  # === takes any text
            older = False
        first = "upgrade merzoo" if older else "install such a merzoo"
        return f"needs merzoo{requirement.specifier}, this is {version}; {first} or install another version of {plugin.distribution}"
    return ""
