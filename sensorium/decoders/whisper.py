"""Whisper's own decoder, behind Whisper's own encoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from sensorium.batch import Fused, Raw
from sensorium.data.text import TextConfig
from sensorium.data.whisper_text import WhisperTextColumn
from sensorium.decoders.decoder import Decoder, DecoderConfig
from sensorium.decoders.listening import heard
from sensorium.decoders.losses import mean_of_rows, token_losses
from sensorium.decoders.transformer import DecoderBlock, DecoderState, KeysAndValues
from sensorium.decoders.writing import Ends, WritingConfig, Written, write
from sensorium.encoders.pretrained.backbone import read_weights
from sensorium.errors import RecipeError, WeightsError
from sensorium.weights import Checkpoint


class WhisperDecoderConfig(DecoderConfig):
    """Speech recognition with a checkpoint of Whisper; the input's encoder has the same weights."""

    kind: Literal["whisper"] = Field("whisper", description="kind of decoder")
    weights: str = Field(
        "openai/whisper-tiny.en", description="id of a checkpoint, or a folder beside the recipe"
    )
    input: str | None = Field(None, description="input that is heard; needed where there are several")
    language: str = Field("en", description="code of the language that is spoken")
    tune: Literal["frozen", "full"] = Field(
        "frozen", description="frozen: as it is; full: all of the decoder is trained"
    )
    lr: float = Field(1e-5, gt=0, description="full: peak learning rate of the decoder")
    length: int = Field(200, ge=1, le=440, description="tokens of a text that are learned")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of values dropped in training")


