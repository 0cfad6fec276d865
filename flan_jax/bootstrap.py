"""How sure a score is: bootstrap intervals over templates, examples and seeds, and paired comparison of two runs.

Values are percentages, one per template and example (and seed): [templates, examples] or [seeds, templates, examples]. NaN,
or None as JSON has it, where a template was not asked of an example. The mean is over seeds and templates of each one's mean
over its own examples, so that a template counts as much as another whatever it was asked.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from flan_jax.errors import InputError

Values: TypeAlias = np.ndarray | Sequence[Any]

RESAMPLES = 1000
METRIC_RESAMPLES = 200
"""Fewer, where a metric of a whole set is computed anew on each."""
FLIPS = 10_000


class Interval(NamedTuple):
    """A mean with its bootstrap standard error and 95 % percentile interval, in the unit of the values.

    All but the mean are NaN where there is a single value, which says nothing of its spread.
    """

    mean: float
    standard_error: float
    low: float
    high: float


class Comparison(NamedTuple):
    """What run B scores above run A: the mean difference with its 95 % interval, and how probable so large a one is by chance."""

    difference: float
    standard_error: float
    low: float
    high: float
    p_value: float


def bootstrap(values: Values, *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """The mean of [templates, examples] or [seeds, templates, examples] and how much other draws would move it.

    Examples, templates and seeds are resampled independently of each other, whole rows and columns at a time (Efron and
    Tibshirani 1993, chapters 6, 8 and 13; for crossed factors Owen 2007, "The pigeonhole bootstrap"). Templates are, because the
    ten at hand are a draw from all that could have been written, just as the examples are: with other words for the same
    question the score would be another. Of n rows n - 1 are drawn, which makes the variance of a mean of few templates or
    seeds unbiased and not (n - 1) / n of that (McCarthy and Snowden 1985). One template, or one seed, is held fixed: the
    interval then says nothing about others. Give a metric of a whole set as [templates, 1] for an interval over templates
    alone.

    Where a resample holds none of a template's examples, its mean is over the other templates. The same arguments give the
    same numbers. Raises InputError when there are no values, or none of some template.
    """
    cube = _cube(values)
    rng = np.random.default_rng(seed)
    return _interval(_mean(cube), _resampled(cube, _draws(rng, cube.shape[0], resamples), rng))


def bootstrap_metric(
    score: Callable[[int, np.ndarray], float],
    templates: int,
    examples: int,
    *,
    resamples: int = METRIC_RESAMPLES,
    seed: int = 0,
) -> Interval:
    """The same of a metric that is no mean over examples: BLEU, a correlation, F1.

    score(template, indices): the metric of one template on these of the examples 0 .. examples - 1, some of them repeated.
    It is computed about 0.65 x templates x resamples times.
    """
    rng = np.random.default_rng(seed)
    weights = _draws(rng, templates, resamples)
    means = np.empty(resamples)
    for number, drawn in enumerate(weights):
        indices = rng.integers(examples, size=max(1, examples - 1))
        means[number] = sum(n * score(t, indices) for t, n in enumerate(drawn) if n) / drawn.sum()
    if templates == examples == 1:
        means[:] = np.nan
    return _interval(
        float(np.mean([score(t, np.arange(examples)) for t in range(templates)])), means
    )


def mean_of_tasks(tasks: Sequence[Any], *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """The mean over tasks, each [templates, examples], [seeds, templates, examples] or an Interval.

    The tasks of a cluster are all there are, so they are not resampled; templates and examples are, within each task. Seeds are
    drawn once for all tasks, for a run scores them all. An Interval stands for a task whose values are not at hand (a metric of
    a whole set): a normal distribution of its mean and standard error. Raises InputError when there is no task, or when tasks
    have different numbers of seeds.
    """
    if not tasks:
        raise InputError("a mean over no tasks; give at least one")
    rng = np.random.default_rng(seed)
    cubes = [task if isinstance(task, Interval) else _cube(task) for task in tasks]
    seeds = {len(cube) for cube in cubes if not isinstance(cube, Interval)}
    if len(seeds) > 1:
        raise InputError(
            f"the tasks have {sorted(seeds)} seeds; compare the same runs on every task"
        )
    drawn = _draws(rng, seeds.pop() if seeds else 1, resamples)
    means = [
        c.mean + c.standard_error * rng.standard_normal(resamples)
        if isinstance(c, Interval)
        else _resampled(c, drawn, rng)
        for c in cubes
    ]
    point = np.mean([c.mean if isinstance(c, Interval) else _mean(c) for c in cubes])
    return _interval(float(point), np.mean(means, axis=0))


def compare(a: Values, b: Values, *, resamples: int = RESAMPLES, seed: int = 0) -> Comparison:
    """Run B against run A on the same templates and examples (and seeds), paired value by value.

    The interval is `bootstrap` of the differences (the paired bootstrap of Koehn 2004), the p-value that of `sign_flip`. It
    speaks of these templates and seeds; the interval, of others too.

    Raises InputError when the two do not pair, or there are fewer than two examples (a metric of a whole set has none).
    """
    first, second = _cube(a), _cube(b)
    if first.shape != second.shape or (np.isnan(first) != np.isnan(second)).any():
        raise InputError(
            f"two runs are compared on the same templates and examples; A has {_shown(first)}, B {_shown(second)}. "
            "Evaluate both with the same prompts, eval_examples and source"
        )
    if first.shape[-1] < 2:
        raise InputError("a paired comparison needs at least two examples, with a value for each")
    interval = bootstrap(second - first, resamples=resamples, seed=seed)
    return Comparison(*interval, p_value=sign_flip(second - first, seed=seed))


def sign_flip(differences: Values, *, seed: int = 0) -> float:
    """The two-sided p-value of paired differences, each run B's value less run A's: how probable so large a mean is by chance.

    It is the permutation test that Dror et al. 2018 recommend where a metric's distribution is unknown: if the runs were
    alike, the names A and B could be exchanged on any example, so the sign of its difference (over all templates and seeds, which
    share the example) is flipped at random.
    """
    cube, rng = _cube(differences), np.random.default_rng(seed)
    seeds, templates, _ = cube.shape
    counts = (~np.isnan(cube)).sum(axis=-1, keepdims=True)
    shares = np.nansum(cube / counts, axis=(0, 1)) / (
        seeds * templates
    )  # what each example adds to the mean
    observed = (
        abs(shares.sum()) - 1e-9 * np.abs(shares).sum()
    )  # sums in another order differ by rounding
    extreme = 0
    for _ in range(0, FLIPS, 500):  # 500 at a time, to hold little memory
        kept = (
            np.frombuffer(rng.bytes(500 * shares.size), np.int8).reshape(500, -1) < 0
        )  # each with probability 1/2
        extreme += int((np.abs(kept @ (2 * shares) - shares.sum()) >= observed).sum())
    return (extreme + 1) / (FLIPS + 1)  # the observed signs are one of the possible flips


def _cube(values: Values) -> np.ndarray:
    """[seeds, templates, examples] in float64. Raises InputError when it cannot be."""
    try:
        cube = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        cube = np.empty(0)
    if cube.ndim not in (2, 3) or cube.size == 0:
        raise InputError(
            f"values are numbers [templates, examples] or [seeds, templates, examples], not of shape {list(cube.shape)}. "
            "Write NaN where a template was not asked of an example"
        )
    cube = cube.reshape((-1, *cube.shape[-2:]))
    if np.isnan(cube).all(axis=-1).any():
        raise InputError("a template has no value on any example; leave it out")
    return cube


def _mean(cube: np.ndarray) -> float:
    return float(np.nanmean(cube, axis=-1).mean())


def _draws(rng: np.random.Generator, n: int, resamples: int) -> np.ndarray:
    """[resamples, n]: how often each of n is drawn among n - 1 draws with replacement (one of one)."""
    draws = rng.integers(n, size=(resamples, max(1, n - 1))) + n * np.arange(resamples)[:, None]
    return (
        np.bincount(draws.ravel(), minlength=resamples * n).reshape(resamples, n).astype(np.float64)
    )


def _resampled(cube: np.ndarray, seeds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[resamples] means of a cube whose seeds are drawn so [resamples, seeds].

    NaN where a resample holds no value at all, or the cube only one.
    """
    if cube.size == 1:
        return np.full(len(seeds), np.nan)
    count, templates, examples = cube.shape
    of_templates, of_examples = (_draws(rng, n, len(seeds)) for n in (templates, examples))
    rows = cube.reshape(-1, examples)
    present = ~np.isnan(rows)
    sums = _products(of_examples, np.where(present, rows, 0.0))
    # Where every template was asked of every example, each has as many values in a resample as there are draws.
    whole = np.full((1, 1), max(1.0, examples - 1.0))
    sizes = whole if present.all() else _products(of_examples, present.astype(np.float64))
    weights = (seeds[:, :, None] * of_templates[:, None, :]).reshape(-1, count * templates) * (
        sizes > 0
    )
    totals = weights.sum(axis=1)
    means = (weights * sums / np.maximum(sizes, 1.0)).sum(axis=1) / np.maximum(totals, 1.0)
    return np.where(totals > 0, means, np.nan)


def _products(draws: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """draws @ rows.T, without BLAS: on products this small its threads wait for one another longer than they compute."""
    return np.einsum("ne,re->nr", draws, rows)


def _interval(mean: float, means: np.ndarray) -> Interval:
    if np.isnan(means).all():
        return Interval(mean, np.nan, np.nan, np.nan)
    low, high = np.nanpercentile(means, [2.5, 97.5])
    return Interval(mean, float(np.nanstd(means, ddof=1)), float(low), float(high))


def _shown(cube: np.ndarray) -> str:
    seeds, templates, examples = cube.shape
    return f"{seeds} x {templates} x {examples} (seeds x templates x examples), {int(np.isnan(cube).sum())} of them absent"
