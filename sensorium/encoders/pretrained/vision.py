"""The pretrained models that look at pictures: how each is built, and what is read from its answer."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from sensorium.encoders.pretrained.backbone import read_weights
from sensorium.encoders.pretrained.efficientnet_lite import HEAD_CHANNELS, EfficientNetLite, our_names
from sensorium.errors import RecipeError, WeightsError, require
from sensorium.undrawn import Undrawn
from sensorium.weights import Checkpoint

AT_ONCE = 4
"""Pictures that go through a frozen model together on a CPU: what lies between two of its layers then stays
in the processor's cache."""


class Architecture(NamedTuple):
    """One architecture.

    Attributes:
        model: transformers' class.
        first: tokens before those of places, such as the class token; None where registers follow it.
        options: for the class.
    """

    model: str
    first: int | None = 0
    options: Mapping[str, Any] = {}


PICTURES: dict[str, Architecture] = {
    "resnet": Architecture("ResNetModel"),
    "convnext": Architecture("ConvNextModel"),
    "convnextv2": Architecture("ConvNextV2Model"),
    "dinov3_convnext": Architecture("DINOv3ConvNextModel", first=1),
    "efficientnet": Architecture("EfficientNetModel"),
    "efficientnet_lite": Architecture("EfficientNetLite"),
    "vit": Architecture("ViTModel", first=1, options={"add_pooling_layer": False}),
    "dinov2": Architecture("Dinov2Model", first=1),
    "dinov2_with_registers": Architecture("Dinov2WithRegistersModel", first=None),
    "dinov3_vit": Architecture("DINOv3ViTModel", first=None),
    "clip_vision_model": Architecture("CLIPVisionModel", first=1),
    "siglip_vision_model": Architecture("SiglipVisionModel"),
    "siglip2_vision_model": Architecture("Siglip2VisionModel"),
}
"""model_type of config.json → architecture, for pictures."""
VIDEOS: dict[str, Architecture] = {"videomae": Architecture("VideoMAEModel")}
"""The same, for whole videos."""


class Seen(NamedTuple):
    """What a model makes of N pictures.

    Attributes:
        pooled: `(N, P)`, the checkpoint's own vector of a picture: in the space that it shares with texts, or
            of a pooling layer, else the class token, else the mean over places.
        first: `(N, D)`, the class token; None where there is none.
        places: `(N, L, D)`, row by row.
    """

    pooled: Tensor
    first: Tensor | None
    places: Tensor


def one_vector(seen: Seen, pool: str) -> Tensor:
    """`(N, P)` or `(N, D)`, as `pool` (auto, mean or first) says."""
    if pool == "first" and seen.first is not None:
        return seen.first
    return seen.places.mean(dim=1) if pool == "mean" else seen.pooled


def in_parts(see: Callable[[Tensor], Tensor], pixels: Tensor, frozen: bool) -> Tensor:
    """`see` of many pictures; where nothing is trained without gradients, and on a CPU some at a time.

    Args:
        see: `(n, 3, H, W)` uint8 → `(n, ...)`.
        pixels: `(N, 3, H, W)` uint8, N at least 1.
        frozen: whether no gradient is wanted.
    """
    if not frozen:
        return see(pixels)
    with torch.no_grad():
        count = AT_ONCE if pixels.device.type == "cpu" else len(pixels)
        return torch.cat([see(part) for part in torch.split(pixels, count)])


def check_pool(pool: str, model: Vision) -> None:
    """Refuses the class token of a model that has none.

    Raises:
        RecipeError: then.
    """
    if pool == "first" and not model.first_tokens:
        kind = model.settings["model_type"]
        raise RecipeError(
            f"pool: first: weights of architecture {kind} have no class token; take auto or mean"
        )


