"""Which difference can be shown: against the formula's known answers, and against simulated runs."""

import numpy as np
import pytest

import tasks  # noqa: F401 (registers)
from flan_jax.bootstrap import bootstrap
from flan_jax.evaluation.power import (
    ASSUMED,
    ScoredTask,
    Spread,
    power_text,
    resolvable_difference,
    scored_tasks,
    standard_error,
)
from flan_jax.tasks.prompts import Prompts
from flan_jax.tasks.task import get_task


def test_a_textbook_case():
    """100 paired values with a standard deviation of 10: 2.8 standard errors of 1 point."""
    only_examples = Spread(example=10.0, template=0.0, rest=0.0, seed=0.0)
    task = [ScoredTask(examples=100, templates=7)]
    assert standard_error(task, spread=only_examples) == pytest.approx(1.0)
    found = resolvable_difference(task, spread=only_examples)
    assert found == pytest.approx(2.8016, abs=1e-4)
    corrected = resolvable_difference(task, comparisons=10, spread=only_examples)
    assert corrected == pytest.approx(3.6487, abs=1e-3)


def test_the_error_is_that_of_simulated_differences():
    rng = np.random.default_rng(0)
    examples, templates, seeds = 50, 6, 3
    means = []
    for _ in range(4000):
        values = ASSUMED.example * rng.standard_normal((1, 1, examples))
        values = values + ASSUMED.template * rng.standard_normal((1, templates, 1))
        seed = ASSUMED.seed * rng.standard_normal((seeds, 1, 1))
        rest = ASSUMED.rest * rng.standard_normal((1, templates, examples))
        means.append((values + seed + rest).mean())
    expected = standard_error([ScoredTask(examples, templates)], seeds)
    assert np.std(means) == pytest.approx(expected, rel=0.05)


def test_the_bootstrap_of_a_run_finds_about_the_same_error():
    rng = np.random.default_rng(1)
    examples, templates = 200, 10
    spread = Spread(example=30.0, template=8.0, rest=30.0, seed=0.0)
    expected = standard_error([ScoredTask(examples, templates)], spread=spread)
    errors = []
    for _ in range(20):
        values = 30.0 * rng.standard_normal((1, examples))
        values = values + 8.0 * rng.standard_normal((templates, 1))
        values = values + 30.0 * rng.standard_normal((templates, examples))
        errors.append(bootstrap(values).standard_error)
    assert np.mean(errors) == pytest.approx(expected, rel=0.15)


def test_more_of_anything_resolves_more():
    def found(examples=50, templates=7, count=1, **more):
        return resolvable_difference([ScoredTask(examples, templates)] * count, **more)

    assert found(examples=200) < found()
    assert found(templates=10) < found()
    assert found(count=5) < found()
    assert found(seeds=3) < found()
    assert found(comparisons=12) > found()


def test_the_price_of_a_point():
    text = power_text([ScoredTask(50, 10)])
    points = float(text.split(" ")[0])
    assert points == pytest.approx(
        resolvable_difference([ScoredTask(50, 10)]), abs=0.05
    )
    factor = int(text.split("a point finer takes ")[1].split(" ")[0])
    at = resolvable_difference([ScoredTask(50 * factor, 10)])
    before = resolvable_difference([ScoredTask(50 * (factor - 1), 10)])
    assert at <= resolvable_difference([ScoredTask(50, 10)]) - 1 < before


def test_what_cannot_be_reached_is_said():
    """Neither more examples nor more seeds of two templates make it finer by a point."""
    text = power_text([ScoredTask(1_000_000, 2)], seeds=100)
    assert "neither examples nor seeds reach it" in text


def test_what_is_scored_of_a_task():
    """A task without examples is not, and neither are templates that ask for something else."""
    found = scored_tasks(Prompts(), {"rte": 30, "cb": 0})
    assert found == {"rte": ScoredTask(30, len(get_task("rte").eval_templates))}
    assert scored_tasks(Prompts(only=0), {"rte": 30}) == {"rte": ScoredTask(30, 1)}
