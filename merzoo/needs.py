"""Which parts fit together, told from the words they registered and without importing them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from merzoo.entries import Entry
from merzoo.errors import NeedsError

VOCABULARY = {
    # what a data set provides
    "emotion-labels": "clips carry an emotion",
    "au-labels": "clips carry the action units that are active",
    "macro-clips": "ordinary expressions, or long clips, to pre-train on",
    # what a backbone provides in `Features`
    "pooled": "Features.pooled: one vector a branch, [B, D]",
    "maps": "Features.maps: [B, C, h, w], for heads that pool by themselves and for class-activation pictures",
    "pair-code": "Features carries a code of what changes between two frames; a network that sees one frame has none",
    "no-running-statistics": "no layer keeps statistics across batches (as batch norm does), so a step may be replayed with other weights",
    "twice-differentiable": "second derivatives with respect to the weights exist, as a bi-level step wants",
    # what a head provides
    "fitted": "fit(features, labels) instead of gradients",
}
"""The words that parts say they need and provide. A plugin may use words of its own; its README says what they mean."""


def unmet(parts: Sequence[Entry], data_provides: Collection[str] = ()) -> list[tuple[Entry, list[str]]]:
    """Each part with those of its needs that neither another part nor the data provides, in order of `parts`; parts that lack nothing are left out."""
    found = []
    for part in parts:
        offered = set(data_provides).union(*(other.provides for other in parts if other is not part))
        missing = [need for need in part.needs if need not in offered]
        if missing:
            found.append((part, missing))
    return found


def check_needs(parts: Sequence[Entry], data_provides: Collection[str] = ()) -> None:
    """Raise `NeedsError`, which names the part and what is missing, unless every need of every part is met by another part or by the data."""
    for part, missing in unmet(parts, data_provides):
        offered = set(data_provides).union(*(other.provides for other in parts if other is not part))
        raise NeedsError(f"{part.kind} '{part.name}'", missing, sorted(offered))
