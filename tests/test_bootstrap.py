import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from flan_jax.bootstrap import (
    Comparison,
    Interval,
    bootstrap,
    bootstrap_metric,
    compare,
    mean_of_tasks,
)
from flan_jax.errors import InputError

PERCENT = st.one_of(st.sampled_from((0.0, 100.0)), st.floats(0, 100))
SHAPES = st.one_of(
    st.tuples(st.integers(1, 5), st.integers(1, 30)),
    st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 30)),
)
VALUES = SHAPES.flatmap(lambda shape: arrays(np.float64, shape, elements=PERCENT))


def simulated(rng, templates=10, examples=150, *, of_templates=5.0, of_examples=40.0, noise=20.0):
    """Values around 50: an effect of each template, of each example, and of their meeting."""
    return (
        50
        + of_templates * rng.standard_normal((templates, 1))
        + of_examples * rng.standard_normal((1, examples))
        + noise * rng.standard_normal((templates, examples))
    )


@given(VALUES.filter(lambda values: values.size > 1))
@settings(max_examples=60, deadline=None)
def test_the_interval_contains_the_mean_and_lies_within_the_values(values):
    found = bootstrap(values, resamples=200)
    assert found.mean == pytest.approx(values.mean())
    rounding = 1e-9
    assert values.min() - rounding <= found.low <= found.mean + rounding
    assert found.mean - rounding <= found.high <= values.max() + rounding
    assert found == bootstrap(values.tolist(), resamples=200), (
        "the same arguments, the same numbers"
    )


def test_the_seed_moves_the_interval_a_little():
    values = simulated(np.random.default_rng(0))
    one, two = bootstrap(values, seed=1), bootstrap(values, seed=2)
    assert one != two and one.low == pytest.approx(two.low, abs=0.2 * one.standard_error)


def test_one_template_has_the_standard_error_of_a_mean_of_examples():
    values = np.random.default_rng(0).standard_normal((1, 400)) * 30
    assert bootstrap(values, resamples=4000).standard_error == pytest.approx(
        values.std(ddof=1) / 20, rel=0.05
    )


@pytest.mark.parametrize("axis", [0, 1])
def test_few_templates_or_seeds_have_no_smaller_an_error_than_they_should(axis):
    """Drawing n of n would give sqrt((n - 1) / n) of the standard error: 0.71 of it for two seeds."""
    means = np.array([30.0, 50.0, 70.0])
    values = np.expand_dims(means, (1 - axis, 2)) + np.zeros((1, 1, 6))
    assert bootstrap(values, resamples=4000).standard_error == pytest.approx(
        means.std(ddof=1) / math.sqrt(3), rel=0.05
    )


def test_templates_count_as_draws_too():
    """Templates that agree on each example and ones that do not, of the same values on average."""
    examples = np.random.default_rng(0).choice([0.0, 100.0], 200)
    alike = np.tile(examples, (6, 1))
    apart = np.stack([np.zeros(200), *[examples] * 4, np.full(200, 100.0)])
    assert bootstrap(apart).standard_error > 2 * bootstrap(alike).standard_error
    assert bootstrap(alike) == pytest.approx(bootstrap(alike[:1]), rel=0.1)


def test_seeds_count_as_draws_too():
    rng = np.random.default_rng(0)
    runs = np.stack([simulated(rng, of_examples=1.0, noise=1.0) + shift for shift in (-10, 0, 10)])
    assert bootstrap(runs).standard_error > 1.5 * max(bootstrap(run).standard_error for run in runs)


@pytest.mark.parametrize(
    ("templates", "examples", "spread"),
    [
        (10, 150, {}),
        (7, 60, {"noise": 0.0}),
        (1, 150, {"of_templates": 0.0}),
        (8, 20, {"of_templates": 15.0}),
    ],
)
def test_ninety_five_intervals_of_a_hundred_contain_the_truth(templates, examples, spread):
    rng = np.random.default_rng(7)
    draws = [
        bootstrap(simulated(rng, templates, examples, **spread), resamples=300, seed=i)
        for i in range(300)
    ]
    covered = np.mean([found.low <= 50 <= found.high for found in draws])
    assert (
        0.89 <= covered <= 0.99
    )  # percentile intervals of few draws are a little narrow (Efron and Tibshirani 1993)


def test_without_templates_the_interval_would_be_too_narrow():
    """What resampling examples alone claims of the mean over all templates: the reason to resample both."""
    rng = np.random.default_rng(7)
    draws = [
        bootstrap(simulated(rng, 7, of_templates=10.0).mean(axis=0, keepdims=True), resamples=300)
        for _ in range(200)
    ]
    assert np.mean([found.low <= 50 <= found.high for found in draws]) < 0.87


def test_a_template_counts_as_much_as_another_whatever_it_was_asked():
    values = [[100.0, 0.0, 100.0, 0.0], [100.0, None, None, None]]
    found = bootstrap(values)
    assert found.mean == 75.0 and found.low < 75.0 <= found.high
    assert bootstrap([[30.0, math.nan], [math.nan, 30.0]]).low == 30.0


def test_a_single_value_has_a_mean_and_no_interval():
    found = bootstrap([[40.0]])
    assert found.mean == 40.0 and np.isnan(found[1:]).all()
    assert np.isnan(bootstrap_metric(lambda template, indices: 40.0, 1, 1)[1:]).all()


