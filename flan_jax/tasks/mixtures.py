"""Mixtures: named sets of tasks, and how often each task is drawn."""

import dataclasses
from collections.abc import Mapping

from flan_jax.errors import InputError, unknown_name
from flan_jax.tasks.task import TASKS, TemplatedTask, find_task, get_task

EXAMPLES_PER_DATASET = 30_000
"""FLAN's cap on the training examples of one dataset (section 2.2)."""
MAXIMUM_RATE = 3_000
"""FLAN's mixing-rate maximum: a dataset gets no more weight than one of this many examples (section 2.4)."""

MIXINGS = ("proportional", "equal")
RESOLUTION = 100_000
"""The draws in which weights that are no whole numbers are met, to one in so many."""


@dataclasses.dataclass(frozen=True)
class Mixture:
    """A named set of tasks. `tasks` None means every task that is registered when the mixture is used."""

    name: str
    tasks: tuple[str, ...] | None = None

    def __post_init__(self):
        twice = sorted({task for task in self.tasks or () if (self.tasks or ()).count(task) > 1})
        if twice:
            raise InputError(
                f"mixture {self.name!r} names {', '.join(twice)} twice; use weights to draw a task more often"
            )


MIXTURES: dict[str, Mixture] = {}


def register_mixture(mixture: Mixture) -> Mixture:
    """Adds a mixture to the registry; returns it. Raises InputError when its name is taken."""
    if MIXTURES.get(mixture.name, mixture) != mixture or mixture.name in TASKS:
        raise InputError(f"two mixtures or tasks are named {mixture.name!r}; choose another name")
    MIXTURES[mixture.name] = mixture
    return mixture


def mixture_or_task(name: str) -> list[TemplatedTask]:
    """The tasks of a mixture, or the one task of that name; InputError with the nearest names if there is neither."""
    if name not in MIXTURES:
        task = find_task(name)
        if task is not None:
            return [task]
        raise unknown_name("mixture or task", name, [*MIXTURES, *TASKS])
    tasks = MIXTURES[name].tasks
    chosen = list(TASKS.values()) if tasks is None else [get_task(task) for task in tasks]
    if not chosen:
        raise InputError(
            f"mixture {name!r} has no tasks: import the modules that register them, e.g. `import tasks` in gin"
        )
    return chosen


def mixing_rates(
    counts: Mapping[str, int],
    *,
    maximum: int | None = MAXIMUM_RATE,
    mixing: str | Mapping[str, int | float] = "proportional",
    temperature: float = 1.0,
) -> dict[str, int]:
    """How often each task is drawn. `counts` are task -> examples, after filters.

    'proportional' is examples-proportional mixing: min(examples, maximum), then with a `temperature` T the 1/T-th power of
    that, which evens the tasks out (T5, section 3.5.2). 'equal' draws all alike; a mapping gives every task's weight.
    Raises InputError for a task without examples, and for weights that are not positive or not of these tasks.

    >>> mixing_rates({"cb": 200, "sst2": 30000})
    {'cb': 200, 'sst2': 3000}
    """
    empty = sorted(name for name, count in counts.items() if count < 1)
    if empty:
        raise InputError(
            f"no training examples in: {', '.join(empty)}. Leave them out of the mixture"
        )
    if maximum is not None and maximum < 1:
        raise InputError(
            f"the mixing-rate maximum is {maximum}; it must be at least 1, or None for no maximum"
        )
    if not temperature >= 1:
        raise InputError(
            f"the mixing temperature is {temperature}; it is at least 1, where mixing is proportional"
        )
    if not isinstance(mixing, str):
        return _whole(_checked_weights(mixing, counts))
    if mixing not in MIXINGS:
        raise unknown_name("mixing", mixing, MIXINGS)
    if mixing == "equal":
        return dict.fromkeys(counts, 1)
    rates = {
        name: count if maximum is None else min(count, maximum) for name, count in counts.items()
    }
    return (
        rates
        if temperature == 1
        else _whole({name: rate ** (1 / temperature) for name, rate in rates.items()})
    )


def _checked_weights(
    weights: Mapping[str, int | float], counts: Mapping[str, int]
) -> dict[str, float]:
    missing, foreign = (
        sorted(counts.keys() - weights.keys()),
        sorted(weights.keys() - counts.keys()),
    )
    if missing or foreign:
        raise InputError(
            f"mixing weights: no weight for {', '.join(missing) or 'none'}; not among the tasks trained on: "
            f"{', '.join(foreign) or 'none'}. Give each task trained on its weight"
        )
    wrong = sorted(
        name for name, weight in weights.items() if not weight > 0 or weight == float("inf")
    )
    if wrong:
        raise InputError(
            f"mixing weights must be positive numbers; these are not: {', '.join(wrong)}"
        )
    return {name: float(weights[name]) for name in counts}


def _whole(weights: Mapping[str, float]) -> dict[str, int]:
    """The weights as integers that sum to about RESOLUTION, at least 1 each."""
    total = sum(weights.values())
    return {name: max(1, round(weight / total * RESOLUTION)) for name, weight in weights.items()}
