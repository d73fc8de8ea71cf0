"""Which parts fit together, told from the words they registered and without importing them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from merzoo.entries import Entry
from merzoo.errors import NeedsError

VOCABULARY = {  # word: (who provides it, what it means)
    "emotion-labels": ("dataset", "clips carry an emotion"),
    "au-labels": ("dataset", "clips carry the action units that are active"),
    "macro-clips": ("dataset", "ordinary expressions, or long clips, to pre-train on"),
    "pooled": ("backbone", "Features.pooled: one vector a branch, [B, D]"),
    "maps": ("backbone", "Features.maps: [B, C, h, w], for heads that pool by themselves and for class-activation pictures"),
    "pair-code": ("backbone", "a code of what changes between two frames; a network that sees one frame has none"),
    "no-running-statistics": ("backbone", "no layer keeps statistics across batches (as batch norm does), so a step may be replayed with other weights"),
    "twice-differentiable": ("backbone", "second derivatives with respect to the weights exist, as a bi-level step wants"),
    "multi-label": ("strategy", "it trains where a clip carries any number of labels, each a yes or no of its own"),
    "fitted": ("head", "it is fitted to features, without gradients"),
}
"""The words that parts say they need and provide. A plugin may use words of its own; its README says what they mean."""


REMEDIES = {
    "au-labels": "give a column `aus`, or take the auxiliary task out",
    "macro-clips": "add some by --macro NAME, or as rows of kind macro",
}
"""What to do where data lack a word that data can provide."""


def unmet(parts: Sequence[Entry], data_provides: Collection[str] = ()) -> list[tuple[Entry, list[str]]]:
    """Each part with those of its needs that neither another part nor the data provides, in order of `parts`; parts that lack nothing are left out."""
    found = []
    for part in parts:
        offered = _offered(part, parts) | set(data_provides)
        missing = [need for need in part.needs if need not in offered]
        if missing:
            found.append((part, missing))
    return found


def check_needs(parts: Sequence[Entry], data_provides: Collection[str] | None = ()) -> None:
    """Raise `NeedsError`, which names the part and what is missing, unless every need of every part is met by another part or by the data.

    data_provides: words of the data at hand; None where no data is known yet, and then whatever some registered data set provides counts as met.
    """
    data = any_data() if data_provides is None else set(data_provides)
    for part, missing in unmet(parts, data):
        remedy = "; ".join(REMEDIES[word] for word in missing if word in REMEDIES and data_provides is not None)
        raise NeedsError(f"{part.kind} '{part.name}'", missing, sorted(_offered(part, parts).union(data_provides or ())), remedy)


def _offered(part: Entry, parts: Sequence[Entry]) -> set[str]:
    return {word for other in parts if other is not part for word in other.provides}


def any_data() -> set[str]:
    """What some registered data set provides."""
    from merzoo.registry import registry

    known = {word for word, (who, _) in VOCABULARY.items() if who == "dataset"}
    return known.union(*(entry.provides for entry in registry().entries("dataset")))
