"""Optimizers and learning-rate schedules by name, with T5's settings, and a registry for more.

Parameters are always plain arrays: unbox Flax's metadata first. Everything is optax's but
Adafactor, whose reason is in flan_jax.training.adafactor.
"""

import dataclasses
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import optax

from flan_jax import pytrees
from flan_jax.batch import Architecture
from flan_jax.errors import (
    InputError,
    add_to_registry,
    check_at_least,
    check_call,
    check_number,
    look_up,
)
from flan_jax.pytrees import Params
from flan_jax.training.adafactor import Schedule, adafactor
from flan_jax.weights.shipped import SHIPPED


def adamw(
    learning_rate: Schedule,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> optax.GradientTransformation:
    """Returns AdamW (Loshchilov and Hutter 2019) without decay of norms' scales and biases.

    Args:
      learning_rate: a rate, or a function from step to rate.
      b1: decay of the first moments.
      b2: decay of the second moments.
      eps: is added to the root of the second moments.
      weight_decay: is multiplied by the learning rate.

    Raises:
      InputError: a setting is no number, or out of its range.
    """
    for name, decay in (("b1", b1), ("b2", b2)):
        check_number(f"adamw's {name}", decay, least=0.0, below=1.0)
    check_number("adamw's eps", eps, least=0.0)
    check_number("adamw's weight_decay", weight_decay, least=0.0)
    return optax.adamw(
        learning_rate,
        b1=b1,
        b2=b2,
        eps=eps,
        weight_decay=weight_decay,
        mask=_is_decayed,
    )


def _is_decayed(params: Params) -> Params:
    """True for weight matrices. Scales and biases are known by name: stacked ones are 2-D."""
    return pytrees.map_named(
        lambda name, _: not name.endswith(("scale", "bias")), params
    )


def constant(
    learning_rate: float, warmup_steps: int = 0, total_steps: int | None = None
) -> optax.Schedule:
    """Returns a constant schedule after a linear warm-up from 0. FLAN and T5 fine-tune at 1e-3.

    Args:
      learning_rate: the rate after the warm-up.
      warmup_steps: length of the warm-up.
      total_steps: not used.
    """
    first_rate = 0.0 if warmup_steps else learning_rate
    return optax.warmup_constant_schedule(first_rate, learning_rate, warmup_steps)


def linear(learning_rate: float, warmup_steps: int, total_steps: int) -> optax.Schedule:
    """Returns a schedule that rises from 0 over the warm-up, then falls to 0 at `total_steps`.

    Args:
      learning_rate: the highest rate.
      warmup_steps: length of the warm-up.
      total_steps: number of steps of the run.

    Raises:
      InputError: the warm-up is as long as the run.
    """
    if not 0 <= warmup_steps < total_steps:
        raise InputError(
            f"a linear schedule of {total_steps} steps cannot warm up for {warmup_steps}: nothing "
            "is left to decay. Write 0 <= warmup_steps < total_steps."
        )
    up = optax.linear_schedule(0.0, learning_rate, warmup_steps)
    down = optax.linear_schedule(learning_rate, 0.0, total_steps - warmup_steps)
    if warmup_steps == 0:
        return down
    return optax.join_schedules([up, down], [warmup_steps])


def rsqrt(
    learning_rate: float, warmup_steps: int, total_steps: int | None = None
) -> optax.Schedule:
    """Returns learning_rate / sqrt(max(step, warmup_steps)).

    T5 pre-trains with 1.0 and 10,000 steps (Raffel et al. 2020, section 3.1.2).

    Args:
      learning_rate: the numerator.
      warmup_steps: steps at the first, constant rate.
      total_steps: not used.

    Raises:
      InputError: there are no warm-up steps.
    """
    if warmup_steps < 1:
        raise InputError(
            f"an rsqrt schedule with warmup_steps={warmup_steps} is infinite at step 0; "
            "write at least 1."
        )

    def schedule(step: jax.typing.ArrayLike) -> jax.Array:
        late_enough = jnp.maximum(step, warmup_steps).astype(jnp.float32)
        return learning_rate * jax.lax.rsqrt(late_enough)

    return schedule


TUNING_RATES: dict[Architecture, float] = {"encoder_decoder": 1e-3, "decoder": 3e-5}
"""Adafactor's constant rates for trained models: T5X's finetune.gin and T0 tune T5 at 1e-3, FLAN
(Wei et al. 2021, section 2.4) its decoder at 3e-5."""
RATE_OF_SHIPPED = 2e-3
"""Adafactor's rate for the small models that come with flan_jax, chosen on one seed
(tasks/practice/README.md)."""
RATE_FROM_SCRATCH = 1e-2
"""Adafactor's rate for random parameters: that of T5's first 10,000 steps of pre-training (Raffel
et al. 2020, section 3.1.2)."""
HIGH_RATE = 5.0
"""Above so many times the usual rate a run says so."""


def tuning_rate(architecture: Architecture, warm_start: str | None) -> float:
    """Returns the usual rate at which Adafactor tunes a trained model.

    Args:
      architecture: the model's.
      warm_start: what it starts from: one of `shipped.SHIPPED`, or anything else.
    """
    if warm_start in SHIPPED:
        return RATE_OF_SHIPPED
    return TUNING_RATES[architecture]


OptimizerBuilder = Callable[..., optax.GradientTransformation]
"""(schedule, **OptimizerConfig.settings) -> optimizer."""
ScheduleBuilder = Callable[[float, int, int], optax.Schedule]
"""(learning_rate, warmup_steps, total_steps) -> schedule."""

OPTIMIZERS: dict[str, OptimizerBuilder] = {"adafactor": adafactor, "adamw": adamw}
SCHEDULES: dict[str, ScheduleBuilder] = {
    "constant": constant,
    "linear": linear,
    "rsqrt": rsqrt,
}

INDEFINITE_SCHEDULES = ("constant", "rsqrt")
"""Schedules that do not use the number of steps: a finished run may go on for more of them."""


def register_optimizer(name: str, build: OptimizerBuilder) -> None:
    """Makes an optimizer known to OptimizerConfig.name.

    A gin file reaches it by importing the module that registers it:

        import my_optimizers
        OptimizerConfig.name = 'lion'

    with, in my_optimizers.py, `register_optimizer("lion", optax.lion)`.

    Args:
      name: the new name.
      build: maps a schedule, and OptimizerConfig.settings as keywords, to an optimizer.

    Raises:
      InputError: another optimizer has this name, or `build` does not take a schedule.
    """
    check_call(build, f"optimizer {name!r}", ["schedule"])
    add_to_registry(OPTIMIZERS, "optimizer", name, build)


def register_schedule(name: str, build: ScheduleBuilder) -> None:
    """Makes a learning-rate schedule known to OptimizerConfig.schedule, like register_optimizer.

    Args:
      name: the new name.
      build: maps learning rate, warm-up steps and total steps to a function from step to rate.

    Raises:
      InputError: another schedule has this name, or `build` does not take these three.
    """
    arguments = ["learning_rate", "warmup_steps", "total_steps"]
    check_call(build, f"schedule {name!r}", arguments)
    add_to_registry(SCHEDULES, "schedule", name, build)


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Settings of the optimizer and of the learning rate.

    Attributes:
      learning_rate: the schedule's highest rate; for "rsqrt", its numerator.
      name: a registered optimizer: "adafactor", "adamw".
      schedule: a registered schedule: "constant", "linear", "rsqrt".
      warmup_steps: length of the schedule's warm-up.
      settings: further keywords of the optimizer, e.g. {"weight_decay": 0.01}.
    """

    learning_rate: float
    name: str = "adafactor"
    schedule: str = "constant"
    warmup_steps: int = 0
    settings: Mapping[str, object] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        look_up(OPTIMIZERS, "optimizer", self.name)
        look_up(SCHEDULES, "schedule", self.schedule)
        check_number("OptimizerConfig.learning_rate", self.learning_rate, least=0.0)
        check_at_least(self, warmup_steps=0)

    @property
    def depends_on_steps(self) -> bool:
        """Whether the learning rate may depend on the number of steps of the run."""
        return self.schedule not in INDEFINITE_SCHEDULES

    def rate(self, total_steps: int) -> optax.Schedule:
        """Returns the function from step to learning rate.

        Args:
          total_steps: number of steps of the run.
        """
        return SCHEDULES[self.schedule](
            self.learning_rate, self.warmup_steps, total_steps
        )

    def build(self, total_steps: int) -> optax.GradientTransformation:
        """Returns the optimizer.

        Args:
          total_steps: number of steps of the run.

        Raises:
          InputError: the optimizer has no such setting.
        """
        try:
            return OPTIMIZERS[self.name](self.rate(total_steps), **self.settings)
        except TypeError as error:
            raise InputError(
                f"OptimizerConfig.settings for {self.name}: {error}"
            ) from None
