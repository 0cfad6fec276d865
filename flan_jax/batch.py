"""The one contract of data and models: which arrays a batch holds, under seqio's names.

Encoder-decoder (seqio.EncDecFeatureConverter, packed), B rows of E encoder and D decoder tokens:
    encoder_input_tokens, encoder_segment_ids, encoder_positions                       int32[B, E]
    decoder_target_tokens, decoder_input_tokens, decoder_segment_ids, decoder_positions int32[B, D]
    decoder_loss_weights                                                               float32[B, D]
Decoder-only (seqio.PrefixLMFeatureConverter, packed), inputs and targets in one sequence of D tokens:
    the decoder_* arrays above and decoder_causal_attention                             int32[B, D]
    (1 where a token is part of the prefix and is attended to from both sides)

Segment ids count the examples of a row from 1; 0 is padding. Positions count from 0 within each example.
`decoder_input_tokens` is `decoder_target_tokens` shifted right by one within each example, starting with PAD.
"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

PAD = 0
EOS = 1

Batch = Mapping[str, Any]
Architecture = Literal["encoder_decoder", "decoder"]

ENCODER_FEATURES = ("encoder_input_tokens", "encoder_segment_ids", "encoder_positions")
DECODER_FEATURES = (
    "decoder_target_tokens",
    "decoder_input_tokens",
    "decoder_segment_ids",
    "decoder_positions",
    "decoder_loss_weights",
)


def batch_spec(
    architecture: Architecture, rows: int, lengths: Mapping[str, int]
) -> dict[str, tuple[tuple[int, int], type]]:
    """{name: (shape, dtype)} of a batch of `rows` rows. `lengths` are {"inputs": E, "targets": D} in tokens.

    A decoder-only row holds inputs and targets in one sequence of E + D tokens.
    """
    encoder, decoder = (rows, lengths["inputs"]), (rows, lengths["targets"])
    if architecture == "encoder_decoder":
        spec = {name: (encoder, np.int32) for name in ENCODER_FEATURES}
    else:
        decoder = (rows, lengths["inputs"] + lengths["targets"])
        spec = {"decoder_causal_attention": (decoder, np.int32)}
    spec |= {name: (decoder, np.int32) for name in DECODER_FEATURES}
    return spec | {"decoder_loss_weights": (decoder, np.float32)}
