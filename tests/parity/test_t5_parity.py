"""The same weights give the same logits as Hugging Face's T5 v1.1 (with `pip install .[parity]`)."""

import jax
import numpy as np
import pytest
from hugging_face_t5 import params_of, random_t5

from flan_jax.models.encoder_decoder import EncoderDecoderConfig

transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

HEADS, BUCKETS = 3, 8


def _left(batch):
    """Each row's padding on its other side; positions go with their tokens."""
    sides = {name: np.array(array) for name, array in batch.items()}
    for side in ("encoder", "decoder"):
        sizes = np.count_nonzero(sides[f"{side}_segment_ids"], axis=1)
        for name in [name for name in sides if name.startswith(side)]:
            sides[name] = np.stack(
                [np.roll(row, -size) for row, size in zip(sides[name], sizes, strict=True)]
            )
    return sides


@pytest.mark.parametrize("form", ["left", "right", "packed"])
def test_logits_of_hugging_face_t5(form, init, make_batch):
    peer = random_t5(
        noise=0.1, vocab_size=60, d_model=24, d_kv=5, d_ff=32, num_layers=2, num_heads=HEADS,
        relative_attention_num_buckets=BUCKETS, relative_attention_max_distance=16,
    )  # fmt: skip
    config = EncoderDecoderConfig(
        vocab_size=60, emb_dim=24, num_heads=HEADS, head_dim=5, mlp_dim=32, num_encoder_layers=2, num_decoder_layers=2,
        relative_attention_num_buckets=BUCKETS, relative_attention_max_distance=16, scan_layers=False,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    examples = [
        (rng.integers(2, 60, n).tolist(), rng.integers(2, 60, m).tolist())
        for n, m in ((30, 20), (17, 25))
    ]
    rows = [examples] if form == "packed" else [[example] for example in examples]
    batch, model = (
        make_batch("encoder_decoder", rows, {"inputs": 50, "targets": 50}),
        config.build(),
    )
    params = params_of(peer, init(model, batch))
    batch = _left(batch) if form == "left" else batch
    got, ids = (
        np.array(jax.jit(model.apply)({"params": params}, batch)),
        np.array(batch["decoder_segment_ids"]),
    )
    for i, (inputs, targets) in enumerate(examples):
        with torch.no_grad():
            decoder_inputs = torch.tensor([[0, *targets[:-1]]])
            expected = (
                peer(input_ids=torch.tensor([inputs]), decoder_input_ids=decoder_inputs)
                .logits[0]
                .numpy()
            )
        own = got[0][ids[0] == i + 1] if form == "packed" else got[i][ids[i] == 1]
        assert own.shape == expected.shape
        assert np.abs(own - expected).max() < 1e-4 * np.abs(expected).max()
