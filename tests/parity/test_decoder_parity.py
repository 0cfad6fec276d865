"""The same weights give the same logits as Hugging Face's Llama, Mistral, Qwen and Gemma (with `pip install .[parity]`)."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flan_jax import pytrees
from flan_jax.models.decoder import DecoderConfig
from flan_jax.training import losses

transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

LENGTH, WINDOW = 20, 5
SCALES = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
THEIRS = {
    "vocab_size": 60, "hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 64, "attn_implementation": "eager",
    "pad_token_id": None, "bos_token_id": None, "eos_token_id": None,
}  # fmt: skip
OURS = {
    "vocab_size": 60, "emb_dim": 24, "mlp_dim": 32, "num_layers": 3, "num_heads": 4, "num_kv_heads": 2, "head_dim": 8,
    "position": "rope", "dropout_rate": 0.0, "mlp_activations": ("silu", "linear"), "query_scale": 8**-0.5,
}  # fmt: skip
GEMMA = {
    "mlp_activations": ("gelu", "linear"), "query_scale": 12**-0.5, "sliding_window": WINDOW, "norm_offset": 1.0,
    "post_norms": True, "scale_embeddings": True, "logits_via_embedding": True, "tied_logits_scale": 1.0,
}  # fmt: skip

# Each family's class, its changes to THEIRS, and ours to OURS.
FAMILIES = {
    "Llama": (
        {
            "rms_norm_eps": 1e-5, "tie_word_embeddings": False,
            "rope_parameters": {
                "rope_type": "llama3", "rope_theta": 5e3, "original_max_position_embeddings": 64, **SCALES,
            },
        },
        {
            "norm_epsilon": 1e-5, "rope_max_wavelength": 5e3,
            "rope_scaling": {"type": "llama3", "original_max_position": 64, **SCALES},
        },
    ),
    "Mistral": (
        {"sliding_window": WINDOW, "rms_norm_eps": 1e-5, "tie_word_embeddings": False},
        {"sliding_window": WINDOW, "norm_epsilon": 1e-5},
    ),
    "Qwen2": (
        {"tie_word_embeddings": True, "rope_parameters": {"rope_type": "default", "rope_theta": 1e6}},
        {
            "attention_bias": True, "logits_via_embedding": True, "tied_logits_scale": 1.0,
            "rope_max_wavelength": 1e6,
        },
    ),
    "Qwen3": ({"tie_word_embeddings": False, "attention_bias": False}, {"qk_norm": True}),
    "Gemma2": (
        {
            "sliding_window": WINDOW, "query_pre_attn_scalar": 12, "attn_logit_softcapping": 2.0,
            "final_logit_softcapping": 3.0,
        },
        GEMMA | {"global_every": 2, "attention_softcap": 2.0, "logits_softcap": 3.0},
    ),
    "Gemma3": (
        {
            "num_hidden_layers": 4, "sliding_window": WINDOW, "query_pre_attn_scalar": 12, "sliding_window_pattern": 3,
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1e3},
                "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
            },
        },
        GEMMA
        | {
            "num_layers": 4, "global_every": 3, "qk_norm": True, "rope_max_wavelength": 1e3,
            "rope_local_max_wavelength": 100.0, "rope_scaling": {"type": "linear", "factor": 4.0},
        },
    ),
}  # fmt: skip

NORMS = {
    "pre_self_attention_layer_norm": "input_layernorm",
    "pre_mlp_layer_norm": "post_attention_layernorm",
    "self_attention/query_norm": "self_attn.q_norm",
    "self_attention/key_norm": "self_attn.k_norm",
}
GEMMA_NORMS = NORMS | {
    "pre_mlp_layer_norm": "pre_feedforward_layernorm",
    "post_attention_layer_norm": "post_attention_layernorm",
    "post_mlp_layer_norm": "post_feedforward_layernorm",
}
MATRICES = {
    "self_attention/query": "self_attn.q_proj", "self_attention/key": "self_attn.k_proj",
    "self_attention/value": "self_attn.v_proj", "self_attention/out": "self_attn.o_proj",
    "mlp/wi_0": "mlp.gate_proj", "mlp/wi_1": "mlp.up_proj", "mlp/wo": "mlp.down_proj",
}  # fmt: skip


def _their_name(name, post_norms):
    """The name of our parameter among Hugging Face's."""
    outer = {
        "token_embedder/embedding": "model.embed_tokens.weight",
        "decoder/logits_dense/kernel": "lm_head.weight",
        "decoder/decoder_norm/scale": "model.norm.weight",
    }
    if name in outer:
        return outer[name]
    layer, inner, leaf = re.fullmatch(r"decoder/layers_(\d+)/(.+)/(\w+)", name).groups()
    inner = ((GEMMA_NORMS if post_norms else NORMS) | MATRICES)[inner]
    return f"model.layers.{layer}.{inner}.{'bias' if leaf == 'bias' else 'weight'}"


