"""Metrics with seqio's signature: (targets, predictions) -> {name: value}."""

from collections.abc import Callable, Sequence

MetricFn = Callable[[Sequence, Sequence], dict[str, float]]
