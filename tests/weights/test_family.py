"""Families: tensor names, and a family of a user's own."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flan_jax.errors import InputError
from flan_jax.models.decoder import DecoderConfig
from flan_jax.models.params import abstract_params_on
from flan_jax.parallel.mesh import make_mesh
from flan_jax.weights import family, hugging_face
from flan_jax.weights.family import Family, HfName, hf_names, register_family
from flan_jax.weights.family_llama import LLAMA

TOY = DecoderConfig(
    vocab_size=32,
    emb_dim=16,
    num_heads=2,
    head_dim=8,
    mlp_dim=24,
    num_layers=2,
    mlp_activations=("silu", "linear"),
    position="rope",
    prefix_lm=False,
    query_scale=0.5,
    dropout_rate=0.0,
)
"""Its query_scale is not head_dim ** -0.5, which no public family can describe."""


def read_toy(config_json, has_head):
    return dataclasses.replace(
        TOY, vocab_size=config_json["words"], num_layers=config_json["depth"]
    )


def write_toy(config):
    return {"words": config.vocab_size, "depth": config.num_layers}


@pytest.fixture
def toy_family():
    """A family as a module outside the project adds it; it is gone after the test."""
    toy = register_family(
        Family(
            model_type="toyllama",
            architecture="ToyLlamaForCausalLM",
            config_class=DecoderConfig,
            table=tuple((ours, f"toy.{theirs}") for ours, theirs in LLAMA.table),
            read=read_toy,
            write=write_toy,
        )
    )
    yield toy
    del family.FAMILIES["toyllama"]


def random_params(config):
    shapes = abstract_params_on(config, make_mesh())
    generator = np.random.default_rng(0)

    def array(leaf):
        values = jnp.asarray(generator.normal(size=leaf.shape), jnp.float32)
        return jax.device_put(values, leaf.sharding)

    return jax.tree.map(array, shapes)


def test_a_registered_family_is_written_and_read(toy_family, tmp_path):
    params = random_params(TOY)
    hugging_face.save_params(tmp_path / "toy", TOY, params)
    assert json.loads((tmp_path / "toy" / "config.json").read_text()) == {
        "words": 32,
        "depth": 2,
        "architectures": ["ToyLlamaForCausalLM"],
        "model_type": "toyllama",
        "dtype": "float32",
        "torch_dtype": "float32",
    }
    assert hugging_face.read_config(tmp_path / "toy") == TOY
    loaded = hugging_face.load_params(tmp_path / "toy", TOY, params)
    jax.tree.map(np.testing.assert_array_equal, loaded, params)


def test_two_families_cannot_have_one_model_type(toy_family):
    other = dataclasses.replace(toy_family, architecture="Other")
    with pytest.raises(InputError, match="two model_types are named 'toyllama'"):
        register_family(other)


def test_tensor_names_of_a_family():
    assert hf_names(
        LLAMA, ["decoder/decoder_norm/scale", "decoder/layers_3/mlp/wo/kernel"]
    ) == {
        "decoder/decoder_norm/scale": HfName("model.norm.weight", transposed=False),
        "decoder/layers_3/mlp/wo/kernel": HfName(
            "model.layers.3.mlp.down_proj.weight", True
        ),
    }
    with pytest.raises(
        InputError, match="llama models have no parameter for encoder/x"
    ):
        hf_names(LLAMA, ["encoder/x"])


def test_a_family_whose_functions_take_other_arguments_is_refused(toy_family):
    for change, message in (
        (
            {"read": lambda config_json: TOY},
            r"read will be called with \(config_json, h",
        ),
        ({"write": lambda *, config: {}}, r"write will be called with \(config\), but"),
    ):
        other = dataclasses.replace(toy_family, model_type="other", **change)
        with pytest.raises(InputError, match=f"'other': {message}"):
            register_family(other)
    assert "other" not in family.FAMILIES
