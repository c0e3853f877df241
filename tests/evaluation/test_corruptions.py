"""Corruptions: exact at level 0, what they promise at level 1, and the same noise whenever asked."""

import numpy as np
import pytest

from sensorium.data import COLUMNS
from sensorium.data.audio import AudioColumn
from sensorium.data.column import Cells
from sensorium.data.image import ImageColumn
from sensorium.data.tabular import CategoriesColumn, CategoryColumn, NumberColumn
from sensorium.data.text import TextColumn
from sensorium.data.video import VideoColumn
from sensorium.evaluation.corruptions import CORRUPTIONS, GREY, corrupt, decibels
from sensorium.evaluation.noise import LEVELS

ROWS = np.arange(40, 46)


def made() -> dict[str, tuple[object, Cells]]:
    """For each type a fitted column and six cells, the last of them missing."""
    generator = np.random.default_rng(0)
    image = ImageColumn(ImageColumn.Config(size=(10, 20)))
    video = VideoColumn(VideoColumn.Config(frames=4, size=10))
    audio = AudioColumn(AudioColumn.Config(seconds=0.5, rate=8000))
    text = TextColumn(TextColumn.Config(tokenizer="word", min_count=1))
    number, category = NumberColumn(NumberColumn.Config(clip=3.0)), CategoryColumn(CategoryColumn.Config())
    categories = CategoriesColumn(CategoriesColumn.Config())
    text.fit(["one two three four five six seven eight"])
    number.fit([1.0, 2.0, 3.0])
    category.fit(list("aabbcc"))
    categories.fit(["a|b", "c|d", "e"])
    pictures = generator.integers(0, 256, (5, 3, 10, 20), dtype=np.uint8)
    videos = generator.integers(0, 256, (5, 4, 3, 10, 10), dtype=np.uint8)
    tone = (8000 * np.sin(np.arange(4000) / 5)).astype(np.int16)
    five = {
        "image": (image, list(pictures)),
        "video": (video, list(videos)),
        "audio": (audio, [tone[: 2000 + 400 * row] for row in range(5)]),
        "text": (text, [text.decode("one two three four five six seven eight")] * 5),
        "number": (number, [number.decode(value) for value in (1.0, 1.5, 2.0, 2.5, 3.0)]),
        "category": (category, [category.decode("a")] * 5),
        "categories": (categories, [categories.decode("a|b")] * 5),
    }
    return {kind: (column, column.collate([*cells, None])) for kind, (column, cells) in five.items()}


MADE = made()
EACH = [(kind, name) for kind, names in CORRUPTIONS.items() for name in names]


def worse(kind: str, name: str, level: float, places: slice = slice(None), seed: int = 0) -> Cells:
    column, cells = MADE[kind]
    part = Cells(cells.values[places], cells.mask[places])
    return corrupt(part, ROWS[places], level, CORRUPTIONS[kind][name], column, seed)


def test_every_type_of_input_has_a_corruption():
    assert set(CORRUPTIONS) == set(COLUMNS)


@pytest.mark.parametrize(("kind", "name"), EACH)
def test_level_0_leaves_cells_as_they_are(kind: str, name: str):
    cells = MADE[kind][1]
    found = worse(kind, name, 0.0)
    np.testing.assert_array_equal(found.values, cells.values)
    np.testing.assert_array_equal(found.mask, cells.mask)


@pytest.mark.parametrize(("kind", "name"), EACH)
def test_shapes_and_missing_cells_stay_and_the_original_is_not_written_to(kind: str, name: str):
    cells = MADE[kind][1]
    before = cells.values.copy()
    for level in LEVELS[1:]:
        found = worse(kind, name, level)
        assert (found.values.shape, found.values.dtype) == (cells.values.shape, cells.values.dtype)
        assert (found.mask.shape, found.mask.dtype) == (cells.mask.shape, cells.mask.dtype)
        np.testing.assert_array_equal(found.values[-1], cells.values[-1])
        assert not found.mask[-1].any()
    np.testing.assert_array_equal(cells.values, before)
    assert (worse(kind, name, 1.0).values != before).any()


@pytest.mark.parametrize(("kind", "name"), EACH)
def test_the_same_noise_in_any_batch(kind: str, name: str):
    whole = worse(kind, name, 0.5)
    for row in range(6):
        alone = worse(kind, name, 0.5, slice(row, row + 1))
        np.testing.assert_array_equal(alone.values[0], whole.values[row])
        np.testing.assert_array_equal(alone.mask[0], whole.mask[row])


def test_rows_and_seeds_draw_noise_of_their_own():
    lost = worse("text", "lost tokens", 0.5)
    assert len({tuple(row) for row in lost.values[:5].tolist()}) > 1
    first, second = (worse("image", "pixel noise", 0.5, seed=seed).values for seed in (0, 1))
    assert (first != second).any()


