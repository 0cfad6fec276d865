"""The parameters of a model without allocating them."""

import dataclasses

import flax.linen as nn
import jax
import pytest
from model_fixtures import tiny_encoder_decoder, tiny_rope_decoder

from flan_jax import pytrees
from flan_jax.batch import batch_spec
from flan_jax.errors import InputError
from flan_jax.models.params import (
    abstract_params,
    abstract_params_on,
    check_vocabulary,
    count_params,
    dummy_batch,
)
from flan_jax.parallel.mesh import make_mesh


def shapes_and_dtypes(params):
    return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), params)


def test_the_dummy_batch_has_all_features_of_the_architecture(make_config):
    config = make_config()
    batch = dummy_batch(config)
    spec = batch_spec(config.architecture, 1, {"inputs": 8, "targets": 8})
    assert batch.keys() == spec.keys()
    for name, (shape, dtype) in spec.items():
        assert batch[name].shape == shape
        assert batch[name].dtype == dtype
        assert (batch[name] == 1).all()


@pytest.mark.parametrize("scan_layers", [False, True])
def test_the_shapes_are_those_of_the_initialized_model(
    scan_layers, make_config, make_batch, examples, init
):
    """Whatever the batch that initializes it."""
    config = make_config(scan_layers=scan_layers)
    lengths = {"inputs": 9, "targets": 6}
    batch = make_batch(config.architecture, [examples[:1]] * 3, lengths)
    params = init(config.build(), batch)
    abstract = nn.unbox(abstract_params(config))
    assert shapes_and_dtypes(abstract) == shapes_and_dtypes(params)


def test_nothing_is_allocated(make_config):
    leaves = jax.tree.leaves(nn.unbox(abstract_params(make_config())))
    assert {type(leaf) for leaf in leaves} == {jax.ShapeDtypeStruct}
    on_mesh = jax.tree.leaves(abstract_params_on(make_config(), make_mesh(None)))
    assert {type(leaf) for leaf in on_mesh} == {jax.ShapeDtypeStruct}


def test_a_model_is_traced_once_for_equal_configurations():
    first = abstract_params(tiny_rope_decoder())
    assert abstract_params(tiny_rope_decoder()) is first
    assert abstract_params(tiny_rope_decoder(mlp_dim=32)) is not first


def test_parameters_on_a_mesh_are_split_along_their_axes():
    config = tiny_encoder_decoder()
    mesh = make_mesh({"data": 1, "fsdp": 4, "tensor": 2})
    on_mesh = abstract_params_on(config, mesh)
    abstract = nn.unbox(abstract_params(config))
    assert shapes_and_dtypes(on_mesh) == shapes_and_dtypes(abstract)

    leaves = pytrees.named_leaves(on_mesh)
    assert {leaf.sharding.mesh for leaf in leaves.values()} == {mesh}
    table = leaves["token_embedder/embedding"]
    assert table.shape == (50, 16)
    assert table.sharding.shard_shape(table.shape) == (25, 4)


def test_the_parameters_of_a_decoder_are_counted():
    config = tiny_rope_decoder(
        vocab_size=50, emb_dim=16, num_heads=2, head_dim=8, mlp_dim=24
    )
    table = 50 * 16
    attention = 4 * 16 * 16
    gated_mlp = 3 * 16 * 24
    norm = 16
    layer = attention + gated_mlp + 2 * norm
    head = 16 * 50
    assert count_params(config) == table + 2 * layer + norm + head
    tied = dataclasses.replace(config, logits_via_embedding=True)
    assert count_params(tied) == table + 2 * layer + norm


@pytest.mark.parametrize("scan_layers", [False, True])
def test_the_parameters_of_an_encoder_decoder_are_counted(scan_layers):
    config = tiny_encoder_decoder(scan_layers=scan_layers)
    table = 50 * 16
    attention = 4 * 16 * 16
    gated_mlp = 3 * 16 * 24
    norm = 16
    encoder_layer = attention + gated_mlp + 2 * norm
    decoder_layer = 2 * attention + gated_mlp + 3 * norm
    layers = 2 * encoder_layer + 2 * decoder_layer
    position_biases = 2 * 32 * 2
    head = 16 * 50
    expected = table + layers + position_biases + 2 * norm + head
    assert count_params(config) == expected


def test_a_tokenizer_may_have_as_many_ids_as_the_embedding():
    config = tiny_rope_decoder(vocab_size=50)
    check_vocabulary(config, "spiece.model", 50)
    check_vocabulary(config, "spiece.model", 49)


def test_a_tokenizer_with_more_ids_than_the_embedding_is_refused():
    config = tiny_rope_decoder(vocab_size=50)
    with pytest.raises(InputError) as error:
        check_vocabulary(config, "spiece.model", 51)
    assert str(error.value) == (
        "the tokenizer spiece.model has 51 ids, the model an embedding of 50. Set "
        'vocab_size of "DecoderConfig" to at least that, or use the model\'s own TOKENIZER'
    )
