"""The arrays of a batch by name, shape and dtype."""

import numpy as np
import pytest

from flan_jax.batch import DECODER_FEATURES, ENCODER_FEATURES, batch_spec

LENGTHS = {"inputs": 5, "targets": 3}


def test_an_encoder_decoder_has_rows_of_inputs_and_rows_of_targets():
    inputs = (2, 5), np.int32
    targets = (2, 3), np.int32
    assert batch_spec("encoder_decoder", 2, LENGTHS) == {
        "encoder_input_tokens": inputs,
        "encoder_segment_ids": inputs,
        "encoder_positions": inputs,
        "decoder_target_tokens": targets,
        "decoder_input_tokens": targets,
        "decoder_segment_ids": targets,
        "decoder_positions": targets,
        "decoder_loss_weights": ((2, 3), np.float32),
    }


def test_a_decoder_has_both_in_one_row():
    row = (2, 8), np.int32
    assert batch_spec("decoder", 2, LENGTHS) == {
        "decoder_target_tokens": row,
        "decoder_input_tokens": row,
        "decoder_segment_ids": row,
        "decoder_positions": row,
        "decoder_causal_attention": row,
        "decoder_loss_weights": ((2, 8), np.float32),
    }


@pytest.mark.parametrize(
    "architecture, features",
    [
        ("encoder_decoder", {*ENCODER_FEATURES, *DECODER_FEATURES}),
        ("decoder", {*DECODER_FEATURES, "decoder_causal_attention"}),
    ],
)
def test_the_names_do_not_depend_on_the_sizes(architecture, features):
    small = batch_spec(architecture, 1, {"inputs": 1, "targets": 1})
    large = batch_spec(architecture, 64, {"inputs": 512, "targets": 128})
    assert set(small) == set(large) == features
