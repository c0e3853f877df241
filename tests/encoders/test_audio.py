"""Sound encoders: how many tokens, and that short sounds and options work."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from sensorium.batch import Raw
from sensorium.encoders import ENCODERS
from sensorium.encoders.audio import CNNAudio, LSTMAudio

COLUMN: Any = SimpleNamespace(rate=16000)


def sounds(*samples: int) -> Raw:
    """Noise of so many samples a row."""
    mask = torch.arange(max(samples)) < torch.tensor(samples).unsqueeze(1)
    return Raw(torch.randn(mask.shape) / 5, mask)


@pytest.mark.parametrize(("kind", "milliseconds"), [("cnn", 80), ("lstm", 40), ("transformer", 40)])
def test_tokens_of_one_second(kind: str, milliseconds: int) -> None:
    encoder = ENCODERS["audio"][kind](ENCODERS["audio"][kind].Config(), COLUMN).eval()

    tokens = encoder(sounds(16000, 8000))

    # 99 frames of 25 ms every 10 ms reach the end of one second, 49 that of half a second.
    steps = milliseconds // 10
    assert tokens.mask.sum(dim=1).tolist() == [-(-99 // steps), -(-49 // steps)]
    assert tokens.values.shape[1] == -(-99 // steps)


@pytest.mark.parametrize("kind", ["cnn", "lstm", "transformer"])
@pytest.mark.parametrize("training", [True, False])
def test_a_sound_of_one_sample(kind: str, training: bool) -> None:
    encoder = ENCODERS["audio"][kind](ENCODERS["audio"][kind].Config(), COLUMN).train(training)

    tokens = encoder(sounds(1))

    assert tokens.mask.tolist() == [[True]]
    assert tokens.values.isfinite().all()


def test_padding_does_not_move_the_running_statistics() -> None:
    torch.manual_seed(0)
    settings = {"masks": {"bands": 0, "time": 0.0}, "channels": [4, 4]}
    first, second = (CNNAudio(CNNAudio.Config(**settings), COLUMN) for _ in range(2))
    second.load_state_dict(first.state_dict())
    raw = sounds(4000, 2500)

    first(raw)
    second(Raw(*(torch.nn.functional.pad(part, (0, 9000)) for part in raw)))

    for name, value in first.state_dict().items():
        torch.testing.assert_close(value, second.state_dict()[name], msg=name)


def test_bands_that_the_blocks_do_not_divide() -> None:
    config = CNNAudio.Config(log_mel={"mels": 13}, channels=[4, 4, 4], norm="none")

    tokens = CNNAudio(config, COLUMN)(sounds(3000, 500))

    assert tokens.values.shape == (2, 3, 128)
    assert tokens.mask.tolist() == [[True, True, True], [True, False, False]]


def test_convolutions_without_norm_see_no_padding() -> None:
    torch.manual_seed(0)
    encoder = CNNAudio(CNNAudio.Config(channels=[4, 4], norm="none"), COLUMN).eval()
    raw = sounds(5000, 900)

    together, alone = encoder(raw), encoder(Raw(raw.values[1:, :900], raw.mask[1:, :900]))

    torch.testing.assert_close(together.values[1:, : alone.values.shape[1]], alone.values)


def test_the_last_state_is_one_token() -> None:
    encoder = LSTMAudio(LSTMAudio.Config(pool="last", bidirectional=False, hidden=7), COLUMN)

    tokens = encoder(sounds(4000, 900))

    assert tokens.values.shape == (2, 1, 7)
    assert tokens.mask.tolist() == [[True], [True]]
