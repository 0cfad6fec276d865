import jax
import numpy as np
import optax
import pytest

from flan_jax import pytrees
from flan_jax.data.loader import Loader
from flan_jax.errors import RunFailed
from flan_jax.models import encoder_decoder
from flan_jax.models.decoder import DecoderConfig
from flan_jax.models.encoder_decoder import EncoderDecoderConfig
from flan_jax.parallel.mesh import make_mesh
from flan_jax.training import packing_check
from flan_jax.training.state import init_state

SIZES = {"vocab_size": 64, "emb_dim": 16, "num_heads": 2, "head_dim": 8, "mlp_dim": 32}
EXAMPLES = [([5, 6, 7], [8, 9]), ([11, 12], [13]), ([14, 15, 16, 17], [18, 19, 20])]
LENGTHS = {"inputs": 16, "targets": 8}


class OneBatch(Loader):
    """A loader whose every batch is the given one."""

    def __init__(self, batch):
        self._batch = {name: np.asarray(array) for name, array in batch.items()}

    def batch(self, step, rows=slice(None)):
        return self._batch


@pytest.fixture(params=["encoder_decoder", "decoder"])
def setting(request, make_batch):
    if request.param == "decoder":
        config = DecoderConfig(num_layers=2, **SIZES)
    else:
        config = EncoderDecoderConfig(
            num_encoder_layers=2, num_decoder_layers=2, **SIZES
        )
    mesh = make_mesh()
    params = init_state(config, optax.sgd(1.0), mesh, seed=0).params
    loader = OneBatch(
        make_batch(request.param, [EXAMPLES, EXAMPLES[:1]] + [[]] * 6, LENGTHS)
    )
    return config, params, loader, mesh


@pytest.fixture(autouse=True)
def forget_compiled():
    yield
    jax.clear_caches()


def test_masks_that_hold_pass(setting):
    assert max(packing_check.check_packing(*setting).values()) < 1e-4


def test_products_with_signs_tell_how_far_two_gradients_are_apart(setting):
    """The relative error of a norm that is estimated from k products is about sqrt(1 / 2k)."""
    config, params, loader, mesh = setting
    batch = loader.batch(0)
    changed = jax.tree.map(np.copy, batch)
    first_target = tuple(np.argwhere(changed["decoder_loss_weights"])[0])
    changed["decoder_loss_weights"][first_target] = 0.0

    sketches = [
        packing_check._gradients(config, params, _rows(each), mesh)
        for each in (changed, batch)
    ]
    gradient, changed_gradient = (
        _gradient(config, params, each) for each in (batch, changed)
    )
    difference = float(
        optax.tree.norm(jax.tree.map(np.subtract, gradient, changed_gradient))
    )
    norm = float(optax.tree.norm(changed_gradient))

    assert float(sketches[0].norm) == pytest.approx(norm, rel=1e-4)
    _, relative = packing_check._differences(*sketches)
    assert float(relative) > 0.01
    assert float(relative) == pytest.approx(difference / norm, rel=0.6)


def _rows(batch):
    """The rows of a batch, one by one."""
    count = len(batch["decoder_target_tokens"])
    return [{name: array[row] for name, array in batch.items()} for row in range(count)]


def test_the_sketch_of_many_rows_is_the_sum_of_each(setting):
    """On a mesh of one device each row is computed by itself; on eight all are at a time."""
    config, params, loader, mesh = setting
    rows = _rows(loader.batch(0))
    on_all = packing_check._gradients(config, params, rows, mesh)
    one_device = make_mesh({"data": 1}, devices=jax.devices()[:1])
    params = jax.device_get(params)
    one_by_one = packing_check._gradients(config, params, rows, one_device)
    np.testing.assert_allclose(one_by_one.loss, on_all.loss, rtol=1e-5)
    scale = float(on_all.norm)
    np.testing.assert_allclose(
        one_by_one.products, on_all.products, atol=1e-4 * scale, rtol=1e-4
    )


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_model_with_a_nan_is_not_said_to_leak(setting, value):
    config, params, loader, mesh = setting
    params = pytrees.map_named(
        lambda name, leaf: (
            leaf.at[0].set(value) if name.endswith("_norm/scale") else leaf
        ),
        params,
    )
    with pytest.raises(RunFailed, match="these parameters hold NaN .*norm/scale"):
        packing_check.check_packing(config, params, loader, mesh)


def _gradient(config, params, batch):
    def loss(params):
        total, _ = packing_check.loss_and_weight(
            config.build(), params, batch, z_loss=0.0
        )
        return total

    batch = {name: jax.numpy.asarray(array) for name, array in batch.items()}
    return jax.grad(loss)(params)


@pytest.mark.parametrize("leak", ["encoder", "decoder", "cross"])
def test_a_mask_that_leaks_stops_the_run(make_batch, monkeypatch, leak):
    """Each of the three masks of an encoder-decoder, replaced by one that forgets the segments."""
    original = {
        name: getattr(encoder_decoder, name)
        for name in ("segment_mask", "decoder_mask")
    }

    def leaky_segments(query, key):
        kind = "encoder" if query is key else "cross"
        if leak == kind:
            query, key = query.clip(0, 1), key.clip(0, 1)
        return original["segment_mask"](query, key)

    def leaky_decoder(segment_ids):
        if leak == "decoder":
            segment_ids = segment_ids.clip(0, 1)
        return original["decoder_mask"](segment_ids)

    monkeypatch.setattr(encoder_decoder, "segment_mask", leaky_segments)
    monkeypatch.setattr(encoder_decoder, "decoder_mask", leaky_decoder)
    config = EncoderDecoderConfig(num_encoder_layers=2, num_decoder_layers=2, **SIZES)
    mesh = make_mesh()
    params = init_state(config, optax.sgd(1.0), mesh, seed=0).params
    loader = OneBatch(make_batch("encoder_decoder", [EXAMPLES] + [[]] * 7, LENGTHS))
    jax.clear_caches()
    with pytest.raises(
        packing_check.PackingError, match="attention leaks between the examples"
    ):
        packing_check.check_packing(config, params, loader, mesh)
