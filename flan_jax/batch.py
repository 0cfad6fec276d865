"""The contract between data and models: the arrays of a batch, under seqio's names.

An example is a list of segments, each with tokens and with or without loss. FLAN's pair is an input
without loss and a target with loss; a conversation has loss on its replies; plain text for a
language model is one segment with loss. Each segment ends as the row format says, with EOS in
FLAN's (flan_jax.data.row_format). The last segment, which always has loss, is the example's
targets; the segments before it are its inputs.

Encoder-decoder (seqio.EncDecFeatureConverter, packed), B rows of E encoder and D decoder tokens:
    encoder_input_tokens, encoder_segment_ids, encoder_positions    int32 [B, E]
    decoder_target_tokens, decoder_input_tokens,
    decoder_segment_ids, decoder_positions                          int32 [B, D]
    decoder_loss_weights                                            float32 [B, D]
The encoder reads the inputs, one segment after the other. The decoder writes the targets, and only
they have loss: for loss on every reply of a conversation, let the task render an example for each.

Decoder-only (seqio.PrefixLMFeatureConverter, packed), all segments in one sequence of E + D tokens:
    the decoder_* arrays above and
    decoder_causal_attention                                        int32 [B, E + D]
Every segment with loss has loss weights of 1. decoder_causal_attention is 1 on the prefix, which
attends in both directions in a prefix language model: the segments before the first with loss, and
one position more, as the input tokens are shifted by one.

Segment ids (seqio's name) number the examples of a row from 1, not the segments of an example; 0 is
padding. Positions count from 0 within each example. `decoder_input_tokens` is
`decoder_target_tokens` shifted right by one within each example, starting with the row format's
start token: PAD in FLAN's and for every encoder-decoder. Without a start token the first token of
an example is only read: input and target tokens are its tokens without the last and the first.
"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

PAD = 0
EOS = 1

Batch = Mapping[str, Any]
"""A batch by array name: numpy arrays from the loader, jax arrays in a model."""
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
    """Returns the shape and dtype of each array of a batch.

    Args:
      architecture: the kind of model.
      rows: the number of rows.
      lengths: tokens of a row, {"inputs": E, "targets": D}; a decoder-only row has E + D.
    """
    inputs, targets = lengths["inputs"], lengths["targets"]
    spec: dict[str, tuple[tuple[int, int], type]] = {}
    if architecture == "encoder_decoder":
        decoder_shape = (rows, targets)
        for name in ENCODER_FEATURES:
            spec[name] = (rows, inputs), np.int32
    else:
        decoder_shape = (rows, inputs + targets)
        spec["decoder_causal_attention"] = decoder_shape, np.int32

    for name in DECODER_FEATURES:
        spec[name] = decoder_shape, np.int32
    spec["decoder_loss_weights"] = decoder_shape, np.float32
    return spec
