"""Loading plugins, each behind its own guard, so that a broken one costs a line in `merzoo plugins` and nothing else."""

from __future__ import annotations

import contextlib
import difflib
import inspect
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import pluggy

from merzoo import hookspecs
from merzoo.blame import failure
from merzoo.entries import Register, credit, last_line
from merzoo.errors import MerzooWarning, PluginWarning, UnknownNameError, block_one
from merzoo.installed import BUILTIN, Found, installed, misfit, normal
from merzoo.registry import Registry
from merzoo.text import plain

VARIABLE = "MERZOO_PLUGINS"
HOOK = "merzoo_register"
SLOW_MS = 200  # a plugin that imports nothing heavy takes 1 to 5
LIMIT = 300  # characters of an error
__all__ = ["BUILTIN", "SLOW_MS", "VARIABLE", "Found", "PluginRecord", "installed", "load_registry", "record_of", "slow"]

Status = Literal["ok", "failed", "blocked", "warning", "incompatible"]


@dataclass
class PluginRecord:
    """How one plugin fared. Every text in it is safe to print.

    status: "failed" and "incompatible" (its distribution requires another merzoo) are not loaded; with a "warning" it is, but for what `error` says.
    """

    name: str
    distribution: str
    version: str
    status: Status = "ok"
    error: str = ""
    registers: dict[str, list[str]] = field(default_factory=dict)  # kind -> names
    load_ms: float = 0.0

    @property
    def shown(self) -> str:
        """The plugin with its distribution, where that has another name."""
        return credit(self.name, self.distribution)


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
    ours: frozenset[tuple[str, str]] = frozenset()  # (kind, name): what comes with merzoo is nobody else's to claim
    for plugin in plugins:
        record = PluginRecord(plain(plugin.name, 80), plain(plugin.distribution, 80), plain(plugin.version, 40))
        zoo.records.append(record)
        if not allowed(plugin):
            record.status = "blocked"
        elif plugin.problem:
            record.status, record.error = "failed", plain(plugin.problem, LIMIT)
        elif (problem := _misfit(plugin, record)) is not None:
            register = _load_one(plugin, record, ours, problem)
            if register is not None:
                zoo.add(register)
                if plugin.name == BUILTIN:
                    ours = frozenset((entry.kind, entry.shown) for entry in register.entries)
        if record.status not in ("ok", "blocked"):
            warnings.warn(f"plugin {record.shown} {_VERBS[record.status]}: {record.error}; see 'merzoo plugins'", PluginWarning, stacklevel=2)
    _say_shared_names(plugins, zoo.records)
    _say_collisions(zoo)  # without a warning: until the name is asked for, it troubles nobody
    return zoo


_VERBS = {"failed": "failed", "incompatible": "not loaded", "warning": "has a problem"}


def _misfit(plugin: Found, record: PluginRecord) -> str | None:
    """None, and the record says why, where the plugin must not be loaded; else a problem with its requirements to be told, or ""."""
    try:
        why = misfit(plugin)
    except Exception as error:  # it may work all the same
        return f"a requirement of its distribution cannot be read ({last_line(error)})"
    if why:
        record.status, record.error = "incompatible", plain(why, LIMIT)
        return None
    return ""


def _load_one(plugin: Found, record: PluginRecord, ours: frozenset[tuple[str, str]], problem: str) -> Register | None:
    """Import a plugin and call its hook; what it registered, or None where it failed (then nothing of it stays)."""
    # A manager of its own: pluggy calls all plugins in one go, and one that raises would stop the others.
    manager = _Manager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    register = Register(record.name, record.distribution, ours)
    began = time.perf_counter()
    try:
        # What a plugin prints on import would end up inside --json, and the filters that it sets would turn our warnings into errors.
        with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
            manager.register(plugin.load(), name=plugin.name)
            manager.hook.merzoo_register(register=register)
        problems = [*([problem] if problem else []), *_misspelled(manager), *register.refused]
        for entry in register.entries:
            record.registers.setdefault(entry.kind, []).append(entry.shown)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        record.status, record.error, record.registers = "failed", failure(error, plugin.package, LIMIT), {}
        return None
    finally:
        record.load_ms = round((time.perf_counter() - began) * 1000, 2)
    if problems:
        record.status, record.error = "warning", plain("; ".join(problems), LIMIT)
    return register


