import io
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sensorium.data import video as module
from sensorium.data.column import Array, Profile
from sensorium.data.media import Limits, Media, Source
from sensorium.data.video import VideoColumn, VideoConfig
from sensorium.errors import CellError

FORMATS = [
    ("mp4", "libx264"),
    ("mp4", "mpeg4"),
    ("webm", "libvpx"),
    ("webm", "libvpx-vp9"),
    ("matroska", "libx264"),
    ("avi", "mpeg4"),
    ("gif", "gif"),
    ("mov", "mpeg4"),
    ("mpegts", "mpeg2video"),
]


def made(
    pictures: list[Array], form: str = "mp4", codec: str = "mpeg4", fps: int = 10, gop: int = 12
) -> bytes:
    """A video of RGB pictures `(H, W, 3)`."""
    stream = io.BytesIO()
    height, width = pictures[0].shape[:2]
    with av.open(stream, "w", format=form) as container:
        track = container.add_stream(codec, rate=fps, width=width, height=height)
        track.pix_fmt = "bgr8" if codec == "gif" else "yuv420p"
        track.codec_context.thread_count = 1
        track.codec_context.gop_size = gop
        if codec != "gif":
            track.bit_rate = 2_000_000
        for picture in pictures:
            container.mux(track.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(track.encode())
    return stream.getvalue()


def fading(count: int, width: int = 48, height: int = 32) -> list[Array]:
    """Grey pictures, from black to white."""
    levels = np.linspace(0, 255, count).astype(np.uint8)
    return [np.full((height, width, 3), level, np.uint8) for level in levels]


def decode(content: bytes, limits: Limits | None = None, **options: Any) -> Array:
    return VideoColumn(VideoConfig(**options)).decode(Source(content, "", limits or Limits()))


def levels(decoded: Array) -> Array:
    """The brightness of each frame's middle."""
    return decoded[:, 1, decoded.shape[2] // 2, decoded.shape[3] // 2].astype(int)


@pytest.mark.parametrize(("form", "codec"), FORMATS)
def test_every_format(form: str, codec: str, capfd: pytest.CaptureFixture[str]) -> None:
    decoded = decode(made(fading(40), form, codec), frames=4, size=(16, 24))
    assert (decoded.shape, decoded.dtype) == ((4, 3, 16, 24), np.uint8)
    # The middles of four parts of 4 seconds: 0.5, 1.5, 2.5, 3.5 s, so frames 5, 15, 25, 35 of 0..39.
    assert np.abs(levels(decoded) - np.array([5, 15, 25, 35]) * 255 / 39).max() < 20
    assert capfd.readouterr() == ("", "")


def test_an_exact_choice_of_frames() -> None:
    decoded = decode(made(fading(40), "matroska", "libx264"), frames=8, size=16)
    # Parts of half a second; their middles 0.25, 0.75, ... lie in frames 2, 7, 12, ...
    assert np.abs(levels(decoded) - np.arange(2, 40, 5) * 255 / 39).max() <= 5


def test_a_window_lies_in_the_middle() -> None:
    content = made(fading(60), "matroska", "libx264")
    decoded = decode(content, frames=4, size=16, sampling="window", window_seconds=1.2)
    # 2.4 s to 3.6 s in parts of 0.3 s: their middles 2.55, 2.85, 3.15, 3.45 lie in frames 25, 28, 31, 34.
    assert np.abs(levels(decoded) - np.array([25, 28, 31, 34]) * 255 / 59).max() <= 4
    whole = decode(content, frames=4, size=16, sampling="window", window_seconds=60)
    assert (whole == decode(content, frames=4, size=16)).all()


def test_a_clip_with_fewer_frames_keeps_them_all_once() -> None:
    decoded = decode(made(fading(3), "matroska", "libx264"), frames=8, size=16)
    assert np.abs(levels(decoded) - [0, 127, 255]).max() <= 4
    assert len(decode(made(fading(1), "matroska", "libx264"), frames=8, size=16)) == 1


def test_colours_and_orientation_of_rows() -> None:
    picture = np.zeros((32, 48, 3), np.uint8)
    picture[:16, :, 0] = 255  # red above blue
    picture[16:, :, 2] = 255
    decoded = decode(made([picture] * 4, "matroska", "libx264"), frames=1, size=(16, 24))[0]
    assert np.abs(decoded[:, 3, 12].astype(int) - [255, 0, 0]).max() < 12
    assert np.abs(decoded[:, 12, 12].astype(int) - [0, 0, 255]).max() < 12


@pytest.mark.parametrize(
    ("resize", "edge", "middle"), [("crop", 255, 255), ("stretch", 0, 255), ("pad", 0, 0)]
)
def test_resize(resize: str, edge: int, middle: int) -> None:
    picture = np.zeros((32, 96, 3), np.uint8)
    picture[:, 32:64] = 255
    decoded = decode(made([picture] * 3, "matroska", "libx264"), frames=1, size=16, resize=resize)[0, 1]
    assert abs(int(decoded[8, 1]) - edge) < 30  # left edge
    assert abs(int(decoded[1, 8]) - middle) < 30  # top edge, middle
    assert decoded[8, 8] > 225


@pytest.mark.parametrize("resize", ["crop", "stretch", "pad"])
def test_small_frames_are_enlarged_and_long_ones_cut(resize: str) -> None:
    assert decode(made(fading(3, 16, 16)), size=(40, 60), resize=resize).shape[1:] == (3, 40, 60)
    assert decode(made(fading(3, 1600, 2), "avi"), size=(40, 60), resize=resize).shape[1:] == (3, 40, 60)


def rotated(content: bytes, matrix: tuple[int, int, int, int]) -> bytes:
    """An MP4 file whose track header says how to turn the picture (ISO 14496-12, 8.3.2)."""
    place = content.index(b"tkhd") + 4 + 40
    a, b, c, d = (value << 16 for value in matrix)
    turn = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    return content[:place] + turn + content[place + 36 :]


@pytest.mark.parametrize(
    ("matrix", "bright"),
    [
        ((1, 0, 0, 1), "left"),
        ((0, 1, -1, 0), "top"),  # 90 degrees clockwise, as telephones write it
        ((-1, 0, 0, -1), "right"),
        ((0, -1, 1, 0), "bottom"),
    ],
)
def test_rotation(matrix: tuple[int, int, int, int], bright: str) -> None:
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[:, :32] = 255  # the left third
    decoded = decode(rotated(made([picture] * 3), matrix), frames=1, size=30, resize="stretch")[0, 1]
    edges = {
        "left": decoded[15, 2],
        "top": decoded[2, 15],
        "right": decoded[15, -3],
        "bottom": decoded[-3, 15],
    }
    assert {name: bool(value > 127) for name, value in edges.items()} == {
        name: name == bright for name in edges
    }


def test_seeking_in_a_long_clip_finds_the_same_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    content = made(fading(240), "matroska", "libx264", fps=2, gop=10)
    passed: list[float] = []
    timed = module._timed

    def noting(container: Any, stream: Any) -> Any:
        for end, frame in timed(container, stream):
            passed.append(end)
            yield end, frame

    monkeypatch.setattr(module, "_timed", noting)
    sought = decode(content, frames=4, size=16)
    decoded_with_seeking = len(passed)
    monkeypatch.setattr(module, "SEEK_GAP", 1e9)
    assert (decode(content, frames=4, size=16) == sought).all()
    assert decoded_with_seeking < (len(passed) - decoded_with_seeking) / 2
    # Middles at 15, 45, 75 and 105 s, two frames a second.
    assert np.abs(levels(sought) - np.array([30, 90, 150, 210]) * 255 / 239).max() <= 4


def test_rare_key_frames_do_not_make_seeking_go_round_in_circles(monkeypatch: pytest.MonkeyPatch) -> None:
    content = made(fading(120), "matroska", "mpeg4", fps=2, gop=1000)
    expected = np.array([7, 22, 37, 52, 67, 82, 97, 112]) * 255 / 119
    assert np.abs(levels(decode(content, frames=8, size=16)) - expected).max() <= 4
    assert module.SEEK_GAP > 0


def test_only_kept_frames_are_converted_at_the_size_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    picture = VideoColumn._picture

    def noting(self: VideoColumn, *arguments: Any) -> Array:
        result = picture(self, *arguments)
        sizes.append(result.shape)
        return result

    monkeypatch.setattr(VideoColumn, "_picture", noting)
    decode(made(fading(50)), frames=5, size=16)
    assert sizes == [(3, 16, 16)] * 5


@pytest.mark.parametrize(("form", "codec"), [("webm", "libvpx"), ("matroska", "libx264"), ("avi", "mpeg4")])
def test_a_file_cut_short_gives_the_frames_that_can_be_read(form: str, codec: str) -> None:
    generator = np.random.default_rng(0)
    content = made([generator.integers(0, 256, (32, 48, 3), dtype=np.uint8) for _ in range(40)], form, codec)
    whole, part = decode(content, size=16), decode(content[: len(content) // 2], size=16)
    assert len(whole) == 8
    assert 1 <= len(part) <= 8
    if form == "avi":  # its index was cut off, so that FFmpeg estimates the duration anew
        return
    assert 3 <= len(part) <= 5
    assert (part == whole[: len(part)]).all()


def test_an_mp4_file_cut_short_lacks_its_index() -> None:
    content = made(fading(20))
    with pytest.raises(CellError, match="damaged or cut short") as caught:
        decode(content[: len(content) // 2])
    assert caught.value.advice


def test_a_clip_cut_before_the_first_wanted_moment_still_gives_a_frame() -> None:
    generator = np.random.default_rng(0)
    pictures = [generator.integers(0, 256, (32, 48, 3), dtype=np.uint8) for _ in range(40)]
    content = made(pictures, "matroska", "libx264")
    assert len(decode(content[: len(content) // 4], frames=1, size=16)) == 1


def test_a_stream_without_a_duration_is_measured() -> None:
    content = made(fading(40), "webm", "libvpx")
    # The Duration element (ID 0x4489) becomes a Void element; live recorders leave it out.
    place = content.index(b"\x44\x89\x88")
    live = content[:place] + b"\xec\x89" + bytes(9) + content[place + 11 :]
    assert (decode(live, size=16) == decode(content, size=16)).all()
    with pytest.raises(CellError, match="more than the limit of 2"):
        decode(live, Limits(max_seconds=2))


def test_limits_are_checked_on_the_header() -> None:
    content = made(fading(30, 64, 48))
    assert len(decode(content, Limits(max_pixels=64 * 48, max_seconds=3.1))) == 8
    with pytest.raises(CellError, match="64 x 48 pixels are more than the limit of 3,071"):
        decode(content, Limits(max_pixels=3071))
    with pytest.raises(CellError, match="it lasts 3 seconds, more than the limit of 2"):
        decode(content, Limits(max_seconds=2))


def sound_only() -> bytes:
    stream = io.BytesIO()
    with av.open(stream, "w", format="matroska") as container:
        track = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(track.encode(frame))
        container.mux(track.encode())
    return stream.getvalue()


def test_a_file_without_pictures() -> None:
    with pytest.raises(CellError, match="the file has no video track"):
        decode(sound_only())


def test_a_video_without_frames() -> None:
    content = made(fading(10), "avi")
    place = content.index(b"movi")
    broken = content[:place] + bytes(len(content) - place)
    with pytest.raises(CellError) as caught:
        decode(broken)
    assert caught.value.cause in (
        "the video has no frame that can be read",
        "the file is not a video of a known format, or it is damaged or cut short",
    )


@pytest.mark.parametrize("content", [b"words", bytes(300), b"\x1aE\xdf\xa3", b"#EXTM3U\n#EXTINF:3,\na.mp4\n"])
def test_files_that_are_no_video(content: bytes) -> None:
    with pytest.raises(CellError, match="not a video of a known format") as caught:
        decode(content)
    assert caught.value.advice


def test_playlists_open_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "secret.mp4").write_bytes(made(fading(10)))
    for text in (
        f"ffconcat version 1.0\nfile {tmp_path}/secret.mp4\n",
        f"#EXTM3U\n#EXTINF:3,\n{tmp_path}/secret.mp4\n",
    ):
        (tmp_path / "list.mp4").write_text(text)
        with pytest.raises(CellError, match="not a video of a known format"):
            VideoColumn(VideoConfig()).decode(Media(tmp_path).source("list.mp4"))


FUZZED = {
    "mp4": made(fading(6)),
    "webm": made(fading(6), "webm", "libvpx"),
    "matroska": made(fading(6), "matroska", "libx264"),
    "avi": made(fading(6), "avi"),
    "gif": made(fading(6), "gif", "gif"),
}


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(sorted(FUZZED)),
    st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=5),
)
def test_damaged_bytes_give_frames_or_a_cell_error(form: str, changes: list[tuple[float, int]]) -> None:
    content = bytearray(FUZZED[form])
    for place, value in changes:
        content[int(place * len(content))] = value
    try:
        decoded = decode(bytes(content), Limits(max_pixels=1_000_000), size=8)
    except CellError:
        return
    assert decoded.shape[1:] == (3, 8, 8)
    assert 1 <= len(decoded) <= 8


def test_threads_give_the_same_frames(tmp_path: Path) -> None:
    for name, content in FUZZED.items():
        (tmp_path / name).write_bytes(content)
    media, column = Media(tmp_path), VideoColumn(VideoConfig(size=16))
    names = list(FUZZED) * 4
    alone = [column.decode(media.source(name)) for name in names]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda name: column.decode(media.source(name)), names))
    assert all(np.array_equal(one, other) for one, other in zip(alone, together, strict=True))


def test_collate() -> None:
    column = VideoColumn(VideoConfig(frames=3, size=(4, 6)))
    clip = np.full((2, 3, 4, 6), 9, np.uint8)
    cells = column.collate([clip, None])
    assert (cells.values.shape, cells.values.dtype) == ((2, 3, 3, 4, 6), np.uint8)
    assert cells.mask.tolist() == [[True, True, False], [False] * 3]
    assert (cells.values[0, :2] == 9).all()
    assert not cells.values[0, 2].any()
    assert not cells.values[1].any()
    missing = column.collate([None])
    assert missing.values.shape == (1, 3, 3, 4, 6)
    assert not missing.mask.any()


def test_configuration() -> None:
    column = VideoColumn(VideoConfig.model_validate({"size": [10, 20], "augment": False}))
    assert (column.frames, column.height, column.width) == (8, 10, 20)
    for wrong in ({"frames": 0}, {"sampling": "random"}, {"window_seconds": 0}, {"size": -1}):
        with pytest.raises(ValidationError):
            VideoConfig.model_validate(wrong)
    settings_of = (
        {},
        {"frames": 4},
        {"size": 64},
        {"sampling": "window"},
        {"sampling": "window", "window_seconds": 1},
    )
    keys = {VideoColumn(VideoConfig(**options)).cache_key() for options in settings_of}
    assert len(keys) == 5
    # Without a window its length changes nothing.
    assert VideoColumn(VideoConfig(window_seconds=9)).cache_key() == VideoColumn(VideoConfig()).cache_key()


def test_recognition() -> None:
    found = VideoColumn.recognise(Profile("x", "string", ["a.mp4"], 1, 1, "video"))
    assert found == ("the cells are paths that end in .mp4", {})
    assert VideoColumn.recognise(Profile("x", "string", ["a.wav"], 1, 1, "audio")) is None
