import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorium.data.column import Cells
from sensorium.evaluation.metrics import bootstrap, confusion, score, wilson
from sensorium.heads.number import NumberHead


def mean_of(values, name="mean"):
    return lambda rows: {name: float(values[rows].mean())}


def test_the_interval_of_a_mean_is_the_one_of_theory():
    values = np.random.default_rng(0).normal(size=400)
    interval = bootstrap(mean_of(values), np.arange(400))["mean"]
    reach = 1.96 * values.std() / math.sqrt(400)
    assert interval.value == values.mean()
    assert interval.low == pytest.approx(values.mean() - reach, abs=0.1 * reach)
    assert interval.high == pytest.approx(values.mean() + reach, abs=0.1 * reach)
    assert (interval.rows, interval.resamples, interval.method) == (400, 1000, "bootstrap")


def test_a_higher_level_gives_a_wider_interval():
    values = np.random.default_rng(0).normal(size=50)
    half = bootstrap(mean_of(values), np.arange(50), level=0.5)["mean"]
    most = bootstrap(mean_of(values), np.arange(50), level=0.99)["mean"]
    assert most.low < half.low < half.high < most.high


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(0).normal(size=50)
    first, again, other = (bootstrap(mean_of(values), np.arange(50), 100, seed) for seed in (1, 1, 2))
    assert first == again != other


def test_only_the_rows_given_are_drawn():
    values = np.array([0.0, np.inf, 1.0, np.inf, 2.0, 4.0])
    interval = bootstrap(mean_of(values), np.array([0, 2, 4, 5]), 200)["mean"]
    assert interval.value == 1.75
    assert interval.high < 4.1
    assert interval.rows == 4


def test_many_rows_get_fewer_resamples_and_say_so():
    calls = []

    def count(rows):
        calls.append(len(rows))
        return {"mean": float(rows.mean())}

    assert bootstrap(count, np.arange(100_000))["mean"].resamples == 200
    assert len(calls) == 201
    assert bootstrap(count, np.arange(400_000))["mean"].resamples == 100


def test_all_right_is_not_certain():
    interval = bootstrap(mean_of(np.ones(20), "accuracy"), np.arange(20))["accuracy"]
    assert interval.value == interval.high == 1.0
    assert interval.low == pytest.approx(0.8389, abs=1e-4)  # 20 / (20 + 1.96²)
    assert (interval.method, interval.resamples) == ("wilson", 0)


def test_few_wrong_rows_take_the_interval_of_wilson():
    values = np.array([1.0] * 96 + [0.0] * 4)
    interval = bootstrap(mean_of(values, "accuracy"), np.arange(100))["accuracy"]
    assert interval.method == "wilson"
    assert (interval.low, interval.high) == pytest.approx((0.9016, 0.9843), abs=1e-4)


def test_shares_with_enough_of_both_are_bootstrapped():
    values = np.array([1.0] * 70 + [0.0] * 30)
    interval = bootstrap(mean_of(values, "accuracy"), np.arange(100))["accuracy"]
    assert interval.method == "bootstrap"
    assert (interval.low, interval.high) == pytest.approx((0.61, 0.79), abs=0.02)


def test_other_scores_are_never_of_width_zero():
    interval = bootstrap(mean_of(np.ones(20), "auc"), np.arange(20))["auc"]
    assert interval.method == "wilson"
    assert interval.low < 1


def test_undefined_scores_have_no_interval():
    interval = bootstrap(lambda rows: {"r2": math.nan}, np.arange(5), 100)["r2"]
    assert math.isnan(interval.value)
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)
    assert interval.method == "none"


def test_resamples_in_which_a_score_is_undefined_are_left_out():
    values = np.array([1.0, 2.0, 3.0, 4.0])

    def sometimes(rows):
        return {"score": math.nan if 0 in rows else float(values[rows].mean())}

    interval = bootstrap(lambda rows: sometimes(rows) | mean_of(values)(rows), np.array([0, 1, 2, 3]), 500)
    assert math.isnan(interval["score"].low)
    assert interval["mean"].resamples == 500
    interval = bootstrap(sometimes, np.array([1, 2, 3]), 500)
    assert interval["score"].resamples == 500

    def rarely(rows):
        return {"score": math.nan if (rows == 3).sum() > 1 else float(values[rows].mean())}

    assert 0 < bootstrap(rarely, np.array([0, 1, 2, 3]), 500)["score"].resamples < 500


@pytest.mark.parametrize("rows", [0, 1])
def test_fewer_than_two_rows_have_no_interval(rows):
    function = mean_of(np.array([3.0])) if rows else (lambda chosen: {"mean": math.nan})
    interval = bootstrap(function, np.arange(rows))["mean"]
    assert math.isnan(interval.low)
    assert (interval.rows, interval.method) == (rows, "none")


def test_one_right_row_says_little():
    interval = bootstrap(mean_of(np.ones(1), "accuracy"), np.arange(1))["accuracy"]
    assert interval.low == pytest.approx(0.2065, abs=1e-4)


@given(st.integers(1, 500), st.data())
def test_wilson_holds_the_share_and_stays_inside(rows, data):
    share = data.draw(st.integers(0, rows)) / rows
    low, high = wilson(share, rows)
    assert 0 <= low <= share <= high <= 1
    assert low < high


def test_wilson_by_hand():
    # 81 of 263, example of Newcombe 1998 (Statistics in Medicine 17:857): 0.2553 to 0.3662
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)


def test_scores_of_a_head_leave_out_rows_without_a_target():
    config = NumberHead.Config(quantiles=[0.1, 0.9])
    column = NumberHead.target(config)
    column.fit([0.0, 2.0])  # mean 1, standard deviation 1
    head = NumberHead(config, column, 2, 2)
    predicted = {"values": np.zeros(4, np.float32), "quantiles": np.tile(np.float32([-1, 1]), (4, 1))}
    target = column.collate([column.decode(3.0), None, column.decode(0.0), column.decode(-2.0)])
    intervals = score(head, predicted, target)
    assert intervals["mae"].value == pytest.approx(2.0)
    assert intervals["mae"].rows == 3
    assert intervals["mae"].low == pytest.approx(1.0)
    assert intervals["mae"].high == pytest.approx(3.0)
    assert intervals["coverage"].value == pytest.approx(1 / 3)
    assert intervals["coverage"].method == "wilson"
    nothing = score(head, predicted, Cells(target.values, np.zeros_like(target.mask)))
    assert all(math.isnan(interval.value) and interval.rows == 0 for interval in nothing.values())


def test_a_head_with_wide_predictions_gets_fewer_resamples():
    config = NumberHead.Config()
    column = NumberHead.target(config)
    head = NumberHead(config, column, 2, 2)
    predicted = {"values": np.arange(4, dtype=np.float32), "wide": np.zeros((4, 500_000), np.int8)}
    target = column.collate([column.decode(float(number)) for number in (1, 3, 2, 0)])
    assert score(head, predicted, target)["mae"].resamples == 100
    assert score(head, {"values": predicted["values"]}, target)["mae"].resamples == 1000


def test_confusion_counts_true_by_predicted_and_leaves_out_what_was_not_learned():
    found = confusion(np.array([1, 2, 2, 1, 3]), np.array([1, 1, 2, 0, 3]), ["a", "b", "c"], 9)
    assert found.labels == ["a", "b", "c"]
    assert found.counts.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]


def test_confusion_of_nothing_is_all_zero():
    nothing = np.array([], dtype=np.int64)
    assert confusion(nothing, nothing, ["a", "b"], 9).counts.tolist() == [[0, 0], [0, 0]]
