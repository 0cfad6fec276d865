"""What a packed row must never do: let one example see another."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from model_fixtures import CONFIGS

from flan_jax.training import losses

LENGTHS = {"inputs": 12, "targets": 9}


@pytest.fixture
def packed(make_batch, examples):
    """packed(architecture): a batch with two examples in the first row and one in the second."""
    return lambda architecture: make_batch(
        architecture, [examples[:2], examples[2:]], LENGTHS
    )


@pytest.fixture
def logits_of(init):
    """logits_of(config, batch): a jitted function from batches to logits, with fixed parameters."""

    def make(config, batch):
        model = config.build()
        params = init(model, batch)
        return jax.jit(lambda batch: model.apply({"params": params}, batch))

    return make


def logits_of_examples(batch, logits):
    """Returns the logits of each example in turn, without padding."""
    per_example = []
    for row_ids, row_logits in zip(batch["decoder_segment_ids"], logits, strict=True):
        for segment in range(1, int(row_ids.max()) + 1):
            per_example.append(row_logits[row_ids == segment])
    return per_example


def replace_tokens(batch, is_replaced, replacement):
    """Returns the batch with other input tokens where is_replaced(segment ids) holds."""
    changed = dict(batch)
    for name in batch:
        if name.endswith("_input_tokens"):
            segment_ids = batch[name.replace("input_tokens", "segment_ids")]
            tokens = batch[name]
            changed[name] = jnp.where(
                is_replaced(segment_ids), replacement(tokens), tokens
            )
    return changed


def test_packed_equals_unpacked(make_config, make_batch, packed, examples, init):
    config = make_config(scan_layers=False)
    model = config.build()
    packed_batch = packed(config.architecture)
    unpacked_batch = make_batch(
        config.architecture, [[each] for each in examples], LENGTHS
    )
    params = init(model, packed_batch)

    @jax.jit
    def run(batch):
        def loss(params):
            return losses.loss_and_weight(model, params, batch)

        logits = model.apply({"params": params}, batch)
        return logits, jax.value_and_grad(loss, has_aux=True)(params)

    packed_logits, packed_loss = run(packed_batch)
    logits, loss = run(unpacked_batch)
    for actual, expected in zip(
        logits_of_examples(packed_batch, packed_logits),
        logits_of_examples(unpacked_batch, logits),
        strict=True,
    ):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3),
        packed_loss,
        loss,
    )


def test_another_example_changes_nothing(make_config, packed, logits_of):
    config = make_config()
    batch = packed(config.architecture)
    run = logits_of(config, batch)
    changed = replace_tokens(
        batch, lambda ids: ids == 2, lambda tokens: (tokens + 7) % 50
    )
    before = run(batch)
    after = run(changed)
    segment_ids = batch["decoder_segment_ids"]
    np.testing.assert_array_equal(before[segment_ids == 1], after[segment_ids == 1])
    assert not np.allclose(before[segment_ids == 2], after[segment_ids == 2])


def test_padding_changes_nothing(make_config, packed, logits_of):
    config = make_config()
    batch = packed(config.architecture)
    run = logits_of(config, batch)
    changed = replace_tokens(
        batch, lambda ids: ids == 0, lambda tokens: jnp.full_like(tokens, 3)
    )
    is_token = batch["decoder_segment_ids"] != 0
    np.testing.assert_array_equal(run(batch)[is_token], run(changed)[is_token])
    assert np.all(np.isfinite(run(batch)))


def test_targets_are_causal_and_inputs_are_not(make_config, packed, logits_of):
    config = make_config()
    batch = packed(config.architecture)
    run = logits_of(config, batch)
    tokens = batch["decoder_input_tokens"]

    def run_with(position, token):
        changed = tokens.at[1, position].set(token)
        return run({**batch, "decoder_input_tokens": changed})[1]

    # Row 1 holds one example; its targets are the last 4 tokens, fed from the third last position.
    target = int(np.sum(batch["decoder_segment_ids"][1])) - 2
    before = run(batch)[1]
    after = run_with(target, 33)
    np.testing.assert_array_equal(before[:target], after[:target])
    assert not np.allclose(before[target], after[target])
    if config.architecture == "decoder":
        assert not np.allclose(before[1], run_with(3, 33)[1])


@pytest.mark.parametrize("name", ["relative", "rope", "windowed"])
def test_without_a_prefix_the_decoder_is_causal_throughout(name, packed, logits_of):
    batch = packed("decoder")
    run = logits_of(CONFIGS[name](), batch)
    del batch["decoder_causal_attention"]
    tokens = batch["decoder_input_tokens"]
    changed = {**batch, "decoder_input_tokens": tokens.at[:, 3].set(33)}
    np.testing.assert_array_equal(run(batch)[:, :3], run(changed)[:, :3])
