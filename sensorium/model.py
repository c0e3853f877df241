"""Encoders → fusion → heads: the one architecture, and how it is saved and loaded."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import sensorium
from sensorium.batch import Batch, Fused, Place, Raw, Tokens
from sensorium.data import COLUMNS
from sensorium.data.answer import AnswerColumn
from sensorium.data.column import Column
from sensorium.data.from_checkpoint import FromCheckpoint
from sensorium.data.text import TextColumn
from sensorium.decoders.decoder import Decoder
from sensorium.decoders.listening import input_named
from sensorium.encoders import ENCODERS
from sensorium.encoders.pretrained.config import PretrainedConfig
from sensorium.encoders.pretrained.frozen import with_features
from sensorium.encoders.pretrained.kept import keep_weights, with_kept_weights
from sensorium.errors import RecipeError, SensoriumError
from sensorium.frozen import keep_still
from sensorium.fusion import FUSIONS
from sensorium.heads import HEADS
from sensorium.recipe import Input, Recipe, parse_recipe
from sensorium.undrawn import Undrawn
from sensorium.weights.digest import sha256_of
from sensorium.yaml_file import read_yaml

FORMAT = 1
"""Of a saved model's files. It rises when a release before could not read them."""


class Model(nn.Module):
    """A recipe made trainable.

    Args:
        recipe: what to build.
        columns: input name → fitted column.
        targets: output name → fitted target column.
    """

    def __init__(self, recipe: Recipe, columns: Mapping[str, Column], targets: Mapping[str, Column]) -> None:
        super().__init__()
        self.inputs = list(recipe.inputs)
        self.outputs = list(recipe.outputs)
        self.encoders = nn.ModuleDict(
            {
                module_name(name): _new_encoder(name, part, columns[name])
                for name, part in recipe.inputs.items()
            }
        )
        dims = {name: self.encoder(name).dim for name in self.inputs}
        self.absent = nn.ParameterDict(
            {module_name(name): nn.Parameter(torch.randn(dim) * 0.02) for name, dim in dims.items()}
        )
        self.fusion = FUSIONS[recipe.fusion.kind](recipe.fusion, dims, self.outputs)
        self.heads = nn.ModuleDict(
            {
                module_name(name): _new_head(name, config, targets[name], self.fusion)
                for name, config in recipe.outputs.items()
            }
        )
        self._copied = [name for name, column in columns.items() if type(column) is TextColumn]
        self.weights = {name: config.weight for name, config in recipe.outputs.items()}
        self.input_dropout = recipe.training.input_dropout
        self.feature_dropout = nn.Dropout(recipe.training.feature_dropout)

    def forward(self, batch: Batch) -> tuple[Fused, dict[str, Tensor]]:
        """The fused rows, and output name → loss of every row `(B,)`, zero where the target is missing."""
        fused = self.fuse(batch.inputs)
        return fused, {
            name: self.head(name).loss(fused.for_output(name), batch.targets[name]) for name in self.outputs
        }

    def train(self, mode: bool = True) -> Model:
        """Trains or not; frozen parts never do, so that their dropout is off and batch statistics stay."""
        super().train(mode)
        keep_still(self)
        return self

    def predict(
        self, inputs: Mapping[str, Raw], hidden: Collection[str] = ()
    ) -> dict[str, dict[str, Tensor]]:
        """Output name → what its head predicts, without gradients.

        Args:
            inputs: input name → raw column.
            hidden: inputs to treat as missing in every row.
        """
        with torch.no_grad():
            return self.predict_fused(self.fuse(inputs, hidden))

    def predict_fused(self, fused: Fused) -> dict[str, dict[str, Tensor]]:
        """Output name → what its head predicts of fused rows."""
        return {name: self.head(name).predict(fused.for_output(name)) for name in self.outputs}

    def fuse(self, inputs: Mapping[str, Raw], hidden: Collection[str] = ()) -> Fused:
        """Encodes and fuses. An input that a row lacks enters as its learned absent token."""
        present = torch.stack([inputs[name].present for name in self.inputs], dim=1)
        for column, name in enumerate(self.inputs):
            if name in hidden:
                present[:, column] = False
        if self.training:
            present = self._drop_inputs(present)
        tokens = {
            name: self._drop_features(self.encode(name, inputs[name], present[:, column]))
            for column, name in enumerate(self.inputs)
        }
        return self.fuse_tokens(tokens, present, self.ids(inputs))

    def ids(self, inputs: Mapping[str, Raw]) -> dict[str, Tensor]:
        """What `Fused.ids` holds: the tokens of the texts whose vocabulary is learned from the table."""
        texts = {name: inputs[name] for name in self._copied if name in inputs}
        return {name: torch.where(raw.mask, raw.values, -1) for name, raw in texts.items()}

    def fuse_tokens(
        self, tokens: dict[str, Tokens], present: Tensor, ids: dict[str, Tensor] | None = None
    ) -> Fused:
        """Fuses what `encode` gave of every input.

        Args:
            tokens: input name → tokens of B rows, in the order of `inputs`.
            present: `(B, M)` bool, which inputs each row has.
            ids: see `Fused.ids`; only decoders that copy need them.
        """
        fused: Fused = self.fusion(tokens, present)
        return replace(
            fused,
            places={n: self._with_grid(n, p, tokens[n]) for n, p in fused.places.items()},
            present=dict(zip(self.inputs, present.unbind(dim=1), strict=True)),
            ids=ids or {},
        )

    def encoder(self, name: str) -> Any:
        """The encoder of an input."""
        return self.encoders[module_name(name)]

    def head(self, name: str) -> Any:
        """The head of an output."""
        return self.heads[module_name(name)]

    def decoders(self) -> dict[str, Decoder]:
        """Output name → what writes it, of the outputs that are texts."""
        heads = {name: self.head(name) for name in self.outputs}
        return {name: head.decoder for name, head in heads.items() if hasattr(head, "decoder")}

    def encode(self, name: str, raw: Raw, present: Tensor) -> Tokens:
        """Encodes the rows that have the input, and puts the absent token where it is missing.

        Rows without the input never enter the encoder, so that batch statistics see real rows alone.

        Args:
            name: of the input.
            raw: its column, B rows.
            present: `(B,)` bool, True where the input is to count; the row must then have it.
        """
        absent = self.absent[module_name(name)]
        rows = present.nonzero().squeeze(1)
        if len(rows) == 0:
            values = absent.expand(len(present), 1, -1)
            return Tokens(values, torch.ones_like(present).unsqueeze(1))
        everywhere = len(rows) == len(present)
        encoder = self.encoder(name)
        encoded: Tokens = encoder(with_features(encoder, raw if everywhere else raw.rows(rows)))
        values = encoded.values.float()
        if everywhere:
            return Tokens(values, encoded.mask)
        length = values.shape[1]
        start = torch.zeros(len(present), length, values.shape[2], device=values.device, dtype=values.dtype)
        start = start.index_copy(0, rows, values)
        mask = torch.zeros(len(present), length, dtype=torch.bool, device=values.device)
        mask = mask.index_copy(0, rows, encoded.mask)
        first = torch.zeros_like(mask)
        first[:, 0] = ~present
        return Tokens(torch.where(first.unsqueeze(-1), absent.to(values.dtype), start), mask | first)

    def _with_grid(self, name: str, place: Place, tokens: Tokens) -> Place:
        """Adds the height and width of a picture's tokens, where they came through the fusion unpooled."""
        grid = self.encoder(name).grid if hasattr(self.encoder(name), "grid") else ()
        whole = place.length == tokens.values.shape[1] and place.length >= math.prod(grid)
        return place._replace(grid=grid) if grid and whole else place

    def _drop_features(self, tokens: Tokens) -> Tokens:
        """Hides numbers at random, in training alone: few rows must not hang on few numbers of an encoder."""
        return Tokens(self.feature_dropout(tokens.values), tokens.mask)

    def _drop_inputs(self, present: Tensor) -> Tensor:
        """Hides inputs at random, row by row; where all that a row has would go, one of them stays."""
        rates = self.input_dropout
        shares = [rates.get(name, 0.0) if isinstance(rates, dict) else rates for name in self.inputs]
        if not any(shares):
            return present
        chance = torch.rand(present.shape, device=present.device)
        margin = chance - torch.tensor(shares, device=present.device)
        kept = present & (margin >= 0)
        nearest = margin.masked_fill(~present, -torch.inf).argmax(dim=1, keepdim=True)
        one = present & torch.zeros_like(present).scatter(1, nearest, True)
        return torch.where(kept.any(dim=1, keepdim=True), kept, one)


