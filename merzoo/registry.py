"""What is registered under which name, by whom. No torch: targets are strings until somebody loads one."""

from __future__ import annotations

import difflib
import fnmatch
import os
import re
import threading
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from merzoo.compose import composed, is_composed
from merzoo.entries import KINDS, Entry, Kind, Register
from merzoo.errors import CollisionError, MerzooWarning, PluginError, UnknownNameError, UsageError
from merzoo.specs import ModelSpec
from merzoo.text import plain

if TYPE_CHECKING:
    from merzoo.plugins import PluginRecord

__all__ = ["KINDS", "Entry", "Register", "Registry", "info", "list_models", "registry"]


class Registry:
    """Names of all plugins. `records` says how each plugin fared; `add` takes in what one plugin registered."""

    def __init__(self) -> None:
        self._claims: dict[tuple[str, str], list[Entry]] = {}  # (kind, name) -> every plugin's claim
        self._families: dict[tuple[str, str], list[Entry]] = {}  # (kind, prefix) -> claims
        self._deprecated: dict[tuple[str, str], list[tuple[str, Entry]]] = {}  # (kind, old) -> (new, who says so)
        self.records: list[PluginRecord] = []

    def add(self, register: Register) -> None:
        """Take in everything that one plugin's hook registered."""
        for entry in register.entries:
            table = self._families if entry.family else self._claims
            table.setdefault((entry.kind, entry.name), []).append(entry)
        for kind, old, new in register.renamed:
            self._deprecated.setdefault((kind, old), []).append((new, Entry(kind, old, "", plugin=register.plugin, distribution=register.distribution)))

    def get(self, kind: Kind | str, name: str, plugin: str = "") -> Entry:
        """The entry of that kind and name; a family's member (`timm/resnet18`) resolves through its prefix, a deprecated name warns and forwards.

        plugin: whose model asks; where several claim the name, its own is meant, so that a stranger's claim breaks no model.

        Raises `UnknownNameError` with near names, and `CollisionError` where two plugins claim the name.
        """
        return self._get(kind, name, plugin, seen=())

    def _get(self, kind: str, name: str, plugin: str, seen: tuple[str, ...]) -> Entry:
        if kind not in KINDS:
            raise UnknownNameError("kind", kind, difflib.get_close_matches(kind, KINDS), f"(kinds: {', '.join(KINDS)})")
        claims = self._claims_of(kind, name)
        if claims:
            own = [entry for entry in claims if entry.plugin == plugin]
            if len(claims) > 1 and not own:
                raise CollisionError(kind, name, [entry.plugin for entry in claims], [entry.credit for entry in claims])
            return (own or claims)[0]
        forwards = self._deprecated.get((kind, name), [])
        if not forwards or name in seen:
            where = f"see `merzoo list{'' if kind == 'model' else f' --kind {kind}'}`"
            raise UnknownNameError(kind, name, self.near(kind, name), f"({where}{_spelling(name) if kind == 'model' else ''}{self.not_loaded()})")
        theirs = [forward for forward in forwards if forward[1].plugin == plugin]
        if len({by.plugin for _, by in forwards}) > 1 and not theirs:
            raise CollisionError(f"deprecated {kind}", name, [by.plugin for _, by in forwards], [by.credit for _, by in forwards])
        new, by = (theirs or forwards)[0]
        warnings.warn(f"{kind} '{name}' is deprecated by {by.plugin}; use '{new}'", MerzooWarning, stacklevel=3)
        return self._get(kind, new, plugin, (*seen, name))

    def _claims_of(self, kind: str, name: str) -> list[Entry]:
        """Every plugin's claim to a name. A family's own plugin may register one of its members apart; anybody else who does collides with it. A model that is
        made by its name (`merzoo.compose`) is nobody's."""
        if kind == "model" and is_composed(name):
            spec = composed(self, name)
            return [Entry("model", name, "", summary=spec.summary, plugin="several plugins", spec=spec)]
        claims = list(self._claims.get((kind, name), ()))
        prefix, slash, member = name.partition("/")
        if slash:
            owners = {entry.plugin for entry in claims}
            families = (entry for entry in self._families.get((kind, prefix), ()) if entry.plugin not in owners)
            claims += [found for entry in families if (found := entry.of_member(member)) is not None]
        return claims

    def collisions(self) -> list[tuple[str, list[Entry]]]:
        """Every name that several plugins claim, in words, with all claims; a deprecated name that is not in use is one, too."""
        claims = [*(self._claims_of(kind, name) for kind, name in self._claims), *self._families.values()]
        named = [(f"{rivals[0].kind} '{rivals[0].shown}'", rivals) for rivals in claims]
        for (kind, old), forwards in self._deprecated.items():
            if not self._claims_of(kind, old):
                named.append((f"deprecated {kind} '{old}'", [by for _, by in forwards]))
        return [(what, rivals) for what, rivals in named if len({entry.plugin for entry in rivals}) > 1]

    def kinds_of(self, name: str) -> list[str]:
        """The kinds that have something under this name, models first."""
        return [kind for kind in KINDS if self._claims_of(kind, name) or (kind, name) in self._deprecated]

    def near(self, kind: str | None, name: str) -> list[str]:
        """Up to three registered names that look like this one."""
        names = sorted({entry.name for entry in self.entries(kind) if not entry.family})
        by_folded = {n.lower(): n for n in names}
        folded = str(name).lower()[:80]
        near = [by_folded[n] for n in difflib.get_close_matches(folded, by_folded, n=3)]
        return near or [n for n in names if len(folded) > 2 and folded in n][:3]

    def not_loaded(self) -> str:
        """A clause on the plugins that may have what is missed here, `merzoo plugins` tells why they have not; "" where there are none."""
        why = {"blocked": "is blocked by MERZOO_PLUGINS", "failed": "failed", "incompatible": "is incompatible"}
        found = [f"{record.name} {why[record.status]}" for record in self.records if record.status in why]
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        return f"; plugins not loaded: {', '.join(found[:3])}{more}: see `merzoo plugins`" if found else ""

    def entries(self, kind: Kind | str | None = None, pattern: str | None = None) -> list[Entry]:
        """Entries in order of kind and name; `pattern` takes the wildcards *, ? and [..].

        A family is one entry, shown as `prefix/*`, and also found by the name of a member.
        """
        found = [entry for table in (self._claims, self._families) for claims in table.values() for entry in claims]
        if kind is not None:
            found = [entry for entry in found if entry.kind == kind]
        if pattern is not None:
            inside = pattern.partition("/")[0] if "/" in pattern else None
            found = [entry for entry in found if fnmatch.fnmatchcase(entry.shown, pattern) or (entry.family and entry.name == inside)]
        return sorted(found, key=lambda entry: (KINDS.index(entry.kind), entry.shown, entry.plugin))

    def model(self, name: str) -> ModelSpec:
        """The specification of a model. Raises like `get`, and `UsageError` for a published model, which is no name to train under."""
        from merzoo.hub import is_published

        if is_published(name):
            shown = plain(name, 200)
            raise UsageError(f"{shown} is a published model, which predict and info take; to train or evaluate, give its model and --from {shown}")
        spec = self.get("model", name).spec
        assert spec is not None  # Register.model is the only way to make a model entry
        return spec

    def parts(self, spec: ModelSpec) -> list[Entry]:
        """The backbone, head, auxiliary tasks and strategy of a model, in this order. Raises `UnknownNameError` that names the model."""
        wanted: list[tuple[Kind, str]] = [("backbone", spec.backbone), ("head", spec.head)]
        wanted += [("auxiliary-task", name) for name in spec.auxiliary]
        return self._parts_of(spec, [*wanted, ("strategy", spec.strategy)])

    def views(self, spec: ModelSpec) -> list[Entry]:
        """The view kinds and aligners that a model uses. Raises `UnknownNameError` that names the model."""
        views = {view.kind for side in (spec.train_views, spec.test_views) for looks in side.values() for view in looks}
        aligners = {preset.preprocessing.aligner for preset in spec.presets.values()}
        wanted: list[tuple[Kind, str]] = [("view", name) for name in sorted(views)]
        return self._parts_of(spec, [*wanted, *(("aligner", name) for name in sorted(aligners))])

    def _parts_of(self, spec: ModelSpec, wanted: Iterable[tuple[Kind, str]]) -> list[Entry]:
        found = []
        models = self._claims.get(("model", spec.name.partition(",")[0]), ())  # with other options it is still its plugin's
        plugin = models[0].plugin if len(models) == 1 else ""
        for kind, name in wanted:
            try:
                found.append(self.get(kind, name, plugin))
            except UnknownNameError as error:
                hint = f"(install the plugin that has it{self.not_loaded() or ', or see `merzoo plugins`'})"
                raise UnknownNameError(f"{kind} of model {spec.name}", name, error.near, hint) from None
        return found


