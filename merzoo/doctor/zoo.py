"""The installed plugins, and the data sets whose place is remembered."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

from merzoo.doctor.check import Check, State
from merzoo.doctor.software import required, unmet
from merzoo.errors import MerzooWarning
from merzoo.installed import BUILTIN, distributions
from merzoo.plugins import VARIABLE, PluginRecord, load_registry, slow
from merzoo.text import plain


def plugins() -> Iterator[Check]:
    """How each plugin fares; those with a problem have a line of their own."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", MerzooWarning)
        zoo = load_registry()
    sound = [record for record in zoo.records if record.status in ("ok", "blocked") and not slow(record)]
    names = ", ".join(f"{record.name} {record.version}" + (" (blocked)" if record.status == "blocked" else "") for record in sound)
    models = len({entry.name for entry in zoo.entries("model")})
    facts = {"plugins": {record.name: record.status for record in zoo.records}, "models": models}
    yield Check("plugins", "ok", f"{models} models; {names}", facts=facts)
    for record in zoo.records:
        if record not in sound:
            yield _troubled(record)
    for text in (str(warning.message) for warning in said):
        if text.startswith(VARIABLE):
            yield Check("plugins", "warn", text.removesuffix("; see 'merzoo plugins'"), f"set {VARIABLE} to names that `merzoo plugins` shows")
    yield from _unmet_requirements()


def _troubled(record: PluginRecord) -> Check:
    remedy = f"update or uninstall {record.distribution}, or block it: {VARIABLE}=-{record.name}"
    if record.status in ("ok", "warning") and not record.error:
        return Check("plugins", "warn", f"{record.shown} {slow(record)}", remedy, {"load_ms": record.load_ms})
    state: State = "fail" if record.name == BUILTIN and record.status == "failed" else "warn"
    verb = {"failed": "failed: ", "incompatible": ""}.get(record.status, "has a problem: ")
    return Check("plugins", state, f"{record.shown} {verb}{record.error}", remedy, {"status": record.status})


def _unmet_requirements() -> Iterator[Check]:
    """What plugins' distributions require beside merzoo and is not installed; it would show when a model is built."""
    from importlib.metadata import PackageNotFoundError, version

    for shipped in distributions():
        if shipped.name == "merzoo":  # has a check of its own
            continue
        try:
            wanted = required([line for line in shipped.requires if len(line) < 500])
        except Exception:  # told by the plugin's own record where it matters
            continue
        for requirement in wanted:
            try:
                there: str | None = version(requirement.name)
            except PackageNotFoundError:
                there = None
            if requirement.name.lower() != "merzoo" and unmet(requirement, there):
                need = plain(f"{requirement.name}{requirement.specifier}", 80)
                has = f"{plain(there, 40)} is installed" if there else "which is not installed"
                name = plain(shipped.name, 80)
                yield Check("plugins", "warn", f"{name} requires {need}, {'but ' if there else ''}{has}", f"pip install '{need}', or another version of {name}")


def data() -> Iterator[Check]:
    """Data sets that were prepared or verified from a folder which is gone."""
    from merzoo.data.roots import remembered

    known = remembered()
    gone = {name: root for name, root in known.items() if not Path(root).exists()}
    for name, root in gone.items():
        name = plain(name, 80)
        yield Check("data", "warn", f"{name} was in {plain(root)}, which is gone", f"mount it, or say where it is: merzoo data prepare {name} --root DIR")
    there = [plain(name, 80) for name in known if name not in gone]
    if there or not gone:
        yield Check("data", "ok", f"data sets in place: {', '.join(there) or 'none registered; the synthetic faces need none'}", facts={"roots": known})