def module_name(name: str) -> str:
    """A column's name as a module's: torch refuses dots and names such as `type`, `items` or `train`."""
    return "column_" + name.replace("%", "%25").replace(".", "%2E")


def save_model(
    folder: Path,
    recipe: Recipe,
    columns: Mapping[str, Column],
    targets: Mapping[str, Column],
    state: Mapping[str, Tensor],
    about: Mapping[str, Any],
) -> str:
    """Writes weights (safetensors), recipe (YAML), fitted columns and `about` (JSON); never a pickle.

    Frozen backbones, which are no part of the state, are kept as the files that they came in.

    Returns:
        The sha256 of the weights, by which `load_model` knows them.

    Raises:
        SensoriumError: when the folder cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    fitted = {
        "inputs": {name: column.state() for name, column in columns.items()},
        "outputs": {name: column.state() for name, column in targets.items()},
    }
    texts = {
        "columns.json": json.dumps(fitted, ensure_ascii=False),
        "recipe.yaml": recipe.as_yaml(),
    }
    weights = _apart({name: tensor.detach().contiguous().cpu() for name, tensor in state.items()})
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in _with_frozen_weights(recipe):
            own: Any = columns[name]
            keep_weights(own.checkpoint, folder)
        save_file(weights, folder / "model.safetensors")
        digest = sha256_of(folder / "model.safetensors")
        said = {"format": FORMAT, "weights_sha256": digest, **about}
        texts["model.json"] = json.dumps(said, indent=2, ensure_ascii=False)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
    except (OSError, SafetensorError) as error:
        raise SensoriumError(f"{folder}: the model cannot be written ({error})") from None
    return digest


def _apart(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of which no two share memory, as safetensors wants it; inputs may share a frozen backbone."""
    met: set[int] = set()
    for name, tensor in weights.items():
        if tensor.data_ptr() in met:
            weights[name] = tensor.clone()
        met.add(tensor.data_ptr())
    return weights