def test_a_metric_that_is_a_mean_has_the_same_interval_by_either_way():
    values = simulated(np.random.default_rng(3))
    wanted = bootstrap(values, resamples=2000)
    found = bootstrap_metric(
        lambda t, indices: float(values[t, indices].mean()), *values.shape, resamples=2000
    )
    assert found == pytest.approx(wanted, rel=0.1)
    assert found.mean == pytest.approx(wanted.mean)


def test_the_mean_of_tasks_has_the_errors_of_independent_tasks():
    rng = np.random.default_rng(0)
    tasks = [simulated(rng, examples=n) for n in (50, 100, 200)]
    each = [bootstrap(task, resamples=4000) for task in tasks]
    found = mean_of_tasks(tasks, resamples=4000)
    assert found.mean == pytest.approx(np.mean([task.mean() for task in tasks]))
    wanted = math.sqrt(sum(interval.standard_error**2 for interval in each)) / 3
    assert found.standard_error == pytest.approx(wanted, rel=0.05)
    # An interval in the place of a task's values says the same.
    assert mean_of_tasks([*tasks[:2], each[2]], resamples=4000) == pytest.approx(found, rel=0.05)


def test_the_mean_of_one_task_is_that_task():
    values = simulated(np.random.default_rng(0))
    assert mean_of_tasks([values]) == bootstrap(values)


def test_a_run_draws_its_seed_once_for_all_tasks():
    """All tasks are 10 lower in one run and 10 higher in the other: averaging tasks does not average that away."""
    runs = np.array([40.0, 60.0])[:, None, None] + np.zeros((2, 4, 30))
    assert mean_of_tasks([runs] * 5).standard_error == pytest.approx(
        bootstrap(runs).standard_error, rel=0.1
    )


@given(VALUES.filter(lambda values: values.shape[-1] > 1))
@settings(max_examples=20, deadline=None)
def test_a_run_does_not_differ_from_itself(values):
    assert compare(values, values, resamples=50) == Comparison(0.0, 0.0, 0.0, 0.0, 1.0)


@given(VALUES.filter(lambda values: values.shape[-1] > 1), st.integers(0, 9))
@settings(max_examples=20, deadline=None)
def test_the_other_way_round_the_difference_has_the_other_sign(values, seed):
    other = np.random.default_rng(seed).permutation(values.ravel()).reshape(values.shape)
    there, back = compare(values, other, resamples=200), compare(other, values, resamples=200)
    assert there.difference == pytest.approx(-back.difference, abs=1e-9)
    assert there[2:4] == pytest.approx((-back.high, -back.low), abs=1e-9)
    assert there.p_value == pytest.approx(back.p_value, abs=1e-3)


def test_the_p_value_of_five_examples_is_that_of_all_sign_flips():
    """B is better on each of five examples: 2 of the 32 ways to flip signs are as extreme."""
    found = compare([[0.0] * 5], [[10.0, 20.0, 30.0, 40.0, 50.0]])
    assert found.difference == 30.0
    assert found.p_value == pytest.approx(2 / 32, abs=0.01)
    # Two templates that say the same of each example are no more evidence than one.
    assert compare([[0.0] * 5] * 2, [[10.0, 20.0, 30.0, 40.0, 50.0]] * 2).p_value == pytest.approx(
        2 / 32, abs=0.01
    )


def test_the_p_value_is_uniform_where_the_runs_are_alike():
    rng = np.random.default_rng(11)
    shared = simulated(rng, 4, 60)
    p_values = [
        compare(
            *(shared + simulated(rng, 4, 60, of_templates=0.0) for _ in "ab"), resamples=2
        ).p_value
        for _ in range(100)
    ]
    # the largest distance of 100 uniform draws from their distribution is below 0.163 in 99 of 100 cases
    distance = np.abs(np.sort(p_values) - (np.arange(100) + 0.5) / 100).max()
    assert distance < 0.163


def test_a_real_difference_is_found_and_pairing_is_what_finds_it():
    """One point more on each of 200 hard and easy examples: far below the error of either run's mean."""
    rng = np.random.default_rng(0)
    first = simulated(rng, noise=0.0)
    second = first + 1 + rng.standard_normal(first.shape)
    found = compare(first, second)
    assert found.low < 1 < found.high and found.low > 0
    assert found.p_value < 0.001
    assert bootstrap(first).standard_error > 2


def test_values_that_do_not_pair():
    whole, ragged = np.zeros((2, 3)), np.array([[0.0, 0.0, 0.0], [0.0, np.nan, 0.0]])
    for other in (np.zeros((2, 4)), np.zeros((3, 3)), np.zeros((2, 2, 3)), ragged):
        with pytest.raises(InputError, match="on the same templates and examples; A has 1 x 2 x 3"):
            compare(whole, other)
    assert compare(ragged, ragged + 1, resamples=50).difference == 1.0
    with pytest.raises(InputError, match="at least two examples"):
        compare([[1.0], [2.0]], [[1.0], [2.0]])


@pytest.mark.parametrize("values", [[], [[]], [1.0, 2.0], [[1.0], [1.0, 2.0]], [["good"]]])
def test_values_of_another_shape(values):
    with pytest.raises(InputError, match=r"values are numbers \[templates, examples\]"):
        bootstrap(values)


def test_other_bad_input():
    with pytest.raises(InputError, match="a template has no value on any example"):
        bootstrap([[1.0, 2.0], [None, None]])
    with pytest.raises(InputError, match="a mean over no tasks"):
        mean_of_tasks([])
    with pytest.raises(InputError, match=r"the tasks have \[1, 2\] seeds"):
        mean_of_tasks([np.zeros((1, 2)), np.zeros((2, 1, 2)), Interval(1.0, 1.0, 0.0, 2.0)])
