"""Both architectures have the interface that the rest of the code calls."""

import math

import flax.linen as nn
import jax.extend
import pytest
from beartype import beartype
from beartype.roar import BeartypeCallHintParamViolation

from flan_jax.models.config import Model, ModelConfig
from flan_jax.models.params import abstract_params


@beartype
def takes_a_model(model: Model) -> Model:
    return model


def test_both_architectures_are_models(make_config):
    config = make_config()
    assert isinstance(config, ModelConfig)
    assert isinstance(config.build(), Model)


def test_a_bound_module_is_still_a_model(make_config, make_batch, examples, init):
    """The check looks up attributes, which must not trip over what flax adds during `apply`."""
    config = make_config()
    batch = make_batch(config.architecture, [examples[:1]], {"inputs": 7, "targets": 5})
    model = config.build()
    bound = model.bind({"params": init(model, batch)})
    assert takes_a_model(bound) is bound


def test_a_module_without_a_head_is_not_a_model():
    class Headless(nn.Module):
        config: ModelConfig

        def hidden(self, batch, *, deterministic=True):
            return batch["decoder_input_tokens"]

    headless = Headless(config=None)
    assert not isinstance(headless, Model)
    with pytest.raises(BeartypeCallHintParamViolation, match="Headless"):
        takes_a_model(headless)


def test_a_configuration_without_flops_cannot_be_made():
    class Unfinished(ModelConfig):
        architecture = "decoder"

        def build(self):
            raise NotImplementedError

    with pytest.raises(TypeError, match="train_flops"):
        Unfinished(vocab_size=8, emb_dim=8, num_heads=2, head_dim=4, mlp_dim=8)


def product_flops(jaxpr, left_out):
    """Returns the FLOPs of all matrix products: an addition and a multiplication each.

    Args:
      jaxpr: what is computed.
      left_out: products that sum over so many numbers do not count.
    """
    flops = 0
    for equation in jaxpr.eqns:
        for inner in jax.extend.core.jaxprs_in_params(equation.params):
            flops += product_flops(inner, left_out)
        if equation.primitive.name == "dot_general":
            left, _ = equation.invars
            (contracted, _), _ = equation.params["dimension_numbers"]
            summed = math.prod(left.aval.shape[axis] for axis in contracted)
            if summed != left_out:
                flops += 2 * summed * equation.outvars[0].aval.size
    return flops


def test_training_takes_three_times_the_products_of_a_forward_pass(
    make_config, make_batch, examples
):
    """Backward, each product has two of the same size."""
    config = make_config(scan_layers=False)
    lengths = {"inputs": 12, "targets": 9}
    batch = make_batch(config.architecture, [examples[:2], examples[2:]], lengths)
    params = nn.unbox(abstract_params(config))
    forward = jax.make_jaxpr(config.build().apply)({"params": params}, batch)
    # Position biases are looked up with a product of one-hot vectors over the buckets.
    flops = product_flops(forward.jaxpr, config.relative_attention_num_buckets)
    # This forward pass computes the logits of all positions.
    positions = batch["decoder_target_tokens"].size
    assert config.train_flops(2, lengths, supervised=positions) == 3 * flops