def load_model(folder: Path) -> tuple[Recipe, dict[str, Column], dict[str, Column], Model, dict[str, Any]]:
    """Reads what `save_model` wrote.

    Returns:
        The recipe, the input columns, the target columns, the model in evaluation mode, and `about`.

    Raises:
        SensoriumError: when the folder does not hold a whole model.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        content = read_yaml(folder / "recipe.yaml")
        fitted = json.loads((folder / "columns.json").read_text(encoding="utf-8"))
        about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        weights_digest = sha256_of(folder / "model.safetensors")
        weights = load_file(folder / "model.safetensors")
    except FileNotFoundError as error:
        if (folder / "checkpoints").is_dir() or (folder / "steps").is_dir():
            raise SensoriumError(
                f"{folder} holds no trained model: the training is not finished; `sensorium train` goes on"
            ) from None
        missing = Path(str(error.filename)).name
        raise SensoriumError(f"{folder} holds no trained model: {missing} is missing") from None
    except (RecipeError, json.JSONDecodeError, UnicodeDecodeError, SafetensorError, OSError) as error:
        line = str(error).splitlines()[0]
        raise SensoriumError(f"{folder}: the saved model is damaged ({line})") from None
    _refuse_newer(about, folder)
    if about.get("weights_sha256", weights_digest) != weights_digest:  # models of before do not say it
        raise SensoriumError(
            f"{folder}: model.safetensors is not what was saved, so it is damaged; copy the model again, or "
            "train it again"
        )
    recipe = parse_recipe(content, folder=folder)
    columns, targets = new_columns(recipe)
    try:
        for name, column in columns.items():
            column.load_state(fitted["inputs"][name])
        for name, column in targets.items():
            column.load_state(fitted["outputs"][name])
        for name in _with_frozen_weights(recipe):
            own: Any = columns[name]
            own.checkpoint = with_kept_weights(own.checkpoint, folder)
        with Undrawn():
            model = Model(recipe, columns, targets)
        model.load_state_dict(weights)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        line = str(error).splitlines()[0]
        raise SensoriumError(f"{folder}: the weights do not fit the recipe beside them ({line})") from None
    return recipe, columns, targets, model.eval(), _given_about(about)


def _with_frozen_weights(recipe: Recipe) -> list[str]:
    """The inputs whose encoders have a frozen backbone."""
    encoders = {name: part.encoder for name, part in recipe.inputs.items()}
    return [name for name, one in encoders.items() if isinstance(one, PretrainedConfig) and one.frozen]


def _given_about(about: dict[str, Any]) -> dict[str, Any]:
    """What `save_model` was given, without what it adds."""
    return {name: value for name, value in about.items() if name not in ("format", "weights_sha256")}


def _refuse_newer(about: Any, folder: Path) -> None:
    """A model written in a way that this release does not know yet; without `format` it is of the first."""
    written = about.get("format", 1) if isinstance(about, dict) else None
    if not isinstance(written, int):
        raise SensoriumError(f"{folder}: the saved model is damaged (model.json holds no format)")
    if written > FORMAT:
        raise SensoriumError(
            f"{folder}: the model is of format {written}; this sensorium ({sensorium.__version__}) reads "
            f"format {FORMAT}: pip install -U sensorium"
        )


def new_columns(recipe: Recipe) -> tuple[dict[str, Column], dict[str, Column]]:
    """Unfitted columns of a recipe: for its inputs and for the targets of its outputs."""
    columns = {name: _new_column(name, part, recipe.folder) for name, part in recipe.inputs.items()}
    targets = {name: _target(config, recipe.folder) for name, config in recipe.outputs.items()}
    for name, target in targets.items():
        if isinstance(target, AnswerColumn):
            with _said_of(f"outputs.{name}"):
                target.source = _text_of_answers(recipe.outputs[name].decoder.input, columns)
    return columns, targets


def _text_of_answers(name: str | None, columns: Mapping[str, Column]) -> TextColumn:
    """The column of the text that answers are cut out of."""
    column = columns[input_named(name, list(columns))]
    if type(column) is not TextColumn:
        raise RecipeError(
            "decoder.input: extract copies from an input of type text whose vocabulary is learned from the "
            "table, without pretrained weights or ngrams"
        )
    return column


def _target(config: Any, folder: Path) -> Column:
    """The column of an output; one of pretrained weights looks for a folder of them beside the recipe."""
    column: Column = HEADS[config.type].target(config)
    if isinstance(column, FromCheckpoint):
        column.base = folder
    return column


def _new_encoder(name: str, part: Input, column: Column) -> nn.Module:
    """The encoder of an input."""
    with _said_of(f"inputs.{name}"):
        encoder: nn.Module = ENCODERS[part.type][part.encoder.kind](part.encoder, column)
    return encoder


def _new_head(name: str, config: Any, target: Column, fusion: Any) -> nn.Module:
    """The head of an output."""
    with _said_of(f"outputs.{name}"):
        head: nn.Module = HEADS[config.type](config, target, fusion.dim, fusion.width)
    return head


def _new_column(name: str, part: Input, folder: Path) -> Column:
    """The column that reads an input; a pretrained encoder brings its own."""
    encoder: Any = ENCODERS[part.type][part.encoder.kind]
    if hasattr(encoder, "Column"):
        with _said_of(f"inputs.{name}"):
            own: Column = encoder.Column(part.column, part.encoder.weights, folder)
        return own
    if hasattr(encoder, "new_column"):
        counted: Column = encoder.new_column(part.column, part.encoder)
        return counted
    make: Any = COLUMNS[part.type]
    column: Column = make(part.column)
    return column


@contextmanager
def _said_of(part: str) -> Iterator[None]:
    """What is refused inside is said with the name of the recipe's part."""
    try:
        yield
    except SensoriumError as error:
        raise type(error)(f"{part}: {error}") from None