class WhisperDecoder(Decoder):
    """The decoder of Radford et al. 2022 (arXiv:2212.04356), as `TransformerDecoder` is built.

    It looks at everything that the encoder hears, also at the silence after a sound: without it, it does not
    know where the sound ends, and says the same again and again.

    Args:
        config: see `WhisperDecoderConfig`.
        column: of the texts.
        dim: V, not used.
        width: H, the checkpoint's.

    Raises:
        RecipeError: when H is not the checkpoint's width.
        WeightsError: when the checkpoint is none of Whisper, or is damaged.
    """

    Config = WhisperDecoderConfig

    @classmethod
    def target(cls, config: WhisperDecoderConfig, column: str | None) -> WhisperTextColumn:
        """The column of the texts."""
        text = TextConfig(column=column, length=config.length)
        return WhisperTextColumn(text, config.weights, config.language)

    def __init__(self, config: WhisperDecoderConfig, column: WhisperTextColumn, dim: int, width: int) -> None:
        super().__init__()
        self.config = config
        said = column.checkpoint.config
        own, heads, depth = said["d_model"], said["decoder_attention_heads"], said["decoder_layers"]
        if width != own:
            raise RecipeError(
                f"decoder.weights: {config.weights} reads tokens of width {own} as its encoder made them: "
                f"write fusion: {{kind: plain, width: {own}}}, and for the input's encoder "
                f"{{kind: pretrained, weights: {config.weights}, pool: whole}}"
            )
        self.moments = said["max_source_positions"]
        self.start = column.beginning
        self.ends = Ends(self.start[-1], column.end, (0, *range(column.end + 1, column.vocabulary_size)))
        self.tokens = nn.Embedding(column.vocabulary_size - 1, own)
        self.positions = nn.Embedding(said["max_target_positions"], own)
        self.blocks = nn.ModuleList(DecoderBlock(own, heads, config.dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(own)
        if column.checkpoint.files:  # else a saved model fills it
            self._fill(column.checkpoint, depth)
        self.requires_grad_(config.tune == "full")

    def _fill(self, checkpoint: Checkpoint, depth: int) -> None:
        try:
            self.load_state_dict(decoder_weights(read_weights(checkpoint), depth))
        except (KeyError, RuntimeError) as error:
            line = str(error).splitlines()[0]
            raise WeightsError(
                f"{checkpoint.name}: the weights of its decoder do not fit config.json ({line}); fetch the "
                "checkpoint again"
            ) from None

    def loss(self, fused: Fused, target: Raw) -> Tensor:
        """`(B,)` float32; target: `(B, L)` int64 ids of the column."""
        rows, device = len(target.values), target.values.device
        words = torch.where(target.mask, target.values, 0)
        start = torch.tensor(self.start, device=device).expand(rows, -1)
        length = target.mask.sum(dim=1, keepdim=True)
        after = torch.cat([words, torch.zeros_like(words[:, :1])], dim=1).scatter(1, length, self.ends.end)
        taught = target.present & heard(fused, self.config.input).present
        real = (torch.arange(after.shape[1], device=device) <= length) & taught.unsqueeze(1)
        states, _ = self._states(torch.cat([start, words], dim=1), self._beginning(fused))
        states = states[:, len(self.start) - 1 :]
        return mean_of_rows(token_losses(states, self.tokens.weight, (after - 1).clamp(min=0), real), real)

    def learning_rates(self, default: float) -> dict[nn.Parameter, float]:
        """One for all that is trained."""
        return {one: self.config.lr for one in self.parameters() if one.requires_grad}

    @torch.no_grad()
    def write(self, fused: Fused, writing: WritingConfig) -> Written:
        """Ids of the column, without start and end; none where the sound is missing.

        Raises:
            RecipeError: when more tokens are asked for than the checkpoint has positions.
        """
        most = self.positions.num_embeddings - len(self.start)
        if writing.length > most:
            raise RecipeError(
                f"writing.length: {writing.length} is more than Whisper can write, {most} tokens"
            )
        rows, device = len(fused.tokens), fused.tokens.device
        said = torch.tensor(self.start[:-1], device=device).expand(rows, -1)
        _, state = self._states(said, self._beginning(fused))
        written = write(self._step, state, rows, self.ends, writing, device)
        present = heard(fused, self.config.input).present
        return Written(torch.where(present[:, None, None], written.ids, 0), written.scores)

    def _beginning(self, fused: Fused) -> DecoderState:
        tokens, mask, present = heard(fused, self.config.input)
        if bool((mask.sum(dim=1) != self.moments)[present].any()):
            raise RecipeError(
                f"decoder: whisper wants all {self.moments} moments of its encoder: write pool: whole there, "
                "and a fusion that keeps them"
            )
        blocks: list[Any] = list(self.blocks)
        seen = [block.cross.keys_and_values(tokens) for block in blocks]
        return DecoderState(0, [None] * len(seen), seen, mask)

    def _step(self, last: Tensor, state: Any) -> tuple[Tensor, DecoderState]:
        states, state = self._states(last.unsqueeze(1), state)
        logits = functional.linear(states[:, 0], self.tokens.weight)
        return functional.pad(logits, (1, 0), value=float("-inf")), state

    def _states(self, ids: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Further ids of the column `(N, L)` → states `(N, L, D)`, from which the next are read."""
        length = state.length + ids.shape[1]
        places = torch.arange(state.length, length, device=ids.device)
        values = self.tokens((ids - 1).clamp(min=0)) + self.positions(places)
        written: list[KeysAndValues | None] = []
        for block, before, sources in zip(self.blocks, state.written, state.sources, strict=True):
            values, kept = block(values, before, sources, state.mask)
            written.append(kept)
        return self.norm(values), replace(state, length=length, written=written)


def decoder_weights(weights: Mapping[str, Tensor], depth: int) -> dict[str, Tensor]:
    """The decoder's part of a checkpoint, by the names of `WhisperDecoder`, float32.

    Args:
        weights: by the names of the hub.
        depth: blocks.
    """
    own = {"tokens.weight": "embed_tokens.weight", "positions.weight": "embed_positions.weight"}
    layers = {"norm": "layer_norm"}
    joined = {}
    for number in range(depth):
        ours, theirs = f"blocks.{number}", f"layers.{number}"
        layers |= {
            f"{ours}.own_norm": f"{theirs}.self_attn_layer_norm",
            f"{ours}.cross_norm": f"{theirs}.encoder_attn_layer_norm",
            f"{ours}.feed_forward.0": f"{theirs}.final_layer_norm",
            f"{ours}.feed_forward.1": f"{theirs}.fc1",
            f"{ours}.feed_forward.3": f"{theirs}.fc2",
        }
        for attention, name in (("own", "self_attn"), ("cross", "encoder_attn")):
            layers[f"{ours}.{attention}.queries"] = f"{theirs}.{name}.q_proj"
            layers[f"{ours}.{attention}.output"] = f"{theirs}.{name}.out_proj"
            joined[f"{ours}.{attention}.sources"] = f"{theirs}.{name}"
    own |= {f"{a}.{kind}": f"{b}.{kind}" for a, b in layers.items() for kind in ("weight", "bias")}
    part = {
        name.removeprefix("model.").removeprefix("decoder."): tensor.float()
        for name, tensor in weights.items()
    }
    found = {name: part[theirs] for name, theirs in own.items()}
    for name, theirs in joined.items():
        found[f"{name}.weight"] = torch.cat(
            [part[f"{theirs}.k_proj.weight"], part[f"{theirs}.v_proj.weight"]]
        )
        bias = part[f"{theirs}.v_proj.bias"]  # keys have none
        found[f"{name}.bias"] = torch.cat([torch.zeros_like(bias), bias])
    return found
