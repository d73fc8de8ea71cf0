"""What results are compared with: the data sets and plugins of this machine, each opened once for any number of files."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from merzoo.data.sources import takes_roots
from merzoo.errors import MerzooError
from merzoo.evaluation.audit_data import HINT, Truth, open_named
from merzoo.registry import registry
from merzoo.results.about import about
from merzoo.specs import ModelSpec
from merzoo.text import plain


class Desk:
    """roots, remap, skip: where data lie, as `merzoo.data.sources.open_dataset` takes them. each: the roots are of several data sets; each takes its own."""

    def __init__(self, roots: Mapping[str, Path] | None = None, *, remap: Path | None = None, skip: Path | None = None, each: bool = False) -> None:
        self.each, self.roots, self.remap, self.skip = each, dict(roots or {}), remap, skip
        self._truth: dict[tuple[Any, ...], Truth | str] = {}
        self._about: dict[str, dict[str, Any]] = {}
        self._models: dict[str, ModelSpec | str] = {}

    def truth(self, data: Mapping[str, Any]) -> Truth | str:
        """The data set of what run.json says of its data (checked), or why it cannot be had. Whether it is the very same, its manifest hash tells.

        Raises `UsageError` where roots, remap or skip do not fit it.
        """
        key = (data["name"], data.get("part"), data.get("macro"))
        if key not in self._truth:
            self._truth[key] = self._opened(data)
        return self._truth[key]

    def model(self, name: str) -> ModelSpec | str:
        """The model of that name, or why there is none here."""
        if name not in self._models:
            try:
                known = "model" in registry().kinds_of(name)  # to look for near names takes longer than all that is asked of a file
                self._models[name] = registry().model(name) if known else f"no model '{plain(name, 80)}' is installed here"
            except MerzooError as error:
                self._models[name] = str(error)
        return self._models[name]

    def about(self, name: str) -> dict[str, Any]:
        """As `merzoo.results.about.about`."""
        if name not in self._about:
            self._about[name] = about(name)
        return self._about[name]

    def _opened(self, data: Mapping[str, Any]) -> Truth | str:
        roots = self._roots_of(data) if self.each else self.roots
        dataset, why = open_named(data, roots, remap=self.remap, skip=self.skip)
        if dataset is None:
            return why
        try:
            return Truth.of(dataset)
        except MerzooError as error:
            return f"{data['name']} cannot be read here: {error}; {HINT}"

    def _roots_of(self, data: Mapping[str, Any]) -> dict[str, Path]:
        wanted = [f"{data['name']}:{data['part']}" if data.get("part") else data["name"], *filter(None, (data.get("macro") or "").split(","))]
        takes: set[str] = set()
        for one in wanted:
            with contextlib.suppress(MerzooError):  # nobody's data set: that is told when it is opened
                takes.update(takes_roots(one))
        return {name: root for name, root in self.roots.items() if name in takes}
