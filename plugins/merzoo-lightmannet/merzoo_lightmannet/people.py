"""Who gives the support of an episode and who its query: people dealt to two sides so that each class is on both, where it can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

TRIES = 8  # deals, of which the best is taken; our choice: one is nearly always enough, and to find the best for certain is set splitting, which is hard

Has = Mapping[str, frozenset[int]]  # person -> classes


def two_sides(has: Has, rng: torch.Generator) -> tuple[frozenset[str], frozenset[str]]:
    """Two disjoint groups of all people, as alike in number as the classes allow; drawn at random.

    A class that two people have is on both sides, unless these are needed apart for other classes; one that a single person has is on one side. No side is
    empty where there are two people.
    """
    people, classes = sorted(has), sorted(frozenset().union(*has.values()))
    holders = {c: sum(c in has[p] for p in people) for c in classes}
    wanted = sum(count > 1 for count in holders.values())
    best, reached = (frozenset[str](), frozenset[str]()), -1
    for _ in range(TRIES):
        order = [people[i] for i in torch.randperm(len(people), generator=rng).tolist()]
        coins = torch.randint(2, (len(classes),), generator=rng).tolist()
        rarest = sorted(zip(classes, coins, strict=True), key=lambda pair: holders[pair[0]])
        sides = _dealt(order, has, rarest)
        both = sum(all(any(c in has[p] for p in side) for side in sides) for c in classes)
        if both > reached:
            best, reached = (frozenset(sides[0]), frozenset(sides[1])), both
        if reached == wanted:
            break
    if not all(best) and len(people) > 1:  # nobody shares a class, and every coin fell alike
        order = [people[i] for i in torch.randperm(len(people), generator=rng).tolist()]
        return frozenset(order[::2]), frozenset(order[1::2])
    return best


def _dealt(order: Sequence[str], has: Has, rarest: Sequence[tuple[int, int]]) -> tuple[list[str], list[str]]:
    """One deal: class by class, from the rarest, whoever is next goes to a side that lacks it, beginning with the side of its coin; then the rest in turn."""
    sides: tuple[list[str], list[str]] = ([], [])
    free = list(order)
    for label, coin in rarest:
        for side in (sides[coin], sides[1 - coin]):
            if not any(label in has[p] for p in side) and (chosen := next((p for p in free if label in has[p]), None)):
                side.append(chosen)
                free.remove(chosen)
    for person in free:
        min(sides, key=len).append(person)
    return sides
