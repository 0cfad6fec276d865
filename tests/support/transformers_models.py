"""Tiny random models of transformers, the folders they save themselves to, and both sides' logits.

transformers and torch come with `pip install .[parity]`; without them, tests that import this are
skipped.
"""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from flan_jax.models.params import abstract_params_on
from flan_jax.parallel.mesh import make_mesh
from flan_jax.weights import hugging_face
from flan_jax.weights.safetensors_folder import TensorFolder

transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

DECODER = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
YARN = {
    "rope_type": "yarn",
    "rope_theta": 500.0,
    "factor": 4.0,
    "original_max_position_embeddings": 16,
}
T5 = {
    "vocab_size": 96,
    "d_model": 24,
    "d_kv": 6,
    "d_ff": 40,
    "num_layers": 2,
    "num_decoder_layers": 3,
    "num_heads": 4,
}
GEMMA = DECODER | {"sliding_window": 6, "query_pre_attn_scalar": 12, "pad_token_id": 0}


def t5(**settings):
    return transformers.T5ForConditionalGeneration(
        transformers.T5Config(**T5 | settings)
    )


def mt5(**settings):
    return transformers.MT5ForConditionalGeneration(
        transformers.MT5Config(**T5 | settings)
    )


def llama(**settings):
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**DECODER | settings))


def mistral(**settings):
    return transformers.MistralForCausalLM(
        transformers.MistralConfig(**DECODER | settings)
    )


def qwen2(**settings):
    return transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**DECODER | settings))


def qwen3(**settings):
    return transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**DECODER | settings))


def olmo2(**settings):
    return transformers.Olmo2ForCausalLM(transformers.Olmo2Config(**DECODER | settings))


def gemma1(**settings):
    return transformers.GemmaForCausalLM(transformers.GemmaConfig(**DECODER | settings))


def gemma2(**settings):
    return transformers.Gemma2ForCausalLM(transformers.Gemma2Config(**GEMMA | settings))


def gemma3(**settings):
    return transformers.Gemma3ForCausalLM(
        transformers.Gemma3TextConfig(**GEMMA | settings)
    )


PEERS = {
    "t5_1_0": t5,
    "t5_1_1": lambda: untied(
        t5(feed_forward_proj="gated-gelu", tie_word_embeddings=False)
    ),
    "t5_unscaled": lambda: t5(
        feed_forward_proj="gated-silu", tie_word_embeddings=False
    ),
    "mt5": lambda: untied(mt5(tie_word_embeddings=False)),
    "llama": lambda: llama(rope_parameters=LLAMA3),
    "llama_tied": lambda: llama(tie_word_embeddings=True),
    "mistral": lambda: mistral(sliding_window=6),
    "qwen2": qwen2,
    "qwen2_yarn": lambda: qwen2(rope_parameters=YARN),
    "qwen3": qwen3,
    "olmo2": olmo2,
    "gemma1": gemma1,
    "gemma2": gemma2,
    "gemma3": gemma3,
}


def untied(model):
    """Gives T5 1.1 a head of its own: transformers 5 ties it, whatever the config says."""
    model.lm_head = torch.nn.Linear(
        model.config.d_model, model.config.vocab_size, bias=False
    )
    model._tied_weights_keys = {
        k: v for k, v in model._tied_weights_keys.items() if k != "lm_head.weight"
    }
    return model


def save_peer(name, folder):
    """Returns (a random model of PEERS, the folder that it has saved itself to)."""
    torch.manual_seed(0)
    model = PEERS[name]().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder, max_shard_size="20KB")
    return model, folder


def read(tensors, name):
    """Returns a whole tensor of a TensorFolder."""
    return tensors.get_slice(name)[:]


def load(folder, mesh=None, **changes):
    """Returns (the model in a folder with `changes` of its settings, its parameters)."""
    config = dataclasses.replace(hugging_face.read_config(folder), **changes)
    return config, hugging_face.load_params(
        folder, config, abstract_params_on(config, mesh or make_mesh())
    )


def their_logits(model, tokens):
    tokens = torch.tensor(tokens)
    with torch.no_grad():
        if model.config.is_encoder_decoder:
            return (
                model(input_ids=tokens, decoder_input_ids=tokens.flip(1))
                .logits.float()
                .numpy()
            )
        return model(input_ids=tokens).logits.float().numpy()


def our_logits(config, params, tokens):
    shape = tokens.shape
    side = {
        "segment_ids": jnp.ones(shape, jnp.int32),
        "positions": jnp.broadcast_to(jnp.arange(shape[1])[None], shape),
    }
    batch = {f"decoder_{key}": value for key, value in side.items()} | {
        "decoder_input_tokens": jnp.asarray(tokens)
    }
    if config.architecture == "encoder_decoder":
        batch |= {f"encoder_{key}": value for key, value in side.items()}
        batch |= {
            "encoder_input_tokens": jnp.asarray(tokens),
            "decoder_input_tokens": jnp.asarray(tokens[:, ::-1]),
        }
    return np.asarray(config.build().apply({"params": params}, batch))


TOKENS = np.random.default_rng(0).integers(3, 96, (2, 19)).astype(np.int32)


def copy_with(folder, target, **changes):
    """A single-file copy with tensors changed: None leaves one out."""
    tensors = TensorFolder(folder)
    arrays = {name: read(tensors, name) for name in tensors.names()} | changes
    target.mkdir()
    (target / "config.json").write_text((folder / "config.json").read_text())
    save_file(
        {name: array for name, array in arrays.items() if array is not None},
        target / "model.safetensors",
    )
    return target