class Family:
    """A Hugging Face model with random weights, our config, and the same weights for it, unrolled."""

    def __init__(self, name, init, make_batch):
        theirs, ours = FAMILIES[name]
        torch.manual_seed(0)
        config = getattr(transformers, {"Gemma3": "Gemma3Text"}.get(name, name) + "Config")(
            **THEIRS | theirs
        )
        self.peer = getattr(transformers, f"{name}ForCausalLM")(config).eval()
        with torch.no_grad():
            for parameter in self.peer.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
        self.config = DecoderConfig(**OURS | ours, scan_layers=False)
        blank = init(
            self.config.build(), make_batch("decoder", [[([5], [6])]], {"inputs": 1, "targets": 1})
        )
        state = self.peer.state_dict()
        assert {self.their_name(name) for name in pytrees.named_leaves(blank)} == set(state) - (
            {"lm_head.weight"} if self.config.logits_via_embedding else set()
        )
        self.params = self.in_our_layout(blank, state)
        assert jax.tree.map(jnp.shape, self.params) == jax.tree.map(jnp.shape, blank)

    def their_name(self, name):
        return _their_name(name, self.config.post_norms)

    def in_our_layout(self, like, tensors):
        def leaf(name, _):
            array = tensors[self.their_name(name)].numpy()
            return jnp.asarray(array.T if name.endswith("kernel") else array)

        return pytrees.map_named(leaf, like)

    def expected(self, tokens, sizes):
        """Their logits of rows padded on the right after `sizes` tokens."""
        inside = np.arange(tokens.shape[1])[None] < np.asarray(sizes)[:, None]
        with torch.no_grad():
            return self.peer(
                input_ids=torch.tensor(tokens), attention_mask=torch.tensor(inside.astype(np.int64))
            ).logits.numpy()


@pytest.fixture(params=FAMILIES)
def family(request, init, make_batch):
    return Family(request.param, init, make_batch)


def _tokens(*shape):
    return np.random.default_rng(0).integers(0, 60, shape)


def _batch(rows, padding="right"):
    """Rows of examples that are fed as they are: decoder inputs are not shifted here, as Hugging Face's are not."""
    shape = len(rows), LENGTH
    names = ("decoder_input_tokens", "decoder_segment_ids", "decoder_positions")
    batch = {name: np.zeros(shape, np.int32) for name in names}
    for row, examples in enumerate(rows):
        start = 0 if padding == "right" else LENGTH - sum(map(len, examples))
        for segment, tokens in enumerate(examples, start=1):
            place = row, slice(start, start + len(tokens))
            for name, values in zip(names, (tokens, segment, range(len(tokens))), strict=True):
                batch[name][place] = values
            start += len(tokens)
    return {name: jnp.asarray(array) for name, array in batch.items()}


