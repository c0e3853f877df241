"""Decoders: fused rows → text, for outputs of `type: text`."""

from sensorium.decoders.decoder import Decoder
from sensorium.decoders.transformer import TransformerDecoder

DECODERS: dict[str, type[Decoder]] = {
    "transformer": TransformerDecoder,
}
"""Every kind of decoder that an output of text can name."""
