"""The same weights give the logits of Hugging Face's Llama, Mistral, Qwen, OLMo and Gemma.

Needs `pip install .[parity]`.
"""

import dataclasses
import math
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

LENGTH = 20
WINDOW = 5
SCALES = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
THEIRS = {
    "vocab_size": 60,
    "hidden_size": 24,
    "intermediate_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "attn_implementation": "eager",
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}
OURS = {
    "vocab_size": 60,
    "emb_dim": 24,
    "mlp_dim": 32,
    "num_layers": 3,
    "num_heads": 4,
    "num_kv_heads": 2,
    "head_dim": 8,
    "position": "rope",
    "dropout_rate": 0.0,
    "mlp_activations": ("silu", "linear"),
    "query_scale": 8**-0.5,
}
TIED = {"logits_via_embedding": True, "tied_logits_scale": 1.0}
GEMMA = TIED | {
    "mlp_activations": ("gelu", "linear"),
    "query_scale": 12**-0.5,
    "sliding_window": WINDOW,
    "norm_offset": 1.0,
    "post_norms": True,
    "scale_embeddings": True,
}

# For each family, the changes to THEIRS and to OURS.
FAMILIES = {
    "Llama": (
        {
            "rms_norm_eps": 1e-5,
            "tie_word_embeddings": False,
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 5e3,
                "original_max_position_embeddings": 64,
                **SCALES,
            },
        },
        {
            "norm_epsilon": 1e-5,
            "rope_max_wavelength": 5e3,
            "rope_scaling": {"type": "llama3", "original_max_position": 64, **SCALES},
        },
    ),
    "Mistral": (
        {"sliding_window": WINDOW, "rms_norm_eps": 1e-5, "tie_word_embeddings": False},
        {"sliding_window": WINDOW, "norm_epsilon": 1e-5},
    ),
    "Qwen2": (
        {
            "tie_word_embeddings": True,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
        },
        TIED | {"attention_bias": True, "rope_max_wavelength": 1e6},
    ),
    "Qwen3": (
        {"tie_word_embeddings": False, "attention_bias": False},
        {"qk_norm": True},
    ),
    "Olmo2": (
        {
            "rms_norm_eps": 1e-5,
            "tie_word_embeddings": False,
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": 5e3,
                "original_max_position_embeddings": 16,
                "factor": 4.0,
            },
        },
        {
            "qk_norm": True,
            "joint_qk_norm": True,
            "pre_norms": False,
            "post_norms": True,
            "norm_epsilon": 1e-5,
            "rope_max_wavelength": 5e3,
            "rope_scaling": {
                "type": "yarn",
                "factor": 4.0,
                "original_max_position": 16,
                "beta_fast": 32,
                "beta_slow": 1,
                "attention_factor": 0.1 * math.log(4.0) + 1.0,
            },
        },
    ),
    "Gemma": (
        {"rms_norm_eps": 1e-6},
        TIED
        | {
            "mlp_activations": ("gelu", "linear"),
            "norm_offset": 1.0,
            "scale_embeddings": True,
        },
    ),
    "Gemma2": (
        {
            "sliding_window": WINDOW,
            "query_pre_attn_scalar": 12,
            "attn_logit_softcapping": 2.0,
            "final_logit_softcapping": 3.0,
        },
        GEMMA | {"global_every": 2, "attention_softcap": 2.0, "logits_softcap": 3.0},
    ),
    "Gemma3": (
        {
            "num_hidden_layers": 4,
            "sliding_window": WINDOW,
            "query_pre_attn_scalar": 12,
            "sliding_window_pattern": 3,
            "rope_parameters": {
                "full_attention": {
                    "rope_type": "linear",
                    "factor": 4.0,
                    "rope_theta": 1e3,
                },
                "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
            },
        },
        GEMMA
        | {
            "num_layers": 4,
            "global_every": 3,
            "qk_norm": True,
            "rope_max_wavelength": 1e3,
            "rope_local_max_wavelength": 100.0,
            "rope_scaling": {"type": "linear", "factor": 4.0},
        },
    ),
}

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
    "self_attention/query": "self_attn.q_proj",
    "self_attention/key": "self_attn.k_proj",
    "self_attention/value": "self_attn.v_proj",
    "self_attention/out": "self_attn.o_proj",
    "mlp/wi_0": "mlp.gate_proj",
    "mlp/wi_1": "mlp.up_proj",
    "mlp/wo": "mlp.down_proj",
}
OUTER_NAMES = {
    "token_embedder/embedding": "model.embed_tokens.weight",
    "decoder/logits_dense/kernel": "lm_head.weight",
    "decoder/decoder_norm/scale": "model.norm.weight",
}
CONFIG_CLASSES = {"Gemma3": "Gemma3TextConfig"}


