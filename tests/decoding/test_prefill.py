import numpy as np
import pytest
from tiny_models import tokens

from flan_jax.decoding.prefill import bucket, prompt_batch


def test_buckets_hold_their_lengths():
    lengths = (0, 1, 8, 9, 100, 128, 129, 200, 256, 257, 8192, 8193)
    buckets = [8, 8, 8, 16, 128, 128, 160, 224, 256, 320, 8192, 10240]
    assert [bucket(length) for length in lengths] == buckets
    assert all(length <= bucket(length) < 1.25 * length for length in range(129, 3000))


@pytest.mark.parametrize(
    ("architecture", "side", "start"),
    [("encoder_decoder", "encoder", []), ("decoder", "decoder", [2])],
)
def test_prompts_are_padded_to_a_bucket(architecture, side, start):
    """The bucket of a decoder is that of the tokens behind the start token."""
    prompts = tokens([[*start, 5, 6, 1], [*start, 7, 1]])
    batch = prompt_batch(architecture, prompts, rows=3)
    expected = [
        start + [5, 6, 1, 0, 0, 0, 0, 0],
        start + [7, 1, 0, 0, 0, 0, 0, 0],
        [0] * (len(start) + 8),
    ]
    assert batch[f"{side}_input_tokens"].tolist() == expected
    lengths = np.sum(batch[f"{side}_segment_ids"], axis=1)
    assert lengths.tolist() == [len(start) + 3, len(start) + 2, 0]
