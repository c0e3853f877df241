import io
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pydantic import ValidationError

from sensorium.data.audio import AudioColumn, AudioConfig, levelled, to_int16
from sensorium.data.column import Array, Profile
from sensorium.data.media import Limits, Media, Source
from sensorium.data.mp3 import mp3_start
from sensorium.data.sound import with_ffmpeg
from sensorium.errors import CellError

Samples = npt.NDArray[np.float32]


def tone(hertz: float, seconds: float, rate: int, amplitude: float = 0.5) -> Samples:
    times = np.arange(round(seconds * rate)) / rate
    return (amplitude * np.sin(2 * np.pi * hertz * times)).astype(np.float32)


def written(samples: Array, rate: int, form: str = "WAV", subtype: str | None = None) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, format=form, subtype=subtype)
    return stream.getvalue()


def packed(samples: Samples, rate: int, form: str, codec: str | None, pictures: bool = False) -> bytes:
    """A file made by FFmpeg: mono samples under `codec`, with ten small frames where asked for."""
    stream = io.BytesIO()
    with av.open(stream, "w", format=form) as container:
        # Every track is named before the first packet, with which the header is written.
        audio = container.add_stream(codec, rate=rate, layout="mono") if codec else None
        if pictures:
            video = container.add_stream(
                "libvpx" if form == "webm" else "mpeg4", rate=10, width=32, height=32
            )
            video.pix_fmt = "yuv420p"
            for moment in range(10):
                frame = av.VideoFrame(32, 32, "yuv420p")
                frame.pts = moment
                container.mux(video.encode(frame))
            container.mux(video.encode())
        if audio:
            resampler = av.AudioResampler(audio.format, "mono", rate, audio.codec_context.frame_size or 1024)
            sound = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
            sound.sample_rate, sound.pts = rate, 0
            for part in resampler.resample(sound) + resampler.resample(None):
                container.mux(audio.encode(part))
            container.mux(audio.encode())
    return stream.getvalue()


def decode(content: bytes, limits: Limits | None = None, **options: Any) -> Array:
    return AudioColumn(AudioConfig(**options)).decode(Source(content, "", limits or Limits()))


def main_pitch(samples: Array, rate: int) -> float:
    """Hz of the strongest frequency."""
    return float(np.argmax(np.abs(np.fft.rfft(samples))) * rate / len(samples))


def dbfs(samples: Array) -> float:
    return float(20 * np.log10(np.sqrt(np.mean(np.square(samples / 32767)))))


SOUNDFILES = [
    ("WAV", "PCM_U8"),
    ("WAV", "PCM_16"),
    ("WAV", "PCM_24"),
    ("WAV", "FLOAT"),
    ("WAV", "DOUBLE"),
    ("RF64", "PCM_16"),
    ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
    ("AIFF", "PCM_16"),
]


@pytest.mark.parametrize(("form", "subtype"), SOUNDFILES)
@pytest.mark.parametrize("channels", [1, 2])
def test_every_format_of_libsndfile(form: str, subtype: str, channels: int) -> None:
    samples = tone(440, 2.0, 48000)
    content = written(np.stack([samples] * channels, axis=1), 48000, form, subtype)
    decoded = decode(content)
    assert decoded.dtype == np.int16
    assert len(decoded) == pytest.approx(32000, abs=32)
    assert main_pitch(decoded, 16000) == pytest.approx(440, abs=1)
    assert dbfs(decoded) == pytest.approx(-23, abs=0.05)


@pytest.mark.parametrize(
    ("form", "codec", "pictures"),
    [
        ("mp4", "aac", False),
        ("adts", "aac", False),
        ("mp3", "libmp3lame", False),
        ("ogg", "libopus", False),
        ("mp4", "aac", True),
        ("webm", "libopus", True),
        ("matroska", "aac", True),
        ("avi", "libmp3lame", True),
        ("mov", "pcm_s16le", True),
        ("matroska", "pcm_u8", True),
        ("matroska", "pcm_s32le", True),
    ],
)
def test_formats_of_ffmpeg_and_sound_tracks(form: str, codec: str, pictures: bool) -> None:
    decoded = decode(packed(tone(440, 2.0, 48000), 48000, form, codec, pictures))
    assert len(decoded) == pytest.approx(32000, abs=1500)  # encoders pad the end
    assert main_pitch(decoded, 16000) == pytest.approx(440, abs=1)
    assert dbfs(decoded) == pytest.approx(-23, abs=0.05)


