"""The settings of the training loop: which values are refused."""

import dataclasses

import pytest

from flan_jax.errors import InputError
from flan_jax.training.settings import TrainConfig


@pytest.mark.parametrize(
    "name", ["steps", "microbatches", "log_every", "stall_seconds"]
)
def test_counts_begin_at_one(name):
    counts = {"steps": 10, name: 1}
    assert getattr(TrainConfig(seed=0, **counts), name) == 1
    for count in (0, -3):
        counts = {"steps": 10, name: count}
        with pytest.raises(
            InputError, match=f"TrainConfig.{name} is {count}; it must be at least 1"
        ):
            TrainConfig(seed=0, **counts)


def test_what_happens_at_a_loss_that_is_not_finite():
    for choice in ("stop", "skip"):
        assert TrainConfig(steps=1, seed=0, not_finite=choice).not_finite == choice
    with pytest.raises(
        InputError, match="unknown TrainConfig.not_finite 'skp'. Did you mean 'skip'"
    ):
        TrainConfig(steps=1, seed=0, not_finite="skp")


def test_a_changed_setting_is_checked_again():
    config = TrainConfig(steps=1, seed=0)
    with pytest.raises(InputError, match="TrainConfig.microbatches is 0"):
        dataclasses.replace(config, microbatches=0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.microbatches = 0


@pytest.mark.parametrize("value", [-1.0, -1e-9, float("nan"), float("inf")])
def test_the_z_loss_is_a_number_from_zero(value):
    assert TrainConfig(steps=1, seed=0, z_loss=0.0).z_loss == 0
    with pytest.raises(InputError, match="TrainConfig.z_loss is .* of at least 0"):
        TrainConfig(steps=1, seed=0, z_loss=value)


@pytest.mark.parametrize("name", ["steps", "microbatches", "log_every"])
def test_true_is_no_count(name):
    with pytest.raises(InputError, match=f"TrainConfig.{name} is True; .*whole number"):
        TrainConfig(**{"steps": 1, "seed": 0, name: True})


@pytest.mark.parametrize("seed", [-1, 2**32, True])
def test_the_seed_is_one_that_no_other_seed_equals(seed):
    with pytest.raises(InputError, match="TrainConfig.seed is .*from 0 to below"):
        TrainConfig(steps=1, seed=seed)
