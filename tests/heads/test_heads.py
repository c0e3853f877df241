"""What category, categories and number heads do beyond the contract."""

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from sensorium.batch import Fused, Raw
from sensorium.data.column import Cells
from sensorium.errors import RecipeError, TableError
from sensorium.heads.categories import CategoriesHead
from sensorium.heads.category import CategoryHead
from sensorium.heads.number import NumberHead


def fused_of(vector: Tensor) -> Fused:
    return Fused(vector, vector.unsqueeze(1), torch.ones(len(vector), 1, dtype=torch.bool), {})


def made(kind, cells, dim=2, **options):
    config = kind.Config(**options)
    column = kind.target(config)
    column.fit(cells)
    return kind(config, column, dim, dim)


def giving(head, rows):
    """A head whose outputs are the rows given, and a fused batch that brings them out."""
    values = torch.tensor(rows)
    with torch.no_grad():
        layer = head.layers[-1]
        layer.weight.copy_(torch.eye(layer.out_features, layer.in_features))
        layer.bias.zero_()
    return fused_of(values)


def learned(head, vectors, target):
    optimizer = torch.optim.Adam(head.parameters(), lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        head.loss(fused_of(vectors), target).mean().backward()
        optimizer.step()
    return numpy_of(head.eval().predict(fused_of(vectors)))


def numpy_of(predicted):
    return {name: values.detach().numpy() for name, values in predicted.items()}


def raw(values, present=None):
    values = torch.tensor(values)
    mask = torch.ones(len(values), 1) if present is None else torch.tensor(present).unsqueeze(1)
    return Raw(values, mask.bool())


class TestCategory:
    def test_loss_and_answers_by_hand(self):
        head = made(CategoryHead, ["b", "b", "a"])
        fused = giving(head, [[math.log(3.0), 0.0], [0.0, 0.0]])
        loss = head.loss(fused, raw([[1], [2]]))
        assert loss.tolist() == pytest.approx([-math.log(0.75), -math.log(0.5)])
        answers = head.answers(numpy_of(head.predict(fused)))
        assert list(answers) == ["prediction", "probability_b", "probability_a"]
        assert answers["prediction"].tolist() == ["b", "b"]
        assert answers["probability_b"].tolist() == pytest.approx([0.75, 0.5])
        assert answers["probability_a"].tolist() == pytest.approx([0.25, 0.5])

    @pytest.mark.parametrize(
        ("cells", "dtype"),
        [([1, 1, 0], "i"), ([True, True, False], "b"), ([1.5, 1.5, 2.0], "f"), (["1", "1", "0"], "U")],
    )
    def test_labels_come_back_in_the_type_that_they_had(self, cells, dtype):
        head = made(CategoryHead, cells)
        answers = head.answers(numpy_of(head.predict(giving(head, [[1.0, 0.0], [0.0, 1.0]]))))
        assert answers["prediction"].dtype.kind == dtype
        assert answers["prediction"].tolist() == [cells[0], cells[2]]
        assert all(isinstance(name, str) for name in answers)

    def test_a_class_that_was_not_learned_counts_nowhere(self):
        head = made(CategoryHead, ["b", "b", "a"])
        fused = giving(head, [[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
        assert head.loss(fused, raw([[0], [1], [2]]))[0].item() == 0.0
        target = Cells(np.array([[0], [1], [2]]), np.ones((3, 1), dtype=bool))
        assert head.scored(target).tolist() == [False, True, True]
        assert head.metrics(numpy_of(head.predict(fused)), target)["accuracy"] == 0.5

    def test_balanced_weights_by_hand(self):
        head = made(CategoryHead, ["b", "b", "b", "a"], class_weights="balanced")
        # four rows, two classes: 4 / (2 * 3) and 4 / (2 * 1)
        assert head.weights.tolist() == pytest.approx([2 / 3, 2.0])

    def test_weights_by_label(self):
        head = made(CategoryHead, [1, 1, 2], class_weights={1: 3.0})
        assert head.weights.tolist() == [3.0, 1.0]

    def test_weights_of_an_unknown_label_are_refused(self):
        with pytest.raises(RecipeError, match=r"class_weights names 'z'.*a, b"):
            made(CategoryHead, ["a", "b"], class_weights={"z": 2.0})

    @pytest.mark.parametrize(("cells", "found"), [(["a", "a"], "only one class"), ([], "no class")])
    def test_fewer_than_two_classes_are_refused(self, cells, found):
        with pytest.raises(TableError, match=found):
            made(CategoryHead, cells)

    def test_classes_rarer_than_min_count_are_not_learned(self):
        assert made(CategoryHead, ["a", "a", "b", "b", "c"], min_count=2).labels == ["a", "b"]

    def test_learns_what_is_separable(self):
        head = made(CategoryHead, ["a", "b"], hidden=[8])
        vectors = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
        predicted = learned(head, vectors, raw([[1], [2], [2], [1]]))
        assert head.answers(predicted)["prediction"].tolist() == ["a", "b", "b", "a"]

    def test_dropout_acts_on_the_vector_even_without_hidden_layers(self):
        torch.manual_seed(0)
        head = made(CategoryHead, ["a", "b"], dim=100, dropout=0.5)
        fused = fused_of(torch.ones(1, 100))
        assert not torch.equal(head(fused), head(fused))
        head.eval()
        assert torch.equal(head(fused), head(fused))


class TestCategories:
    def test_loss_and_answers_by_hand(self):
        head = made(CategoriesHead, [["a"], ["a", "b"]])
        fused = giving(head, [[math.log(3.0), 0.0], [-5.0, -5.0]])
        loss = head.loss(fused, raw([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]))
        assert loss[0].item() == pytest.approx((-math.log(0.75) - math.log(0.5)) / 2)
        answers = head.answers(numpy_of(head.predict(fused)))
        assert answers["prediction"] == [["a", "b"], []]
        assert answers["probability_a"][0] == pytest.approx(0.75)

    def test_the_threshold_is_the_recipes(self):
        head = made(CategoriesHead, [["a"], ["a", "b"]], threshold=0.7)
        fused = giving(head, [[math.log(3.0), 0.0]])
        assert head.answers(numpy_of(head.predict(fused)))["prediction"] == [["a"]]

    def test_balanced_weights_by_hand(self):
        head = made(CategoriesHead, [["a"], ["a"], ["a", "b"], []], class_weights="balanced")
        # of four rows, three have a and one has b
        assert head.weights.tolist() == pytest.approx([1 / 3, 3.0])

    def test_a_label_that_always_applies_keeps_a_weight(self):
        head = made(CategoriesHead, [["a"], ["a"]], class_weights="balanced")
        assert head.weights.tolist() == [0.5]

    def test_no_label_is_refused(self):
        with pytest.raises(TableError, match="no label"):
            made(CategoriesHead, [[], []])

    def test_an_empty_list_is_a_target_like_any_other(self):
        head = made(CategoriesHead, [["a"], ["b"]])
        column = CategoriesHead.target(head.config)
        column.fit([["a"], ["b"]])
        cells = column.collate([column.decode([]), None])
        assert head.scored(cells).tolist() == [True, False]
        loss = head.loss(fused_of(torch.ones(2, 2)), raw(cells.values.tolist(), cells.mask[:, 0].tolist()))
        assert loss[0].item() > 0
        assert loss[1].item() == 0


class TestNumber:
    def test_answers_are_in_the_units_of_the_table(self):
        head = made(NumberHead, [10.0, 30.0], dim=1)  # mean 20, standard deviation 10
        fused = giving(head, [[0.0], [1.5]])
        answers = head.answers(numpy_of(head.predict(fused)))
        assert answers["prediction"].tolist() == pytest.approx([20.0, 35.0])

    def test_metrics_are_in_the_units_of_the_table(self):
        head = made(NumberHead, [10.0, 30.0], dim=1)
        fused = giving(head, [[0.0], [1.5]])
        column = NumberHead.target(head.config)
        column.fit([10.0, 30.0])
        target = column.collate([column.decode(24.0), column.decode(33.0)])
        scores = head.metrics(numpy_of(head.predict(fused)), target)
        assert scores["mae"] == pytest.approx(3.0, rel=1e-5)
        assert scores["rmse"] == pytest.approx(math.sqrt((16 + 4) / 2), rel=1e-5)

    def test_a_target_far_away_is_not_clipped(self):
        head = made(NumberHead, [1.0, 2.0, 3.0], dim=1)
        column = NumberHead.target(head.config)
        column.fit([1.0, 2.0, 3.0])
        target = column.collate([column.decode(1e6)])
        scores = head.metrics({"values": np.zeros(1, dtype=np.float32)}, target)
        assert scores["mae"] == pytest.approx(1e6 - 2.0)

    def test_dates_are_answered_as_days(self):
        head = made(NumberHead, ["1970-01-11", "1970-01-31"], dim=1, date=True)  # days 10 and 30
        fused = giving(head, [[0.5]])
        assert head.answers(numpy_of(head.predict(fused)))["prediction"].tolist() == pytest.approx([25.0])

    @pytest.mark.parametrize(("loss", "expected"), [("mse", 9.0), ("mae", 3.0), ("huber", 2.5)])
    def test_losses_by_hand_in_scaled_units(self, loss, expected):
        head = made(NumberHead, [10.0, 30.0], dim=1, loss=loss)
        fused = giving(head, [[1.0]])
        assert head.loss(fused, raw([[-2.0]])).item() == pytest.approx(expected)

    def test_quantiles_add_their_loss_and_their_answers(self):
        head = made(NumberHead, [10.0, 30.0], dim=3, loss="mae", quantiles=[0.9, 0.1])
        fused = giving(head, [[0.0, -1.0, 1.0]])
        pinball = (0.1 * 3.0 + 0.9 * 1.0) / 2
        assert head.loss(fused, raw([[2.0]])).item() == pytest.approx(2.0 + pinball)
        answers = head.answers(numpy_of(head.predict(fused)))
        assert list(answers) == ["prediction", "quantile_0.1", "quantile_0.9"]
        assert answers["quantile_0.1"].tolist() == pytest.approx([10.0])
        assert answers["quantile_0.9"].tolist() == pytest.approx([30.0])

    def test_quantiles_never_cross(self):
        head = made(NumberHead, [10.0, 30.0], dim=3, loss="quantile")
        predicted = numpy_of(head.predict(giving(head, [[2.0, -1.0, 0.5]])))
        assert predicted["quantiles"].tolist() == [[-1.0, 0.5, 2.0]]
        assert predicted["values"].tolist() == [0.5]
        scores = head.metrics(predicted, Cells(np.array([[0.5]]), np.ones((1, 1), dtype=bool)))
        assert scores["coverage"] == 1.0
        assert scores["mae"] == 0.0

    def test_quantile_loss_needs_the_median(self):
        with pytest.raises(ValidationError, match=r"add 0\.5"):
            NumberHead.Config(loss="quantile", quantiles=[0.1, 0.9])

    @pytest.mark.parametrize("levels", [[0.1, 0.1], [0.0], [1.0]])
    def test_levels_are_between_0_and_1_and_given_once(self, levels):
        with pytest.raises(ValidationError):
            NumberHead.Config(quantiles=levels)

    def test_learns_a_line_in_the_units_of_the_table(self):
        numbers = [1000.0, 1100.0, 1200.0, 1300.0]
        head = made(NumberHead, numbers, dim=1, quantiles=[0.5])
        column = NumberHead.target(head.config)
        column.fit(numbers)
        target = column.collate([column.decode(number) for number in numbers])
        vectors = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
        predicted = learned(head, vectors, raw(target.values.tolist()))
        assert head.answers(predicted)["prediction"] == pytest.approx(numbers, abs=10)
        assert head.metrics(predicted, target)["r2"] > 0.99