@pytest.mark.parametrize(("kind", "name"), [("text", "lost tokens"), ("video", "lost frames")])
def test_what_is_dropped_leaves_a_shorter_sequence(kind: str, name: str):
    cells = MADE[kind][1]
    lengths = []
    for level in LEVELS[1:]:
        found = worse(kind, name, level)
        length = found.mask[0].sum()
        assert found.mask[0, :length].all()  # what is left stands in front
        assert not found.values[0, length:].any()  # padding behind
        lengths.append(length)
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[-1] == 0  # nothing left: missing
    kept = worse(kind, name, 0.5)
    left = [tuple(one.ravel()) for one in kept.values[0][kept.mask[0]]]
    every = [tuple(one.ravel()) for one in cells.values[0]]
    places = [every.index(one) for one in left]
    assert places == sorted(places)  # in their order


def test_occlusion_covers_the_share_of_the_area():
    for level in LEVELS[1:]:
        grey = (worse("image", "occlusion", level).values[0] == GREY).all(axis=0)
        high, wide = round(10 * level**0.5), round(20 * level**0.5)
        assert grey.sum() >= high * wide
        assert (grey.any(axis=1).sum(), grey.any(axis=0).sum()) == (high, wide)
    assert (worse("image", "occlusion", 1.0).values[:5] == GREY).all()
    video = worse("video", "occlusion", 0.25).values[0]
    places = [(frame == GREY).all(axis=0) for frame in video]
    assert all((place == places[0]).sum() > 90 for place in places)
    assert np.logical_and.reduce(places).sum() >= 25


def test_pixel_noise_has_the_deviation_it_says():
    column, _ = MADE["image"]
    grey = Cells(np.full((1, 3, 10, 20), 128, np.uint8), np.ones((1, 1), np.bool_))
    noisy = corrupt(grey, ROWS[:1], 0.1, CORRUPTIONS["image"]["pixel noise"], column).values
    assert (noisy.astype(float) - 128).std() == pytest.approx(25.5, rel=0.1)


@pytest.mark.parametrize(("level", "ratio"), [(0.1, 30), (0.5, 10), (0.7, 0), (1.0, -15)])
def test_decibels_by_hand(level: float, ratio: float):
    assert decibels(level) == pytest.approx(ratio)


def test_added_noise_has_the_ratio_it_says():
    column = AudioColumn(AudioColumn.Config(rate=8000, loudness=None))
    sound = (0.05 * np.sin(np.arange(8000) / 5)).astype(np.float32)[None]
    mask = np.arange(8000)[None] < 7000
    padded = Cells(np.where(mask, sound, 0).astype(np.float32), mask)
    noisy = corrupt(padded, ROWS[:1], 0.5, CORRUPTIONS["audio"]["added noise"], column).values
    noise = (noisy - sound)[mask]
    ratio = 10 * np.log10(np.square(sound[mask]).mean() / np.square(noise).mean())
    assert ratio == pytest.approx(10, abs=0.5)
    assert not noisy[~mask].any()


def test_a_noisy_sound_has_the_usual_loudness():
    noisy = worse("audio", "added noise", 1.0)
    for row, real in zip(noisy.values[:5], noisy.mask[:5], strict=True):
        assert 20 * np.log10(np.sqrt(np.square(row[real]).mean())) == pytest.approx(-23, abs=0.01)


def test_silence_stays_silence():
    column, _ = MADE["audio"]
    silent = Cells(np.zeros((1, 100), np.float32), np.ones((1, 100), np.bool_))
    assert not corrupt(silent, ROWS[:1], 1.0, CORRUPTIONS["audio"]["added noise"], column).values.any()


def test_noise_on_numbers_keeps_the_columns_limit():
    column = NumberColumn(NumberColumn.Config(clip=1.0))
    cells = Cells(np.zeros((500, 1), np.float32), np.ones((500, 1), np.bool_))
    values = corrupt(cells, np.arange(500), 1.0, CORRUPTIONS["number"]["noise"], column).values
    assert np.abs(values).max() == 1.0
    free = NumberColumn(NumberColumn.Config(clip=None))
    values = corrupt(cells, np.arange(500), 0.5, CORRUPTIONS["number"]["noise"], free).values
    assert values.std() == pytest.approx(0.5, rel=0.1)


def test_wrong_classes_and_labels_are_known_ones():
    column, _ = MADE["category"]
    cells = Cells(np.ones((300, 1), np.int64), np.ones((300, 1), np.bool_))
    drawn = corrupt(cells, np.arange(300), 1.0, CORRUPTIONS["category"]["wrong class"], column).values
    assert np.bincount(drawn[:, 0]).tolist()[1:] == pytest.approx([100] * 3, abs=30)
    half = corrupt(cells, np.arange(300), 0.3, CORRUPTIONS["category"]["wrong class"], column).values
    assert (half != 1).mean() == pytest.approx(0.3 * 2 / 3, abs=0.08)
    labels = worse("categories", "wrong labels", 1.0).values[:5]
    assert (labels[:, 1:].sum(axis=1) == 2).all()  # as many as before
    assert not labels[:, 0].any()
