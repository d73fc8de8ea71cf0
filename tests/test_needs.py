"""Needs and provides: what fits together and what is refused."""

from __future__ import annotations

import pytest

from merzoo.entries import Entry
from merzoo.errors import NeedsError
from merzoo.needs import VOCABULARY, check_needs, unmet
from merzoo.registry import registry


def part(kind, name, needs=(), provides=()):
    return Entry(kind, name, "a:b", needs, provides)


TWO_FRAMES = part("backbone", "two-frames", provides=("pooled", "pair-code"))
ONE_FRAME = part("backbone", "one-frame", provides=("pooled",))
HEAD = part("head", "linear", needs=("pooled",))
FUTURE = part("auxiliary-task", "future-frame", needs=("pair-code", "macro-clips"))


def test_needs_are_met_by_other_parts_and_by_the_data():
    check_needs([TWO_FRAMES, HEAD, FUTURE], {"macro-clips"})


def test_a_missing_need_names_the_part_and_what_it_misses():
    with pytest.raises(NeedsError) as caught:
        check_needs([ONE_FRAME, HEAD, FUTURE], {"macro-clips"})
    assert (caught.value.part, caught.value.missing) == ("auxiliary-task 'future-frame'", ("pair-code",))
    assert "macro-clips, pooled" in str(caught.value)


def test_a_missing_need_of_the_data():
    with pytest.raises(NeedsError, match="macro-clips"):
        check_needs([TWO_FRAMES, HEAD, FUTURE])


def test_a_part_does_not_meet_its_own_need():
    selfish = part("head", "selfish", needs=("light",), provides=("light",))
    assert unmet([selfish]) == [(selfish, ["light"])]
    assert unmet([selfish, selfish])[0][0] is selfish
    check_needs([selfish, part("backbone", "sun", provides=("light",))])


def test_without_data_at_hand_only_the_parts_are_checked():
    check_needs([TWO_FRAMES, HEAD, FUTURE], None)
    with pytest.raises(NeedsError, match="pair-code, which"):
        check_needs([ONE_FRAME, HEAD, FUTURE], None)


def test_every_word_the_core_uses_is_in_the_vocabulary():
    entries = [entry for entry in registry().entries() if entry.plugin == "merzoo-builtin"]
    assert {word for entry in entries for word in (*entry.needs, *entry.provides)} <= set(VOCABULARY)
