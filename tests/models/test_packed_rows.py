"""What a packed row must never do: let one example see another."""

import jax
import jax.numpy as jnp
import numpy as np

from flan_jax.training import losses

LENGTHS = {"inputs": 12, "targets": 9}


def _batches(make_batch, config, examples):
    """The same examples two and one to a row, and one to a row each."""
    packed = make_batch(config.architecture, [examples[:2], examples[2:]], LENGTHS)
    return packed, make_batch(config.architecture, [[example] for example in examples], LENGTHS)


def _of_examples(batch, logits):
    """The logits of every example in turn, padding taken off."""
    ids = batch["decoder_segment_ids"]
    return [
        logits[row, ids[row] == i] for row in range(len(ids)) for i in range(1, ids[row].max() + 1)
    ]


def test_packed_equals_unpacked(make_config, make_batch, examples, init):
    config = make_config(scan_layers=False)
    model, (packed, unpacked) = config.build(), _batches(make_batch, config, examples)
    params = init(model, packed)

    @jax.jit
    def run(batch):
        def loss(params):
            return losses.loss_and_weight(model, params, batch)

        return model.apply({"params": params}, batch), jax.value_and_grad(loss, has_aux=True)(
            params
        )

    (packed_logits, packed_loss), (logits, loss) = run(packed), run(unpacked)
    for a, b in zip(
        _of_examples(packed, packed_logits), _of_examples(unpacked, logits), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3), packed_loss, loss
    )


def test_another_example_changes_nothing(make_config, make_batch, examples, init):
    config = make_config()
    model, (packed, _) = config.build(), _batches(make_batch, config, examples)
    params = init(model, packed)
    run = jax.jit(lambda batch: model.apply({"params": params}, batch))
    changed = dict(packed)
    for name in [name for name in packed if name.endswith("_input_tokens")]:
        ids = packed[name.replace("input_tokens", "segment_ids")]
        changed[name] = np.where(ids == 2, (packed[name] + 7) % 50, packed[name])
    before, after = run(packed), run(changed)
    first = packed["decoder_segment_ids"] == 1
    np.testing.assert_array_equal(before[first], after[first])
    assert not np.allclose(
        before[0, packed["decoder_segment_ids"][0] == 2],
        after[0, packed["decoder_segment_ids"][0] == 2],
    )


def test_padding_changes_nothing(make_config, make_batch, examples, init):
    config = make_config()
    model, (packed, _) = config.build(), _batches(make_batch, config, examples)
    params = init(model, packed)
    run = jax.jit(lambda batch: model.apply({"params": params}, batch))
    changed = dict(packed)
    for name in [name for name in packed if name.endswith("_input_tokens")]:
        ids = packed[name.replace("input_tokens", "segment_ids")]
        changed[name] = np.where(ids == 0, 3, packed[name])
    real = packed["decoder_segment_ids"] != 0
    np.testing.assert_array_equal(run(packed)[real], run(changed)[real])
    assert np.all(np.isfinite(run(packed)))


def test_targets_are_causal_and_inputs_are_not(make_config, make_batch, examples, init):
    config = make_config()
    model, (packed, _) = config.build(), _batches(make_batch, config, examples)
    params = init(model, packed)
    run = jax.jit(
        lambda tokens: model.apply({"params": params}, {**packed, "decoder_input_tokens": tokens})
    )
    base = jnp.asarray(packed["decoder_input_tokens"])
    # Row 1 holds one example; its targets are the last 4 tokens, fed from the third last position on.
    size = int(np.sum(packed["decoder_segment_ids"][1]))
    before, after = run(base), run(base.at[1, size - 2].set(33))
    np.testing.assert_array_equal(before[1, : size - 2], after[1, : size - 2])
    assert not np.allclose(before[1, size - 2], after[1, size - 2])
    if config.architecture == "decoder":
        after = run(base.at[1, 3].set(33))
        assert not np.allclose(before[1, 1], after[1, 1])


def test_without_a_prefix_the_decoder_is_causal_throughout(make_config, make_batch, examples, init):
    config = make_config()
    if config.architecture == "encoder_decoder":
        return
    model, (packed, _) = config.build(), _batches(make_batch, config, examples)
    params = init(model, packed)
    batch = {name: value for name, value in packed.items() if name != "decoder_causal_attention"}
    changed = {
        **batch,
        "decoder_input_tokens": np.where(np.arange(21) == 3, 33, batch["decoder_input_tokens"]),
    }
    run = jax.jit(lambda batch: model.apply({"params": params}, batch))
    np.testing.assert_array_equal(run(batch)[:, :3], run(changed)[:, :3])