def _misspelled(manager: _Manager) -> list[str]:
    """Hooks that do not exist (pluggy's `check_pending` names the first only), or that there is none at all."""
    (plugin,) = manager.get_plugins()
    hooks = manager.get_hookcallers(plugin) or []
    problems = [f"{plain(hook.name, 80)} is not a hook; the only one is {HOOK}(register)" for hook in hooks if not hook.has_spec()]
    return problems if hooks else [f"it has no function {HOOK}(register)"]


def _say_collisions(zoo: Registry) -> None:
    """Put into the records of all claimants which names they cannot both have."""
    claims: dict[str, dict[tuple[str, str], list[str]]] = {}  # plugin -> (the others, the remedy) -> what both claim
    for what, rivals in zoo.collisions():
        for entry in rivals:
            others = " and ".join(other.credit for other in rivals if other is not entry)
            claims.setdefault(entry.plugin, {}).setdefault((others, block_one(rival.plugin for rival in rivals)), []).append(what)
    for record in zoo.records:
        for (others, remedy), whats in claims.get(record.name, {}).items():
            names = ", ".join(whats[:3]) + (f" and {len(whats) - 3} more" if len(whats) > 3 else "")
            _add(record, f"{names}: also claimed by {others}; {remedy}")


def _say_shared_names(plugins: Iterable[Found], records: Iterable[PluginRecord]) -> None:
    """Put into the records why loaded plugins go by name@distribution."""
    pairs = [(plugin, record) for plugin, record in zip(plugins, records, strict=True) if plugin.claimed and record.status in ("ok", "warning")]
    for plugin, record in pairs:
        others = [other.distribution for of, other in pairs if other is not record and normal(of.claimed) == normal(plugin.claimed)]
        if others:
            told = f"its entry point calls it {plain(plugin.claimed, 80)}, as that of the distribution {' and '.join(others)} calls another plugin"
            _add(record, f"{told}; here it is {record.name}, until one of them is uninstalled")


def _add(record: PluginRecord, told: str) -> None:
    record.status, record.error = "warning", plain(f"{record.error}; {told}" if record.error else told, LIMIT)


def slow(record: PluginRecord) -> str:
    """A note on a plugin that holds up every command, or ""."""
    if record.load_ms <= SLOW_MS:
        return ""
    return f"took {record.load_ms / 1000:.1f} s to load, for which every command waits (more than {SLOW_MS} ms); its network belongs in a module of its own"


def record_of(name: str, records: Iterable[PluginRecord]) -> PluginRecord:
    """The record of a plugin, by its name or that of its distribution. Raises `UnknownNameError`."""
    records = list(records)
    for record in records:
        if normal(name) == normal(record.name):
            return record
    for record in records:
        if normal(name) == normal(record.distribution):
            return record
    near = difflib.get_close_matches(name, [record.name for record in records])
    raise UnknownNameError("plugin", plain(name, 80), near, "(see `merzoo plugins`)")


def _chooser(choice: str, plugins: Iterable[Found]) -> Callable[[Found], bool]:
    """Which plugins a MERZOO_PLUGINS value lets in; it may name a plugin, all that claim a name, or a distribution. The built-in plugin always gets in."""
    words = [word.strip() for word in choice.split(",") if word.strip()]
    block = {normal(word[1:]) for word in words if word.startswith("-")}
    allow = {normal(word) for word in words if not word.startswith("-")}
    known = {name for plugin in plugins for name in _names(plugin)}
    for word in sorted((block | allow) - known):
        warnings.warn(f"{VARIABLE} names '{plain(word, 80)}', which is not an installed plugin; see 'merzoo plugins'", MerzooWarning, stacklevel=3)

    def allowed(plugin: Found) -> bool:
        names = _names(plugin)
        return plugin.name == BUILTIN or (not names & block and (not allow or bool(names & allow)))

    return allowed


def _names(plugin: Found) -> set[str]:
    return {normal(name) for name in (plugin.name, plugin.claimed, plugin.distribution) if name}
