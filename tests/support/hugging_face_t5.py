"""Hugging Face's T5 v1.1 with random weights, and the same weights as ours."""

import jax
import jax.numpy as jnp

from flan_jax import pytrees


def random_t5(noise=0.0, **sizes):
    """Returns a T5ForConditionalGeneration.

    Args:
      noise: each parameter is moved by this times a normal deviate.
      **sizes: of transformers.T5Config.
    """
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.T5Config(
        feed_forward_proj="gated-gelu",
        dropout_rate=0.0,
        tie_word_embeddings=False,
        **sizes,
    )
    peer = transformers.T5ForConditionalGeneration(config).eval()
    # transformers 5 ties T5's head to its table whatever the config says; T5 1.1 has a head of its
    # own.
    peer.lm_head = torch.nn.Linear(config.d_model, config.vocab_size, bias=False)
    peer.generation_config.decoder_start_token_id = 0
    with torch.no_grad():
        for parameter in peer.parameters():
            parameter.add_(noise * torch.randn_like(parameter))
    return peer


def params_of(peer, params):
    """Returns the peer's weights as our parameters.

    Args:
      peer: what `random_t5` returns.
      params: ours, unrolled, for names and shapes.
    """
    state = {name: value.numpy() for name, value in peer.state_dict().items()}
    converted = pytrees.map_named(
        lambda name, _: jnp.asarray(_parameter(name, state)), params
    )
    assert jax.tree.map(jnp.shape, converted) == jax.tree.map(jnp.shape, params)
    return converted


OUTER_NAMES = {
    "token_embedder/embedding": "shared.weight",
    "decoder/logits_dense/kernel": "lm_head.weight.T",
}
# Our sublayers of a layer, in the order of theirs.
SUBLAYERS = {
    "encoder": ("attention", "mlp"),
    "decoder": ("self_attention", "encoder_decoder_attention", "mlp"),
}
NORMS = {
    "pre_attention_layer_norm": "attention",
    "pre_self_attention_layer_norm": "self_attention",
    "pre_cross_attention_layer_norm": "encoder_decoder_attention",
    "pre_mlp_layer_norm": "mlp",
}
BLOCKS = {
    "attention": "SelfAttention",
    "self_attention": "SelfAttention",
    "encoder_decoder_attention": "EncDecAttention",
    "mlp": "DenseReluDense",
}
MATRICES = {"query": "q", "key": "k", "value": "v", "out": "o"}


def _parameter(name, state):
    """Returns Hugging Face's parameter for our name, in our layout."""
    their_name = OUTER_NAMES.get(name) or _name_in_stack(*name.split("/"))
    if their_name.endswith(".T"):
        return state[their_name.removesuffix(".T")].T
    return state[their_name]


def _name_in_stack(stack, layer, *path):
    """Returns Hugging Face's name of a parameter in a stack; ".T" at the end if transposed."""
    if layer == "relpos_bias":
        return f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight.T"
    if layer.endswith("_norm"):
        return f"{stack}.final_layer_norm.weight"
    module, leaf, *_ = path
    sublayer = NORMS.get(module, module)
    number = SUBLAYERS[stack].index(sublayer)
    prefix = f"{stack}.block.{layer.removeprefix('layers_')}.layer.{number}"
    if module in NORMS:
        return f"{prefix}.layer_norm.weight"
    return f"{prefix}.{BLOCKS[sublayer]}.{MATRICES.get(leaf, leaf)}.weight.T"
