import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from flan_jax.bootstrap import (
    Interval,
    bootstrap,
    bootstrap_metric,
    holm,
    mean_of_tasks,
    sign_flip,
)
from flan_jax.errors import InputError

PERCENT = st.one_of(st.sampled_from((0.0, 100.0)), st.floats(0, 100))
SHAPES = st.one_of(
    st.tuples(st.integers(1, 5), st.integers(1, 30)),
    st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 30)),
)
VALUES = SHAPES.flatmap(lambda shape: arrays(np.float64, shape, elements=PERCENT))


def simulated(
    rng, templates=10, examples=150, *, of_templates=5.0, of_examples=40.0, noise=20.0
):
    """Values around 50: an effect of each template, of each example, and of their meeting."""
    return (
        50
        + of_templates * rng.standard_normal((templates, 1))
        + of_examples * rng.standard_normal((1, examples))
        + noise * rng.standard_normal((templates, examples))
    )


@given(VALUES.filter(lambda values: values.size > 1))
@settings(max_examples=60)
def test_the_interval_contains_the_mean_and_lies_within_the_values(values):
    interval = bootstrap(values, resamples=200)
    assert interval.mean == pytest.approx(values.mean())
    rounding = 1e-9
    assert values.min() - rounding <= interval.low <= interval.mean + rounding
    assert interval.mean - rounding <= interval.high <= values.max() + rounding


@given(VALUES.filter(lambda values: values.size > 1))
@settings(max_examples=20)
def test_the_same_arguments_give_the_same_numbers(values):
    assert bootstrap(values, resamples=200) == bootstrap(values.tolist(), resamples=200)


def test_numbers_do_not_depend_on_the_version():
    """These are written into eval/<task>.json, and a run that goes on must find them again."""
    values = [[0.0, 100.0, 100.0, 0.0, 100.0], [0.0, 100.0, None, 50.0, 100.0]]
    interval = bootstrap(values, resamples=100, seed=3)
    assert interval == pytest.approx((61.25, 24.802813822486, 20.625, 100.0))

    def score(template, indices):
        return float(np.nanmax(cube[template, indices]) - template * indices.mean())

    cube = np.asarray(values, float)
    assert bootstrap_metric(score, 2, 5) == pytest.approx(
        (99.0, 16.213850349416276, 47.99375, 100.0)
    )
    tasks = [values, Interval(40.0, 3.0, 34.0, 46.0), values]
    assert mean_of_tasks(tasks) == pytest.approx(
        (54.166666666666664, 11.676517542229865, 30.109468502460146, 74.71915496114326)
    )
    assert sign_flip(cube - 40) == pytest.approx(3671 / 10_001)
    many = np.arange(1200.0).reshape(1, 1200) % 7 - 2.95
    assert sign_flip(many) == pytest.approx(4315 / 10_001)


def test_the_seed_moves_the_interval_a_little():
    values = simulated(np.random.default_rng(0))
    first, second = bootstrap(values, seed=1), bootstrap(values, seed=2)
    assert first != second
    assert first.low == pytest.approx(second.low, abs=0.2 * first.standard_error)


def test_one_template_has_the_standard_error_of_a_mean_of_examples():
    values = np.random.default_rng(0).standard_normal((1, 400)) * 30
    interval = bootstrap(values, resamples=4000)
    assert interval.standard_error == pytest.approx(values.std(ddof=1) / 20, rel=0.05)


@pytest.mark.parametrize("axis", [0, 1])
def test_the_error_of_few_templates_or_seeds_is_not_too_small(axis):
    """Drawing n of n would give sqrt((n - 1) / n) of the standard error: 0.71 of it for n = 2."""
    means = np.array([30.0, 50.0, 70.0])
    values = np.expand_dims(means, (1 - axis, 2)) + np.zeros((1, 1, 6))
    interval = bootstrap(values, resamples=4000)
    assert interval.standard_error == pytest.approx(
        means.std(ddof=1) / math.sqrt(3), rel=0.05
    )


def test_templates_are_resampled():
    """Templates that agree on each example and ones that do not, of the same values on average."""
    examples = np.random.default_rng(0).choice([0.0, 100.0], 200)
    alike = np.tile(examples, (6, 1))
    different = np.stack([np.zeros(200), *[examples] * 4, np.full(200, 100.0)])
    assert bootstrap(different).standard_error > 2 * bootstrap(alike).standard_error
    assert bootstrap(alike) == pytest.approx(bootstrap(alike[:1]), rel=0.1)


