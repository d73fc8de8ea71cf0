"""Cells of annotation sheets made plain values. Pure functions that take any object and never fail on one."""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass
from numbers import Integral, Real

LARGEST = 2**31  # no frame number comes near it, and every array of frame numbers holds it
TEXT_LIMIT = 200  # characters

_INT = re.compile(r"[+-]?[0-9]{1,15}(?:\.0*)?")
_NARROW = {0xFF01 + at: 0x21 + at for at in range(94)}  # full-width signs to the plain ones; not NFKC, which reads a footnote mark as a digit (12² as 122)
_SEPARATORS = re.compile(r"[+,;、]")
_STATIC_APART = re.compile(r"\s*\(\s*k\s*\)", re.IGNORECASE)
STATIC, UNDECIDED = "static", "undecided"  # why a token was left out
_OR = re.compile(r"or", re.IGNORECASE)
_STATIC = re.compile(r"\(\s*k\s*\)", re.IGNORECASE)
_NOISE = re.compile(r"[\s()\[\]{}?*'’\".#_]+")
_AU = re.compile(r"(?:AU)?(?:LL|RR|L|R|B|T)?(?:AU)?0*([0-9]{1,2})[A-E]?", re.IGNORECASE)
_NOBODY_CODED = {"", "/", "-", "n/a", "na", "nan", "nat"}
_NONE_ACTIVE = {"0", "no", "none", "null"}

EMOTIONS = {  # other words for one emotion; "repression" against "others" is decided by each data set
    "happy": "happiness", "sad": "sadness", "angry": "anger", "other": "others",
    "surprised": "surprise", "disgusted": "disgust", "fearful": "fear", "repressed": "repression",
}  # fmt: skip


def parse_int(cell: object) -> int | None:
    """A whole number below 2**31 in size, or None: 12, 12.0, "12", " 012 ", "12.0", full-width digits. Not 12.5, "/", a truth value or "#REF!"."""
    number = _whole(cell)
    if isinstance(cell, str):
        text = cell[: TEXT_LIMIT + 1].translate(_NARROW).strip()
        number = int(text.partition(".")[0]) if _INT.fullmatch(text) else None
    return number if number is not None and abs(number) < LARGEST else None


def _whole(cell: object) -> int | None:
    """A number without a fraction as int; None for anything else, truth values too."""
    if isinstance(cell, bool):
        return None
    if isinstance(cell, Integral):
        return int(cell)
    try:
        value = float(cell) if isinstance(cell, Real) else math.nan
    except OverflowError:
        return None
    return int(value) if value.is_integer() else None


def parse_text(cell: object) -> str:
    """A name as it stands in the cell: "" for None and nan, whole floats without their ".0", no white space at the ends, each run of it inside one space,
    control and invisible characters left out, at most 200 characters.

    Full-width and composed letters stay, because a name must equal that of a folder. It may hold "/" and "..": whoever makes a path of it must check that it
    stays inside.
    """
    return _clean(cell)[:TEXT_LIMIT].strip()


def _clean(cell: object) -> str:
    """All the text of a cell, however long."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    whole = _whole(cell)
    if whole is not None and abs(whole) >= 10**TEXT_LIMIT:
        return ""  # Python refuses to print a number of many thousand digits, and no name is one
    cell = cell if whole is None else whole
    text = " ".join(str(cell).split())
    return "".join(c for c in text if unicodedata.category(c) not in {"Cc", "Cf", "Cs", "Co", "Cn"})


@dataclass(frozen=True)
class AUs:
    """Action units of one clip. aus: active ones, sorted. skipped: each token that was left out, with its reason."""

    aus: tuple[int, ...] = ()
    skipped: tuple[str, ...] = ()

    @property
    def undecided(self) -> bool:
        """Whether a token names units of which one is active and nobody says which: the others of the cell are sure, these are unknown."""
        return any(token.endswith(f"({UNDECIDED})") for token in self.skipped)

    @property
    def known(self) -> bool:
        """Whether the cell says something: an active unit, that none is, or static ones alone; not where everything in it was left out for another reason."""
        return bool(self.aus) or all(token.endswith(f"({STATIC})") for token in self.skipped)


def parse_aus(cell: object) -> AUs | None:
    """Action units of a cell like "L4B+R12", "4，12" or "AU1 + AU2"; None where nobody coded them (an empty cell, nan, "/").

    "0", "no" and "none" say that somebody looked and saw none: no active unit (our choice). Tokens stand between "+", ",", ";", "、" or their full-width
    forms, and between "&" or white space where every piece is then a unit; sides (L, R, LL, RR, B, T) and intensities (A to E) are dropped. Left out with a
    reason: "(k)" (static in 4DME), "or" and "/" (undecided), and whatever does not hold one number from 1 to 99.
    """
    text = _clean(cell).translate(_NARROW).strip()
    if text.lower() in _NOBODY_CODED:
        return None
    if text.lower() in _NONE_ACTIVE:
        return AUs()
    found, skipped = set(), []
    for token in filter(None, (piece for part in _SEPARATORS.split(text) for piece in _pieces(part.strip()))):
        au, reason = _token(token)
        if au:
            found.add(au)
        else:
            skipped.append(f"{token[:40]} ({reason})")
    return AUs(tuple(sorted(found)), tuple(skipped))


def _pieces(token: str) -> list[str]:
    """A token as it is, or its pieces between "&" or white space where each is a unit: "4 7" is two, and "AU 4", "4 or 5" and "1 x" stay whole."""
    for pieces in (re.split(r"\s*&\s*", token), re.split(r"[\s&]+", _STATIC_APART.sub("(k)", token))):
        if len(pieces) > 1 and all(_token(piece)[1] in ("", STATIC) for piece in pieces):
            return pieces
    return [token]


def _token(token: str) -> tuple[int, str]:
    """(number, "") or (0, why not)."""
    runs = re.findall(r"[0-9]+", token)
    if _STATIC.search(token) and len(runs) <= 1:
        return 0, STATIC
    if _OR.search(token) or "/" in token:
        return 0, UNDECIDED
    match = _AU.fullmatch(_NOISE.sub("", token))
    if len(runs) != 1 or not match or not 1 <= int(match[1]) <= 99:
        return 0, "not an action unit"
    return int(match[1]), ""


def parse_emotion(cell: object) -> str:
    """Lower case, without white space at the ends, "happy", "sad", "other" … as "happiness", "sadness", "others" …

    Case says nothing here: which emotions a label set keeps is decided per data set (CASME II's "fear" is left out of three classes, SAMM's "Fear" is not).
    """
    text = parse_text(cell).translate(_NARROW).lower()
    return EMOTIONS.get(text, text)


def peak_or_middle(onset: int, apex: object, offset: int) -> tuple[int, str]:
    """(peak, ""), or (the middle frame, why) where the apex is missing, "/" or outside [onset, offset]. The middle is (onset + offset) // 2 (our choice,
    that of other loaders too). apex: a cell or a number."""
    peak = parse_int(apex)
    if peak is None:
        text = parse_text(apex)
        return (onset + offset) // 2, f"{text[:40]!r} is no frame" if text else "missing"
    if not onset <= peak <= offset:
        return (onset + offset) // 2, f"{peak} is outside {onset} to {offset}"
    return peak, ""