def test_an_m4a_file_by_path(tmp_path: Path) -> None:
    (tmp_path / "a.m4a").write_bytes(packed(tone(300, 1.0, 44100), 44100, "ipod", "aac"))
    source = Media(tmp_path).source("a.m4a")
    assert main_pitch(AudioColumn(AudioConfig()).decode(source), 16000) == pytest.approx(300, abs=2)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 96000, 192000])
def test_rates(rate: int) -> None:
    decoded = decode(written(tone(1000, 1.0, rate), rate))
    assert len(decoded) == pytest.approx(16000, abs=1)
    assert main_pitch(decoded, 16000) == pytest.approx(1000, abs=1)


def test_the_rate_kept() -> None:
    decoded = decode(written(tone(1000, 1.0, 16000), 16000), rate=8000)
    assert len(decoded) == 8000
    assert main_pitch(decoded, 8000) == pytest.approx(1000, abs=1)


def test_resampling_removes_what_the_new_rate_cannot_carry() -> None:
    content = written(tone(7000, 1.0, 48000), 48000, subtype="FLOAT")
    assert np.abs(decode(content, rate=8000, loudness=None)[500:-500]).max() < 33  # below 0.001


@pytest.mark.parametrize("channels", [2, 6])
def test_channels_are_averaged(channels: int) -> None:
    samples = np.zeros((1600, channels), np.float32)
    samples[:, 0] = 0.6
    decoded = decode(written(samples, 16000, subtype="FLOAT"), loudness=None)
    assert np.abs(decoded - round(0.6 / channels * 32767)).max() <= 1


def test_without_loudness_samples_stay_as_recorded() -> None:
    samples = np.array([0.0, 0.5, -0.5, 1.0, -1.0], np.float32)
    decoded = decode(written(samples, 16000, subtype="FLOAT"), loudness=None)
    assert decoded.tolist() == [0, 16384, -16384, 32767, -32767]


def test_float_samples_over_full_scale_are_scaled_not_clipped() -> None:
    samples = np.array([2.0, 1.0, -0.5], np.float32)
    decoded = decode(written(samples, 16000, subtype="FLOAT"), loudness=None)
    assert decoded.tolist() == [32767, 16384, -8192]


def test_peaks_are_protected() -> None:
    samples = np.zeros(16000, np.float32)
    samples[8000] = 0.1
    decoded = decode(written(samples, 16000, subtype="FLOAT"))
    assert decoded[8000] == 32767
    assert np.count_nonzero(decoded) == 1


def test_silence_stays_silence() -> None:
    assert not decode(written(np.zeros(1600, np.float32), 16000)).any()
    hiss = np.full(1600, 1e-4, np.float32)  # -80 dBFS
    assert np.abs(decode(written(hiss, 16000, subtype="FLOAT"))).max() == 3


@given(
    arrays.arrays(np.float32, st.integers(0, 50), elements=st.floats(-4, 4, width=32)),
    st.one_of(st.none(), st.floats(-60, 0)),
)
def test_levelled_stays_in_range_and_keeps_the_shape(samples: Samples, loudness: float | None) -> None:
    result = levelled(samples, loudness)
    assert (result.shape, result.dtype) == (samples.shape, np.float32)
    assert np.abs(result).max(initial=0) <= 1 + 1e-6
    assert (np.sign(result) * np.sign(samples) >= 0).all()


def test_levelled_by_hand() -> None:
    # RMS 0.5 = -6.02 dBFS; -20 dBFS is 0.1.
    np.testing.assert_allclose(levelled(np.array([0.5, -0.5], np.float32), -20.0), [0.1, -0.1], rtol=1e-6)
    assert to_int16(np.array([1.0, -1.0, 0.5], np.float32)).tolist() == [32767, -32767, 16384]


