"""Hugging Face's T5 v1.1 with random weights, and the same weights as ours. Needs torch and transformers."""

import jax
import jax.numpy as jnp

from flan_jax import pytrees


def random_t5(noise=0.0, **sizes):
    """T5ForConditionalGeneration with its config's `sizes`, each parameter moved by noise x a normal deviate."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.T5Config(
        feed_forward_proj="gated-gelu", dropout_rate=0.0, tie_word_embeddings=False, **sizes
    )
    peer = transformers.T5ForConditionalGeneration(config).eval()
    # transformers 5 ties T5's head to its table whatever the config says; T5 1.1 has a head of its own.
    peer.lm_head = torch.nn.Linear(config.d_model, config.vocab_size, bias=False)
    peer.generation_config.decoder_start_token_id = 0
    with torch.no_grad():
        for parameter in peer.parameters():
            parameter.add_(noise * torch.randn_like(parameter))
    return peer


def params_of(peer, params):
    """The peer's weights as our parameters; `params` are ours, unrolled, for names and shapes."""
    state = {name: value.numpy() for name, value in peer.state_dict().items()}
    shapes = jax.tree.map(jnp.shape, params)
    params = pytrees.map_named(lambda name, leaf: jnp.asarray(_parameter(name, state)), params)
    assert jax.tree.map(jnp.shape, params) == shapes
    return params


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
    sublayers |= {
        f"pre_{key}_layer_norm": sublayers[key] for key in ("attention", "self_attention", "mlp")
    }
    sublayer = sublayers.get(parts[1], 1)
    sublayer = sublayer if sublayer >= 0 else (1 if stack == "encoder" else 2)
    prefix = f"{stack}.block.{parts[0].removeprefix('layers_')}.layer.{sublayer}"
    if parts[-1] == "scale":
        return state[f"{prefix}.layer_norm.weight"]
    block = {"mlp": "DenseReluDense", "encoder_decoder_attention": "EncDecAttention"}.get(
        parts[1], "SelfAttention"
    )
    leaf = {"query": "q", "key": "k", "value": "v", "out": "o"}.get(parts[2], parts[2])
    return state[f"{prefix}.{block}.{leaf}.weight"].T
