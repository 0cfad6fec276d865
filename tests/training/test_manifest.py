import dataclasses
import functools

import pytest

from flan_jax.data.row_format import FLAN, RowFormat
from flan_jax.errors import InputError
from flan_jax.json_files import default_fields
from flan_jax.models.config import EXECUTION_SETTINGS, config_fields
from flan_jax.models.decoder import DecoderConfig
from flan_jax.models.layers import Dense
from flan_jax.run_dir import Run
from flan_jax.training.manifest import complete_identity
from flan_jax.training.optimizers import OptimizerConfig

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
    Run(folder).write_manifest(
        identity,
        {},
        ignored=EXECUTION_SETTINGS,
        complete=functools.partial(complete_identity, model=MODEL),
    )


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


CLASSES = {
    "model": DecoderConfig,
    "optimizer": OptimizerConfig,
    "row_format": RowFormat,
}


def whole_identity():
    """An identity in which all that has a default is at its default."""
    defaults = default_fields(DecoderConfig) | {"dropout_rate": 0.1}
    return {
        "model": config_fields(dataclasses.replace(MODEL, dropout_rate=0.1)) | defaults,
        "optimizer": dataclasses.asdict(OptimizerConfig(learning_rate=1e-3)),
        "row_format": dataclasses.asdict(RowFormat()),
        "warm_start": None,
        "microbatches": 1,
        "z_loss": 1e-4,
        "seed": 0,
    }


@pytest.mark.parametrize("group", CLASSES)
def test_a_run_from_before_a_setting_goes_on_with_its_default(tmp_path, group):
    for name, default in default_fields(CLASSES[group]).items():
        folder = tmp_path / name
        begun = whole_identity()
        del begun[group][name]
        write(folder, begun)
        write(folder, whole_identity())
        # What the run is called by does not change.
        assert Run(folder).identity == begun
        if name in EXECUTION_SETTINGS:
            continue
        changed = whole_identity()
        changed[group][name] = "another"
        refusal = f"(?s){group}.{name}: .* there, another now"
        with pytest.raises(InputError, match=refusal) as raised:
            write(folder, changed)
        if not isinstance(default, dict):
            assert f"{group}.{name}: {default} there" in str(raised.value)


@pytest.mark.parametrize("name", ["warm_start", "microbatches", "z_loss"])
def test_a_run_from_before_a_setting_of_training_goes_on(tmp_path, name):
    begun = whole_identity()
    del begun[name]
    write(tmp_path, begun)
    write(tmp_path, whole_identity())
    assert Run(tmp_path).identity == begun


def test_a_run_from_before_there_were_row_formats_has_flans_rows(tmp_path):
    begun = whole_identity()
    del begun["row_format"]
    write(tmp_path, begun)
    write(tmp_path, whole_identity() | {"row_format": dataclasses.asdict(FLAN)})
    with pytest.raises(InputError, match="row_format.start: {pad} there, {bos} now"):
        write(tmp_path, whole_identity())


def test_a_setting_without_a_default_is_not_made_up(tmp_path):
    begun = whole_identity()
    del begun["seed"], begun["model"]["num_layers"]
    write(tmp_path, begun)
    with pytest.raises(InputError, match="model.num_layers: None there, 2 now"):
        write(tmp_path, whole_identity())
