"""Checks of an installed plugin as a distribution: it loads, its hook is spelled right, it is light, and its metadata say what they should."""

from __future__ import annotations

import contextlib
import difflib
import importlib.metadata
import inspect
import json
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from merzoo.entries import Entry
from merzoo.errors import CollisionError, UnknownNameError
from merzoo.installed import BUILTIN, Found, installed, normal
from merzoo.installed import readme as readme_of
from merzoo.plugins import HOOK, PluginRecord, load_registry
from merzoo.registry import registry
from merzoo.testing.outcomes import Check, NotChecked, PluginFault
from merzoo.text import plain

TO_FILL = "to fill in"  # what stands in a new plugin's fidelity table
_REQUIRES = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
_LIGHT_SECONDS = 60


@dataclass(frozen=True)
class Subject:
    """The plugin that is checked."""

    found: Found
    record: PluginRecord
    metadata: importlib.metadata.Distribution | None  # None where it is run from a checkout that is not installed, or several claim the name
    entries: tuple[Entry, ...]

    @property
    def readme(self) -> str:
        """The README as the distribution's metadata hold it, or as it is now where it is installed for editing; "" where there is none."""
        return "" if self.metadata is None else readme_of(self.metadata)


def find(name: str) -> Subject:
    """An installed plugin by its name or its distribution's. Raises `UnknownNameError` where there is none, and where a distribution has several plugins."""
    plugins = installed()
    same = [found for found in plugins if normal(found.name) == normal(name)] or [f for f in plugins if normal(f.distribution) == normal(name)]
    if not same:
        known = [one for found in plugins for one in (found.name, found.distribution)]
        near = list(dict.fromkeys(difflib.get_close_matches(normal(name), known)))
        raise UnknownNameError("plugin", plain(name, 80), near, "(install it: pip install -e . in its folder; `merzoo plugins` lists what is installed)")
    if len(same) > 1:
        raise UnknownNameError("plugin", plain(name, 80), [found.name for found in same], "(a distribution of several plugins; give one of them)")
    found, shown = same[0], plain(same[0].name, 80)
    record = next(record for record in registry().records if record.name == shown and record.distribution == plain(found.distribution, 80))
    metadata = None
    with contextlib.suppress(Exception):  # a damaged distribution is told by `loads`
        metadata = importlib.metadata.distribution(found.distribution)
    return Subject(found, record, metadata, tuple(entry for entry in registry().entries() if entry.plugin == shown))


def distribution_checks(subject: Subject) -> Iterator[Check]:
    """The checks of the distribution, in order."""
    for check in (loads, hook, accepted, names, light, requires, readme):
        yield Check(check.__name__, subject.record.distribution, lambda check=check: check(subject))  # type: ignore[misc]


def loads(subject: Subject) -> str:
    """It is imported and its hook called without an error."""
    record = subject.record
    if record.status == "blocked":
        raise PluginFault(f"MERZOO_PLUGINS={os.environ.get('MERZOO_PLUGINS', '')} blocks {record.name}; unset it")
    if record.status in ("failed", "incompatible"):
        remedy = "" if ";" in record.error else "; correct its entry point in pyproject.toml and install it again"
        raise PluginFault(f"{record.error}{remedy}")
    return f"{record.name} {record.version}, {sum(map(len, record.registers.values()))} names in {record.load_ms:.0f} ms"


def _loaded(subject: Subject) -> None:
    try:
        loads(subject)
    except PluginFault:
        raise NotChecked("it does not load; that comes first") from None


def hook(subject: Subject) -> str:
    """It has the hook, and nothing that looks like another."""
    _loaded(subject)
    plugin = subject.found.load()
    where = getattr(plugin, "__name__", subject.found.name)
    hooks = [name for name in dir(plugin) if name.startswith("merzoo_") and inspect.isroutine(getattr(plugin, name))]
    for name in hooks:
        if name != HOOK:
            raise PluginFault(f"{where}.{name} is not a hook; call it {HOOK}(register), or give it a name that does not begin with merzoo_")
    if not hooks:
        raise PluginFault(f"{where} has no function {HOOK}(register); write it there, or let the entry point name the module that has it")
    return f"{where}.{HOOK}"


