"""Partly frozen models: what is trained, what is saved, and what is restored."""

import jax
import numpy as np
import optax
import pytest
from jax.sharding import Mesh
from same_trees import assert_same

from flan_jax import pytrees
from flan_jax.errors import InputError
from flan_jax.models.decoder import DecoderConfig
from flan_jax.models.encoder_decoder import EncoderDecoderConfig
from flan_jax.models.params import abstract_params_on
from flan_jax.parallel.mesh import MESH_AXES
from flan_jax.parallel.sharding import use_mesh
from flan_jax.training.adafactor import adafactor
from flan_jax.training.checkpoints import CheckpointConfig, Checkpoints
from flan_jax.training.settings import TrainConfig
from flan_jax.training.state import abstract_state_on, init_state, split_trainable
from flan_jax.training.step import compiled_step
from flan_jax.weights.formats import load_params

SIZES = {
    "vocab_size": 64,
    "emb_dim": 32,
    "num_heads": 4,
    "head_dim": 8,
    "mlp_dim": 64,
    "dropout_rate": 0.0,
}
MODELS = {
    "encoder_decoder": EncoderDecoderConfig(
        num_encoder_layers=2, num_decoder_layers=2, **SIZES
    ),
    "decoder": DecoderConfig(
        num_layers=2, position="rope", attention_bias=True, qk_norm=True, **SIZES
    ),
}
NORMS_AND_BIASES = r"scale$|bias$"
LENGTHS = {"inputs": 24, "targets": 12}
EXAMPLE = ([5, 6, 7], [8, 9])
OPTIMIZERS = {
    "adafactor": adafactor(1e-2, min_dim_size_to_factor=16),
    "adamw": optax.adamw(1e-2),
}


def one_device():
    return Mesh(np.array(jax.devices()[:1]).reshape(1, 1, 1), MESH_AXES)


def trained(config, tx, state, batch, steps):
    training = TrainConfig(steps=9, seed=0, trainable=NORMS_AND_BIASES)
    step = compiled_step(config, tx, training)
    for _ in range(steps):
        with use_mesh(one_device()):
            state, _ = step(state, batch)
    return state


@pytest.mark.parametrize("architecture", MODELS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_only_norms_and_biases_are_trained(make_batch, architecture, optimizer):
    config, tx = MODELS[architecture], OPTIMIZERS[optimizer]
    batch = make_batch(architecture, [[EXAMPLE]] * 2, LENGTHS)
    state = init_state(config, tx, one_device(), 0, trainable=NORMS_AND_BIASES)
    assert_same(state.all_params, init_state(config, tx, one_device(), 0).params)

    names = pytrees.named_leaves(state.params).keys()
    assert all(name.endswith(("scale", "bias")) for name in names)
    assert not names & pytrees.named_leaves(state.frozen).keys()
    moments = [
        name for name in pytrees.named_leaves(state.opt_state) if "count" not in name
    ]
    assert moments and all(name.endswith(("scale", "bias")) for name in moments)

    before = jax.device_get(state)
    after = trained(config, tx, state, batch, 2)
    assert_same(after.frozen, before.frozen)
    changed = pytrees.map_named(
        lambda name, a, b: not np.array_equal(a, b), after.params, before.params
    )
    assert all(jax.tree.leaves(changed))


@pytest.mark.parametrize("architecture", MODELS)
@pytest.mark.parametrize("saves_all", [True, False])
def test_a_restored_state_trains_on_exactly(
    tmp_path, make_batch, architecture, saves_all
):
    config, tx = MODELS[architecture], OPTIMIZERS["adafactor"]
    batch = make_batch(architecture, [[EXAMPLE]] * 2, LENGTHS)
    first = init_state(config, tx, one_device(), 0, trainable=NORMS_AND_BIASES)
    frozen = jax.device_get(first.frozen)
    middle = trained(config, tx, first, batch, 2)
    identity = {"trainable": NORMS_AND_BIASES, "source": {"seed": 0}}
    frozen_id = None if saves_all else identity
    saved = Checkpoints(tmp_path, CheckpointConfig(), frozen_id)
    saved.save(middle, loss=1.0)
    saved.wait()
    expected = trained(config, tx, middle, batch, 2)

    like = abstract_state_on(config, tx, one_device(), NORMS_AND_BIASES)
    restored = saved.restore(like)
    assert saved.holds_all_params() == saves_all
    if not saves_all:
        again = init_state(config, tx, one_device(), 0, trainable=NORMS_AND_BIASES)
        restored = restored.replace(frozen=again.frozen)
    saved.close()
    assert_same(restored.frozen, frozen)
    assert_same(trained(config, tx, restored, batch, 2), expected)


def test_random_frozen_parameters_are_loaded_from_the_checkpoint(tmp_path):
    config, tx = MODELS["decoder"], OPTIMIZERS["adafactor"]
    state = init_state(config, tx, one_device(), 0, trainable=NORMS_AND_BIASES)
    like = abstract_params_on(config, one_device())
    whole = Checkpoints(tmp_path / "whole", CheckpointConfig())
    whole.save(state, loss=1.0)
    whole.close()
    assert_same(load_params(tmp_path / "whole", config, like), state.all_params)

    identity = {"trainable": NORMS_AND_BIASES, "source": {"seed": 0}}
    earlier = Checkpoints(tmp_path / "earlier", CheckpointConfig(), identity)
    earlier.save(state, loss=1.0)
    earlier.close()
    with pytest.raises(
        InputError, match="holds only the parameters that match.* were random"
    ):
        load_params(tmp_path / "earlier", config, like)


def test_a_regex_that_matches_nothing_lists_paths():
    params = {"decoder": {"mlp": {"wi": 1}, "norm": {"scale": 2}}, "head": 3}
    with pytest.raises(InputError) as raised:
        split_trainable(params, "lora")
    assert str(raised.value) == (
        "TrainConfig.trainable is 'lora', which matches none of the model's 3 parameters. "
        "Their paths are like these: decoder/mlp/wi, decoder/norm/scale, head"
    )


def test_a_regex_that_is_none_is_an_error():
    with pytest.raises(
        InputError, match="trainable is '\\(', which is not a regular expression"
    ):
        split_trainable({"head": 3}, "(")
    assert split_trainable({"head": 3}, None) == ({"head": 3}, {})
