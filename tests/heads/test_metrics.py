import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from sensorium.heads.metrics import (
    area_under_curve,
    average_precision,
    categories_metrics,
    category_metrics,
    number_metrics,
    quantile_metrics,
)


def test_category_metrics_by_hand():
    probabilities = np.array([[0.8, 0.2], [0.6, 0.4], [0.3, 0.7], [0.9, 0.1]], dtype=np.float32)
    scores = category_metrics(probabilities, np.array([0, 0, 1, 1]))
    assert scores["accuracy"] == 0.75
    assert scores["balanced_accuracy"] == pytest.approx((2 / 2 + 1 / 2) / 2)
    assert scores["macro_f1"] == pytest.approx((2 * 2 / (2 + 3) + 2 * 1 / (2 + 1)) / 2)
    # class 1 scores .7 and .1 where true, .2 and .4 elsewhere: two of four pairs are in order
    assert scores["auc"] == pytest.approx(0.5)
    assert scores["log_loss"] == pytest.approx(-np.log([0.8, 0.6, 0.7, 0.1]).mean(), rel=1e-6)


def test_category_metrics_agree_with_scikit_learn():
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(200, 4))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    classes = generator.integers(4, size=200)
    predicted = probabilities.argmax(axis=1)
    scores = category_metrics(probabilities, classes)
    assert scores == pytest.approx(
        {
            "accuracy": sklearn_metrics.accuracy_score(classes, predicted),
            "balanced_accuracy": sklearn_metrics.balanced_accuracy_score(classes, predicted),
            "macro_f1": sklearn_metrics.f1_score(classes, predicted, average="macro"),
            "auc": sklearn_metrics.roc_auc_score(classes, probabilities, multi_class="ovr"),
            "log_loss": sklearn_metrics.log_loss(classes, probabilities),
        }
    )


def test_one_class_alone_has_no_auc_and_raises_no_warning():
    scores = category_metrics(np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1]]), np.array([0, 0]))
    assert math.isnan(scores["auc"])
    assert scores["balanced_accuracy"] == 0.5
    assert scores["macro_f1"] == pytest.approx((2 / 3 + 0) / 2)


def test_certain_and_wrong_costs_a_finite_log_loss():
    scores = category_metrics(np.array([[1.0, 0.0]], dtype=np.float32), np.array([1]))
    assert scores["log_loss"] == pytest.approx(-math.log(1e-7))


@pytest.mark.parametrize("rows", [0, 2])
def test_no_rows_or_no_numbers_are_undefined(rows):
    nothing = np.full((rows, 2), np.nan)
    assert all(math.isnan(score) for score in category_metrics(nothing, np.ones(rows, dtype=int)).values())
    assert all(
        math.isnan(score)
        for score in categories_metrics(nothing, np.ones((rows, 2), dtype=bool), 0.5).values()
    )
    assert all(math.isnan(score) for score in number_metrics(nothing[:, 0], np.ones(rows)).values())
    levels = np.array([0.1, 0.9])
    assert all(math.isnan(score) for score in quantile_metrics(nothing, np.ones(rows), levels).values())


scores_and_truth = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=30).map(
    lambda pairs: (
        np.array([score / 8 for score, _ in pairs]),
        np.array([truth for _, truth in pairs]),
    )
)


@given(scores_and_truth)
def test_area_under_curve_agrees_with_scikit_learn_and_ties(pair):
    scores, truth = pair
    if truth.all() or not truth.any():
        assert math.isnan(area_under_curve(scores, truth))
    else:
        assert area_under_curve(scores, truth) == pytest.approx(sklearn_metrics.roc_auc_score(truth, scores))


@given(scores_and_truth)
def test_average_precision_agrees_with_scikit_learn_and_ties(pair):
    scores, truth = pair
    if not truth.any():
        assert math.isnan(average_precision(scores, truth))
    else:
        theirs = sklearn_metrics.average_precision_score(truth, scores)
        assert average_precision(scores, truth) == pytest.approx(theirs)


def test_average_precision_by_hand():
    # true at the first and the third place: 1/2 * 1/1 + 1/2 * 2/3
    score = average_precision(np.array([0.9, 0.8, 0.7]), np.array([True, False, True]))
    assert score == pytest.approx(0.5 + 1 / 3)


