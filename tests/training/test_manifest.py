import dataclasses

import pytest

from flan_jax.errors import InputError
from flan_jax.models.config import EXECUTION_SETTINGS, config_fields
from flan_jax.models.decoder import DecoderConfig
from flan_jax.models.layers import Dense
from flan_jax.run_dir import Run

MODEL = DecoderConfig(
    vocab_size=64,
    emb_dim=16,
    num_heads=2,
    head_dim=8,
    mlp_dim=32,
    num_layers=2,
    dropout_rate=0.0,
)


class Wide(Dense):
    pass


def identity(microbatches=1, **changes):
    """The part of a run's identity that depends on the model and on how it is computed."""
    return {"model": config_fields(MODEL) | changes, "microbatches": microbatches}


def write(folder, identity):
    Run(folder).write_manifest(identity, {}, ignored=EXECUTION_SETTINGS)


@pytest.mark.parametrize(
    "changes",
    [
        {"remat": "full"},
        {"scan_layers": False},
        {"attention_backend": "splash"},
        {"microbatches": 2},
    ],
)
def test_a_run_goes_on_however_it_is_computed(tmp_path, changes):
    write(tmp_path, identity())
    write(tmp_path, identity(**changes))
    begun = Run(tmp_path).identity
    assert (begun["model"]["scan_layers"], begun["microbatches"]) == (True, 1)


def test_another_class_of_dense_is_refused_by_name(tmp_path):
    write(tmp_path, identity())
    with pytest.raises(
        InputError, match=rf"model.dense: None there, {__name__}.Wide now"
    ):
        write(
            tmp_path, identity(**config_fields(dataclasses.replace(MODEL, dense=Wide)))
        )