def three_parts(rate: int, amplitudes: tuple[float, float, float] = (0.1, 0.2, 0.1)) -> Samples:
    """Two seconds each of 300, 600 and 900 Hz."""
    parts = zip((300, 600, 900), amplitudes, strict=True)
    return np.concatenate([tone(hertz, 2.0, rate, amplitude) for hertz, amplitude in parts])


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG", "ipod", "mp3", "webm"])
@pytest.mark.parametrize(
    ("part", "amplitudes", "hertz"),
    [
        ("start", (0.1, 0.2, 0.3), 300),
        ("centre", (0.3, 0.2, 0.3), 600),
        ("loudest", (0.1, 0.2, 0.3), 900),
        ("loudest", (0.1, 0.3, 0.2), 600),
    ],
)
def test_the_part_kept(form: str, part: str, amplitudes: tuple[float, float, float], hertz: float) -> None:
    samples = three_parts(48000, amplitudes)
    codecs = {"ipod": "aac", "mp3": "libmp3lame", "webm": "libopus"}
    content = packed(samples, 48000, form, codecs[form]) if form in codecs else written(samples, 48000, form)
    decoded = decode(content, part=part, seconds=1.8)
    assert len(decoded) == 28800
    assert main_pitch(decoded, 16000) == pytest.approx(hertz, abs=2)
    assert main_pitch(decoded[:1600], 16000) == pytest.approx(hertz, abs=11)
    assert main_pitch(decoded[-3200:-1600], 16000) == pytest.approx(hertz, abs=11)


@pytest.mark.parametrize("part", ["start", "centre", "loudest"])
@pytest.mark.parametrize("form", ["WAV", "mp3"])
def test_a_sound_shorter_than_what_is_kept_is_kept_whole(part: str, form: str) -> None:
    samples = tone(440, 0.45, 16000)
    content = written(samples, 16000) if form == "WAV" else packed(samples, 16000, "mp3", "libmp3lame")
    assert len(decode(content, part=part)) == pytest.approx(7200, abs=600)


class Counted(io.BytesIO):
    """Counts what is read."""

    total = 0

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        Counted.total += len(content)
        return content

    def readinto(self, buffer: Any, /) -> int:
        count = super().readinto(buffer)
        Counted.total += count
        return count


@pytest.mark.parametrize("part", ["start", "centre"])
@pytest.mark.parametrize("form", ["wav", "mp3", "matroska"])
def test_no_more_is_read_than_needed(monkeypatch: pytest.MonkeyPatch, part: str, form: str) -> None:
    samples = tone(440, 120.0, 16000)
    content = (
        written(samples, 16000)
        if form == "wav"
        else packed(samples, 16000, form, "libmp3lame" if form == "mp3" else "pcm_s16le")
    )
    Counted.total = 0
    monkeypatch.setattr(Source, "open", lambda source: Counted(source.content))
    assert len(decode(content, part=part, seconds=1.0)) == 16000
    # FFmpeg finds the middle of an MP3 file by reading over its headers, without decoding.
    assert 0 < Counted.total < len(content) * 0.7


def test_samples_that_are_no_numbers() -> None:
    for wrong in (np.nan, np.inf):
        samples = tone(440, 1.0, 16000)
        samples[100] = wrong
        content = written(samples, 16000, subtype="FLOAT")
        for part in ("start", "centre", "loudest"):
            with pytest.raises(CellError, match="not finite numbers"):
                decode(content, part=part)


