"""What every head promises, run over every entry of HEADS and over the prototypes."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from sensorium.batch import Fused, Place, Raw, masked_mean
from sensorium.data.column import Cells, Column
from sensorium.heads import HEADS
from sensorium.heads.head import Head
from tests.heads.prototypes.boxes import BoxesHead
from tests.heads.prototypes.speech import SpeechHead

ALL = HEADS | {"boxes": BoxesHead, "speech": SpeechHead}
ROWS, LENGTH, DIM, WIDTH = 6, 20, 10, 12
MISSING = [2, 5]

LABELS = ["a", "b", "c", "a", "b", "a"]
SETS = [["a"], ["a", "b"], [], ["c"], ["b", "c"], ["a"]]
NUMBERS = [3.0, -4.5, 10.0, 7.25, 0.0, 2.0]
TEXTS = ["12", "3", "4444", "123", "1", "21"]
BOXES = [[[0.1, 0.1, 0.6, 0.7]], [], [], [[0, 0, 0.5, 0.5], [0.4, 0.4, 1, 1]], [[0.2, 0.3, 0.9, 0.9]], []]
SOUNDS = [np.full((frames, 3), frames / 8, dtype=np.float32) for frames in (2, 5, 1, 8, 3, 4)]
CONTENTS = [(b"1", b"a"), (b"2", b"b"), (b"3", b"c"), (b"4", b"a"), (b"5", b"e"), (b"6", b"f")]

SMALL = {"kind": "transformer", "tokenizer": "character", "width": 8, "heads": 2, "depth": 1}

CASES: list[tuple[str, dict[str, Any], list[Any]]] = [
    ("category", {}, LABELS),
    ("category", {"hidden": [8], "dropout": 0.2, "focal": 0.5, "label_smoothing": 0.1}, LABELS),
    ("category", {"class_weights": {"a": 2.0}}, LABELS),
    ("category", {"class_weights": "balanced"}, LABELS),
    ("categories", {}, SETS),
    ("categories", {"hidden": [8], "dropout": 0.2, "focal": 2.0, "class_weights": "balanced"}, SETS),
    ("number", {}, NUMBERS),
    ("number", {"loss": "mae", "hidden": [8], "scale": "robust"}, NUMBERS),
    ("number", {"loss": "huber", "quantiles": [0.9, 0.1]}, NUMBERS),
    ("number", {"loss": "log_cosh", "scale": "none"}, NUMBERS),
    ("number", {"loss": "quantile"}, NUMBERS),
    ("similarity", {"between": ["input", "other"]}, CONTENTS),
    (
        "similarity",
        {"between": ["input", "other"], "hidden": [8], "chunk": 4, "hard_negatives": 0.5},
        CONTENTS,
    ),
    ("similarity", {"between": ["other", "input"], "loss": "siglip"}, CONTENTS),
    ("text", {"decoder": SMALL, "writing": {"length": 5}}, TEXTS),
    (
        "text",
        {"decoder": SMALL | {"depth": 2, "label_smoothing": 0.1}, "writing": {"length": 3, "beams": 2}},
        TEXTS,
    ),
    (
        "text",
        {
            "decoder": SMALL,
            "writing": {"length": 4, "temperature": 1.0, "best": 2},
            "metric": "word_error_rate",
        },
        TEXTS,
    ),
    ("boxes", {"input": "input"}, BOXES),
    ("speech", {"frames": 10, "states": 8}, SOUNDS),
]


@dataclass
class Built:
    """A head with rows to try it on; the targets of the rows in MISSING are missing."""

    head: Head
    config: Any
    column: Column
    fused: Fused
    target: Cells

    def raw(self) -> Raw:
        return Raw(torch.from_numpy(self.target.values), torch.from_numpy(self.target.mask))

    def predict(self, fused: Fused | None = None) -> dict[str, np.ndarray]:
        self.head.eval()
        with torch.no_grad():
            predicted = self.head.predict(fused or self.fused)
        return {name: values.numpy() for name, values in predicted.items()}


def made_fused() -> Fused:
    """Random rows: 17 real tokens (one, and a grid of 4 by 4), then up to three more."""
    tokens = torch.randn(ROWS, LENGTH, WIDTH, requires_grad=True)
    mask = torch.arange(LENGTH) < torch.tensor([17, 20, 18, 17, 19, 20]).unsqueeze(1)
    vector = torch.randn(ROWS, DIM, requires_grad=True)
    places = {"input": Place(0, 17, (4, 4))}
    columns = {"input": masked_mean(tokens, mask), "other": masked_mean(tokens.square(), mask)}
    return Fused(vector, tokens, mask, columns, places)


def rows_of(fused: Fused, rows: list[int]) -> Fused:
    columns = {name: values[rows] for name, values in fused.columns.items()}
    return Fused(fused.vector[rows], fused.tokens[rows], fused.mask[rows], columns, fused.places)


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{'-'.join(map(str, case[1].values()))}")
def built(request: pytest.FixtureRequest) -> Built:
    torch.manual_seed(0)
    kind, options, cells = request.param
    config = ALL[kind].Config(**options)
    column = ALL[kind].target(config)
    column.fit(cells)
    decoded = [None if row in MISSING else column.decode(cell) for row, cell in enumerate(cells)]
    return Built(ALL[kind](config, column, DIM, WIDTH), config, column, made_fused(), column.collate(decoded))


def test_every_head_is_tried():
    assert {kind for kind, _, _ in CASES} == set(ALL)


def test_the_table_and_the_configuration_agree_on_the_name():
    assert {kind: head.Config.model_fields["type"].default for kind, head in HEADS.items()} == {
        kind: kind for kind in HEADS
    }


def test_one_loss_a_row_in_float32(built):
    loss = built.head.loss(built.fused, built.raw())
    assert loss.shape == (ROWS,)
    assert loss.dtype == torch.float32
    assert bool(torch.isfinite(loss).all())
    assert bool((loss >= 0).all())


def test_a_missing_target_has_no_loss_and_no_gradient_whatever_stands_there(built):
    raw = built.raw()
    garbage = float("nan") if raw.values.is_floating_point() else 10**9
    shape = raw.mask.shape + (1,) * (raw.values.dim() - raw.mask.dim())
    raw = Raw(
        torch.where(raw.mask.view(shape), raw.values, torch.tensor(garbage)).to(raw.values.dtype), raw.mask
    )
    loss = built.head.loss(built.fused, raw)
    loss.sum().backward()
    assert loss[MISSING].tolist() == [0.0, 0.0]
    for values in (built.fused.vector, built.fused.tokens):
        if values.grad is not None:
            assert bool((values.grad[MISSING] == 0).all())
            assert bool(torch.isfinite(values.grad).all())
    for parameter in built.head.parameters():
        assert bool(torch.isfinite(parameter.grad).all())


def test_gradients_reach_every_parameter_and_the_fused_row(built):
    built.head.loss(built.fused, built.raw()).sum().backward()
    for name, parameter in built.head.named_parameters():
        assert parameter.grad is not None, name
        assert bool((parameter.grad != 0).any()), name
    reached = [values.grad for values in (built.fused.vector, built.fused.tokens) if values.grad is not None]
    assert any(bool((gradient != 0).any()) for gradient in reached)


def test_the_loss_stays_float32_under_autocast(built):
    built.head.eval()
    exact = built.head.loss(built.fused, built.raw())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = built.head.loss(built.fused, built.raw())
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, exact, rtol=0.1, atol=0.1)


def test_predictions_are_arrays_of_a_row_each(built):
    for values in built.predict().values():
        assert values.shape[0] == ROWS
        assert values.dtype in (np.float32, np.int64)


def test_rows_do_not_influence_each_other(built):
    together = built.predict()
    order = [4, 0, 5, 2, 1, 3]
    for name, values in built.predict(rows_of(built.fused, order)).items():
        np.testing.assert_allclose(values, together[name][order], atol=1e-5)
    alone = [built.predict(rows_of(built.fused, [row])) for row in range(ROWS)]
    for name, values in together.items():
        np.testing.assert_allclose(np.concatenate([one[name] for one in alone]), values, atol=1e-5)


def test_padding_changes_nothing(built):
    fused = built.fused
    noise = torch.where(fused.mask.unsqueeze(2), fused.tokens, torch.full((), 1e6))
    noisy = Fused(fused.vector, noise, fused.mask, fused.columns, fused.places)
    for name, values in built.predict(noisy).items():
        np.testing.assert_allclose(values, built.predict()[name], atol=1e-5)


def test_answers_have_a_prediction_and_an_entry_a_row(built):
    answers = built.head.answers(built.predict())
    assert "prediction" in answers
    assert {len(column) for column in answers.values()} == {ROWS}


def test_metrics_are_finite_and_leave_out_the_rows_without_a_target(built):
    predicted = built.predict()
    scores = built.head.metrics(predicted, built.target)
    assert built.head.metric in scores
    assert built.head.metric_goal in ("max", "min")
    assert all(isinstance(score, float) and np.isfinite(score) for score in scores.values())
    for values in predicted.values():
        values[MISSING] = values[MISSING] * 0 + 1
    assert built.head.metrics(predicted, built.target) == scores


def test_metrics_without_any_target_are_undefined(built):
    target = Cells(built.target.values, np.zeros_like(built.target.mask))
    assert all(np.isnan(score) for score in built.head.metrics(built.predict(), target).values())
    assert not built.head.scored(target).any()


def test_scored_rows_are_those_with_a_target(built):
    assert np.flatnonzero(~built.head.scored(built.target)).tolist() == MISSING


def test_a_set_holds_whatever_is_no_stranger_than_its_threshold(built):
    predicted = built.predict()
    own = built.head.nonconformity(predicted, built.target)
    assert (own is None) == (built.head.set_columns == ())
    thresholds = np.full(ROWS, np.inf) if own is None else own.astype(np.float64)
    sets = built.head.sets(predicted, thresholds)
    assert tuple(sets) == built.head.set_columns
    assert {len(column) for column in sets.values()} <= {ROWS}
    narrower = built.head.sets(predicted, thresholds - 1e-3)
    for row in np.flatnonzero(built.head.scored(built.target)):
        if "set" in sets:
            truth = built.column.label(int(built.target.values[row, 0]))
            assert truth in sets["set"][row]
            assert truth not in narrower["set"][row]
        elif "low" in sets:
            truth, rounding = built.column.unscale(built.target.values[row, 0]), 1e-5
            assert sets["low"][row] - rounding <= truth <= sets["high"][row] + rounding
            assert not narrower["low"][row] <= truth <= narrower["high"][row]


def test_a_temperature_is_learned_at_one_and_changes_no_loss(built):
    predicted = built.predict()
    loss = built.head.loss(built.fused, built.raw())
    built.head.temperature = found = built.head.fit_temperature(predicted, built.target)
    assert isinstance(found, float)
    assert 0 < found < np.inf
    torch.testing.assert_close(built.head.loss(built.fused, built.raw()), loss, rtol=0, atol=0)
    before, after = (built.head.answers(one)["prediction"] for one in (predicted, built.predict()))
    assert [str(answer) for answer in before] == [str(answer) for answer in after]


def test_saved_state_gives_the_same_predictions(built):
    column = type(built.head).target(built.config)
    column.load_state(json.loads(json.dumps(built.column.state())))
    copy = type(built.head)(built.config, column, DIM, WIDTH)
    copy.load_state_dict(built.head.state_dict())
    again = Built(copy, built.config, column, built.fused, built.target)
    for name, values in built.predict().items():
        np.testing.assert_array_equal(again.predict()[name], values)
    built.head.eval()
    torch.testing.assert_close(
        copy.loss(built.fused, built.raw()), built.head.loss(built.fused, built.raw()), rtol=0, atol=0
    )


def test_configurations_survive_json(built):
    assert type(built.config).model_validate_json(built.config.model_dump_json()) == built.config
