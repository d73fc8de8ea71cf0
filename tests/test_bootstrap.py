from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from merzoo.errors import DataError
from merzoo.evaluation import Predictions, multilabel_scores, scores
from merzoo.evaluation.bootstrap import bootstrap, paired_difference

CLASSES = ("negative", "positive", "surprise")


def simulated(skill: float, seeds: int = 1, subjects: int = 20, samples: int = 6, draw: int = 0) -> Predictions:
    """Truth is the same for every skill and draw; a share `skill` of the predictions is right by construction."""
    n = subjects * samples
    truth = np.tile(np.random.default_rng(99).integers(0, 3, n), seeds)
    rng = np.random.default_rng(draw)
    guess = np.where(rng.random(n * seeds) < skill, truth, rng.integers(0, 3, n * seeds))
    ids, subject = (np.tile(np.array([f"{name}{i // div}" for i in range(n)]), seeds) for name, div in (("c", 1), ("s", samples)))
    return Predictions(CLASSES, ids, subject, truth, np.eye(3)[guess], np.repeat(np.arange(seeds), n), np.zeros(n * seeds, int))


def plain_resample(run: Predictions, resamples: int) -> np.ndarray:
    """The same bootstrap of UF1, one seed, written as a loop over drawn subjects."""
    rng, subjects, drawn = np.random.default_rng(7), np.unique(run.subject), []
    for _ in range(resamples):
        rows = np.concatenate([np.flatnonzero(run.subject == s) for s in rng.choice(subjects, len(subjects))])
        drawn.append(scores(run.label[rows], run.predicted[rows], list(range(3))).uf1)
    return np.percentile(drawn, [2.5, 97.5])


def test_the_interval_is_that_of_a_plain_loop_over_subjects() -> None:
    run = simulated(0.6)
    made = bootstrap(run, 4000)
    low, high = plain_resample(run, 800)
    assert made.scores["uf1"].value == scores(run.label, run.predicted, [0, 1, 2]).uf1
    assert made.scores["uf1"].low == pytest.approx(low, abs=0.02)
    assert made.scores["uf1"].high == pytest.approx(high, abs=0.02)
    assert made.unit == "subject"


def test_the_headline_of_several_seeds_is_the_mean_of_the_pooled_scores() -> None:
    run = simulated(0.5, seeds=3)
    each = [scores(run.label[run.seed == k], run.predicted[run.seed == k], [0, 1, 2]) for k in range(3)]
    made = bootstrap(run, 500)
    for name in ("uf1", "uar", "accuracy"):
        assert made.scores[name].value == pytest.approx(np.mean([getattr(s, name) for s in each]), abs=1e-12)


def test_subjects_are_the_unit_not_samples() -> None:
    """Samples of a subject that stand or fall together carry the information of one sample, so the interval is wider."""
    run = simulated(0.0, subjects=20, samples=20)
    together = np.repeat(np.random.default_rng(1).random(20) < 0.5, 20)
    clustered = np.where(together, run.label, (run.label + 1) % 3)
    width = {}
    for name, guess in (("clustered", clustered), ("spread", np.random.default_rng(2).permutation(clustered))):
        acc = bootstrap(replace(run, probabilities=np.eye(3)[guess]), 1000).scores["accuracy"]
        width[name] = acc.high - acc.low
    assert width["clustered"] > 2 * width["spread"]


def test_row_order_does_not_matter_and_the_draw_is_seeded() -> None:
    run = simulated(0.5, seeds=2)
    mixed = np.random.default_rng(0).permutation(len(run))
    assert bootstrap(run, 300) == bootstrap(run.where(mixed), 300)
    assert bootstrap(run, 300).scores["uf1"].low != bootstrap(run, 300, seed=1).scores["uf1"].low


def test_many_subjects_are_drawn_in_chunks_without_loss() -> None:
    made = bootstrap(simulated(0.5, subjects=900, samples=1), 5000)
    assert made.resamples == 5000
    assert 0 < made.scores["accuracy"].low < made.scores["accuracy"].value < made.scores["accuracy"].high < 1


def test_resamples_that_lack_a_class_are_counted() -> None:
    label = np.array([0] * 9 + [1])  # one subject of ten holds the only sample of class 1
    ids, subjects = (np.array([f"{name}{i}" for i in range(10)]) for name in "cs")
    run = Predictions(("a", "b"), ids, subjects, label, np.eye(2)[label], np.zeros(10, int), np.zeros(10, int))
    assert bootstrap(run, 10_000).lacking_a_class / 10_000 == pytest.approx(0.9**10, abs=0.02)


def test_the_interval_covers_the_truth() -> None:
    """Predictions right with probability 0.6 + 0.4 / 3 whatever the class: that is the accuracy an endless run would have."""
    covered = [e.low <= 0.6 + 0.4 / 3 <= e.high for e in (bootstrap(simulated(0.6, subjects=40, draw=d), 400).scores["accuracy"] for d in range(200))]
    assert 0.88 <= np.mean(covered) <= 0.99