def wave_header(rate: int, stated: int, present: int) -> bytes:
    """A mono WAV file of 8 bits whose header states more bytes than are there."""
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, rate, 1, 8)
    data = struct.pack("<4sI", b"data", stated) + bytes([128, 200]) * (present // 2)
    whole = min(4 + len(form) + 8 + stated, 0xFFFFFFFF)
    return struct.pack("<4sI4s", b"RIFF", whole, b"WAVE") + form + data


def test_the_limit_of_duration_is_checked_on_the_header(tmp_path: Path) -> None:
    ten_hours = 8000 * 36000
    with pytest.raises(CellError, match="36,000 seconds, more than the limit of 14,400") as caught:
        decode(wave_header(8000, ten_hours, 1000))
    assert "max_seconds" in caught.value.advice
    with (tmp_path / "long.wav").open("wb") as file:  # all there, as a hole in the file
        file.write(wave_header(8000, ten_hours, 0))
        file.truncate(44 + ten_hours)
    with pytest.raises(CellError, match="36,000 seconds"):
        AudioColumn(AudioConfig()).decode(Media(tmp_path).source("long.wav"))


@pytest.mark.parametrize("form", ["FLAC", "OGG", "MP3", "AIFF", "mp4", "webm"])
def test_the_limit_of_duration_in_other_formats(form: str) -> None:
    samples = tone(440, 3.0, 48000)
    codec = {"mp4": "aac", "webm": "libopus"}.get(form)
    content = packed(samples, 48000, form, codec, True) if codec else written(samples, 48000, form)
    assert len(decode(content, Limits(max_seconds=4))) > 0
    with pytest.raises(CellError, match="3 seconds, more than the limit of 2"):
        decode(content, Limits(max_seconds=2))


def test_a_wave_file_written_into_a_pipe_states_no_length() -> None:
    assert len(decode(wave_header(8000, 0xFFFFFFFF, 8000))) == 16000


def test_a_video_without_a_sound_track() -> None:
    for form in ("mp4", "webm", "avi"):
        with pytest.raises(CellError, match="the video has no sound track") as caught:
            decode(packed(np.zeros(0, np.float32), 48000, form, None, True))
        assert caught.value.advice


def test_files_that_are_no_sound() -> None:
    for content in (
        b"words",
        b"RIFF\0\0\0\0WAVE",
        b"fLaC" + bytes(50),
        b"OggS" + bytes(50),
        bytes(200),
        b"\xff\xfb",
    ):
        with pytest.raises(CellError) as caught:
            decode(content)
        assert caught.value.advice


def test_no_samples() -> None:
    with pytest.raises(CellError, match="no samples"):
        decode(written(np.zeros(0, np.float32), 16000))


def test_playlists_open_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "secret.wav").write_bytes(written(tone(440, 1.0, 16000), 16000))
    target = tmp_path / "secret.wav"
    for text in (
        f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:1,\nfile://{target}\n#EXT-X-ENDLIST\n",
        f"ffconcat version 1.0\nfile '{target}'\n",
    ):
        with pytest.raises(CellError, match="not a sound of a known format"):
            decode(text.encode())


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG", "MP3", "adts", "webm", "matroska"])
def test_a_file_cut_short_is_read_as_far_as_it_goes(form: str, capfd: pytest.CaptureFixture[str]) -> None:
    samples = tone(440, 4.0, 48000)
    samples += np.random.default_rng(0).normal(0, 0.1, len(samples)).astype(np.float32)  # fills many pages
    codec = {"adts": "aac", "webm": "libopus", "matroska": "aac"}.get(form)
    content = packed(samples, 48000, form, codec) if codec else written(samples, 48000, form)
    decoded = decode(content[: len(content) // 2])
    assert 16000 < len(decoded) < 40000
    assert main_pitch(decoded, 16000) == pytest.approx(440, abs=2)
    assert capfd.readouterr() == ("", "")


def test_an_mp4_file_cut_short_lacks_its_index() -> None:
    content = packed(tone(440, 2.0, 48000), 48000, "mp4", "aac")
    with pytest.raises(CellError, match="damaged or cut short"):
        decode(content[: len(content) // 2])


@pytest.mark.parametrize("channels", [1, 2])
def test_plain_wave_files_give_what_libsndfile_gives(channels: int) -> None:
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (50_000, channels)).astype(np.float32)
    content = written(samples, 16000)
    read, _ = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    expected = to_int16(read.mean(axis=1, dtype=np.float32)[:40_000])
    assert (decode(content, seconds=2.5, loudness=None) == expected).all()
    rest = decode(content, seconds=1.0, part="centre", loudness=None)
    assert (rest == to_int16(read.mean(axis=1, dtype=np.float32)[17_000:33_000])).all()


def beginning(content: bytes, seconds: float) -> Samples | None:
    """What `mp3_start` gives, without the rate."""
    source = Source(content, "")
    with source.open() as stream:
        found = mp3_start(source, stream, seconds)
    return None if found is None else found[0]


@pytest.mark.parametrize("rate", [8000, 22050, 48000])
@pytest.mark.parametrize("seconds", [0.5, 10.0])
def test_the_beginning_of_an_mp3_file_is_what_ffmpeg_reads(rate: int, seconds: float) -> None:
    samples = tone(440, 4.3, rate) + np.random.default_rng(0).normal(0, 0.05, round(4.3 * rate))
    for content in (
        packed(samples.astype(np.float32), rate, "mp3", "libmp3lame"),
        written(np.stack([samples, samples / 2], axis=1), rate, "MP3"),
    ):
        with with_ffmpeg(Source(content, "")) as sound:
            expected = np.concatenate(list(sound.blocks(0.0)))[: round(seconds * rate)]
        for tagged in (content, content + b"TAG" + bytes(125)):
            found = beginning(tagged, seconds)
            assert found is not None
            np.testing.assert_array_equal(found, expected)


def test_mp3_files_that_need_a_reader() -> None:
    content = packed(tone(440, 1.0, 16000), 16000, "mp3", "libmp3lame")
    assert beginning(content, 9.0) is not None
    header = content.index(b"Info")
    for other in (
        content[:-1],  # cut short
        content + content,  # joined
        content + bytes(5),
        content[:header] + b"none" + content[header + 4 :],
        content[: header + 300] + b"\0" + content[header + 300 :],  # a frame is not where it should be
    ):
        assert beginning(other, 9.0) is None


FUZZED = {
    "WAV": written(tone(440, 0.05, 8000), 8000),
    "FLAC": written(tone(440, 0.05, 8000), 8000, "FLAC"),
    "OGG": written(tone(440, 0.05, 8000), 8000, "OGG"),
    "MP3": written(tone(440, 0.2, 16000), 16000, "MP3"),
    "mp4": packed(tone(440, 0.2, 16000), 16000, "mp4", "aac", True),
    "webm": packed(tone(440, 0.2, 48000), 48000, "webm", "libopus", True),
}


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(sorted(FUZZED)),
    st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=5),
)
def test_damaged_bytes_give_a_sound_or_a_cell_error(form: str, changes: list[tuple[float, int]]) -> None:
    content = bytearray(FUZZED[form])
    for place, value in changes:
        content[int(place * len(content))] = value
    try:
        decoded = decode(bytes(content), seconds=0.5)
    except CellError:
        return
    assert decoded.dtype == np.int16
    assert 0 < len(decoded) <= 8000


def test_threads_give_the_same_sounds() -> None:
    contents = list(FUZZED.values()) * 4
    alone = [decode(content) for content in contents]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(decode, contents))
    assert all((one == other).all() for one, other in zip(alone, together, strict=True))