def test_seeds_are_resampled():
    rng = np.random.default_rng(0)
    shifts = (-10, 0, 10)
    runs = np.stack(
        [simulated(rng, of_examples=1.0, noise=1.0) + shift for shift in shifts]
    )
    largest = max(bootstrap(run).standard_error for run in runs)
    assert bootstrap(runs).standard_error > 1.5 * largest


@pytest.mark.parametrize(
    ("templates", "examples", "spread"),
    [
        (10, 150, {}),
        (7, 60, {"noise": 0.0}),
        (1, 150, {"of_templates": 0.0}),
        (8, 20, {"of_templates": 15.0}),
    ],
)
def test_ninety_five_of_a_hundred_intervals_contain_the_truth(
    templates, examples, spread
):
    rng = np.random.default_rng(7)
    draws = [
        bootstrap(simulated(rng, templates, examples, **spread), resamples=300, seed=i)
        for i in range(300)
    ]
    covered = np.mean([interval.low <= 50 <= interval.high for interval in draws])
    # Percentile intervals of few draws are a little narrow (Efron and Tibshirani 1993).
    assert 0.89 <= covered <= 0.99


def test_without_resampling_templates_the_interval_is_too_narrow():
    """What resampling examples alone claims of the mean over all templates."""
    rng = np.random.default_rng(7)
    draws = [
        bootstrap(
            simulated(rng, 7, of_templates=10.0).mean(axis=0, keepdims=True),
            resamples=300,
        )
        for _ in range(200)
    ]
    assert np.mean([interval.low <= 50 <= interval.high for interval in draws]) < 0.87


def test_templates_count_the_same_whatever_their_number_of_examples():
    values = [[100.0, 0.0, 100.0, 0.0], [100.0, None, None, None]]
    interval = bootstrap(values)
    assert interval.mean == 75.0
    assert interval.low < 75.0 <= interval.high
    assert bootstrap([[30.0, math.nan], [math.nan, 30.0]]).low == 30.0


def test_a_resample_without_any_value_is_skipped():
    """Of ten examples one has a value: most resamples have none, the others have a mean of 30."""
    interval = bootstrap([[30.0, *[None] * 9]] * 2)
    assert interval == Interval(mean=30.0, standard_error=0.0, low=30.0, high=30.0)


def test_a_single_value_has_a_mean_and_no_interval():
    interval = bootstrap([[40.0]])
    assert interval.mean == 40.0
    assert np.isnan(interval[1:]).all()
    of_metric = bootstrap_metric(lambda template, indices: 40.0, 1, 1)
    assert of_metric.mean == 40.0
    assert np.isnan(of_metric[1:]).all()
    two_templates = bootstrap_metric(lambda template, indices: 40.0 * template, 2, 1)
    assert two_templates[:1] + two_templates[2:] == (20.0, 0.0, 40.0)


def test_a_mean_given_as_a_metric_has_the_same_interval():
    values = simulated(np.random.default_rng(3))
    expected = bootstrap(values, resamples=2000)
    interval = bootstrap_metric(
        lambda template, indices: float(values[template, indices].mean()),
        *values.shape,
        resamples=2000,
    )
    assert interval == pytest.approx(expected, rel=0.1)
    assert interval.mean == pytest.approx(expected.mean)

    def score_of_one(template, indices):
        return float(values[0, indices].mean())

    of_one = bootstrap_metric(score_of_one, 1, values.shape[1], resamples=2000)
    assert of_one == pytest.approx(bootstrap(values[:1], resamples=2000), rel=0.1)


def test_the_mean_of_tasks_has_the_error_of_independent_tasks():
    rng = np.random.default_rng(0)
    tasks = [simulated(rng, examples=n) for n in (50, 100, 200)]
    intervals = [bootstrap(task, resamples=4000) for task in tasks]
    mean = mean_of_tasks(tasks, resamples=4000)
    assert mean.mean == pytest.approx(np.mean([task.mean() for task in tasks]))
    expected = math.sqrt(sum(interval.standard_error**2 for interval in intervals)) / 3
    assert mean.standard_error == pytest.approx(expected, rel=0.05)
    # An interval in place of a task's values says the same.
    with_interval = mean_of_tasks([*tasks[:2], intervals[2]], resamples=4000)
    assert with_interval == pytest.approx(mean, rel=0.05)


def test_intervals_alone_have_a_mean():
    mean = mean_of_tasks(
        [Interval(40.0, 3.0, 34.0, 46.0), Interval(60.0, 4.0, 52.0, 68.0)]
    )
    assert mean.mean == 50.0
    assert mean.standard_error == pytest.approx(2.5, rel=0.1)


