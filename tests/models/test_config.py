import dataclasses
import functools
import json

import pytest

from flan_jax.errors import InputError
from flan_jax.models.config import (
    callable_name,
    check_model_config,
    config_fields,
    register_remat_policy,
)
from flan_jax.models.decoder import DecoderConfig, DecoderOnly
from flan_jax.models.layers import Dense

SIZES = {
    "vocab_size": 64,
    "emb_dim": 16,
    "num_heads": 2,
    "head_dim": 8,
    "mlp_dim": 32,
    "num_layers": 2,
}


class Wide(Dense):
    pass


@dataclasses.dataclass(frozen=True)
class Adapter:
    rank: int

    def __call__(self, *arguments, **keywords):
        return Dense(*arguments, **keywords)


@pytest.mark.parametrize(
    ("dense", "name"),
    [
        (Wide, f"{__name__}.Wide"),
        (
            functools.partial(Dense, use_bias=True),
            "flan_jax.models.layers.Dense(use_bias=True)",
        ),
        (
            functools.partial(Wide, dtype=Wide),
            f"{__name__}.Wide(dtype={__name__}.Wide)",
        ),
        (Adapter(rank=8), f"{__name__}.Adapter(rank=8)"),
    ],
)
def test_callables_are_named_by_module_and_arguments(dense, name):
    assert callable_name(dense) == name
    assert config_fields(DecoderConfig(**SIZES, dense=dense))["dense"] == name


def test_the_fields_are_json_without_default_callables():
    config = DecoderConfig(
        **SIZES, position="rope", rope_scaling={"type": "linear", "factor": 2.0}
    )
    fields = config_fields(config)
    assert json.loads(json.dumps(fields)).keys() == fields.keys()
    assert (fields["name"], fields["emb_dim"]) == ("DecoderConfig", 16)
    assert fields["rope_scaling"] == {"type": "linear", "factor": 2.0}
    assert not {"dense", "embed"} & fields.keys()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"emb_dim": 0}, "emb_dim is 0"),
        ({"num_heads": -2}, "num_heads is -2"),
        ({"dropout_rate": 1.0}, "dropout_rate is 1.0"),
        ({"dtype": "bf16"}, "unknown dtype 'bf16'"),
        ({"remat": "some"}, "unknown remat policy"),
        ({"mlp_activations": ("gelo", "linear")}, "Did you mean 'gelu'"),
        ({"mlp_activations": ()}, "mlp_activations is empty"),
        ({"relative_attention_num_buckets": 31}, "must be even"),
    ],
)
def test_a_config_that_cannot_be_built_is_refused(wrong, message, make_config):
    with pytest.raises(InputError, match=message):
        make_config(**wrong)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TwoArguments(DecoderConfig):
    def train_flops(self, rows, lengths):
        return 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class NoModel(DecoderConfig):
    def build(self):
        return object()


@dataclasses.dataclass(frozen=True, kw_only=True)
class NoArchitecture(DecoderConfig):
    architecture = "decoder_only"


class NotDerived:
    architecture = "decoder"
    vocab_size = 64


class OtherHidden(DecoderOnly):
    def hidden(self, batch):
        return super().hidden(batch)


@dataclasses.dataclass(frozen=True, kw_only=True)
class OtherModel(DecoderConfig):
    def build(self):
        return OtherHidden(self)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("big", "MODEL is 'big'; write MODEL = @from_warm_start"),
        (NotDerived(), "is a NotDerived, which has no dtype, .*derives from flan_jax"),
        (NoArchitecture(**SIZES), "unknown NoArchitecture.architecture 'decoder_only'"),
        (
            TwoArguments(**SIZES),
            (
                r"TwoArguments.train_flops will be called with \(rows, lengths, supervised\), "
                r"but takes \(rows, lengths\): too many positional arguments"
            ),
        ),
        (
            NoModel(**SIZES),
            r"NoModel.build\(\) returns a object, which has no __call__",
        ),
        (
            OtherModel(**SIZES),
            r"OtherHidden.hidden will be called with \(batch, determ",
        ),
    ],
)
def test_a_users_configuration_has_what_is_called_of_it(model, message):
    with pytest.raises(InputError, match=message):
        check_model_config(model)


def test_the_projects_configurations_pass(make_config):
    check_model_config(make_config())


def test_a_remat_policy_that_takes_other_arguments_is_refused():
    with pytest.raises(InputError, match="remat policy 'mine' will be called with"):
        register_remat_policy("mine", lambda primitive: True)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("emb_dim", [True, 0]),
        ("dropout_rate", [-0.1, 1.0, float("nan")]),
        ("logits_softcap", [0, True, float("inf"), float("nan")]),
        ("norm_epsilon", [0, True, float("inf")]),
        ("norm_offset", [True, float("nan")]),
        ("start_id", [-1, 64, True]),
    ],
)
def test_numbers_of_a_model(field, values):
    for value in values:
        with pytest.raises(InputError, match=field):
            DecoderConfig(**SIZES | {field: value})