def test_collate() -> None:
    column = AudioColumn(AudioConfig(rate=8000))
    cells = column.collate([np.array([32767, -32767], np.int16), None, np.array([0, 16384, 1], np.int16)])
    assert (cells.values.shape, cells.values.dtype) == ((3, 3), np.float32)
    assert cells.mask.tolist() == [[True, True, False], [False] * 3, [True] * 3]
    np.testing.assert_allclose(
        cells.values, [[1, -1, 0], [0, 0, 0], [0, 16384 / 32767, 1 / 32767]], rtol=1e-6
    )
    missing = column.collate([None, None])
    assert missing.values.shape == missing.mask.shape == (2, 800)
    assert not missing.mask.any()
    assert column.collate([]).mask.shape == (0, 800)


def test_configuration() -> None:
    column = AudioColumn(AudioConfig())
    assert (column.rate, column.length) == (16000, 160_000)
    assert AudioConfig.model_validate({"loudness": None}).loudness is None
    for wrong in ({"rate": 0}, {"seconds": 0}, {"part": "end"}, {"loudness": 3}):
        with pytest.raises(ValidationError):
            AudioConfig.model_validate(wrong)
    keys = [
        AudioColumn(AudioConfig(**options)).cache_key()
        for options in ({}, {"rate": 8000}, {"part": "centre"})
    ]
    assert len(set(keys)) == 3
    assert keys[0] == AudioColumn(AudioConfig(column="other")).cache_key()


def test_recognition() -> None:
    found = AudioColumn.recognise(Profile("x", "string", ["a.wav"], 1, 1, "audio"))
    assert found == ("the cells are paths that end in .wav", {})
    assert AudioColumn.recognise(Profile("x", "string", ["a.png"], 1, 1, "image")) is None
