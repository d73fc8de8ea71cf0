"""Finding and loading plugins, each behind its own guard, so that a broken one costs a line in `merzoo plugins` and nothing else."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import inspect
import os
import re
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import pluggy

from merzoo import hookspecs
from merzoo.entries import Register, last_line
from merzoo.errors import MerzooWarning
from merzoo.registry import Registry
from merzoo.text import plain

VARIABLE = "MERZOO_PLUGINS"
BUILTIN = "merzoo-builtin"
HOOK = "merzoo_register"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


@dataclass
class PluginRecord:
    """How one plugin fared. Every text in it is safe to print."""

    name: str
    distribution: str
    version: str
    status: Literal["ok", "failed", "blocked", "warning"] = "ok"
    error: str = ""
    registers: dict[str, list[str]] = field(default_factory=dict)  # kind -> names
    load_ms: float = 0.0


@dataclass(frozen=True)
class Found:
    """A plugin before it is loaded. `problem` says why it will not be."""

    name: str
    distribution: str
    version: str
    load: Callable[[], object]
    problem: str = ""


class _Manager(pluggy.PluginManager):
    """Takes every function named merzoo_* for a hook, so that the decorator is optional and a misspelled hook is seen."""

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> Any:
        options = super().parse_hookimpl_opts(plugin, name)
        if options is None and name.startswith("merzoo_") and inspect.isroutine(getattr(plugin, name, None)):
            return {}
        return options


def load_registry(found: Iterable[Found] | None = None, choice: str | None = None) -> Registry:
    """A fresh registry of the plugins found (by default, all that are installed), with a warning for each that has a problem.

    choice: which plugins to take, as in MERZOO_PLUGINS, which is the default: "a,b" allows, "-a" blocks.
    """
    plugins = list(installed() if found is None else found)
    allowed = _chooser(os.environ.get(VARIABLE, "") if choice is None else choice, plugins)
    zoo = Registry()
    for plugin in plugins:
        record = PluginRecord(plain(plugin.name, 80), plain(plugin.distribution, 80), plain(plugin.version, 40))
        zoo.records.append(record)
        if not allowed(plugin):
            record.status = "blocked"
        elif plugin.problem:
            record.status, record.error = "failed", plain(plugin.problem, 300)
        else:
            register = _load_one(plugin, record)
            if register is not None:
                zoo.add(register)
        if record.status in ("failed", "warning"):
            warnings.warn(f"plugin {record.name} {_verb(record)}: {record.error}; see 'merzoo plugins'", MerzooWarning, stacklevel=2)
    return zoo


def _verb(record: PluginRecord) -> str:
    return "failed" if record.status == "failed" else "has a problem"


def _load_one(plugin: Found, record: PluginRecord) -> Register | None:
    """Import a plugin and call its hook; what it registered, or None where it failed (then nothing of it stays)."""
    # A manager of its own: pluggy calls all plugins in one go, and one that raises would stop the others.
    manager = _Manager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    register = Register(record.name)
    began = time.perf_counter()
    try:
        # What a plugin prints on import would end up inside --json.
        with contextlib.redirect_stdout(sys.stderr):
            manager.register(plugin.load(), name=plugin.name)
            manager.hook.merzoo_register(register=register)
        problems = [*_misspelled(manager), *register.refused]
    except (Exception, SystemExit) as error:
        record.status, record.error = "failed", last_line(error)
        return None
    finally:
        record.load_ms = round((time.perf_counter() - began) * 1000, 2)
    for entry in register.entries:
        record.registers.setdefault(entry.kind, []).append(entry.shown)
    if problems:
        record.status, record.error = "warning", plain("; ".join(problems), 300)
    return register


def _misspelled(manager: _Manager) -> list[str]:
    """Hooks that do not exist (pluggy's `check_pending` names the first only), or that there is none at all."""
    (plugin,) = manager.get_plugins()
    hooks = manager.get_hookcallers(plugin) or []
    problems = [f"{plain(hook.name, 80)} is not a hook; the only one is {HOOK}(register)" for hook in hooks if not hook.has_spec()]
    return problems if hooks else [f"it has no function {HOOK}(register)"]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _chooser(choice: str, plugins: Iterable[Found]) -> Callable[[Found], bool]:
    """Which plugins a MERZOO_PLUGINS value lets in; it may name a plugin or its distribution, and the built-in plugin always gets in."""
    words = [word.strip() for word in choice.split(",") if word.strip()]
    block = {_normal(word[1:]) for word in words if word.startswith("-")}
    allow = {_normal(word) for word in words if not word.startswith("-")}
    known = {_normal(name) for plugin in plugins for name in (plugin.name, plugin.distribution)}
    for word in sorted((block | allow) - known):
        warnings.warn(f"{VARIABLE} names '{plain(word, 80)}', which is not an installed plugin; see 'merzoo plugins'", MerzooWarning, stacklevel=3)

    def allowed(plugin: Found) -> bool:
        names = {_normal(plugin.name), _normal(plugin.distribution)}
        return plugin.name == BUILTIN or (not names & block and (not allow or bool(names & allow)))

    return allowed


def installed() -> list[Found]:
    """Every plugin among the installed distributions, ours first, sorted by name.

    Distributions are read one at a time: `importlib.metadata.entry_points()` raises for all where one has a damaged entry_points.txt.
    """
    found = list(_scan())
    if not any(plugin.name == BUILTIN and not plugin.problem for plugin in found):  # run from a checkout that is not installed
        found.append(_builtin())
    claims = Counter(_normal(plugin.name) for plugin in found)
    apart = [plugin for plugin in found if claims[_normal(plugin.name)] == 1]
    for name in sorted(name for name, count in claims.items() if count > 1):
        apart += _settle([plugin for plugin in found if _normal(plugin.name) == name])
    return sorted(apart, key=lambda plugin: (plugin.name != BUILTIN, plugin.name, plugin.distribution))


def _scan() -> Iterator[Found]:
    """The plugins of each distribution on the path; where one is there twice, the first counts, as for imports."""
    seen: set[str] = set()
    for distribution in importlib.metadata.distributions():
        text = _entry_points_text(distribution)
        if f"[{hookspecs.PROJECT}]" not in text:
            continue
        name, version = _name_of(distribution)
        if _normal(name) in seen:
            continue
        seen.add(_normal(name))
        try:
            points = [point for point in distribution.entry_points if point.group == hookspecs.PROJECT]
        except Exception as error:
            yield Found(name, name, version, _nothing, f"its entry_points.txt cannot be read ({last_line(error)}); reinstall it")
            continue
        for point in points:
            problem = "" if _NAME.fullmatch(point.name) else "the name of its entry point is not made of letters, digits and - _ ."
            yield Found(point.name, name, version, point.load, problem)


def _entry_points_text(distribution: importlib.metadata.Distribution) -> str:
    try:
        return distribution.read_text("entry_points.txt") or ""
    except (OSError, UnicodeError):
        return ""


def _name_of(distribution: importlib.metadata.Distribution) -> tuple[str, str]:
    try:
        return distribution.metadata["Name"] or "unknown", distribution.metadata["Version"] or ""
    except Exception:  # damaged METADATA: the plugin may still work
        return "unknown", ""


def _nothing() -> object:
    return None


def _builtin() -> Found:
    from merzoo.version import __version__

    return Found(BUILTIN, "merzoo", __version__, lambda: importlib.import_module("merzoo.builtin"))


def _settle(same: list[Found]) -> list[Found]:
    """Several distributions bring a plugin of one name: none is loaded, but nobody can displace the built-in one."""
    ours = [plugin for plugin in same if plugin.name == BUILTIN and plugin.distribution == "merzoo"]
    if ours:
        taken = f"the name {BUILTIN} belongs to merzoo"
        return [ours[0], *(Found(p.name, p.distribution, p.version, p.load, taken) for p in same if p.distribution != "merzoo")]
    names = " and ".join(plugin.distribution for plugin in same)
    problem = f"the plugin name is claimed by the distributions {names}; uninstall one of them"
    return [Found(same[0].name, names, "", _nothing, problem)]