def their_name(name, post_norms):
    """Returns Hugging Face's name of our parameter."""
    if name in OUTER_NAMES:
        return OUTER_NAMES[name]
    layer, module, leaf = re.fullmatch(
        r"decoder/layers_(\d+)/(.+)/(\w+)", name
    ).groups()
    norms = GEMMA_NORMS if post_norms else NORMS
    their_module = (norms | MATRICES)[module]
    their_leaf = "bias" if leaf == "bias" else "weight"
    return f"model.layers.{layer}.{their_module}.{their_leaf}"


class Family:
    """A Hugging Face model with random weights, our config, and the same weights for it, unrolled.

    Attributes:
      peer: their model.
      config: our configuration.
      params: our parameters.
    """

    def __init__(self, name, init, make_batch):
        theirs, ours = FAMILIES[name]
        self.peer = random_peer(name, theirs)
        self.config = DecoderConfig(**OURS | ours, scan_layers=False)

        batch = make_batch("decoder", [[([5], [6])]], {"inputs": 1, "targets": 1})
        blank = init(self.config.build(), batch)
        state = self.peer.state_dict()
        self.params = self.in_our_layout(blank, state)
        assert jax.tree.map(jnp.shape, self.params) == jax.tree.map(jnp.shape, blank)

        names = {
            their_name(ours, self.config.post_norms)
            for ours in pytrees.named_leaves(blank)
        }
        if self.config.logits_via_embedding:
            names.add("lm_head.weight")
        assert names == set(state)

    def in_our_layout(self, like, tensors):
        """Returns their tensors as a tree like our parameters."""

        def leaf(name, _):
            array = tensors[their_name(name, self.config.post_norms)].numpy()
            return jnp.asarray(array.T if name.endswith("kernel") else array)

        return pytrees.map_named(leaf, like)

    def expected(self, tokens, sizes):
        """Returns their logits of rows that are padded on the right after `sizes` tokens."""
        is_token = np.arange(tokens.shape[1])[None] < np.asarray(sizes)[:, None]
        attention_mask = torch.tensor(is_token.astype(np.int64))
        with torch.no_grad():
            outputs = self.peer(
                input_ids=torch.tensor(tokens), attention_mask=attention_mask
            )
        return outputs.logits.numpy()


def random_peer(name, changes):
    torch.manual_seed(0)
    config_class = getattr(transformers, CONFIG_CLASSES.get(name, f"{name}Config"))
    peer = getattr(transformers, f"{name}ForCausalLM")(
        config_class(**THEIRS | changes)
    ).eval()
    with torch.no_grad():
        for parameter in peer.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return peer


@pytest.fixture(params=FAMILIES)
def family(request, init, make_batch):
    return Family(request.param, init, make_batch)


def random_tokens(*shape):
    return np.random.default_rng(0).integers(0, 60, shape)


def batch_of(rows, padding="right"):
    """Returns a batch whose decoder inputs are the tokens themselves, as in Hugging Face.

    Args:
      rows: the examples of each row, as tokens.
      padding: the side of the padding.
    """
    names = ("decoder_input_tokens", "decoder_segment_ids", "decoder_positions")
    batch = {name: np.zeros((len(rows), LENGTH), np.int32) for name in names}
    for row, examples in enumerate(rows):
        start = 0
        if padding == "left":
            start = LENGTH - sum(map(len, examples))
        for segment, tokens in enumerate(examples, start=1):
            end = start + len(tokens)
            batch["decoder_input_tokens"][row, start:end] = tokens
            batch["decoder_segment_ids"][row, start:end] = segment
            batch["decoder_positions"][row, start:end] = range(len(tokens))
            start = end
    return {name: jnp.asarray(array) for name, array in batch.items()}