def accepted(subject: Subject) -> str:
    """Nothing that it registers is refused, and it registers something."""
    try:
        hook(subject)
    except PluginFault:
        raise NotChecked("its hook is not found; that comes first") from None
    alone = [plugin for plugin in installed() if plugin.name in (BUILTIN, subject.found.name)]  # what collides with others is told by `names`
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        error = next(record.error for record in load_registry(alone, choice="").records if record.name == subject.record.name)
    if error:
        raise PluginFault(f"{error}; mend the calls of register in {HOOK}")
    if not subject.entries:
        raise PluginFault(f"it registers nothing; call register.backbone, register.model and so on in {HOOK}")
    return ", ".join(f"{len(names)} {kind}" for kind, names in subject.record.registers.items())


def names(subject: Subject) -> str:
    """No other plugin has one of its names."""
    if not subject.entries:
        raise NotChecked("it registers nothing")
    for entry in subject.entries:
        others = {other.plugin for other in registry().entries(entry.kind) if other.name == entry.name} - {entry.plugin}
        if not entry.family:
            try:
                registry().get(entry.kind, entry.name)
            except CollisionError as error:
                others |= {*error.plugins} - {entry.plugin}
        if others:
            raise PluginFault(f"{entry.kind} '{entry.name}' is registered by {' and '.join(sorted(others))} too; give yours another name")
    return f"nobody else has {'its name' if len(subject.entries) == 1 else f'one of its {len(subject.entries)} names'}"


def light(subject: Subject) -> str:
    """Registering it imports no heavy library, measured in a fresh process."""
    _loaded(subject)
    # -P: the folder that somebody stands in is not on the path of an installed command either.
    seen = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-P", "-m", "merzoo.testing.light", subject.found.name]
    try:
        done = subprocess.run(command, env=seen, capture_output=True, text=True, timeout=_LIGHT_SECONDS, check=False)
        heavy: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        raise PluginFault(f"registering it takes longer than {_LIGHT_SECONDS} s; do no work while the module is imported") from None
    except (IndexError, ValueError):
        last = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise PluginFault(f"registering it ends a fresh process ({plain(last, 120)}); raise an error, and do not leave") from None
    if heavy:
        library, where = next(iter(heavy.items()))
        told = f"{where} imports {library}" + (f" (and {', '.join([*heavy][1:5])})" if len(heavy) > 1 else "")
        raise PluginFault(f"{told} on every `merzoo list`; import it in the module of the network, which registering names as a string only")
    return "registering it imports no heavy library"


def requires(subject: Subject) -> str:
    """Its metadata ask for merzoo, so that installing it alone is enough."""
    if subject.found.name == BUILTIN:
        raise NotChecked("it is merzoo itself")
    if subject.metadata is None:
        raise NotChecked("no metadata of one distribution")
    for line in subject.metadata.requires or ():
        match = _REQUIRES.match(line)
        if match and normal(match[1]) == "merzoo" and "extra" not in line.partition(";")[2]:
            return f"requires {line}"
    raise PluginFault('its metadata do not require merzoo; add dependencies = ["merzoo>=…"] to pyproject.toml and install it again')


def readme(subject: Subject) -> str:
    """Where a model has a paper, the README says in a table what is the paper's and what is not."""
    if not any(entry.spec is not None and entry.spec.paper is not None for entry in subject.entries):
        raise NotChecked("no model of it has a paper")
    if subject.metadata is None or subject.found.name == BUILTIN:
        raise NotChecked("no metadata of one distribution")
    text = subject.readme
    if not text.strip():
        raise PluginFault('its metadata hold no README; add readme = "README.md" to pyproject.toml and install it again')
    lines = [line.strip() for line in text.splitlines()]
    if not any("paper" in head.lower() and head.startswith("|") and set(rule) <= set("|-: ") for head, rule in pairwise(lines)):
        raise PluginFault("its README has no fidelity table; add one: | | the paper says | our choice, and why | checked by |, and install it again")
    left = sum(TO_FILL in line for line in lines if line.startswith("|"))
    if left:
        raise PluginFault(f"the fidelity table in its README has {left} rows with '{TO_FILL}'; write what the paper says there, and install it again")
    return "its README has a fidelity table"
