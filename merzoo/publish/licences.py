"""Under what licence the weights are offered: what the model says, unless they know licensed data."""

from __future__ import annotations

import re
from dataclasses import dataclass

from merzoo.errors import UsageError
from merzoo.publish.trained import Trained
from merzoo.text import plain

ID = re.compile(r"[a-z0-9]+(?:[.-][a-z0-9]+)*")
DATA_TERMS = "terms-of-the-training-data"


@dataclass(frozen=True)
class Licence:
    """id: as the Hub spells it ("apache-2.0", "other"). name: of a licence that is "other", else "". text: what the card says."""

    id: str
    name: str
    text: str

    @property
    def told(self) -> str:
        """In one word."""
        return self.name or self.id


def licence_of(trained: Trained, asked: str | None) -> Licence:
    """The licence that was asked for, as the Hub spells it; else the model's own where nothing but rendered faces was learned from.

    Weights that learned from licensed recordings are not merzoo's to give away: there, unless the publisher says what may be done, the terms of the data are
    named (our choice). Raises `UsageError` for what is no identifier.
    """
    if asked is not None:
        if not ID.fullmatch(asked):
            raise UsageError(f"--licence {plain(asked, 60)!r} is no licence as the Hub spells them; give one such as apache-2.0, cc-by-nc-4.0 or other")
        return Licence(asked, "publisher" if asked == "other" else "", f"The publisher offers the weights under {asked}.{_data(trained)}")
    if trained.synthetic:
        own = trained.recognizer.spec.licence.lower()
        known = own if ID.fullmatch(own) else "other"
        text = f"The weights are offered under the model's licence, {trained.recognizer.spec.licence}. They learned from rendered faces alone."
        return Licence(known, "" if known == own else "model", text)
    text = "The publisher names no licence for the weights. They were made from data of others: use them as the terms of those data allow."
    return Licence("other", DATA_TERMS, text + _data(trained))


def _data(trained: Trained) -> str:
    named = [source.title for source in trained.sources if source.kind == "licensed"]
    return f" The terms of {' and '.join(named)} hold besides: most allow research only." if named else ""
