"""Optimizers with T5's settings and their schedules. Parameters are always plain arrays: unbox Flax's metadata first."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from flan_jax import pytrees
from flan_jax.errors import InputError, unknown_name
from flan_jax.training.adafactor import Schedule, adafactor


def adamw(
    learning_rate: Schedule,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> optax.GradientTransformation:
    """AdamW (Loshchilov and Hutter 2019); the decay is multiplied by the learning rate and spares 1-D parameters."""
    return optax.adamw(
        learning_rate, b1=b1, b2=b2, eps=eps, weight_decay=weight_decay, mask=_decayed
    )


def _decayed(params: Any) -> Any:
    """True for weight matrices: norms' scales and biases, stacked or not, are not decayed."""
    return pytrees.map_named(lambda name, _: not name.endswith(("scale", "bias")), params)


def constant(
    learning_rate: float, warmup_steps: int = 0, total_steps: int | None = None
) -> optax.Schedule:
    """`learning_rate` throughout, after a linear warm-up from 0 over `warmup_steps`. FLAN's and T5's fine-tuning: 1e-3."""
    return optax.warmup_constant_schedule(
        0.0 if warmup_steps else learning_rate, learning_rate, warmup_steps
    )


def linear(learning_rate: float, warmup_steps: int, total_steps: int) -> optax.Schedule:
    """From 0 up to `learning_rate` over `warmup_steps`, then down to 0 at `total_steps`."""
    if not 0 <= warmup_steps < total_steps:
        raise InputError(
            f"a linear schedule of {total_steps} steps cannot warm up for {warmup_steps}: nothing is left to decay. "
            "Write 0 <= warmup_steps < total_steps."
        )
    up = optax.linear_schedule(0.0, learning_rate, warmup_steps)
    down = optax.linear_schedule(learning_rate, 0.0, total_steps - warmup_steps)
    return optax.join_schedules([up, down], [warmup_steps]) if warmup_steps else down


def rsqrt(
    learning_rate: float, warmup_steps: int, total_steps: int | None = None
) -> optax.Schedule:
    """learning_rate / sqrt(max(step, warmup_steps)): T5's pre-training with 1.0 and 10,000 (Raffel et al. 2020, 3.1.2)."""
    if warmup_steps < 1:
        raise InputError(
            f"an rsqrt schedule with warmup_steps={warmup_steps} is infinite at step 0; write at least 1."
        )
    return lambda step: (
        learning_rate * jax.lax.rsqrt(jnp.maximum(step, warmup_steps).astype(jnp.float32))
    )


OPTIMIZERS = {"adafactor": adafactor, "adamw": adamw}
SCHEDULES = {"constant": constant, "linear": linear, "rsqrt": rsqrt}


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """name: one of OPTIMIZERS. schedule: one of SCHEDULES. settings: further keywords of the optimizer, e.g. {"weight_decay": 0.01}."""

    learning_rate: float
    name: str = "adafactor"
    schedule: str = "constant"
    warmup_steps: int = 0
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        if self.name not in OPTIMIZERS:
            raise unknown_name("optimizer", self.name, OPTIMIZERS)
        if self.schedule not in SCHEDULES:
            raise unknown_name("schedule", self.schedule, SCHEDULES)

    def rate(self, total_steps: int) -> optax.Schedule:
        """Step -> learning rate."""
        return SCHEDULES[self.schedule](self.learning_rate, self.warmup_steps, total_steps)

    def build(self, total_steps: int) -> optax.GradientTransformation:
        try:
            return OPTIMIZERS[self.name](self.rate(total_steps), **self.settings)
        except TypeError as error:
            raise InputError(f"OptimizerConfig.settings for {self.name}: {error}") from None