class Vision(nn.Module):
    """A checkpoint's model for pictures, without what it has for texts or for classes.

    Args:
        checkpoint: what to build; without files (a saved model holds the weights) it stays random.

    Raises:
        WeightsError: when it is no checkpoint of pictures, or does not hold all weights.
        MissingPackage: without transformers.
    """

    def __init__(self, checkpoint: Checkpoint, known: Mapping[str, Architecture] = PICTURES) -> None:
        super().__init__()
        self.settings, joint = vision_settings(checkpoint)
        kind = self.settings.get("model_type", "")
        if kind not in known:
            raise WeightsError(
                f"{checkpoint.name}: a checkpoint of architecture {kind or 'unknown'} does not look at "
                f"pictures as it must here; those that do: {', '.join(known)}"
            )
        architecture = known[kind]
        if joint and kind == "clip_vision_model":
            architecture = architecture._replace(model="CLIPVisionModelWithProjection")
        self.model = _build(checkpoint, self.settings, architecture)
        self.architecture = architecture
        self.resizes = "interpolate_pos_encoding" in inspect.signature(self.model.forward).parameters

    def forward(self, pixels: Tensor) -> Seen:
        """`(N, 3, H, W)` normalised → what is seen, as floating point numbers of the model's dtype."""
        pixels = pixels.to(next(self.model.parameters()).dtype)
        answer = self.model(**self._inputs(pixels))
        states = answer.last_hidden_state
        if states.dim() == 4:
            states = states.flatten(2).transpose(1, 2)
        count = self.first_tokens
        first, places = states[:, 0] if count else None, states[:, count:]
        pooled = getattr(answer, "image_embeds", None)
        if pooled is None:
            pooled = getattr(answer, "pooler_output", None)
        if pooled is None:
            pooled = places.mean(dim=1) if first is None else first
        return Seen(pooled.flatten(1), first, places)

    def check_size(self, height: int, width: int) -> None:
        """Refuses a size that the model's patches do not fill.

        Raises:
            RecipeError: naming a size that would do.
        """
        patch = self._patch
        if patch and (height % patch or width % patch):
            raise RecipeError(
                f"the picture's size {height} × {width} is not a multiple of these weights' patch, {patch} "
                f"pixels: choose a size such as {max(1, round(height / patch)) * patch}"
            )

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the places of a picture; a convolutional network is asked with a black one."""
        if patch := self._patch:
            return height // patch, width // patch
        if self.architecture.first:  # DINOv3's ConvNeXt gives places in a line: it quarters, then halves
            stride = 2 << len(self.model.config.hidden_sizes)
            return height // stride, width // stride
        black = torch.zeros(1, 3, height, width, dtype=next(self.model.parameters()).dtype)
        with torch.no_grad():
            down, across = self.model(pixel_values=black).last_hidden_state.shape[2:]
        return int(down), int(across)

    @property
    def _patch(self) -> int:
        """Side of a patch in pixels; 0 where the network is convolutional."""
        if isinstance(self.model, EfficientNetLite) or hasattr(self.model.config, "hidden_sizes"):
            return 0
        return int(getattr(self.model.config, "patch_size", 0))

    def settle(self) -> Self:
        """Makes the model quick where its weights no longer change; what it answers stays."""
        if isinstance(self.model, EfficientNetLite):
            self.model.fold()
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self

    @property
    def width(self) -> int:
        """D, of a place."""
        if isinstance(self.model, EfficientNetLite):
            return HEAD_CHANNELS
        config = self.model.config
        if hasattr(config, "hidden_sizes"):
            return int(config.hidden_sizes[-1])
        return int(config.hidden_dim if config.model_type == "efficientnet" else config.hidden_size)

    @property
    def pooled_width(self) -> int:
        """P, of the checkpoint's own vector."""
        projects = self.architecture.model.endswith("WithProjection")
        return int(self.model.config.projection_dim) if projects else self.width

    @property
    def first_tokens(self) -> int:
        """How many tokens come before those of places: the class token and registers."""
        if self.architecture.first is None:
            return 1 + int(self.model.config.num_register_tokens)
        return self.architecture.first

    def _inputs(self, pixels: Tensor) -> dict[str, Any]:
        if self.settings["model_type"] == "siglip2_vision_model":
            return _patches(pixels, self.model.config.patch_size)
        if self.settings["model_type"] == "videomae":
            return {"pixel_values": pixels}
        return {"pixel_values": pixels} | ({"interpolate_pos_encoding": True} if self.resizes else {})


def settled(checkpoint: Checkpoint) -> Vision:
    """The model of a checkpoint for pictures, where its weights no longer change."""
    return Vision(checkpoint).settle()


def vision_settings(checkpoint: Checkpoint) -> tuple[dict[str, Any], bool]:
    """The part of config.json that is of pictures, and whether a part of texts stands beside it."""
    config = checkpoint.config
    if "vision_config" not in config:
        return config, False
    kind = config.get("model_type", "")
    own = {"model_type": f"{kind}_vision_model"} | config["vision_config"]
    if "projection_dim" in config:
        own["projection_dim"] = config["projection_dim"]
    return own, True


def _build(checkpoint: Checkpoint, settings: dict[str, Any], architecture: Architecture) -> Any:
    weights = read_weights(checkpoint)
    if settings["model_type"] == "efficientnet_lite":
        return _lite(checkpoint, weights)
    transformers = require("transformers", "weights")
    config = transformers.AutoConfig.for_model(**settings)
    made = getattr(transformers, architecture.model)
    if not weights:
        model = made._from_config(config, **architecture.options)
        return model.eval().requires_grad_(False)
    try:
        with _quiet(transformers.utils.logging):
            model, report = made.from_pretrained(
                None, config=config, state_dict=weights, output_loading_info=True, **architecture.options
            )
    except RuntimeError as error:  # a tensor of another shape
        line = str(error).partition("\n")[0][:200]
        raise WeightsError(f"{checkpoint.name}: the weights do not fit config.json ({line})") from None
    if missing := sorted(report["missing_keys"]):
        raise _lacks(checkpoint, missing)
    return model.eval().requires_grad_(False)


def _lite(checkpoint: Checkpoint, weights: dict[str, Tensor]) -> EfficientNetLite:
    with Undrawn():
        model = EfficientNetLite()
    if weights:
        missing = model.load_state_dict(our_names(weights), strict=False).missing_keys
        if missing:
            raise _lacks(checkpoint, missing)
    return model.eval().requires_grad_(False)


def _lacks(checkpoint: Checkpoint, missing: list[str]) -> WeightsError:
    return WeightsError(
        f"{checkpoint.name}: {len(missing)} of the model's tensors are not in the weights, such as "
        f"{missing[0]}; fetch the checkpoint again"
    )


@contextmanager
def _quiet(logging: Any) -> Iterator[None]:
    """Without transformers' bar, and its list of what is left over: the other half, or a classifier."""
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _patches(pixels: Tensor, patch: int) -> dict[str, Tensor]:
    """Pictures as SigLIP 2 of any shape takes them: `(N, L, patch² · 3)`, row by row, all real."""
    count, channels, height, width = pixels.shape
    rows, columns = height // patch, width // patch
    cut = pixels.reshape(count, channels, rows, patch, columns, patch).permute(0, 2, 4, 3, 5, 1)
    return {
        "pixel_values": cut.reshape(count, rows * columns, patch * patch * channels),
        "pixel_attention_mask": torch.ones(count, rows * columns, dtype=torch.long, device=pixels.device),
        "spatial_shapes": torch.tensor([[rows, columns]] * count, device=pixels.device),
    }