def test_the_mean_of_one_task_is_that_task():
    values = simulated(np.random.default_rng(0))
    assert mean_of_tasks([values]) == bootstrap(values)


def test_seeds_are_drawn_once_for_all_tasks():
    """All tasks are 10 lower in one run and 10 higher in the other, which no mean removes."""
    runs = np.array([40.0, 60.0])[:, None, None] + np.zeros((2, 4, 30))
    one_task = bootstrap(runs).standard_error
    assert mean_of_tasks([runs] * 5).standard_error == pytest.approx(one_task, rel=0.1)


@given(SHAPES)
@settings(max_examples=20)
def test_runs_without_any_difference_have_a_p_value_of_one(shape):
    assert sign_flip(np.zeros(shape)) == 1.0


@given(VALUES)
@settings(max_examples=20)
def test_the_p_value_does_not_depend_on_the_order_of_the_runs(values):
    differences = values - 50
    assert sign_flip(differences) == pytest.approx(sign_flip(-differences), abs=1e-3)


def test_the_p_value_of_five_examples_is_that_of_all_sign_flips():
    """B is better on each of five examples: 2 of the 32 ways to flip signs are as extreme."""
    differences = [[10.0, 20.0, 30.0, 40.0, 50.0]]
    assert sign_flip(differences) == pytest.approx(2 / 32, abs=0.01)
    # As many, although 0.1 + ... + 0.5 has another rounding error in another order.
    assert sign_flip([[0.1, 0.2, 0.3, 0.4, 0.5]]) == sign_flip(differences)
    # Two templates that say the same of each example are no more evidence than one.
    assert sign_flip(differences * 2) == pytest.approx(2 / 32, abs=0.01)
    # Neither are two seeds.
    assert sign_flip([differences] * 2) == pytest.approx(2 / 32, abs=0.01)


def test_the_p_value_of_ragged_differences_is_that_of_each_templates_mean():
    """The second template has half of the examples, each of which counts twice as much."""
    ragged = [[1.0, 1.0, 1.0, 1.0], [1.0, -1.0, None, None]]
    one_row = [[1 / 4 + 1 / 2, 1 / 4 - 1 / 2, 1 / 4, 1 / 4]]
    assert sign_flip(ragged) == sign_flip(one_row) == pytest.approx(8 / 16, abs=0.02)


def test_the_p_value_is_uniform_if_the_runs_are_alike():
    rng = np.random.default_rng(11)
    p_values = []
    for _ in range(100):
        shared = simulated(rng, 4, 60)
        first = shared + simulated(rng, 4, 60, of_templates=0.0)
        second = shared + simulated(rng, 4, 60, of_templates=0.0)
        p_values.append(sign_flip(second - first))
    # The largest distance of 100 uniform draws from their distribution is below 0.163 in 99 of 100
    # cases (Kolmogorov).
    distance = np.abs(np.sort(p_values) - (np.arange(100) + 0.5) / 100).max()
    assert distance < 0.163


def test_pairing_finds_a_small_difference():
    """One point more on each of 200 hard and easy examples: far below the error of either mean."""
    rng = np.random.default_rng(0)
    first = simulated(rng, noise=0.0)
    second = first + 1 + rng.standard_normal(first.shape)
    paired = bootstrap(second - first)
    assert 0 < paired.low < 1 < paired.high
    assert sign_flip(second - first) < 0.001
    assert bootstrap(first).standard_error > 2


@pytest.mark.parametrize(
    "values",
    [[], [[]], [1.0, 2.0], [[1.0], [1.0, 2.0]], [["good"]], np.zeros((2, 2, 2, 2))],
)
def test_values_of_another_shape(values):
    with pytest.raises(InputError, match=r"values are numbers \[templates, examples\]"):
        bootstrap(values)


def test_other_bad_input():
    with pytest.raises(InputError, match="a template has no value on any example"):
        bootstrap([[1.0, 2.0], [None, None]])
    with pytest.raises(InputError, match="a mean over no tasks"):
        mean_of_tasks([])
    with pytest.raises(InputError, match=r"the tasks have \[1, 2\] seeds"):
        mean_of_tasks(
            [np.zeros((1, 2)), np.zeros((2, 1, 2)), Interval(1.0, 1.0, 0.0, 2.0)]
        )


def test_holm():
    """The smallest of three counts three times; a larger one is never corrected to less."""
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([0.01]) == [0.01]
    assert holm([]) == []
