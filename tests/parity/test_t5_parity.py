"""The same weights give the same logits as Hugging Face's T5 v1.1 (`pip install .[parity]`)."""

import jax
import numpy as np
import pytest
from hugging_face_t5 import params_of, random_t5

from flan_jax.models.encoder_decoder import EncoderDecoderConfig

transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

CONFIG = EncoderDecoderConfig(
    vocab_size=60,
    emb_dim=24,
    num_heads=3,
    head_dim=5,
    mlp_dim=32,
    num_encoder_layers=2,
    num_decoder_layers=2,
    relative_attention_num_buckets=8,
    relative_attention_max_distance=16,
    scan_layers=False,
)
THEIR_SIZES = {
    "vocab_size": 60,
    "d_model": 24,
    "num_heads": 3,
    "d_kv": 5,
    "d_ff": 32,
    "num_layers": 2,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 16,
}


def pad_on_the_left(batch):
    """Moves each row's padding to the other side; positions go with their tokens."""
    moved = {name: np.array(array) for name, array in batch.items()}
    for side in ("encoder", "decoder"):
        sizes = np.count_nonzero(moved[f"{side}_segment_ids"], axis=1)
        for name, array in moved.items():
            if name.startswith(side):
                rows = zip(array, sizes, strict=True)
                moved[name] = np.stack([np.roll(row, -size) for row, size in rows])
    return moved


def their_logits(peer, inputs, targets):
    decoder_inputs = [0, *targets[:-1]]
    with torch.no_grad():
        outputs = peer(
            input_ids=torch.tensor([inputs]),
            decoder_input_ids=torch.tensor([decoder_inputs]),
        )
    return outputs.logits[0].numpy()


@pytest.mark.parametrize("form", ["left", "right", "packed"])
def test_logits_of_hugging_face_t5(form, init, make_batch):
    peer = random_t5(noise=0.1, **THEIR_SIZES)
    rng = np.random.default_rng(0)
    examples = []
    for input_size, target_size in ((30, 20), (17, 25)):
        inputs = rng.integers(2, 60, input_size).tolist()
        targets = rng.integers(2, 60, target_size).tolist()
        examples.append((inputs, targets))
    rows = [[example] for example in examples]
    if form == "packed":
        rows = [examples]

    batch = make_batch("encoder_decoder", rows, {"inputs": 50, "targets": 50})
    model = CONFIG.build()
    params = params_of(peer, init(model, batch))
    if form == "left":
        batch = pad_on_the_left(batch)
    logits = np.array(jax.jit(model.apply)({"params": params}, batch))
    segment_ids = np.array(batch["decoder_segment_ids"])

    for i, (inputs, targets) in enumerate(examples):
        if form == "packed":
            actual = logits[0][segment_ids[0] == i + 1]
        else:
            actual = logits[i][segment_ids[i] == 1]
        expected = their_logits(peer, inputs, targets)
        assert actual.shape == expected.shape
        assert np.abs(actual - expected).max() < 1e-4 * np.abs(expected).max()
