"""Mixtures: named sets of tasks, and how often each task is drawn."""

import dataclasses
from collections.abc import Mapping

from flan_jax.data.tasks import TASKS, TemplatedTask, get_task
from flan_jax.errors import InputError, unknown

EXAMPLES_PER_DATASET = 30_000
"""FLAN's cap on the training examples of one dataset (section 2.2)."""
MAXIMUM_RATE = 3_000
"""FLAN's mixing-rate maximum: a dataset gets no more weight than one of this many examples (section 2.4)."""


@dataclasses.dataclass(frozen=True)
class Mixture:
    """A named set of tasks. `tasks` None means every task that is registered when the mixture is used."""

    name: str
    tasks: tuple[str, ...] | None = None


MIXTURES: dict[str, Mixture] = {}


def register_mixture(mixture: Mixture) -> Mixture:
    """Adds a mixture to the registry; returns it. Raises InputError when its name is taken."""
    if MIXTURES.get(mixture.name, mixture) != mixture or mixture.name in TASKS:
        raise InputError(f"two mixtures or tasks are named {mixture.name!r}; choose another name")
    MIXTURES[mixture.name] = mixture
    return mixture


def mixture_or_task(name: str) -> list[TemplatedTask]:
    """The tasks of a mixture, or the one task of that name; InputError with the nearest names if there is neither."""
    if name in TASKS:
        return [TASKS[name]]
    if name not in MIXTURES:
        raise unknown("mixture or task", name, [*MIXTURES, *TASKS])
    tasks = MIXTURES[name].tasks
    chosen = list(TASKS.values()) if tasks is None else [get_task(task) for task in tasks]
    if not chosen:
        raise InputError(
            f"mixture {name!r} has no tasks: import the modules that register them, e.g. `import tasks` in gin"
        )
    return chosen


def mixing_rates(counts: Mapping[str, int], maximum: int | None = MAXIMUM_RATE) -> dict[str, int]:
    """Examples-proportional mixing (T5, section 3.5.2): rate = min(examples, maximum). `counts` are task -> examples.

    >>> mixing_rates({"cb": 200, "sst2": 30000})
    {'cb': 200, 'sst2': 3000}
    """
    empty = sorted(name for name, count in counts.items() if count < 1)
    if empty:
        raise InputError(f"no training examples in: {', '.join(empty)}. Leave them out of the mixture")
    if maximum is not None and maximum < 1:
        raise InputError(f"the mixing-rate maximum is {maximum}; it must be at least 1, or None for no maximum")
    return {name: count if maximum is None else min(count, maximum) for name, count in counts.items()}
