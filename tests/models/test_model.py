"""Both architectures have the interface that the rest of the code calls."""

import flax.linen as nn
import pytest
from beartype import beartype
from beartype.roar import BeartypeCallHintParamViolation

from flan_jax.models.config import Model, ModelConfig


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