def _assert_same(got, expected):
    """Within 1e-4 of the largest logit."""
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("padding", ["left", "right"])
def test_padded_logits_are_those_without_padding(padding, family):
    examples, model = (
        [row[:size] for row, size in zip(_tokens(2, LENGTH), (LENGTH, 13), strict=True)],
        family.config.build(),
    )
    batch = _batch([[tokens] for tokens in examples], padding)
    got = np.array(jax.jit(model.apply)({"params": family.params}, batch))
    for tokens, logits, ids in zip(examples, got, batch["decoder_segment_ids"], strict=True):
        _assert_same(logits[np.array(ids) == 1], family.expected(tokens[None], [len(tokens)])[0])


def test_packed_logits_are_those_of_each_example_alone(family, stacked):
    examples = [_tokens(size) for size in (9, 8, 17)]
    model, batch = (
        dataclasses.replace(family.config, scan_layers=True).build(),
        _batch([examples[:2], examples[2:]]),
    )
    got = np.array(jax.jit(model.apply)({"params": stacked(family.params)}, batch))
    for tokens, logits in zip(examples, (got[0, :9], got[0, 9:17], got[1, :17]), strict=True):
        _assert_same(logits, family.expected(tokens[None], [len(tokens)])[0])


@pytest.mark.parametrize("scan_layers", [True])
def test_prompts_and_steps_with_the_cache(scan_layers, family, stacked):
    """Prompts of 9 and 6 tokens in one call, then eight steps, each row at its own position."""
    params = {"params": stacked(family.params) if scan_layers else family.params}
    model = dataclasses.replace(family.config, scan_layers=scan_layers).build()
    tokens, sizes = _tokens(2, LENGTH), np.asarray([[9], [6]])
    expected = family.expected(tokens, [LENGTH, LENGTH])

    def decode(variables, tokens, positions, segment_ids):
        hidden, cache = model.apply(
            {**params, **variables}, jnp.asarray(tokens), positions=jnp.asarray(positions), cache_length=LENGTH,
            segment_ids=jnp.asarray(segment_ids), method="decode_hidden", mutable=["cache"],
        )  # fmt: skip
        return model.apply(params, hidden, method="logits"), cache

    decode = jax.jit(decode)
    index = np.broadcast_to(np.arange(9)[None], (2, 9))
    logits, cache = decode({}, tokens[:, :9], index, (index < sizes).astype(np.int32))
    _assert_same(np.array(logits[0]), expected[0, :9])
    _assert_same(np.array(logits[1, :6]), expected[1, :6])
    for at in (sizes + i for i in range(8)):
        logits, cache = decode(cache, np.take_along_axis(tokens, at, axis=1), at, np.ones_like(at))
        _assert_same(
            np.array(logits[:, 0]), np.take_along_axis(expected, at[..., None], axis=1)[:, 0]
        )


@pytest.mark.parametrize("name", ["Qwen2", "Gemma2", "Gemma3"])
def test_gradients_of_the_loss(name, init, make_batch):
    """Of the chunked loss, with respect to all parameters: biases, norms, tied tables, through both soft caps."""
    family = Family(name, init, make_batch)
    tokens, targets = _tokens(2, LENGTH), _tokens(2, LENGTH)[:, ::-1].copy()
    logits = family.peer(input_ids=torch.tensor(tokens)).logits.reshape(-1, 60)
    loss = torch.nn.functional.cross_entropy(
        logits, torch.tensor(targets).reshape(-1), reduction="sum"
    )
    loss.backward()
    expected = family.in_our_layout(
        family.params, {name: parameter.grad for name, parameter in family.peer.named_parameters()}
    )
    batch, model = _batch([[row] for row in tokens]), family.config.build()
    batch |= {
        "decoder_target_tokens": jnp.asarray(targets),
        "decoder_loss_weights": jnp.ones((2, LENGTH)),
    }
    grad = jax.value_and_grad(lambda p: losses.loss_and_weight(model, p, batch, z_loss=0.0)[0])
    got_loss, got = jax.jit(grad)(family.params)
    np.testing.assert_allclose(got_loss, loss.item(), rtol=1e-5)
    jax.tree.map(lambda a, b: _assert_same(np.array(a), np.array(b)), got, expected)
