"""Episodes: who is in them, how many of each class, and that they are a pure function of the seed and the step."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from merzoo_lightmannet.episodes import EpisodeBatches
from merzoo_lightmannet.people import two_sides

from merzoo.data.clips import ClipData, Clips
from merzoo.errors import DataError, UsageError
from merzoo.training.data import TrainingData
from merzoo.training.engine import run_stages
from merzoo.training.machine import Machine

CPU = torch.device("cpu")


def batches(tiny: ClipData, make, test=(), **options) -> EpisodeBatches:
    recognizer = make(**options)
    return recognizer.strategy.training(recognizer, TrainingData.without(tiny, test, recognizer.train_views)).batches


def test_support_and_query_share_nobody_and_test_subjects_are_nowhere(tiny, make):
    tested = {sorted(Clips(tiny, kind).subjects)[0] for kind in ("micro", "macro")}
    drawn = batches(tiny, make, tested)
    who, beside = drawn.micro.subject_of, drawn.macro.subject_of
    met = set()
    for step in range(40):
        for episode in drawn.episodes(3, step):
            support, query = set(who[episode.support]), set(who[episode.query])
            assert support and query and not support & query
            assert not (support | query | set(beside[episode.macro])) & tested
            met |= support
    assert met == drawn.micro.subjects  # the deal is new each time: everybody gives support some day


def test_each_class_is_drawn_up_to_its_share_and_no_clip_twice(tiny, make):
    drawn = batches(tiny, make)
    for step in range(20):
        for episode in drawn.episodes(0, step):
            for labels, part in ((drawn.micro.labels, episode.support), (drawn.micro.labels, episode.query), (drawn.macro_labels(0), episode.macro)):
                counts = Counter(labels[part].tolist())
                assert len(set(part.tolist())) == len(part) and max(counts.values()) <= 2
            assert set(drawn.macro_labels(0)[episode.macro].tolist()) == set(drawn.macro.labels.tolist())


def test_a_class_is_on_both_sides_wherever_two_people_have_it():
    generator = torch.Generator().manual_seed(0)
    has = {"a": frozenset({0, 1}), "b": frozenset({0, 2}), "c": frozenset({1, 2}), "d": frozenset({3}), "e": frozenset({0, 1, 2})}
    has |= {name: frozenset({0}) for name in "fghijk"}
    alone = []
    for _ in range(50):
        first, second = two_sides(has, generator)
        assert first | second == set(has) and not first & second and abs(len(first) - len(second)) <= 1
        for label in (0, 1, 2):
            assert all(any(label in has[p] for p in side) for side in (first, second))
        alone.append("d" in first)
    assert 5 < sum(alone) < 45  # who has a class alone is on either side


@pytest.mark.parametrize("count", [2, 3, 5])
def test_no_side_is_empty_where_each_person_has_one_class_alone(count):
    generator = torch.Generator().manual_seed(0)
    has = {name: frozenset({label}) for label, name in enumerate("abcde"[:count])}
    firsts = set()
    for _ in range(200):
        first, second = two_sides(has, generator)
        assert first and second and first | second == set(has) and not first & second
        firsts.add(first)
    assert len(firsts) == 2**count - 2  # every deal happens but the two that leave a side empty


def test_a_few_shot_draw_of_one_clip_a_class_trains_in_episodes(tiny, make):
    """Without weights to go on from, as in `--protocol few-shot-1`: each class is shown by one clip of a person of its own."""
    recognizer = make(steps=8, tasks=1, interval_jitter=False)
    micro = Clips(tiny, "micro")
    own = {who: label for label, who in enumerate(sorted(micro.subjects))}
    few = {who: clip for who, label, clip in zip(micro.subject_of, micro.labels, micro.sample_ids, strict=True) if label == own[who]}
    assert len(few) > 1
    data = TrainingData.without(tiny, [], recognizer.train_views, train_ids=list(few.values()))
    (stage,) = recognizer.strategy.stages(recognizer, data)
    assert all(len(e.support) and len(e.query) for step in range(100) for e in stage.batches.episodes(0, step))
    logs = run_stages(recognizer, [stage], seed=0, machine=Machine("cpu", "fp32", 1))
    assert all(math.isfinite(row["loss"]) for row in logs[0].rows)


def test_a_class_with_one_clip_is_on_one_side_only(tiny, make):
    whole = batches(tiny, make)
    rare = whole.micro.labels[0]
    kept = (whole.micro.labels != rare) | (np.arange(len(whole.micro)) == 0)
    drawn = replace(whole, micro=whole.micro.where(kept))
    sides = []
    for step in range(20):
        for episode in drawn.episodes(1, step):
            found = [rare in drawn.micro.labels[part] for part in (episode.support, episode.query)]
            assert sum(found) == 1
            sides.append(found[0])
    assert len(set(sides)) == 2
    assert drawn.draw(1, 0, CPU)["tasks"][0]["support"]["label"].dtype == torch.int64


def test_batches_are_a_pure_function_of_seed_and_step(tiny, make):
    def shown(drawn: EpisodeBatches, seed: int, step: int) -> list[torch.Tensor]:
        return [values for task in drawn.draw(seed, step, CPU)["tasks"] for part in task.values() for values in part.values()]

    one = batches(tiny, make)
    first = shown(one, 5, 1)
    for step in range(3):  # what was drawn before makes no difference
        one.draw(5, step, CPU)
    assert all(torch.equal(a, b) for a, b in zip(first, shown(one, 5, 1), strict=True))
    for other in (shown(one, 5, 2), shown(one, 6, 1)):
        assert any(a.shape != b.shape or not torch.equal(a, b) for a, b in zip(first, other, strict=True))
    task = one.draw(5, 1, CPU)["tasks"][0]
    assert set(task) == {"support", "query", "macro"} and task["macro"]["keyframes"].shape[1:] == (2, 3, 48, 48)


def test_shuffled_macro_labels_change_hands_once_for_a_seed(tiny, make):
    plain, shuffled = batches(tiny, make), batches(tiny, make, task={"shuffle_macro_labels": True})
    own = plain.macro.labels
    assert all(np.array_equal(plain.macro_labels(seed), own) for seed in range(20))
    orders = {tuple(shuffled.macro_labels(seed).tolist()) for seed in range(20)}
    assert {tuple(sorted(order)) for order in orders} == {tuple(sorted(own.tolist()))} and len(orders) > 1
    assert np.array_equal(shuffled.macro_labels(4), shuffled.macro_labels(4))
    seed = next(s for s in range(20) if not np.array_equal(shuffled.macro_labels(s), own))
    drawn, episode = shuffled.draw(seed, 0, CPU)["tasks"][0]["macro"], shuffled.episodes(seed, 0)[0]
    assert drawn["label"].tolist() == shuffled.macro_labels(seed)[episode.macro].tolist()


def test_one_person_cannot_be_on_both_sides_but_suffices_for_a_single_level(tiny, make):
    people = sorted(Clips(tiny, "micro").subjects)
    with pytest.raises(DataError, match=r"other people.*level=single"):
        batches(tiny, make, people[1:])
    drawn = batches(tiny, make, people[1:], level="single")
    assert all(len(part["keyframes"]) == len(part["label"]) for task in drawn.draw(0, 0, CPU)["tasks"] for part in task.values())
    with pytest.raises(DataError, match="no labelled clip"):
        batches(tiny, make, people, level="single")


def test_sizes_that_cannot_be(tiny, make):
    with pytest.raises(UsageError, match="tasks"):
        batches(tiny, make, tasks=0)
