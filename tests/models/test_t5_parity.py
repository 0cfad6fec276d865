"""The same weights give the same logits as Hugging Face's T5 v1.1 (with `pip install .[parity]`)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flan_jax import trees
from flan_jax.models.encoder_decoder import EncoderDecoderConfig

transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

HEADS, BUCKETS = 3, 8


def _peer():
    torch.manual_seed(0)
    config = transformers.T5Config(
        vocab_size=60, d_model=24, d_kv=5, d_ff=32, num_layers=2, num_heads=HEADS, feed_forward_proj="gated-gelu",
        relative_attention_num_buckets=BUCKETS, relative_attention_max_distance=16, tie_word_embeddings=False,
    )  # fmt: skip
    peer = transformers.T5ForConditionalGeneration(config).eval()
    # transformers 5 ties T5's head to its table whatever the config says; T5 1.1 has a head of its own.
    peer.lm_head = torch.nn.Linear(config.d_model, config.vocab_size, bias=False)
    with torch.no_grad():
        for parameter in peer.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return peer


def _parameter(name, state):
    """Our name -> Hugging Face's parameter, in our layout."""
    stack, *parts = name.split("/")
    if name == "token_embedder/embedding":
        return state["shared.weight"]
    if name == "decoder/logits_dense/kernel":
        return state["lm_head.weight"].T
    if parts[0] == "relpos_bias":
        return state[f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"].T
    if parts[0].endswith("_norm"):
        return state[f"{stack}.final_layer_norm.weight"]
    sublayers = {"attention": 0, "self_attention": 0, "encoder_decoder_attention": 1, "mlp": -1}
    sublayers |= {f"pre_{key}_layer_norm": sublayers[key] for key in ("attention", "self_attention", "mlp")}
    sublayer = sublayers.get(parts[1], 1)
    sublayer = sublayer if sublayer >= 0 else (1 if stack == "encoder" else 2)
    prefix = f"{stack}.block.{parts[0].removeprefix('layers_')}.layer.{sublayer}"
    if parts[-1] == "scale":
        return state[f"{prefix}.layer_norm.weight"]
    block = {"mlp": "DenseReluDense", "encoder_decoder_attention": "EncDecAttention"}.get(parts[1], "SelfAttention")
    leaf = {"query": "q", "key": "k", "value": "v", "out": "o"}.get(parts[2], parts[2])
    return state[f"{prefix}.{block}.{leaf}.weight"].T


def test_logits_of_hugging_face_t5(init, make_batch):
    peer = _peer()
    config = EncoderDecoderConfig(
        vocab_size=60, emb_dim=24, num_heads=HEADS, head_dim=5, mlp_dim=32, num_encoder_layers=2, num_decoder_layers=2,
        relative_attention_num_buckets=BUCKETS, relative_attention_max_distance=16, scan_layers=False,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    rows = [[(rng.integers(2, 60, n).tolist(), rng.integers(2, 60, m).tolist())] for n, m in ((30, 20), (17, 25))]
    batch, model = make_batch("encoder_decoder", rows, {"inputs": 30, "targets": 25}), config.build()
    params = init(model, batch)
    state = {name: value.numpy() for name, value in peer.state_dict().items()}
    shapes = jax.tree.map(jnp.shape, params)
    params = trees.map_named(lambda name, leaf: jnp.asarray(_parameter(name, state)), params)
    assert jax.tree.map(jnp.shape, params) == shapes
    with torch.no_grad():
        expected = peer(
            input_ids=torch.tensor(np.array(batch["encoder_input_tokens"], np.int64)),
            attention_mask=torch.tensor(np.array(batch["encoder_segment_ids"], np.int64)),
            decoder_input_ids=torch.tensor(np.array(batch["decoder_input_tokens"], np.int64)),
        ).logits.numpy()
    real = np.array(batch["decoder_segment_ids"]) == 1
    got = np.array(jax.jit(model.apply)({"params": params}, batch))
    error = np.abs(got[real] - expected[real]).max() / np.abs(expected[real]).max()
    assert error < 1e-4