def test_few_subjects_widen_the_interval() -> None:
    """Plain percentiles of few subjects are too narrow; the more there are, the less is added."""
    ratio = {}
    for subjects in (6, 60):
        run, rng = simulated(0.6, subjects=subjects, samples=20), np.random.default_rng(3)
        of = run.subject.astype("U9")
        right = {s: (run.predicted == run.label)[of == s].sum() for s in np.unique(of)}
        drawn = rng.choice([*right.values()], size=(4000, subjects)).mean(axis=1) / 20
        low, high = np.percentile(drawn, [2.5, 97.5])
        made = bootstrap(run, 4000).scores["accuracy"]
        ratio[subjects] = (made.high - made.low) / (high - low)
    assert 1.25 < ratio[6] < 1.7  # normal theory: 2.571 / 1.960 * sqrt(6 / 5) = 1.44
    assert 0.95 < ratio[60] < 1.1  # 1.03


def test_one_subject_says_nothing_of_others() -> None:
    run = simulated(0.5, subjects=1)
    assert {(e.low, e.high) for e in bootstrap(run, 50).scores.values()} == {(0, 1)}
    made = paired_difference(run, run, 50).scores["uf1"]
    assert (made.low, made.high, made.p_bootstrap) == (-1, 1, 1)


def test_the_value_is_inside_and_the_ends_are_scores() -> None:
    """Three people of one class each: every resample that lacks one scores lower than the run itself."""
    label = np.repeat(np.arange(3), 4)
    ids, subject = np.arange(12).astype(str), label.astype(str)
    run = Predictions(CLASSES, ids, subject, label, np.eye(3)[label], np.zeros(12, int), np.zeros(12, int))
    for e in bootstrap(run, 200).scores.values():
        assert 0 <= e.low <= e.value == e.high == 1


def test_seeds_that_agree_add_nothing_and_seeds_that_differ_as_a_whole_do() -> None:
    one = simulated(0.6, subjects=40)

    def three(*guesses: np.ndarray) -> Predictions:
        fields = {name: np.concatenate([getattr(one, name)] * 3) for name in ("sample_id", "subject", "label", "draw")}
        return Predictions(CLASSES, probabilities=np.concatenate(guesses), seed=np.repeat([4, 5, 6], len(one)), **fields)

    alike = bootstrap(three(*[one.probabilities] * 3), 2000).scores["accuracy"]
    assert alike == bootstrap(one, 2000).scores["accuracy"]
    spoiled = np.roll(one.probabilities, 1, axis=1)  # wrong wherever it was right
    apart = bootstrap(three(one.probabilities, one.probabilities, spoiled), 2000).scores["accuracy"]
    assert apart.high - apart.low > 2 * (alike.high - alike.low)


def drawn_twice(skill: float, seeds: int = 1) -> Predictions:
    """Two draws of a protocol: the second tests the first half of the subjects only."""
    first, second = simulated(skill, seeds, draw=1), simulated(skill, seeds, draw=2)
    half = second.where(np.isin(second.subject, [f"s{i}" for i in range(10)]))
    fields = {name: np.concatenate([getattr(first, name), getattr(half, name)]) for name in ("sample_id", "subject", "label", "probabilities", "seed")}
    return Predictions(CLASSES, draw=np.repeat([0, 1], [len(first), len(half)]), **fields)


def test_the_headline_of_several_draws_is_the_mean_of_each_draws_pooled_score() -> None:
    run = drawn_twice(0.5, seeds=2)
    each = [
        scores(run.label[rows], run.predicted[rows], [0, 1, 2]).uf1 for k in (0, 1) for d in (0, 1) for rows in [(run.seed == k) & (run.draw == d)]
    ]
    made = bootstrap(run, 300).scores["uf1"]
    assert made.value == pytest.approx(np.mean(each), abs=1e-12)
    assert made.low < made.value < made.high
    better = paired_difference(drawn_twice(0.95), drawn_twice(0.05), 300).scores["uf1"]
    assert better.low > 0


def test_what_draws_of_a_protocol_add_to_both_runs_cancels_where_they_are_the_same() -> None:
    """Some draws are easy and some hard, for both runs; the second run is a little worse in each. Were the draws not the same, their noise would count."""
    parts = [simulated(skill, draw=n) for n, skill in enumerate((0.1, 0.9, 0.2, 0.8))]
    fields = {name: np.concatenate([getattr(part, name) for part in parts]) for name in ("sample_id", "subject", "label", "probabilities", "seed")}
    run = Predictions(CLASSES, draw=np.repeat(np.arange(4), len(parts[0])), **fields)
    worse = run.probabilities.copy()
    worse[::30] = np.roll(worse[::30], 1, axis=1)
    other = replace(run, probabilities=worse)
    same, apart = (paired_difference(run, one, 1000).scores["accuracy"] for one in (other, replace(other, draw=other.draw + 10)))
    assert same.value == pytest.approx(apart.value) and apart.high - apart.low > 3 * (same.high - same.low)


