"""The sections of a recipe that are the same for every model: where rows come from, and how to train."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from sensorium.config import Config
from sensorium.data.media import Limits
from sensorium.data.split import SplitConfig


class DataConfig(Config):
    """Where the table lies and how its rows are used."""

    path: str | list[str] | None = Field(None, description="table or tables, relative to the recipe")
    media_root: str | None = Field(
        None, description="folder that media paths start from; default: the table's"
    )
    key: list[str] = Field([], description="columns that name a row; copied to every prediction")
    on_error: Literal["mark", "raise"] = Field(
        "mark", description="a cell that cannot be read: mark it or stop"
    )
    split: SplitConfig = Field(
        default_factory=lambda: SplitConfig(), description="which rows train and judge"
    )
    cache: bool | str = Field(True, description="keep decoded media on disk: true, false or a folder")
    limits: Limits = Field(default_factory=lambda: Limits(), description="sizes checked before decoding")
    threads: int | None = Field(None, ge=1, description="decoding threads; default: one per core, at most 8")

    @field_validator("key", mode="before")
    @classmethod
    def _one_key(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value


class OptimizerConfig(Config):
    """How weights move."""

    kind: Literal["adamw", "sgd", "lion", "muon"] = Field("adamw", description="which optimizer")
    lr: float | None = Field(None, gt=0, description="peak learning rate; default: 1e-3, sgd 0.05, lion 1e-4")
    weight_decay: float = Field(0.01, ge=0, description="left off biases, norms and absent tokens")
    momentum: float = Field(0.9, ge=0, lt=1, description="sgd and muon")
    schedule: Literal["cosine", "linear", "constant"] = Field("cosine", description="after the warm-up")
    warmup: float = Field(0.05, ge=0, le=1, description="share of all steps")
    clip: float | None = Field(1.0, gt=0, description="largest gradient norm")


class EarlyStopConfig(Config):
    """When to stop before the last epoch."""

    metric: str = Field(
        "score",
        description="score (the mean of the outputs' accuracy, average precision or R²), loss, or "
        "output.metric such as category.accuracy",
    )
    patience: int = Field(5, ge=1, description="epochs without improvement")


class TrainingConfig(Config):
    """How long, how fast and with what regularisation a model is trained."""

    epochs: int = Field(20, ge=1, description="passes over the training rows, at most")
    batch_size: int = Field(
        32,
        ge=1,
        description="rows per optimizer step; of a similarity also how many answers each row chooses among, "
        "and then 256 by default",
    )
    micro_batch: int | Literal["auto"] = Field(
        "auto",
        description="rows a forward pass; auto: at most 32 on a CPU where no layer looks across rows; "
        "with a similarity always the whole batch",
    )
    accumulate: int = Field(1, ge=1, description="batches per optimizer step")
    optimizer: OptimizerConfig = Field(
        default_factory=lambda: OptimizerConfig(), description="how weights move"
    )
    precision: Literal["auto", "fp32", "bf16"] = Field("auto", description="auto: what the machine does fast")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: a GPU where there is one")
    seed: int = Field(0, ge=0, description="of weights, order, dropout and augmentation")
    early_stop: EarlyStopConfig | None = Field(
        default_factory=lambda: EarlyStopConfig(), description="when to stop early; null: never"
    )
    ema: float | None = Field(
        None, gt=0, lt=1, description="decay of the moving average of the weights, a step"
    )
    sampling: Literal["shuffled", "balanced"] = Field(
        "shuffled", description="balanced: classes equally often"
    )
    bucket: bool = Field(True, description="rows of similar length share a batch; never with a similarity")
    input_dropout: float | dict[str, float] = Field(
        0.0, description="share of rows for which an input is hidden, for all or by input"
    )
    feature_dropout: float = Field(
        0.0, ge=0, lt=1, description="share of the numbers that encoders give, hidden before the fusion"
    )
    auxiliary: float = Field(0.0, ge=0, description="weight of the loss of each input by itself")
    balance: Literal["none", "ogm_ge"] = Field("none", description="slow down the input that learns fastest")
    balance_strength: float = Field(0.5, ge=0, description="alpha of OGM-GE")
    checkpoint_minutes: float = Field(2.0, ge=0, description="between checkpoints inside an epoch")
    minutes: float | None = Field(
        None,
        gt=0,
        description="of the whole run, reading and saving included; it ends then, or with its epochs",
    )
    memory_gb: float | None = Field(
        None,
        gt=0,
        description="most memory held, 10^9 bytes, of the GPU where it trains; default: what is free",
    )

    @field_validator("optimizer", mode="before")
    @classmethod
    def _optimizer_by_name(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _shares(self) -> TrainingConfig:
        shares = self.input_dropout.values() if isinstance(self.input_dropout, dict) else [self.input_dropout]
        if any(not 0 <= share < 1 for share in shares):
            raise ValueError("input_dropout is a share of rows: from 0 up to, but not including, 1")
        if isinstance(self.micro_batch, int) and self.micro_batch < 1:
            raise ValueError("micro_batch is a number of rows: at least 1")
        return self
