"""A pretrained causal language model that reads the inputs' tokens as if they were words, and answers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn

from sensorium.batch import Fused, Raw, Tokens
from sensorium.data.causal_text import SHIFT, CausalTextColumn
from sensorium.decoders.continuation import Continuation, check_context
from sensorium.decoders.decoder import Decoder, DecoderConfig
from sensorium.decoders.guide import Guide
from sensorium.decoders.language_model import LanguageModel
from sensorium.decoders.losses import mean_of_rows, token_losses
from sensorium.decoders.projectors import Projector
from sensorium.decoders.prompt import Piece, laid_out, named_inputs, pieces, with_inputs
from sensorium.decoders.writing import WritingConfig, Written, write
from sensorium.encoders.pretrained.config import (
    Alpha,
    LayerDecay,
    LearningRate,
    LoraDropout,
    PretrainedConfig,
    Rank,
)
from sensorium.encoders.pretrained.tune import begin_tuning, keep_less, learning_rates

_MANNERS = re.compile(r"projector|lora|last-[1-9]\d*|full")


class CausalDecoderConfig(DecoderConfig):
    """Texts written by a pretrained causal language model."""

    kind: Literal["causal"] = Field("causal", description="kind of decoder")
    weights: str = Field(
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        description="id of a causal language model, or a folder beside the recipe",
    )
    prompt: str = Field(
        "Describe this.",
        description="what is asked; {name} stands for the tokens of that input, and inputs that it "
        "does not name stand in front",
    )
    chat: bool = Field(
        True, description="put the prompt into the chat template of the weights, if they have one"
    )
    projector: Literal["mlp", "queries", "pixel_shuffle"] = Field(
        "mlp",
        description="mlp: every token by itself; queries: 16 learned ones of every input; pixel_shuffle: "
        "four neighbours of a picture become one",
    )
    tune: str = Field(
        "projector",
        description="projector: the weights stay as they are; lora: low-rank updates of attention; last-N, "
        "such as last-2: the last N blocks; full: all; the projector learns with each",
    )
    lr: LearningRate = None
    layer_decay: LayerDecay = 0.9
    rank: Rank = 8
    alpha: Alpha = 16.0
    lora_dropout: LoraDropout = 0.0
    gradient_checkpointing: bool = Field(
        False, description="compute activations of the language model twice, to keep less in memory"
    )
    length: int = Field(64, ge=1, le=100_000, description="tokens of a text that are learned")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of the target spread over all tokens")
    stop: list[str] = Field([], description="a text ends before the first of these")
    json_schema: dict[str, Any] | None = Field(
        None, description="what is written is JSON of this schema; needs llguidance"
    )
    grammar: str | None = Field(
        None, description="what is written follows this grammar, in Lark's notation; needs llguidance"
    )

    @field_validator("tune")
    @classmethod
    def _known_manner(cls, value: str) -> str:
        if not _MANNERS.fullmatch(value):
            raise ValueError("write projector, lora, last-N (such as last-2) or full")
        return value

    @field_validator("stop")
    @classmethod
    def _not_empty(cls, value: list[str]) -> list[str]:
        if not all(value):
            raise ValueError("a stop string is not empty")
        return value

    @property
    def named_inputs(self) -> list[str]:
        """The inputs that the prompt names."""
        return named_inputs(self.prompt)

    @property
    def tuning(self) -> PretrainedConfig:
        """How the language model is tuned, in the words of pretrained encoders."""
        fields = ("weights", "lr", "layer_decay", "rank", "alpha", "lora_dropout", "gradient_checkpointing")
        tune = "frozen" if self.tune == "projector" else self.tune
        return PretrainedConfig(tune=tune, **{name: getattr(self, name) for name in fields})


class CausalDecoder(Decoder):
    """The fused tokens of every input pass through a projector, and stand in the prompt as words do.

    Liu et al. 2023 (LLaVA), arXiv:2304.08485. The loss is that of the answer alone.

    Args:
        config: see `CausalDecoderConfig`.
        column: fitted, of the texts to be written.
        dim: V, not used.
        width: H.
    """

    Config = CausalDecoderConfig

    @classmethod
    def target(cls, config: CausalDecoderConfig, column: str | None) -> CausalTextColumn:
        """The column of the texts, not fitted yet."""
        return CausalTextColumn(column, config.weights, config.length, tuple(config.stop))

    def __init__(self, config: CausalDecoderConfig, column: CausalTextColumn, dim: int, width: int) -> None:
        super().__init__()
        self.config, self.column = config, column
        ruled = config.json_schema is not None or config.grammar is not None or config.stop
        self.guide = Guide(column, config.json_schema, config.grammar) if ruled else None
        self.language = LanguageModel(column.checkpoint)
        spread = float(self.language.output_weight.std()) or 1.0
        self.projector = Projector(config.projector, width, self.language.width, spread)
        self._prompts: dict[tuple[str, ...], list[Piece]] = {}

    def begin_tuning(self) -> None:
        """Frees the part of the language model that `tune` names."""
        if self.config.tuning.frozen:
            if self.config.gradient_checkpointing:
                keep_less(self.language.backbone, self.config.tuning)
        else:
            begin_tuning(self.language.backbone, self.config.tuning)
            if self.language.output is not None:
                self.language.output.requires_grad_(self.config.tune == "full")

    def learning_rates(self, default: float) -> dict[nn.Parameter, float]:
        """Those of the language model; its output layer learns as the last of it does."""
        if self.config.tuning.frozen:
            return {}
        rates = learning_rates(self.language.backbone, self.config.tuning, default)
        output = [] if self.language.output is None else self.language.output.parameters()
        return rates | {one: max(rates.values()) for one in output if one.requires_grad}

    def loss(self, fused: Fused, target: Raw) -> Tensor:
        """`(B,)` float32; target: `(B, L)` int64 tokens of `CausalTextColumn`, without an end."""
        prompt, mask = self.vectors(self._prompt(fused), self.projector(fused), len(fused.tokens))
        end = self.column.ends[0]
        length = target.mask.sum(dim=1, keepdim=True)
        words = torch.where(target.mask, target.values, end)
        after = torch.cat([words, torch.full_like(length, end)], dim=1)
        real = torch.arange(after.shape[1], device=after.device) <= length
        vectors = torch.cat([prompt, self.language.embed(words - SHIFT).to(prompt.dtype)], dim=1)
        check_context(vectors.shape[1], self.language.context, self.column.checkpoint.name)
        if self.training and self.config.gradient_checkpointing:
            self.language.compute_twice()
        states = self.language.states(vectors, torch.cat([mask, target.mask], dim=1))
        real = real & target.present.unsqueeze(1)
        losses = token_losses(
            states[:, prompt.shape[1] - 1 :],
            self.language.output_weight,
            after - SHIFT,
            real,
            self.config.label_smoothing,
        )
        return mean_of_rows(losses, real)

    @torch.no_grad()
    def write(self, fused: Fused, writing: WritingConfig) -> Written:
        """Tokens of `CausalTextColumn`, without the end."""
        prompt = self._prompt(fused)
        vectors, mask = self.vectors(prompt, self.projector(fused), len(fused.tokens))
        with torch.autocast(mask.device.type, enabled=False):
            continuation = Continuation(self.language.writer(), self.column, self.guide)
            state, writing = continuation.begin(vectors, mask, writing)
            ends = continuation.ends(start=int(prompt[-1][-1]))
            return write(continuation.step, state, len(mask), ends, writing, mask.device)

    def _prompt(self, fused: Fused) -> list[Piece]:
        """The prompt of the recipe, in which the fused tokens have their places."""
        inputs = tuple(fused.places) or ("",)
        if inputs not in self._prompts:
            self._prompts[inputs] = self._pieces(inputs)
        return self._prompts[inputs]

    def _pieces(self, inputs: Sequence[str]) -> list[Piece]:
        text = with_inputs(self.config.prompt, {name: name for name in inputs})
        message = {"role": "user", "content": text}
        return pieces(laid_out([message], self.column) if self.config.chat else text, self.column)

    def vectors(
        self, prompt: Sequence[Piece], projected: Mapping[str, Tokens], rows: int
    ) -> tuple[Tensor, Tensor]:
        """Words and projected tokens, `(B, P, D)`, and which of them are real, `(B, P)` bool.

        Args:
            prompt: the same for all rows.
            projected: what stands in it → tokens of B rows.
            rows: B.
        """
        device = self.language.output_weight.device
        parts: list[Tokens] = []
        for piece in prompt:
            if isinstance(piece, list):
                ids = torch.tensor([piece], device=device) - SHIFT
                real = torch.ones(rows, len(piece), dtype=torch.bool, device=device)
                parts.append(Tokens(self.language.embed(ids).expand(rows, -1, -1), real))
            else:
                parts.append(projected[piece])
        values = torch.cat([part.values.float() for part in parts], dim=1)
        return values, torch.cat([part.mask for part in parts], dim=1)
