"""Under what licence the weights are offered: what the model says, unless they know licensed data."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass

from merzoo.errors import MerzooWarning, UsageError
from merzoo.publish.trained import Trained
from merzoo.text import plain

ID = re.compile(r"[a-z0-9]+(?:[.-][a-z0-9]+)*(?:\+\+)?")
DATA_TERMS = "terms-of-the-training-data"
# What the Hub's documentation lists (huggingface.co/docs/hub/repositories-licenses); the list grows there, so that others are doubted and not refused.
_LISTED = """
    afl-3.0 agpl-3.0 apache-2.0 artistic-2.0 bigcode-openrail-m bigscience-bloom-rail-1.0 bigscience-openrail-m bsd bsd-2-clause bsd-3-clause
    bsd-3-clause-clear bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0
    cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0 cdla-permissive-2.0
    cdla-sharing-1.0 creativeml-openrail-m deepfloyd-if-license ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 gemma gfdl gpl gpl-2.0 gpl-3.0 isc
    lgpl lgpl-2.1 lgpl-3.0 lgpl-lr llama2 lppl-1.3c mit mpl-2.0 ms-pl ncsa odbl odc-by ofl-1.1 openrail openrail++ osl-3.0 other pddl postgresql unknown
    unlicense wtfpl zlib
"""
KNOWN = frozenset(_LISTED.split())


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
    named (our choice). Warns of a licence that the Hub's documentation does not list. Raises `UsageError` for what is no identifier.
    """
    if asked is not None:
        if not ID.fullmatch(asked):
            raise UsageError(f"--licence {plain(asked, 60)!r} is no licence as the Hub spells them; give one such as apache-2.0, cc-by-nc-4.0 or other")
        if asked not in KNOWN:
            told = f"--licence {asked} is not among the licences that the Hub lists, and it may refuse the card; for one of your own give other"
            warnings.warn(told, MerzooWarning, stacklevel=2)
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
