"""What a plugin's hook is handed, and what it leaves behind: one `Register` a plugin, one `Entry` a name."""

from __future__ import annotations

import functools
import importlib
import re
import traceback
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from merzoo.errors import PluginError, UsageError
from merzoo.specs import ModelSpec, valid_name
from merzoo.text import plain
from merzoo.wellformed import fault

Kind = Literal["model", "backbone", "head", "auxiliary-task", "strategy", "dataset", "view", "aligner"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_TARGET = re.compile(r"[A-Za-z_]\w*(?:\.\w+)*:[A-Za-z_]\w*(?:\.\w+)*")


@dataclass(frozen=True)
class Entry:
    """One registered name. `target` is "module:attribute"; nothing is imported before `load`. A model has no target but a `spec`."""

    kind: Kind
    name: str
    target: str
    needs: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    summary: str = ""
    plugin: str = ""
    spec: ModelSpec | None = None
    family: bool = False  # `name` is the prefix of a whole family
    member: str = ""  # of a family: what follows the slash
    distribution: str = ""  # that the plugin came with

    @property
    def shown(self) -> str:
        """The name as listings show it: a family is `prefix/*`."""
        return f"{self.name}/*" if self.family else self.name

    @property
    def credit(self) -> str:
        """The plugin, with its distribution where that has another name."""
        return credit(self.plugin, self.distribution)

    def of_member(self, member: str) -> Entry | None:
        """The entry of one member of this family, or None where no such name can be."""
        name = f"{self.name}/{member}"
        if not self.family or not valid_name(name):
            return None
        return Entry(self.kind, name, self.target, self.needs, self.provides, self.summary, self.plugin, member=member, distribution=self.distribution)

    def load(self) -> Any:
        """Import and return the target; for a family's member, the target with `member=` filled in.

        Raises `PluginError` where the target cannot be imported, `UsageError` for a model or a whole family.
        """
        if self.family:
            raise UsageError(f"{self.kind} '{self.name}' is a family; name a member, as in {self.name}/NAME")
        if self.spec is not None:
            raise UsageError(f"'{self.name}' is a model, not a part; use merzoo.load('{self.name}')")
        module, _, attribute = self.target.partition(":")
        try:
            found: Any = importlib.import_module(module)
            for step in attribute.split("."):
                found = getattr(found, step)
        except (Exception, SystemExit) as error:
            from merzoo.blame import told

            why = f"{self.target} cannot be loaded ({told(error, module.partition('.')[0])})"
            raise PluginError(f"{self.kind} '{self.name}' of plugin {self.credit}: {why}; update or reinstall the plugin") from error
        return functools.partial(found, member=self.member) if self.member else found


def credit(plugin: str, distribution: str) -> str:
    """A plugin as messages name it: with its distribution, which is what one installs, where that has another name."""
    return plugin if distribution in ("", plugin) else f"{plugin} (distribution {distribution})"


def last_line(error: BaseException) -> str:
    """The last line of a traceback, safe to print, at most 300 characters."""
    return plain("".join(traceback.format_exception_only(type(error), error)[-1:]).strip(), limit=300)


class Register:
    """What `merzoo_register` is handed: a method a kind, bound to one plugin.

    Names are lower-case words joined by - _ or . (see `merzoo.specs.valid_name`); targets are "module:attribute" and are imported when used;
    needs and provides are words of `merzoo.needs.VOCABULARY` or the plugin's own. A registration that breaks these rules is refused, the
    others stand, and `merzoo plugins` says why.
    """

    def __init__(self, plugin: str, distribution: str = "", taken: Collection[tuple[str, str]] = ()) -> None:
        self.plugin, self.distribution = plugin, distribution
        self.taken = taken  # (kind, name as shown) of what comes with merzoo
        self.entries: list[Entry] = []
        self.renamed: list[tuple[Kind, str, str]] = []  # (kind, old, new)
        self.refused: list[str] = []  # one printable reason each

    def backbone(self, name: str, target: str, *, needs: Sequence[str] = (), provides: Sequence[str] = (), summary: str = "") -> None:
        """A network from views to `Features`."""
        self._add("backbone", name, target, needs, provides, summary)

    def backbone_family(self, prefix: str, target: str, *, needs: Sequence[str] = (), provides: Sequence[str] = (), summary: str = "") -> None:
        """Every `prefix/member` at once: the target is called with `member=` and the options of the preset."""
        self._add("backbone", prefix, target, needs, provides, summary, family=True)

    def head(self, name: str, target: str, *, needs: Sequence[str] = (), provides: Sequence[str] = (), summary: str = "") -> None:
        """A network from `Features` to logits."""
        self._add("head", name, target, needs, provides, summary)

    def auxiliary_task(self, name: str, target: str, *, needs: Sequence[str] = (), provides: Sequence[str] = (), summary: str = "") -> None:
        """A further loss on `Features`, with predictions of its own."""
        self._add("auxiliary-task", name, target, needs, provides, summary)

    def strategy(self, name: str, target: str, *, needs: Sequence[str] = (), provides: Sequence[str] = (), summary: str = "") -> None:
        """How a recogniser is trained: a list of stages."""
        self._add("strategy", name, target, needs, provides, summary)

    def dataset(self, name: str, target: str, *, summary: str = "", provides: Sequence[str] = ()) -> None:
        """A source of clip tables."""
        self._add("dataset", name, target, (), provides, summary)

    def view(self, name: str, target: str, *, summary: str = "", provides: Sequence[str] = ()) -> None:
        """A kind of view: what a network can see of an interval."""
        self._add("view", name, target, (), provides, summary)

    def aligner(self, name: str, target: str, *, summary: str = "") -> None:
        """A way from a face in a frame to an aligned crop."""
        self._add("aligner", name, target, (), (), summary)

    def model(self, spec: ModelSpec) -> None:
        """A model: which parts, views, presets and weights go together. That its parts exist is checked when it is asked for."""
        if wrong := fault(spec):
            self._refuse("model", getattr(spec, "name", type(spec).__name__), wrong)
        elif self._is_new("model", spec.name):
            self.entries.append(Entry("model", spec.name, "", summary=spec.summary, plugin=self.plugin, spec=spec, distribution=self.distribution))

    def deprecated(self, kind: Kind, old: str, new: str) -> None:
        """Keep an old name working: asking for it warns and gives the new one."""
        if kind not in KINDS:
            self._refuse("deprecated name", old, f"has the unknown kind {_quoted(kind)}")
        elif not (valid_name(old) and valid_name(new)):
            self._refuse(f"deprecated {kind}", old, "is not made of lower-case words joined by - _ or .")
        else:
            self.renamed.append((kind, old, new))

    def _add(self, kind: Kind, name: str, target: str, needs: Sequence[str], provides: Sequence[str], summary: str, family: bool = False) -> None:
        if not valid_name(name) or (family and "/" in name):
            self._refuse(kind, name, "is not made of lower-case words joined by - _ or .")
        elif not (isinstance(target, str) and _TARGET.fullmatch(target)):
            self._refuse(kind, name, f"has the target {_quoted(target)}, which is not 'module:attribute'")
        elif not (_words(needs) and _words(provides)):
            self._refuse(kind, name, "has needs or provides that are not a sequence of lower-case words")
        elif not isinstance(summary, str):
            self._refuse(kind, name, "has a summary that is no string")
        elif self._is_new(kind, name, family):
            entry = Entry(kind, name, target, tuple(needs), tuple(provides), summary, self.plugin, family=family, distribution=self.distribution)
            self.entries.append(entry)

    def _is_new(self, kind: Kind, name: str, family: bool = False) -> bool:
        prefix, slash, _ = name.partition("/")
        if (kind, f"{name}/*" if family else name) in self.taken or (slash and (kind, f"{prefix}/*") in self.taken):
            self._refuse(kind, name, "belongs to merzoo itself; the plugin must take another name")
            return False
        if any((entry.kind, entry.name) == (kind, name) for entry in self.entries):
            self._refuse(kind, name, "is registered twice by the same plugin")
            return False
        return True

    def _refuse(self, kind: str, name: object, why: str) -> None:
        self.refused.append(f"{kind} {_quoted(name)} refused: it {why}")


def _quoted(name: object) -> str:
    return f"'{plain(name, limit=80)}'"


def _words(words: object) -> bool:
    return isinstance(words, Sequence) and not isinstance(words, str) and all(valid_name(word) for word in words)