def test_categories_metrics_by_hand():
    probabilities = np.array([[0.9, 0.6, 0.1], [0.4, 0.7, 0.2]])
    truth = np.array([[True, False, False], [True, True, False]])
    scores = categories_metrics(probabilities, truth, threshold=0.5)
    assert scores["micro_f1"] == pytest.approx(2 * 2 / (3 + 3))
    # label 0: one of two found; label 1: found once, claimed twice; label 2 occurs nowhere
    assert scores["macro_f1"] == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert scores["subset_accuracy"] == 0.0
    assert scores["mean_average_precision"] == pytest.approx(1.0)


def test_the_threshold_decides_the_labels():
    probabilities, truth = np.array([[0.3, 0.1]]), np.array([[True, False]])
    assert categories_metrics(probabilities, truth, threshold=0.3)["subset_accuracy"] == 1.0
    assert categories_metrics(probabilities, truth, threshold=0.4)["subset_accuracy"] == 0.0


def test_rows_without_any_label_and_any_answer_have_no_f1():
    scores = categories_metrics(np.full((2, 2), 0.1), np.zeros((2, 2), dtype=bool), threshold=0.5)
    assert math.isnan(scores["micro_f1"])
    assert math.isnan(scores["macro_f1"])
    assert math.isnan(scores["mean_average_precision"])
    assert scores["subset_accuracy"] == 1.0


def test_categories_metrics_agree_with_scikit_learn():
    generator = np.random.default_rng(0)
    probabilities, truth = generator.random((100, 4)), generator.random((100, 4)) < 0.4
    given_labels = probabilities >= 0.5
    assert categories_metrics(probabilities, truth, 0.5) == pytest.approx(
        {
            "micro_f1": sklearn_metrics.f1_score(truth, given_labels, average="micro"),
            "macro_f1": sklearn_metrics.f1_score(truth, given_labels, average="macro"),
            "subset_accuracy": sklearn_metrics.accuracy_score(truth, given_labels),
            "mean_average_precision": sklearn_metrics.average_precision_score(truth, probabilities),
        }
    )


def test_number_metrics_by_hand():
    scores = number_metrics(np.array([1.0, 2.0, 6.0]), np.array([1.0, 4.0, 7.0]))
    assert scores["mae"] == pytest.approx(1.0)
    assert scores["rmse"] == pytest.approx(math.sqrt(5 / 3))
    assert scores["median_absolute_error"] == 1.0
    assert scores["r2"] == pytest.approx(1 - 5 / 18)


def test_a_truth_that_never_changes_has_no_r2():
    assert math.isnan(number_metrics(np.array([1.0, 2.0]), np.array([3.0, 3.0]))["r2"])
    assert math.isnan(number_metrics(np.array([1.0]), np.array([3.0]))["r2"])


def test_quantile_metrics_by_hand():
    quantiles = np.array([[0.0, 2.0], [0.0, 2.0]])
    scores = quantile_metrics(quantiles, np.array([1.0, 4.0]), np.array([0.1, 0.9]))
    assert scores["pinball"] == pytest.approx((0.1 * 1 + 0.1 * 1 + 0.1 * 4 + 0.9 * 2) / 4)
    assert scores["coverage"] == 0.5


def test_one_quantile_covers_nothing():
    scores = quantile_metrics(np.array([[1.0]]), np.array([1.0]), np.array([0.5]))
    assert math.isnan(scores["coverage"])


def test_errors_too_large_for_a_square_are_infinite_and_give_no_warning():
    scores = number_metrics(np.array([0.0, 1.0]), np.array([1e300, 1.0]))
    assert scores["mae"] == pytest.approx(5e299)
    assert scores["rmse"] == math.inf
    assert math.isnan(scores["r2"])
    assert number_metrics(np.array([-1e308] * 2), np.array([1e308] * 2))["mae"] == math.inf
    levels = np.array([0.1, 0.9])
    assert quantile_metrics(np.full((2, 2), -1e308), np.full(2, 1e308), levels)["pinball"] == math.inf