def assert_close(actual, expected):
    """Within 1e-4 of the largest logit."""
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("padding", ["left", "right"])
def test_padded_logits_are_those_without_padding(padding, family):
    first, second = random_tokens(2, LENGTH)
    examples = [first, second[:13]]
    batch = batch_of([[tokens] for tokens in examples], padding)
    model = family.config.build()
    logits = np.array(jax.jit(model.apply)({"params": family.params}, batch))
    is_token = np.array(batch["decoder_segment_ids"]) == 1
    for row, tokens in enumerate(examples):
        expected = family.expected(tokens[None], [len(tokens)])
        assert_close(logits[row][is_token[row]], expected[0])


def test_packed_logits_are_those_of_each_example_alone(family, stacked):
    examples = [random_tokens(size) for size in (9, 8, 17)]
    batch = batch_of([examples[:2], examples[2:]])
    model = dataclasses.replace(family.config, scan_layers=True).build()
    logits = np.array(jax.jit(model.apply)({"params": stacked(family.params)}, batch))
    logits_of_examples = (logits[0, :9], logits[0, 9:17], logits[1, :17])
    for tokens, actual in zip(examples, logits_of_examples, strict=True):
        assert_close(actual, family.expected(tokens[None], [len(tokens)])[0])


def test_prompts_and_steps_with_the_cache(family, stacked):
    """Prompts of 9 and 6 tokens in one call, then eight steps, each row at its own position."""
    params = {"params": stacked(family.params)}
    model = dataclasses.replace(family.config, scan_layers=True).build()
    tokens = random_tokens(2, LENGTH)
    expected = family.expected(tokens, [LENGTH, LENGTH])

    @jax.jit
    def decode(variables, tokens, positions, segment_ids):
        hidden, cache = model.apply(
            {**params, **variables},
            jnp.asarray(tokens),
            positions=jnp.asarray(positions),
            cache_length=LENGTH,
            segment_ids=jnp.asarray(segment_ids),
            method="decode_hidden",
            mutable=["cache"],
        )
        return model.apply(params, hidden, method="logits"), cache

    sizes = np.asarray([[9], [6]])
    positions = np.broadcast_to(np.arange(9)[None], (2, 9))
    is_prompt = (positions < sizes).astype(np.int32)
    logits, cache = decode({}, tokens[:, :9], positions, is_prompt)
    assert_close(np.array(logits[0]), expected[0, :9])
    assert_close(np.array(logits[1, :6]), expected[1, :6])

    for step in range(8):
        positions = sizes + step
        next_tokens = np.take_along_axis(tokens, positions, axis=1)
        logits, cache = decode(cache, next_tokens, positions, np.ones_like(positions))
        expected_step = np.take_along_axis(expected, positions[..., None], axis=1)
        assert_close(np.array(logits), expected_step)


@pytest.mark.parametrize("name", ["Qwen2", "Olmo2", "Gemma2", "Gemma3"])
def test_gradients_of_the_loss(name, init, make_batch):
    """Of the chunked loss: gradients of biases, norms and tied tables, through both softcaps."""
    family = Family(name, init, make_batch)
    tokens = random_tokens(2, LENGTH)
    targets = tokens[:, ::-1].copy()

    their_logits = family.peer(input_ids=torch.tensor(tokens)).logits.reshape(-1, 60)
    their_targets = torch.tensor(targets).reshape(-1)
    their_loss = torch.nn.functional.cross_entropy(
        their_logits, their_targets, reduction="sum"
    )
    their_loss.backward()
    their_gradients = {
        name: value.grad for name, value in family.peer.named_parameters()
    }

    model = family.config.build()
    batch = batch_of([[row] for row in tokens]) | {
        "decoder_target_tokens": jnp.asarray(targets),
        "decoder_loss_weights": jnp.ones((2, LENGTH)),
    }

    def loss(params):
        return losses.loss_and_weight(model, params, batch, z_loss=0.0)[0]

    actual_loss, gradients = jax.jit(jax.value_and_grad(loss))(family.params)
    np.testing.assert_allclose(actual_loss, their_loss.item(), rtol=1e-5)
    expected = family.in_our_layout(family.params, their_gradients)
    jax.tree.map(
        lambda a, b: assert_close(np.array(a), np.array(b)), gradients, expected
    )