def _spelling(name: str) -> str:
    """How a published model is named, where somebody may have meant one."""
    if os.path.isfile(os.path.join(name, "config.json")):  # noqa: PTH113, PTH118  (Path raises for names that are too long)
        return f"; a published folder is local-dir:{plain(name, 200)}"
    return "; a published model is hf-hub:org/repo" if re.fullmatch(r"(?i)(hf.hub:)?[\w.-]+/[\w.@-]+", name) else ""


_registry: Registry | None = None
_building = False
_lock = threading.RLock()


def registry() -> Registry:
    """The registry of this process, made on first use from every installed plugin. `merzoo.plugins.load_registry()` makes a fresh one.

    Raises `PluginError` when a plugin asks for it while plugins are being loaded.
    """
    global _registry, _building
    with _lock:
        if _registry is None:
            if _building:
                raise PluginError("the registry was asked for while plugins are loading; a plugin must look names up later, not on import")
            from merzoo.plugins import load_registry

            _building = True
            try:
                _registry = load_registry()
            finally:
                _building = False
        return _registry


def list_models(pattern: str | None = None) -> list[str]:
    """Names of all registered models, sorted; `pattern` takes the wildcards *, ? and [..]."""
    return sorted({entry.name for entry in registry().entries("model", pattern)})


def info(name: str, kind: str | None = None) -> dict[str, Any]:
    """Everything known about a name without loading it: parts, presets, weights, needs, provides, views, paper, licence, plugin.

    kind: which one is meant where a model and a part share a name; the model, if None. A published model (`hf-hub:…`, `local-dir:…`) is told as the model it
    is, with its own weights alone, which are not fetched. Raises `UnknownNameError` for a name nobody registered and for a model whose parts are not
    installed, `WeightsError` for a published model whose config cannot be had.
    """
    from merzoo.describe import describe, tree
    from merzoo.hub import about_published, is_published

    if not is_published(name):
        return describe(registry(), name, kind)
    config, weights = about_published(name)
    return describe(registry(), config.model, "model") | {"name": name, "also": [], "weights": [tree(weights)]}
