"""Which difference between two models a run or a sweep can show, before it is made.

A held-out score is a mean over tasks, examples, templates and seeds. For a task with `e` examples
in `t` templates and `s` seeds, with crossed random factors (Owen 2007, "The pigeonhole bootstrap";
bootstrap.py resamples the same factors), the variance of a paired difference of two models is

    example**2 / e + template**2 / t + rest**2 / (e * t) + seed**2 / s

The difference that is found four times of five is then (Cohen 1988, chapter 2)

    (z(1 - level / 2) + z(0.8)) * standard error,    level = 0.05 / comparisons
"""

import dataclasses
import math
import statistics
from collections.abc import Callable, Mapping, Sequence

from flan_jax.tasks.prompts import Prompts
from flan_jax.tasks.task import get_task

LEVEL = 0.05
POWER = 0.8


@dataclasses.dataclass(frozen=True)
class Spread:
    """Standard deviations of the difference of two models' scores, in points.

    Attributes:
      example: between examples, the mean over templates.
      template: between templates, the mean over examples.
      rest: between single answers, beside the other two.
      seed: between seeds, the mean over examples and templates.
    """

    example: float
    template: float
    rest: float
    seed: float


ASSUMED = Spread(example=40.0, template=4.0, rest=40.0, seed=2.0)
"""What is assumed before a run. The three inference tasks of two first runs on the practice corpus
had 42, 2 and 41 (root mean squares over the tasks); the spread between seeds is a guess."""


@dataclasses.dataclass(frozen=True)
class ScoredTask:
    """How much of a held-out task is scored.

    Attributes:
      examples: the number of test examples.
      templates: the number of templates that each is shown in.
    """

    examples: int
    templates: int


def scored_tasks(
    prompts: Prompts, examples: Mapping[str, int]
) -> dict[str, ScoredTask]:
    """Returns how much of each task a run scores, by the task's name.

    Args:
      prompts: how the examples are shown.
      examples: the number of test examples of each held-out task. Tasks without any, or without a
        template to evaluate them in, are left out.
    """
    tasks = {}
    for name, count in examples.items():
        templates = prompts.templates_for(get_task(name))
        shown = sum(not template.turned_around for template in templates)
        if count and shown:
            tasks[name] = ScoredTask(count, shown)
    return tasks


def standard_error(
    tasks: Sequence[ScoredTask], seeds: int = 1, spread: Spread = ASSUMED
) -> float:
    """Returns the standard error of the mean difference over some tasks, in points.

    A single seed counts as one of many, so that the error is that of what a repetition would show.

    Args:
      tasks: what is scored; the tasks are independent of each other, their seeds are not.
      seeds: the number of seeds.
      spread: the standard deviations.
    """
    variance = 0.0
    for task in tasks:
        variance += spread.example**2 / task.examples
        variance += spread.template**2 / task.templates
        variance += spread.rest**2 / (task.examples * task.templates)
    of_tasks = variance / len(tasks) ** 2
    return math.sqrt(of_tasks + spread.seed**2 / seeds)


def resolvable_difference(
    tasks: Sequence[ScoredTask],
    seeds: int = 1,
    comparisons: int = 1,
    spread: Spread = ASSUMED,
) -> float:
    """Returns the difference that is found in four of five experiments, in points.

    Args:
      tasks: what is scored.
      seeds: the number of seeds.
      comparisons: the number of differences that are tested; the level is divided by it.
      spread: the standard deviations.
    """
    normal = statistics.NormalDist()
    level = LEVEL / comparisons
    factor = normal.inv_cdf(1 - level / 2) + normal.inv_cdf(POWER)
    return factor * standard_error(tasks, seeds, spread)


def power_text(
    tasks: Sequence[ScoredTask], seeds: int = 1, comparisons: int = 1
) -> str:
    """Returns what can be resolved, and what a point finer takes, in words.

    Args:
      tasks: what is scored.
      seeds: the number of seeds.
      comparisons: the number of differences that are tested.
    """
    difference = resolvable_difference(tasks, seeds, comparisons)
    finer = difference - 1

    def at(factor: int) -> float:
        more = [ScoredTask(task.examples * factor, task.templates) for task in tasks]
        return resolvable_difference(more, seeds, comparisons)

    def with_seeds(number: int) -> float:
        return resolvable_difference(tasks, number, comparisons)

    factor = _smallest(at, 1, finer)
    number = _smallest(with_seeds, seeds, finer)
    ways = []
    if factor is not None:
        examples = max(task.examples for task in tasks)
        ways.append(f"{factor} times the examples ({factor * examples} a task)")
    if number is not None:
        ways.append(f"{number} seeds ({number / seeds:g} times the training)")
    way = (
        " or ".join(ways)
        or "more templates or tasks; neither examples nor seeds reach it"
    )
    return f"{difference:.1f} points; a point finer takes {way}"


def _smallest(
    difference: Callable[[int], float], first: int, target: float
) -> int | None:
    """Returns the smallest number from `first` on, to a hundred times it, that reaches a target."""
    for number in range(first, 100 * first + 1):
        if difference(number) <= target:
            return number
    return None
