import dataclasses
import functools
import shutil

import jax
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding
from same_trees import assert_same

from flan_jax import pytrees
from flan_jax.errors import InputError
from flan_jax.models.decoder import DecoderConfig
from flan_jax.parallel.mesh import make_mesh
from flan_jax.training.adafactor import adafactor
from flan_jax.training.checkpoints import CheckpointConfig, Checkpoints
from flan_jax.training.metrics_log import mean_loss
from flan_jax.training.optimizers import adamw
from flan_jax.training.state import init_state
from flan_jax.weights.orbax import load_params

MODEL = DecoderConfig(
    num_layers=2,
    vocab_size=64,
    emb_dim=16,
    num_heads=2,
    head_dim=8,
    mlp_dim=32,
    dropout_rate=0.0,
    logits_via_embedding=True,
)
WHOLE, SPLIT = (("data", 8),), (("fsdp", 4), ("tensor", 2))
ADAMW, ADAFACTOR = adamw(1e-2), adafactor(1e-2, min_dim_size_to_factor=16)
EVERYTHING = CheckpointConfig(keep_last=9, keep_best=0)


@functools.cache
def state_at(step, mesh=WHOLE, tx=ADAMW, seed=0, model=MODEL):
    """A state whose optimizer has seen `step` gradients; no two arrays are alike."""
    state = init_state(model, tx, make_mesh(dict(mesh)), seed)
    for i in range(step):
        grads = jax.tree.map(
            lambda p, i=i: np.cos(i + np.arange(p.size, dtype=np.float32)).reshape(
                p.shape
            ),
            state.params,
        )
        updates, opt_state = jax.jit(tx.update)(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        state = state.replace(step=state.step + 1, params=params, opt_state=opt_state)
    return state


def saved(folder, *states, config=EVERYTHING):
    checkpoints = Checkpoints(folder, config)
    for state in states:
        checkpoints.save(state, loss=1.0)
    checkpoints.wait()
    checkpoints.close()


def test_steps_that_were_all_skipped_are_saved_and_are_nobodys_best(tmp_path):
    """As where SIGTERM comes right after a step that was left out."""
    skipped = {"loss_sum": 0.0, "weight_sum": 0.0, "grad_norm": 0.0}
    nothing = mean_loss(3, [jax.tree.map(jax.numpy.float32, skipped)])
    checkpoints = Checkpoints(tmp_path, CheckpointConfig(keep_last=1, keep_best=1))
    for state, loss in (
        (state_at(1), 2.0),
        (state_at(2), nothing),
        (state_at(3), nothing),
    ):
        checkpoints.save(state, loss=loss)
    checkpoints.wait()
    checkpoints.close()
    assert sorted(
        int(path.name) for path in tmp_path.iterdir() if path.name.isdigit()
    ) == [1, 3]
    again = Checkpoints(tmp_path, CheckpointConfig(keep_last=1, keep_best=1))
    assert again.latest_step() == 3 and int(again.restore(like=state_at(0)).step) == 3
    again.close()


@pytest.mark.parametrize("changes", [{"every": 0}, {"keep_last": 0}, {"keep_best": -1}])
def test_settings_that_keep_nothing_are_an_error(changes):
    with pytest.raises(
        InputError,
        match=f"CheckpointConfig.{next(iter(changes))} is .*; it must be at least",
    ):
        CheckpointConfig(**changes)


def steps_in(folder):
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())


@pytest.mark.parametrize("tx", [ADAMW, ADAFACTOR], ids=["adamw", "adafactor"])
def test_what_is_restored_is_what_was_saved_bit_for_bit(tmp_path, tx):
    state = state_at(2, tx=tx, seed=1)
    saved(tmp_path, state)
    fresh = state_at(0, tx=tx)
    checkpoints = Checkpoints(tmp_path, EVERYTHING)
    assert checkpoints.latest_step() == 2
    restored = checkpoints.restore(like=fresh)
    checkpoints.close()
    assert_same(restored, state)
    assert int(restored.step) == 2
    assert not np.array_equal(restored.rng, fresh.rng)


def test_a_folder_without_a_checkpoint_has_no_latest_step(tmp_path):
    checkpoints = Checkpoints(tmp_path, EVERYTHING)
    assert checkpoints.latest_step() is None
    checkpoints.close()


def test_the_latest_and_the_best_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path, CheckpointConfig(keep_last=2, keep_best=1))
    state = state_at(0)
    for step, loss in enumerate([3.0, 1.0, 2.0, 4.0, 5.0, 6.0], start=1):
        checkpoints.save(state.replace(step=state.step + step), loss=loss)
    checkpoints.wait()
    checkpoints.close()
    assert steps_in(tmp_path) == [2, 5, 6]


def test_a_resumed_run_still_knows_which_was_best(tmp_path):
    state = state_at(0)
    config = CheckpointConfig(keep_last=1, keep_best=1)
    for step, loss in [(1, 1.0), (2, 3.0), (3, 2.0)]:
        checkpoints = Checkpoints(tmp_path, config)
        checkpoints.save(state.replace(step=state.step + step), loss=loss)
        checkpoints.wait()
        checkpoints.close()
    assert steps_in(tmp_path) == [1, 3]


