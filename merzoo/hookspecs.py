"""The one hook through which everything enters the zoo, ours included."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from merzoo.registry import Register

PROJECT = "merzoo"  # pluggy's project name and the entry-point group

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)  # optional: a function named merzoo_register is the hook with or without it


@hookspec
def merzoo_register(register: Register) -> None:
    """Register models and parts by name; import nothing heavy here, targets are strings."""