def test_action_units_have_intervals_too() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random((120, 4)) < 0.4
    guess = np.where(rng.random(truth.shape) < 0.8, truth, ~truth)
    base = simulated(0.5)
    run = replace(base, classes=tuple("abcd"), label=truth, probabilities=guess * 0.9)
    made = bootstrap(run, 500).scores
    assert [*made] == ["au_f1"]
    assert made["au_f1"].value == pytest.approx(multilabel_scores(truth, guess, "abcd").au_f1, abs=1e-12)
    assert made["au_f1"].low < made["au_f1"].value < made["au_f1"].high
    perfect = replace(run, probabilities=truth * 1.0)
    assert paired_difference(perfect, run, 500).scores["au_f1"].low > 0
    with pytest.raises(DataError, match="another label"):
        paired_difference(run, replace(run, label=~truth), 10)
    with pytest.raises(DataError, match="class lists"):
        paired_difference(base, replace(base, label=np.eye(3)[base.label] > 0), 10)


def test_p_is_below_a_twentieth_where_the_interval_excludes_zero() -> None:
    found = [paired_difference(simulated(0.6, draw=d), simulated(0.5, draw=d + 100), 400).scores["uf1"] for d in range(40)]
    clear = [d for d in found if abs(d.p_bootstrap - 0.05) > 0.01]
    assert [d.excludes_zero for d in clear] == [d.p_bootstrap < 0.05 for d in clear]
    assert 5 < sum(d.excludes_zero for d in clear) < 35


def test_paired_difference_draws_the_same_subjects_for_both() -> None:
    better, worse = simulated(0.7, draw=1), simulated(0.3, draw=2)
    made = paired_difference(better, worse, 2000)
    assert made.scores["uf1"].value == bootstrap(better, 10).scores["uf1"].value - bootstrap(worse, 10).scores["uf1"].value
    assert made.scores["uf1"].low > 0
    assert made.scores["uf1"].excludes_zero
    assert made.scores["uf1"].p_bootstrap < 0.01
    same = paired_difference(better, better, 200).scores["uf1"]
    assert (same.value, same.low, same.high, same.p_bootstrap, same.excludes_zero) == (0, 0, 0, 1, False)
    # Errors on the same samples cancel: pairing is sharper than two intervals of their own.
    flipped = better.probabilities.copy()
    flipped[::60] = np.roll(flipped[::60], 1, axis=1)
    near = replace(better, probabilities=flipped)
    close, alone = paired_difference(better, near, 1000).scores["accuracy"], bootstrap(better, 1000).scores["accuracy"]
    assert close.high - close.low < (alone.high - alone.low) / 2


def test_paired_difference_of_runs_with_other_numbers_of_seeds() -> None:
    made = paired_difference(simulated(0.7, seeds=3, draw=1), simulated(0.3, seeds=1, draw=2), 500)
    assert made.scores["accuracy"].low > 0


def test_paired_difference_says_what_differs() -> None:
    run = simulated(0.5)

    other_id, other_label = run.sample_id.copy(), run.label.copy()
    other_id[0], other_label[4] = "zz", (other_label[4] + 1) % 3
    for odd, word in (
        (replace(run, sample_id=other_id), "only in the first run, e.g. c0"),
        (replace(run, label=other_label), "another label in each run, e.g. c4"),
        (replace(run, subject=np.roll(run.subject, 1)), "another subject"),
        (replace(run, classes=("x", "y", "z")), "class lists"),
    ):
        with pytest.raises(DataError, match=word):
            paired_difference(run, odd, 10)


def test_nothing_to_resample_is_refused() -> None:
    empty = simulated(0.5).where(np.zeros(120, bool))
    with pytest.raises(DataError, match="no predictions"):
        bootstrap(empty)
    with pytest.raises(DataError, match="resamples"):
        bootstrap(simulated(0.5), 0)


def test_the_interval_of_several_seeds_covers_the_truth_where_seeds_move_whole_runs() -> None:
    """Each seed is a bit better or worse as a whole: an interval that keeps all seeds in every resample would be far too narrow."""
    rng, covered = np.random.default_rng(5), []
    for draw in range(150):
        runs = [simulated(float(np.clip(0.6 + rng.normal(0, 0.08), 0, 1)), subjects=40, draw=1000 + 3 * draw + k) for k in range(3)]
        fields = [np.concatenate([getattr(run, name) for run in runs]) for name in ("sample_id", "subject", "label", "probabilities")]
        pooled = Predictions(CLASSES, *fields, np.repeat(np.arange(3), len(runs[0])), np.zeros(3 * len(runs[0]), int))
        accuracy = bootstrap(pooled, 400).scores["accuracy"]
        covered.append(accuracy.low <= 0.6 + 0.4 / 3 <= accuracy.high)
    assert 0.9 <= np.mean(covered) <= 1
