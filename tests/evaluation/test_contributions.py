"""Shapley values of a made game, and whether an input pays, in words."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorium.data.column import Cells
from sensorium.data.tabular import CategoryColumn, NumberColumn
from sensorium.evaluation.contributions import (
    Contribution,
    Contributions,
    OutputContributions,
    contributions,
    sentences,
    view,
)
from sensorium.evaluation.inputs import SubsetPredictions
from sensorium.evaluation.metrics import Interval
from sensorium.explanation.shapley import shapley
from sensorium.heads.category import CategoryHead
from sensorium.heads.number import NumberHead
from sensorium.inference import subsets


def game(**values: float) -> dict[frozenset[str], float]:
    """Worths by the letters of the players; "none" for no player."""
    return {frozenset("" if players == "none" else players): value for players, value in values.items()}


def test_shapley_values_of_the_glove_game():
    """a has a left glove, b and c a right one; a pair is worth 1: a gets 2/3, b and c 1/6 each."""
    values = game(none=0, a=0, b=0, c=0, ab=1, ac=1, bc=0, abc=1)
    assert shapley(values, "a") == pytest.approx(2 / 3)
    assert shapley(values, "b") == pytest.approx(1 / 6)
    assert shapley(values, "c") == pytest.approx(1 / 6)


def test_shapley_values_of_one_and_of_two_players():
    assert shapley(game(none=0.25, a=1.0), "a") == pytest.approx(0.75)
    two = game(none=0.1, a=0.5, b=0.2, ab=0.9)  # a: (0.4 + 0.7) / 2, b: (0.1 + 0.4) / 2
    assert (shapley(two, "a"), shapley(two, "b")) == (pytest.approx(0.55), pytest.approx(0.25))


@given(st.integers(1, 5), st.integers(0, 1000))
def test_shapley_values_add_up(count: int, seed: int):
    players = list("abcde"[:count])
    worth = np.random.default_rng(seed).normal(size=2**count)
    values = {frozenset(some): float(one) for some, one in zip(subsets(players), worth, strict=True)}
    together = values[frozenset(players)] - values[frozenset()]
    assert sum(shapley(values, player) for player in players) == pytest.approx(together)


def category_head() -> CategoryHead:
    column = CategoryColumn(CategoryColumn.Config())
    column.fit(["a", "a", "b"])
    return CategoryHead(CategoryHead.Config(), column, 2, 2)


def saying(codes: list[int]) -> dict[str, dict[str, np.ndarray]]:
    return {
        "kind": {"codes": np.array(codes), "probabilities": np.eye(2, dtype=np.float32)[np.array(codes) - 1]}
    }


def predictions(**said: list[int]) -> SubsetPredictions:
    """Ten rows, all of class 1, and what is said of them with these inputs left in."""
    target = Cells(np.ones((10, 1), dtype=np.int64), np.ones((10, 1), dtype=np.bool_))
    predicted = {tuple("" if one == "none" else one): saying(codes) for one, codes in said.items()}
    return SubsetPredictions(10, {"kind": target}, predicted)


def test_contributions_by_hand():
    right, wrong = 1, 2
    found = contributions(
        category_head(),
        "kind",
        predictions(
            ab=[right] * 9 + [wrong],
            a=[right] * 8 + [wrong] * 2,
            b=[right] * 5 + [wrong] * 5,
            none=[right] * 4 + [wrong] * 6,
        ),
    )
    assert found.together.value == pytest.approx(0.5)
    assert found.inputs["a"].left_out.value == pytest.approx(0.4)  # 0.9 - 0.5
    assert found.inputs["b"].left_out.value == pytest.approx(0.1)  # 0.9 - 0.8
    first, second = found.inputs["a"].shapley, found.inputs["b"].shapley
    assert first is not None
    assert second is not None
    assert first.value == pytest.approx((0.4 + 0.4) / 2)
    assert second.value == pytest.approx((0.1 + 0.1) / 2)
    assert first.value + second.value == pytest.approx(found.together.value)
    assert first.low < 0.4 < first.high


def test_the_bootstrap_is_paired():
    """The same answers with and without an input: in no resample is there a difference."""
    mixed = [1, 2] * 5
    gain = contributions(category_head(), "kind", predictions(a=mixed, none=mixed)).inputs["a"].left_out
    assert gain.value == 0


def test_no_difference_in_any_row_is_no_interval_of_width_zero():
    mixed = [1, 2] * 5
    found = contributions(category_head(), "kind", predictions(a=mixed, none=mixed))
    gain = found.inputs["a"].left_out
    assert math.isnan(gain.low)
    assert math.isnan(gain.high)
    assert gain.method == "none"
    (line,) = sentences(Contributions(10, {"kind": found}, True))
    assert line == (
        "a adds 0.000 (–) to the accuracy: none of the 10 rows is scored differently without it, "
        "so these rows cannot tell."
    )


def test_an_error_that_falls_is_a_gain():
    column = NumberColumn(NumberColumn.Config(scale="none", clip=None))
    head = NumberHead(NumberHead.Config(scale="none"), column, 2, 2)
    target = Cells(np.zeros((4, 1), dtype=np.float32), np.ones((4, 1), dtype=np.bool_))
    predicted = {
        ("a",): {"price": {"values": np.full(4, 1.0)}},
        (): {"price": {"values": np.full(4, 3.0)}},
    }
    found = contributions(head, "price", SubsetPredictions(4, {"price": target}, predicted))
    assert found.goal == "min"
    assert found.inputs["a"].left_out.value == pytest.approx(2.0)


def test_beyond_five_inputs_only_what_is_lost_without_each():
    tried = {"".join(present) or "none": [1] * 10 for present in subsets(list("abcdef"))}
    found = contributions(category_head(), "kind", predictions(**tried))
    assert set(found.inputs) == set("abcdef")
    assert all(one.shapley is None for one in found.inputs.values())


def answer(*gains: Interval, goal: str = "max") -> Contributions:
    inputs = {f"input {place}": Contribution(gain, gain) for place, gain in enumerate(gains)}
    return Contributions(100, {"kind": OutputContributions("accuracy", goal, gains[0], inputs)}, True)


def gain(value: float, low: float, high: float) -> Interval:
    return Interval(value, low, high, 100, 1000, "bootstrap")


@pytest.mark.parametrize(
    ("one", "goal", "words"),
    [
        (gain(0.05, 0.01, 0.09), "max", "adds 0.050 (0.010 to 0.090) to the accuracy: it pays"),
        (gain(0.03, -0.01, 0.07), "max", "(−0.010 to 0.070) to the accuracy: the interval includes 0"),
        (gain(-0.05, -0.09, -0.01), "max", "the model does better without it"),
        (gain(0.05, 0.01, 0.09), "min", "takes 0.050 (0.010 to 0.090) off the accuracy: it pays"),
        (gain(0.05, math.nan, math.nan), "max", "no interval can be given"),
    ],
)
def test_whether_an_input_pays_in_words(one: Interval, goal: str, words: str):
    assert words in sentences(answer(one, goal=goal))[0]


def test_bars_start_at_zero_and_share_their_scale():
    charts = view(answer(gain(0.1, 0.0, 0.3), gain(-0.1, -0.1, -0.1)))["charts"]["kind"]
    assert [chart["kind"] for chart in charts] == ["left_out", "shapley"]
    up, down = charts[0]["bars"]
    # from −0.1 to 0.3: zero lies at a quarter
    assert (up["zero"], up["left"], up["length"], up["low"], up["width"]) == (25, 25, 25, 25, 75)
    assert (down["left"], down["length"], down["width"]) == (0, 25, 0)
