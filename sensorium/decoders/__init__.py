"""Decoders: fused rows → text, for outputs of `type: text`."""

from sensorium.decoders.causal import CausalDecoder
from sensorium.decoders.decoder import Decoder
from sensorium.decoders.transformer import TransformerDecoder

DECODERS: dict[str, type[Decoder]] = {
    "transformer": TransformerDecoder,
    "causal": CausalDecoder,
}
"""Every kind of decoder that an output of text can name."""
