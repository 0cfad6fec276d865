"""Mixtures: named sets of tasks, and how often each task is drawn."""

import dataclasses
import math
from collections.abc import Mapping

from flan_jax.errors import InputError, add_to_registry, is_number, unknown_name
from flan_jax.tasks.task import (
    COLLECTIONS,
    TASKS,
    TemplatedTask,
    find_task,
    get_task,
    task_names,
)

EXAMPLES_PER_DATASET = 30_000
"""FLAN's cap on the training examples of one dataset (section 2.2)."""
MAXIMUM_RATE = 3_000
"""FLAN's mixing-rate maximum (section 2.4).

A dataset gets no more weight than one of this many examples.
"""

MIXINGS = ("proportional", "equal")
RESOLUTION = 100_000
"""The sum of rates that are rounded from weights that are not whole numbers."""


@dataclasses.dataclass(frozen=True)
class Mixture:
    """A named set of tasks.

    Attributes:
      name: the mixture's name.
      tasks: the names of the tasks. None: every task that is registered when the mixture is used.
      beside: the names of further tasks, which are only there to be trained on: a sweep that holds
        out 'each' cluster holds out none of theirs.
    """

    name: str
    tasks: tuple[str, ...] | None = None
    beside: tuple[str, ...] = ()

    def __post_init__(self):
        tasks = (*(self.tasks or ()), *self.beside)
        repeated = sorted({task for task in tasks if tasks.count(task) > 1})
        if repeated:
            raise InputError(
                f"mixture {self.name!r} names {', '.join(repeated)} twice; use weights to draw a "
                "task more often"
            )


MIXTURES: dict[str, Mixture] = {}
"""The registered mixtures."""


def register_mixture(mixture: Mixture) -> Mixture:
    """Adds a mixture to the registry and returns it.

    Args:
      mixture: the mixture; its name must not be in use.

    Returns:
      The same mixture.

    Raises:
      InputError: another mixture or a task has this name.
    """
    if mixture.name in TASKS:
        raise InputError(
            f"a mixture and a task are named {mixture.name!r}; choose another name for the mixture"
        )
    return add_to_registry(MIXTURES, "mixture", mixture.name, mixture)


def mixture_or_task(name: str) -> list[TemplatedTask]:
    """Returns the tasks of a mixture or collection, or the one task of that name.

    Args:
      name: the name of a mixture, a collection or a task.

    Returns:
      The tasks, at least one, in the mixture's order.

    Raises:
      InputError: there is no such name, in which case the message has the nearest one, or the
        mixture has no tasks.
    """
    if name in MIXTURES:
        mixture = MIXTURES[name]
        names = mixture.tasks
        tasks = (
            list(TASKS.values())
            if names is None
            else [get_task(task) for task in names]
        )
        tasks += [get_task(task) for task in mixture.beside]
    elif name in COLLECTIONS:
        tasks = [get_task(task) for task in COLLECTIONS[name].names()]
    else:
        task = find_task(name)
        if task is None:
            raise unknown_name(
                "mixture or task",
                name,
                [*MIXTURES, *COLLECTIONS, *task_names()],
                "One of your own is known once the module that registers it is imported in a gin "
                "file: import my_module",
            )
        return [task]
    if not tasks:
        raise InputError(
            f"mixture {name!r} has no tasks: import the modules that register them, e.g. "
            "`import tasks` in gin"
        )
    return tasks


def mixing_rates(
    counts: Mapping[str, int],
    *,
    maximum: int | None = MAXIMUM_RATE,
    mixing: str | Mapping[str, int | float] = "proportional",
    temperature: float = 1.0,
) -> dict[str, int]:
    """Returns how often each task is drawn, in relation to the others.

    >>> mixing_rates({"cb": 200, "sst2": 30000})
    {'cb': 200, 'sst2': 3000}

    Args:
      counts: the number of training examples of each task, after filters.
      maximum: the mixing-rate maximum; None for no maximum.
      mixing: "proportional" for examples-proportional mixing, min(examples, maximum); "equal" to
        draw all tasks alike; or the weight of each task.
      temperature: T raises proportional rates to the power of 1 / T, which makes them more equal
        (T5, section 3.5.2).

    Raises:
      InputError: a task has no examples, or weights are not positive or not of these tasks.
    """
    empty = sorted(name for name, count in counts.items() if count < 1)
    if empty:
        raise InputError(
            f"no training examples in: {', '.join(empty)}. Leave them out of the mixture"
        )
    if maximum is not None and not (is_number(maximum) and maximum >= 1):
        raise InputError(
            f"the mixing-rate maximum is {maximum}; it must be at least 1, or None for no maximum"
        )
    if not (is_number(temperature) and temperature >= 1):
        raise InputError(
            f"the mixing temperature is {temperature}; it must be at least 1, which is "
            "proportional mixing"
        )
    if not isinstance(mixing, str):
        return _integer_rates(_check_weights(mixing, counts))
    if mixing not in MIXINGS:
        raise unknown_name("mixing", mixing, MIXINGS)
    if mixing == "equal":
        return dict.fromkeys(counts, 1)
    limit = math.inf if maximum is None else maximum
    rates = {name: int(min(count, limit)) for name, count in counts.items()}
    if temperature == 1:
        return rates
    return _integer_rates(
        {name: rate ** (1 / temperature) for name, rate in rates.items()}
    )


def _check_weights(
    weights: Mapping[str, int | float], counts: Mapping[str, int]
) -> dict[str, float]:
    missing = sorted(counts.keys() - weights.keys())
    foreign = sorted(weights.keys() - counts.keys())
    if missing or foreign:
        raise InputError(
            f"mixing weights: no weight for {', '.join(missing) or 'none'}; not among the tasks "
            f"trained on: {', '.join(foreign) or 'none'}. Give each task trained on its weight"
        )
    wrong = sorted(
        name
        for name, weight in weights.items()
        if not (is_number(weight) and weight > 0)
    )
    if wrong:
        raise InputError(
            f"mixing weights must be positive numbers; these are not: {', '.join(wrong)}"
        )
    return {name: float(weights[name]) for name in counts}


def _integer_rates(weights: Mapping[str, float]) -> dict[str, int]:
    """Returns the weights as integers that sum to about RESOLUTION, at least 1 each."""
    total = sum(weights.values())
    return {
        name: max(1, round(weight / total * RESOLUTION))
        for name, weight in weights.items()
    }
