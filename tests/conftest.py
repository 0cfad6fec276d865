"""Every test sees 8 CPU devices: a sharding that does nothing on one device must not pass."""

import os
import pathlib
import tempfile

os.environ["JAX_PLATFORMS"] = "cpu"
# To compile these tiny programs well takes longer than to run them, here and in the processes that
# tests start. Only tests/benchmarks and the README's commands see what XLA makes of programs when
# it optimizes them.
XLA_FLAGS = [
    os.environ.get("XLA_FLAGS", ""),
    "--xla_backend_optimization_level=0",
    "--xla_llvm_disable_expensive_passes=true",
    "--xla_cpu_use_fusion_emitters=false",
    "--xla_force_host_platform_device_count=8",
    # On a busy machine the devices' threads wait for one another; XLA aborts after 40 seconds.
    "--xla_cpu_collective_call_terminate_timeout_seconds=600",
]
os.environ["XLA_FLAGS"] = " ".join(XLA_FLAGS)
os.environ.setdefault("JAX_NUMPY_RANK_PROMOTION", "raise")
# Tests that compile for TPUs run side by side; otherwise libtpu allows one process only.
os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
# Compiled programs are kept between runs: most of the tests' time is compilation.
COMPILATION_CACHE = pathlib.Path(tempfile.gettempdir(), "flan_jax_test_cache")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(COMPILATION_CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")

import hypothesis
import jax.numpy as jnp
import numpy as np
import pytest

from flan_jax.batch import batch_spec

# An example that is slow on a busy machine, or that imports a module first, is no fault.
hypothesis.settings.register_profile("without_deadline", deadline=None)
hypothesis.settings.load_profile("without_deadline")


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """XDG_CACHE_HOME of the processes that tests start; all workers of pytest-xdist share it."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    return base / "cache"


@pytest.fixture
def make_batch():
    """make_batch(architecture, rows, lengths); a row is a list of (input tokens, target tokens)."""
    return _make_batch


def _make_batch(architecture, rows, lengths):
    spec = batch_spec(architecture, len(rows), lengths)
    batch = {name: np.zeros(shape, dtype) for name, (shape, dtype) in spec.items()}
    for row, examples in enumerate(rows):
        starts = {"encoder": 0, "decoder": 0}
        for segment, (inputs, targets) in enumerate(examples, start=1):
            features = _features(architecture, segment, inputs, targets)
            for name, values in features.items():
                start = starts[name.split("_")[0]]
                batch[name][row, start : start + len(values)] = values
            starts["encoder"] += len(inputs)
            starts["decoder"] += len(features["decoder_target_tokens"])
    return {name: jnp.asarray(value) for name, value in batch.items()}


def _features(architecture, segment, inputs, targets):
    """Returns the features of one example: {name: values of its tokens}."""
    if architecture == "encoder_decoder":
        sequence = targets
        features = {
            "encoder_input_tokens": inputs,
            "encoder_positions": range(len(inputs)),
            "encoder_segment_ids": [segment] * len(inputs),
        }
    else:
        sequence = inputs + targets
        # seqio marks the inputs and the first target: those positions are fed inputs only.
        features = {
            "decoder_causal_attention": [1] * (len(inputs) + 1)
            + [0] * (len(targets) - 1)
        }
    features["decoder_target_tokens"] = sequence
    features["decoder_input_tokens"] = [0, *sequence[:-1]]
    features["decoder_positions"] = range(len(sequence))
    features["decoder_segment_ids"] = [segment] * len(sequence)
    without_loss = [0] * (len(sequence) - len(targets))
    features["decoder_loss_weights"] = without_loss + [1] * len(targets)
    return features
