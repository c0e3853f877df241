"""Decoders: fused rows → text, for outputs of `type: text`."""

from sensorium.decoders.causal import CausalDecoder
from sensorium.decoders.ctc import CTCDecoder
from sensorium.decoders.decoder import Decoder
from sensorium.decoders.extract import ExtractDecoder
from sensorium.decoders.transformer import TransformerDecoder
from sensorium.decoders.whisper import WhisperDecoder

DECODERS: dict[str, type[Decoder]] = {
    "transformer": TransformerDecoder,
    "causal": CausalDecoder,
    "ctc": CTCDecoder,
    "whisper": WhisperDecoder,
    "extract": ExtractDecoder,
}
"""Every kind of decoder that an output of text can name."""
