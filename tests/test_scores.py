from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score

from merzoo.errors import DataError, MerzooWarning
from merzoo.evaluation import Predictions, multilabel_scores, scores

NAMES = ["negative", "positive", "surprise", "others"]


@given(st.integers(2, 4), st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60), st.booleans(), st.randoms())
def test_equal_to_scikit_learn_and_free_of_row_order(n_classes: int, pairs: list[tuple[int, int]], as_text: bool, shuffler) -> None:
    classes = NAMES[:n_classes] if as_text else list(range(n_classes))
    pairs = [(a % n_classes, b % n_classes) for a, b in pairs]
    truth, guess = ([classes[pair[side]] for pair in pairs] for side in (0, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours = scores(truth, guess, classes)
        shuffler.shuffle(pairs)
        again = scores([classes[a] for a, _ in pairs], np.array([classes[b] for _, b in pairs]), classes)
        macro = {"average": "macro", "labels": classes, "zero_division": 0}
        assert ours.uf1 == pytest.approx(f1_score(truth, guess, **macro), abs=1e-12)
        assert ours.uar == pytest.approx(recall_score(truth, guess, **macro), abs=1e-12)
        f1 = f1_score(truth, guess, average=None, labels=classes, zero_division=0)
    assert ours.accuracy == pytest.approx(accuracy_score(truth, guess), abs=1e-12)
    assert [ours.per_class[c]["f1"] for c in classes] == pytest.approx(f1.tolist(), abs=1e-12)
    np.testing.assert_array_equal(ours.confusion, confusion_matrix(truth, guess, labels=classes))
    assert (again.uf1, again.uar, again.accuracy) == (ours.uf1, ours.uar, ours.accuracy)


@given(st.integers(2, 4), st.lists(st.integers(0, 3), min_size=4, max_size=40), st.randoms())
def test_perfect_predictions_score_one_in_any_order_of_rows(n_classes: int, labels: list[int], shuffler) -> None:
    labels = [label % n_classes for label in labels] + list(range(n_classes))  # every class occurs
    shuffler.shuffle(labels)
    made = scores(labels, labels, list(range(n_classes)))
    assert (made.uf1, made.uar, made.accuracy) == (1.0, 1.0, 1.0)


ROWS = st.integers(1, 5).flatmap(lambda c: st.lists(st.tuples(*[st.lists(st.booleans(), min_size=c, max_size=c)] * 2), min_size=1, max_size=30))


@given(ROWS, st.randoms())
def test_action_units_equal_scikit_learn_and_free_of_row_order(rows: list[tuple[list[bool], list[bool]]], shuffler) -> None:
    truth, guess = (np.array([row[side] for row in rows]) for side in (0, 1))
    names = [f"AU{i}" for i in range(truth.shape[1])]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours = multilabel_scores(truth, guess, names)
        shuffler.shuffle(rows)
        again = multilabel_scores(*([list(map(int, row[side])) for row in rows] for side in (0, 1)), names)
        # One column is a binary task to scikit-learn, whose macro would average over "there" and "not there".
        each = [f1_score(truth[:, c], guess[:, c], zero_division=0) for c in range(len(names))]
        if len(names) > 1:
            assert ours.au_f1 == pytest.approx(f1_score(truth, guess, average="macro", zero_division=0), abs=1e-12)
    assert ours.au_f1 == pytest.approx(np.mean(each), abs=1e-12)
    assert [ours.per_class[name]["f1"] for name in names] == pytest.approx(each, abs=1e-12)
    assert [ours.per_class[name]["support"] for name in names] == truth.sum(axis=0).tolist()
    assert again.au_f1 == ours.au_f1


def test_an_action_unit_that_nobody_shows_counts_zero_with_one_warning() -> None:
    with pytest.warns(MerzooWarning, match="no sample of class AU9") as caught:
        made = multilabel_scores([[1, 0], [0, 0]], [[1, 0], [0, 0]], ["AU1", "AU9"])
    assert len(caught) == 1
    assert made.au_f1 == 0.5


@pytest.mark.parametrize(
    ("truth", "guess", "classes", "word"),
    [
        ([[1, 2]], [[1, 0]], ["a", "b"], "true labels"),
        ([[1, 0]], [[1, 0, 1]], ["a", "b"], "predicted labels have shape"),
        ([1, 0], [1, 0], ["a", "b"], "one row a sample"),
        ([[1, 0]], [["x", 0]], ["a", "b"], "predicted labels are no matrix"),
        ([[1, 0], [1]], [[1, 0], [1, 1]], ["a", "b"], "true labels are no matrix"),
        ([[1, float("nan")]], [[1, 0]], ["a", "b"], "true labels"),
        ([[1, 0]], [[1, 0], [1, 1]], ["a", "b"], "1 rows of true labels but 2"),
        (np.zeros((0, 2)), np.zeros((0, 2)), ["a", "b"], "no predictions"),
        ([[1, 0]], [[1, 0]], ["a", "a"], "repeats"),
    ],
)
def test_bad_indicators_are_refused_in_one_line(truth: object, guess: object, classes: list, word: str) -> None:
    with pytest.raises(DataError, match=word) as error:
        multilabel_scores(truth, guess, classes)
    assert "\n" not in str(error.value)


def test_an_absent_class_counts_zero_with_one_warning() -> None:
    with pytest.warns(MerzooWarning) as caught:
        result = scores(["negative", "positive"], ["negative", "positive"], NAMES)
    assert len(caught) == 1
    assert "surprise, others" in str(caught[0].message)
    assert result.uf1 == result.uar == 0.5
    assert result.accuracy == 1.0
    assert result.per_class["surprise"] == {"f1": 0.0, "recall": 0.0, "support": 0}


def test_rows_of_the_confusion_matrix_are_the_truth() -> None:
    assert scores(["a", "a", "b"], ["b", "b", "b"], ["a", "b"]).confusion.tolist() == [[0, 2], [0, 1]]


def test_integers_serve_as_positions_in_a_list_of_names() -> None:
    assert scores([0, 1], np.array([0, 1]), ["a", "b"]).per_class["b"] == {"f1": 1.0, "recall": 1.0, "support": 1}


@pytest.mark.parametrize(
    ("truth", "guess", "classes", "word"),
    [
        (["a", "x"], ["a", "b"], ["a", "b"], "true label 'x'"),
        (["a", "b"], ["a", "x"], ["a", "b"], "predicted label 'x'"),
        ([0, 2], [0, 1], ["a", "b"], "true label 2"),
        ([0, -1], [0, 1], ["a", "b"], "true label -1"),
        ([0.0, float("nan")], [0, 1], [0, 1], "nan"),
        ([0, [1]], [0, 1], [0, 1], "true label"),
        (["a"], ["a", "b"], ["a", "b"], "1 true labels but 2"),
        ([], [], ["a", "b"], "no predictions"),
        (["a"], ["a"], ["a", "a"], "repeats"),
        (["a"], ["a"], [], "empty"),
    ],
)
def test_bad_labels_are_refused_in_one_line(truth: list, guess: list, classes: list, word: str) -> None:
    with pytest.raises(DataError, match=word) as error:
        scores(truth, guess, classes)
    assert "\n" not in str(error.value)


def test_predictions_refuse_what_cannot_be_scored() -> None:
    def make(label: int = 0, share: float = 1.0) -> Predictions:
        return Predictions(("a", "b"), np.array(["c"]), np.array(["s"]), np.array([label]), np.array([[share, 0.0]]), np.array([0]), np.array([0]))

    assert make().predicted.tolist() == [0]
    for change in ({"label": 2}, {"label": -1}, {"share": np.nan}, {"share": -0.5}):
        with pytest.raises(DataError):
            make(**change)
    with pytest.raises(DataError, match="shape"):
        Predictions(("a", "b"), np.array(["c"]), np.array(["s"]), np.array([0]), np.array([[1.0, 0.0, 0.0]]), np.array([0]), np.array([0]))


def test_predictions_of_action_units() -> None:
    def make(shares: tuple[float, float] = (0.5, 0.49), label: object = (True, False)) -> Predictions:
        return Predictions(("a", "b"), *map(np.array, (["c"], ["s"])), np.array([label]), np.array([shares]), np.array([0]), np.array([0]))

    assert make().multilabel
    assert make().predicted.tolist() == [[True, False]]
    assert make().metrics == ("au_f1",)
    for change in ({"shares": (1.1, 0.0)}, {"shares": (np.nan, 0.0)}, {"label": (1, 0)}, {"label": (True,)}):
        with pytest.raises(DataError):
            make(**change)


def test_scoring_imports_neither_torch_nor_sklearn_nor_pandas() -> None:
    heavy = "[m for m in ('torch', 'sklearn', 'pandas') if m in sys.modules]"
    code = f"import sys, merzoo.evaluation, merzoo.evaluation.runs, merzoo.evaluation.bootstrap; print({heavy})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