@pytest.mark.parametrize(
    ("there", "here"), [(WHOLE, SPLIT), (SPLIT, WHOLE)], ids=["split", "join"]
)
def test_a_checkpoint_is_restored_onto_another_mesh(tmp_path, there, here):
    state = state_at(1, mesh=there)
    saved(tmp_path, state)
    like = state_at(0, mesh=here, seed=1)
    checkpoints = Checkpoints(tmp_path, EVERYTHING)
    restored = checkpoints.restore(like=like)
    checkpoints.close()
    assert_same(restored, state)
    for a, b in zip(jax.tree.leaves(restored), jax.tree.leaves(like), strict=True):
        assert isinstance(b.sharding, NamedSharding)
        assert a.sharding.is_equivalent_to(b.sharding, a.ndim)
    params = load_params(tmp_path, like.params)
    assert_same(params, state.params)
    kernel = params["token_embedder"]["embedding"]
    assert kernel.sharding.is_equivalent_to(
        like.params["token_embedder"]["embedding"].sharding, kernel.ndim
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"emb_dim": 32},
            r"does not fit this model: parameters of another shape \(11\): "
            + r"decoder/decoder_norm/scale is \(16,\), expected \(32,\), ",
        ),
        (
            {"vocab_size": 128},
            r"parameters of another shape \(1\): token_embedder/embedding "
            + r"is \(64, 16\), expected \(128, 16\)\. Give",
        ),
        (
            {"logits_via_embedding": False},
            r"missing parameters \(1\): decoder/logits_dense/kernel\. Give",
        ),
        (
            {"position": "rope"},
            r"unknown parameters \(1\): decoder/relpos_bias/rel_embedding\. Give",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_checkpoint_of_another_model_is_an_error_that_names_parameters(
    tmp_path, changes, message
):
    saved(tmp_path, state_at(1))
    like = state_at(0, model=dataclasses.replace(MODEL, **changes))
    checkpoints = Checkpoints(tmp_path, EVERYTHING)
    with pytest.raises(InputError, match=message):
        checkpoints.restore(like=like)
    checkpoints.close()
    with pytest.raises(InputError, match=message):
        load_params(tmp_path, like.params)


@pytest.mark.parametrize("tx", [ADAMW, ADAFACTOR], ids=["adamw", "adafactor"])
@pytest.mark.parametrize("mesh", [WHOLE, SPLIT], ids=["whole", "split"])
def test_layers_are_restored_stacked_or_one_by_one_bit_for_bit(tmp_path, tx, mesh):
    stacked, one_by_one = MODEL, dataclasses.replace(MODEL, scan_layers=False)
    state = state_at(1, mesh=mesh, tx=tx, model=stacked)
    saved(tmp_path / "stacked", state)
    like = state_at(0, mesh=mesh, tx=tx, model=one_by_one, seed=1)
    unrolled = restored(tmp_path / "stacked", like)
    assert_same(unrolled.params, pytrees.unstacked(state.params))
    for leaf, expected in zip(
        jax.tree.leaves(unrolled), jax.tree.leaves(like), strict=True
    ):
        assert leaf.shape == expected.shape
        assert leaf.sharding.is_equivalent_to(expected.sharding, leaf.ndim)
    assert_same(load_params(tmp_path / "stacked", like.params), unrolled.params)

    saved(tmp_path / "one_by_one", unrolled)
    assert_same(restored(tmp_path / "one_by_one", state_at(0, mesh=mesh, tx=tx)), state)


def restored(folder, like):
    checkpoints = Checkpoints(folder, EVERYTHING)
    state = checkpoints.restore(like=like)
    checkpoints.close()
    return state


def test_a_checkpoint_of_another_optimizer_is_an_error(tmp_path):
    saved(tmp_path, state_at(1))
    checkpoints = Checkpoints(tmp_path, EVERYTHING)
    with pytest.raises(InputError, match="checkpoint of step 1 in .* does not fit"):
        checkpoints.restore(like=state_at(0, tx=ADAFACTOR))
    checkpoints.close()


def test_what_a_killed_save_left_is_no_checkpoint(tmp_path):
    state = state_at(1)
    saved(tmp_path, state)
    for name in ("2.orbax-checkpoint-tmp", "2.orbax-checkpoint-tmp-1234"):
        shutil.copytree(tmp_path / "1", tmp_path / name)
        (tmp_path / name / "_CHECKPOINT_METADATA").unlink(missing_ok=True)
    assert_same(load_params(tmp_path, state_at(0, seed=1).params), state.params)
    checkpoints = Checkpoints(tmp_path, EVERYTHING)
    assert checkpoints.latest_step() == 1
    checkpoints.save(state.replace(step=state.step + 1), loss=1.0)
    checkpoints.wait()
    checkpoints.close()
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["1", "2"]
