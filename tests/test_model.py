"""The one architecture: absent tokens, batch statistics, odd names, and what is saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sensorium.batch import Batch, Raw
from sensorium.errors import SensoriumError
from sensorium.fusion import FUSIONS
from sensorium.inference import batch_to_device, collect, predict_batches, subsets
from sensorium.model import Model, load_model, module_name, save_model
from sensorium.prepare import Prepared, prepare
from sensorium.recipe import parse_recipe
from tests import made

ODD_NAMES = [
    "type",
    "items",
    "keys",
    "train",
    "forward",
    "a.b",
    "a%2Eb",
    "中文",
    "parameters",
    " ",
    "weights",
]


def prepared(fusion: Any = "concat", inputs: dict[str, Any] | None = None, **training: Any) -> Prepared:
    data = made.simple_rows(12)
    data["picture"] = [None if row % 3 == 2 else made.picture(row) for row in range(12)]
    data["words"][4] = None
    recipe = made.simple_recipe(**training)
    recipe["data"] = {"split": {"validation": 0, "test": 0}, "cache": False}
    recipe["inputs"] = inputs or {
        "words": {"type": "text", "tokenizer": "word", "min_count": 1, "encoder": "mean"},
        "picture": {
            "type": "image",
            "size": 16,
            "encoder": {"kind": "cnn", "channels": [4], "norm": "batch"},
        },
        "size": "number",
    }
    recipe["fusion"] = fusion
    return prepare(parse_recipe(recipe), data)


def model_of(data: Prepared) -> Model:
    torch.manual_seed(0)
    columns = {name: bound.column for name, bound in data.loader.inputs.items()}
    return Model(data.recipe, columns, {name: bound.column for name, bound in data.loader.targets.items()})


def batch_of(data: Prepared, rows: Any = range(12)) -> Batch:
    return batch_to_device(data.loader.batch(np.array(rows)), torch.device("cpu"))


def without(batch: Batch, name: str, rows: slice = slice(None)) -> Batch:
    """The same rows, one input missing in some of them."""
    mask = batch.inputs[name].mask.clone()
    mask[rows] = False
    return Batch(batch.rows, {**batch.inputs, name: Raw(batch.inputs[name].values, mask)}, batch.targets)


@pytest.mark.parametrize("kind", list(FUSIONS))
def test_a_row_without_an_input_gets_the_absent_token(kind: str) -> None:
    """What stands in the values of a missing cell does not matter; the token learns."""
    data = prepared(kind)
    model, batch = model_of(data).eval(), batch_of(data)
    expected = model.predict(batch.inputs)["label"]["probabilities"]
    batch.inputs["picture"].values[~batch.inputs["picture"].present] = 77
    torch.testing.assert_close(model.predict(batch.inputs)["label"]["probabilities"], expected)
    _, losses = model(batch)
    losses["label"].sum().backward()
    gradient = model.absent[module_name("picture")].grad
    assert gradient is not None
    assert torch.isfinite(gradient).all()
    if kind in ("attention", "bottleneck", "late", "parallel", "plain"):  # they leave absent inputs out
        for name in data.recipe.inputs:
            batch = without(batch, name)
        model(batch)[1]["label"].sum().backward()
    assert float(gradient.abs().sum()) > 0


@pytest.mark.parametrize("kind", list(FUSIONS))
def test_an_input_missing_in_every_row_and_all_missing(kind: str) -> None:
    data = prepared(kind)
    model, batch = model_of(data).eval(), batch_of(data)
    for name in data.recipe.inputs:
        batch = without(batch, name)
        _, losses = model(batch)
        assert torch.isfinite(losses["label"]).all()
    rows = model.predict(batch.inputs)["label"]["probabilities"]
    torch.testing.assert_close(rows, rows[:1].expand_as(rows))


@pytest.mark.parametrize("kind", list(FUSIONS))
def test_rows_do_not_see_each_other(kind: str) -> None:
    data = prepared(kind)
    model = model_of(data).eval()
    together = model.predict(batch_of(data).inputs)["label"]["probabilities"]
    for row in (0, 2, 4):
        alone = model.predict(batch_of(data, [row]).inputs)["label"]["probabilities"]
        torch.testing.assert_close(alone[0], together[row], atol=1e-5, rtol=1e-4)


def test_hidden_inputs_count_as_missing() -> None:
    data = prepared("attention")
    model, batch = model_of(data).eval(), batch_of(data)
    hidden = model.predict(batch.inputs, hidden=["picture"])["label"]["probabilities"]
    emptied = model.predict(without(batch, "picture").inputs)["label"]["probabilities"]
    assert torch.equal(hidden, emptied)
    assert not torch.equal(hidden, model.predict(batch.inputs)["label"]["probabilities"])
    collected = collect(model, data.loader, np.arange(12), hidden=["picture"])
    assert collected.present.tolist() == [[row != 4, False, True] for row in range(12)]


@pytest.mark.parametrize("kind", list(FUSIONS))
def test_inputs_that_are_encoded_once_give_the_same_bits(kind: str) -> None:
    data = prepared(kind)
    model = model_of(data).eval()
    tried = subsets(model.inputs)
    assert len(tried) == 8
    (first, predictions), *others = predict_batches(model, data.loader, np.arange(12), tried, batch_size=10)
    assert [len(first.rows), *(len(decoded.rows) for decoded, _ in others)] == [10, 2]
    inputs = batch_of(data, range(10)).inputs
    for left, predicted in zip(tried, predictions, strict=True):
        hidden = [name for name in model.inputs if name not in left]
        expected = model.predict(inputs, hidden)["label"]["probabilities"].numpy()
        np.testing.assert_array_equal(predicted["label"]["probabilities"], expected)


def test_batch_statistics_see_only_rows_that_have_the_input() -> None:
    picture = {"type": "image", "size": 16, "augment": False}
    picture["encoder"] = {"kind": "cnn", "channels": [4], "norm": "batch"}
    data = prepared(inputs={"picture": picture, "size": "number"})
    there = [row for row in range(12) if row % 3 != 2]
    models = [model_of(data).train() for _ in range(2)]
    models[0](batch_of(data))
    models[1](batch_of(data, there))
    norms = [
        [m for m in model.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
        for model in models
    ]
    assert norms[0]
    for one, other in zip(*norms, strict=True):
        torch.testing.assert_close(one.running_mean, other.running_mean)
        torch.testing.assert_close(one.running_var, other.running_var)


@pytest.mark.parametrize("encoder", ["resnet18", {"kind": "cnn", "channels": [4], "norm": "batch"}])
def test_a_single_picture_in_a_batch_trains(encoder: Any) -> None:
    """Where all other rows lack it, batch statistics come from one row."""
    data = prepared(inputs={"picture": {"type": "image", "size": 32, "encoder": encoder}, "size": "number"})
    model = model_of(data).train()
    _, losses = model(without(batch_of(data), "picture", slice(1, None)))
    losses["label"].sum().backward()
    assert torch.isfinite(losses["label"]).all()


def test_input_dropout_hides_inputs_but_never_all_that_a_row_has() -> None:
    data = prepared(input_dropout={"words": 0.9, "size": 0.9, "picture": 0.9})
    model = model_of(data).train()
    present = torch.tensor([[True, True, True], [True, False, False]]).repeat(200, 1)
    torch.manual_seed(0)
    kept = model._drop_inputs(present)
    assert kept.any(dim=1).all()
    assert torch.equal(kept[1::2], present[1::2])
    assert not (kept & ~present).any()
    # A tenth of each stays, and one of the three where none would.
    assert float(kept[::2].float().mean()) == pytest.approx(0.1 + 0.9**3 / 3, abs=0.05)
    assert torch.equal(model_of(prepared())._drop_inputs(present), present)


def test_odd_names(tmp_path: Path) -> None:
    data: dict[str, list[Any]] = {
        name: [float(row + place) for row in range(12)] for place, name in enumerate(ODD_NAMES)
    }
    recipe = {
        "data": {"split": {"validation": 0, "test": 0}},
        "inputs": dict.fromkeys(ODD_NAMES[:-2], "number"),
        "fusion": "gated",
        "outputs": dict.fromkeys(ODD_NAMES[-2:], "number") | {"items": {"type": "number", "column": " "}},
    }
    ready = prepare(parse_recipe(recipe), data)
    model = model_of(ready)
    model(batch_of(ready))
    columns = {name: bound.column for name, bound in ready.loader.inputs.items()}
    targets = {name: bound.column for name, bound in ready.loader.targets.items()}
    save_model(tmp_path, ready.recipe, columns, targets, model.state_dict(), {"epoch": 1})
    loaded = load_model(tmp_path)[3]
    assert loaded.inputs == ODD_NAMES[:-2]
    assert loaded.outputs == [*ODD_NAMES[-2:], "items"]


def test_names_never_meet() -> None:
    assert len({module_name(name) for name in ODD_NAMES}) == len(ODD_NAMES)
    assert not any("." in module_name(name) for name in ODD_NAMES)


@pytest.mark.parametrize("kind", list(FUSIONS))
def test_save_and_load_give_the_same_bits(kind: str, tmp_path: Path) -> None:
    data = prepared(kind)
    model, batch = model_of(data).eval(), batch_of(data)
    columns = {name: bound.column for name, bound in data.loader.inputs.items()}
    targets = {name: bound.column for name, bound in data.loader.targets.items()}
    save_model(tmp_path, data.recipe, columns, targets, model.state_dict(), {"epoch": 3, "见": "中文"})
    recipe, read_columns, read_targets, loaded, about = load_model(tmp_path)
    assert about == {"epoch": 3, "见": "中文"}
    assert json.loads((tmp_path / "model.json").read_text(encoding="utf-8"))["format"] == 1
    (tmp_path / "model.json").write_text("{}", encoding="utf-8")  # as before models had a format
    assert load_model(tmp_path)[4] == {}
    assert recipe.as_dict() == data.recipe.as_dict()
    assert {n: c.state() for n, c in read_columns.items()} == {n: c.state() for n, c in columns.items()}
    assert {n: c.state() for n, c in read_targets.items()} == {n: c.state() for n, c in targets.items()}
    assert not loaded.training
    one, other = (m.predict(batch.inputs)["label"]["probabilities"] for m in (model, loaded))
    assert torch.equal(one, other)


def test_weights_of_another_recipe_are_refused(tmp_path: Path) -> None:
    data, other = prepared(), prepared({"kind": "concat", "width": 8})
    columns = {name: bound.column for name, bound in data.loader.inputs.items()}
    targets = {name: bound.column for name, bound in data.loader.targets.items()}
    save_model(tmp_path, data.recipe, columns, targets, model_of(other).state_dict(), {})
    with pytest.raises(SensoriumError, match="the weights do not fit the recipe beside them") as caught:
        load_model(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", ["{}", "[]", '{"inputs": 3, "outputs": {}}', '{"inputs": {"words": {"a": 1}}}']
)
def test_columns_of_something_else_are_refused(tmp_path: Path, content: str) -> None:
    data = prepared()
    columns = {name: bound.column for name, bound in data.loader.inputs.items()}
    targets = {name: bound.column for name, bound in data.loader.targets.items()}
    save_model(tmp_path, data.recipe, columns, targets, model_of(data).state_dict(), {})
    (tmp_path / "columns.json").write_text(content)
    with pytest.raises(SensoriumError, match=tmp_path.name):
        load_model(tmp_path)


def test_nothing_that_is_saved_is_executed(tmp_path: Path) -> None:
    """Only safetensors, YAML and JSON: no pickle."""
    data = prepared()
    columns = {name: bound.column for name, bound in data.loader.inputs.items()}
    targets = {name: bound.column for name, bound in data.loader.targets.items()}
    save_model(tmp_path, data.recipe, columns, targets, model_of(data).state_dict(), {})
    for path in tmp_path.iterdir():
        assert b"\x80\x04" not in path.read_bytes()[:2]
    (tmp_path / "recipe.yaml").write_text("!!python/object/apply:os.system ['true']")
    with pytest.raises(SensoriumError, match="damaged"):
        load_model(tmp_path)


def test_collected_rows_come_in_the_order_asked_for() -> None:
    data = prepared()
    model = model_of(data)
    model.train()
    rows = np.array([7, 2, 2, 11, 0])
    collected = collect(model, data.loader, rows, batch_size=2)
    everything = collect(model, data.loader, np.arange(12), batch_size=12)
    assert model.training
    assert collected.rows.tolist() == rows.tolist()
    np.testing.assert_allclose(
        collected.predicted["label"]["probabilities"],
        everything.predicted["label"]["probabilities"][rows],
        atol=1e-5,
    )
    assert (collected.targets["label"].values == everything.targets["label"].values[rows]).all()
    np.testing.assert_array_equal(collected.present, everything.present[rows])


def test_the_loss_of_collected_rows() -> None:
    data = prepared()
    collected = collect(model_of(data), data.loader, np.arange(12), batch_size=5)
    assert collected.loss({"label": 2.0}) == pytest.approx(2 * collected.losses["label"].mean(), rel=1e-6)
    collected.targets["label"].mask[:6] = False
    assert collected.loss({"label": 1.0}) == pytest.approx(collected.losses["label"][6:].mean(), rel=1e-6)
    collected.targets["label"].mask[:] = False
    assert collected.loss({"label": 1.0}) == 0
