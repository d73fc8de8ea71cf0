"""Checks of what a plugin registers: targets that can be imported and are what they are registered as, and words that somebody else knows."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import inspect
from collections.abc import Iterator
from typing import Any

from merzoo.blame import told
from merzoo.entries import Entry
from merzoo.errors import PluginError
from merzoo.installed import BUILTIN
from merzoo.needs import VOCABULARY
from merzoo.registry import registry
from merzoo.testing.distribution import Subject
from merzoo.testing.outcomes import Check, PluginFault

INTERFACES = {  # kind: the class that a target of it is made from; data sets and aligners need only be callable
    "backbone": "merzoo.interfaces:Backbone",
    "head": "merzoo.interfaces:Head",
    "auxiliary-task": "merzoo.interfaces:AuxiliaryTask",
    "strategy": "merzoo.interfaces:Strategy",
    "view": "merzoo.views.base:ViewKind",
}


def part_checks(subject: Subject) -> Iterator[Check]:
    """Two checks of each part."""
    for entry in subject.entries:
        if entry.spec is None:
            shown = f"{entry.kind} {entry.shown}"
            yield Check("target", shown, lambda entry=entry: target(entry))  # type: ignore[misc]
            yield Check("words", shown, lambda entry=entry: words(subject, entry))  # type: ignore[misc]


def target(entry: Entry) -> str:
    """It can be imported, and is a subclass of what it is registered as."""
    try:
        found: Any = dataclasses.replace(entry, family=False, member="").load()  # a family's own class, whichever member is asked for
    except PluginError as error:
        why = told(error.__cause__ or error, entry.target.partition(":")[0].partition(".")[0])
        raise PluginFault(f"{entry.target} cannot be imported ({why}); correct the target in the hook, or the module that it names") from error
    if (interface := INTERFACES.get(entry.kind)) is None:
        if not callable(found):
            raise PluginFault(f"{entry.target} cannot be called; let the target name a class")
        return entry.target
    module, _, name = interface.partition(":")
    base = getattr(importlib.import_module(module), name)
    if not (inspect.isclass(found) and issubclass(found, base)):
        raise PluginFault(f"{entry.target} is no {name}; derive the class from {module}.{name}, or let the target name one that is")
    if missing := sorted(getattr(found, "__abstractmethods__", ())):
        raise PluginFault(f"{entry.target} lacks {', '.join(missing)}; write what {module}.{name} asks for")
    return f"{entry.target} is a {name}"


def words(subject: Subject, entry: Entry) -> str:
    """What it needs and provides is said in words that merzoo knows, or that its README explains and somebody provides."""
    for word in entry.provides:
        who = VOCABULARY[word][0] if word in VOCABULARY else entry.kind
        if who != entry.kind:
            raise PluginFault(f"it says it provides '{word}', which a {who} does; take it out of provides")
    for word in dict.fromkeys((*entry.needs, *entry.provides)):
        if word in VOCABULARY:
            continue
        if near := difflib.get_close_matches(word, VOCABULARY, n=1, cutoff=0.8):
            raise PluginFault(f"'{word}' is no word of merzoo.needs.VOCABULARY; did you mean '{near[0]}'?")
        if word not in subject.readme and subject.found.name != BUILTIN:
            raise PluginFault(f"'{word}' is a word of its own; say in the README what it means, and install it again")
    provided = {word for other in registry().entries() for word in other.provides}
    if lacking := [word for word in entry.needs if word not in VOCABULARY and word not in provided]:
        raise PluginFault(f"it needs '{lacking[0]}', which no installed part provides; register one that does, or take it out of needs")
    return f"needs {', '.join(entry.needs) or 'nothing'}; provides {', '.join(entry.provides) or 'nothing'}"
