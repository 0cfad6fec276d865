"""Every test sees 8 CPU devices: a sharding that does nothing on one device must not pass."""

import os
import pathlib
import tempfile

os.environ["JAX_PLATFORMS"] = "cpu"
# Compiling these tiny programs well takes longer than running them, here and in the processes that tests start. What
# XLA makes of programs when it optimises them is seen by tests/benchmarks and by the README's commands alone.
QUICK = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true --xla_cpu_use_fusion_emitters=false"
os.environ["XLA_FLAGS"] = (
    f"{os.environ.get('XLA_FLAGS', '')} {QUICK} --xla_force_host_platform_device_count=8"
)
os.environ.setdefault("JAX_NUMPY_RANK_PROMOTION", "raise")
# Tests that compile for TPUs run side by side; libtpu lets in one process otherwise.
os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
# Compiled programs are kept between runs: most of the tests' time is compilation.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(pathlib.Path(tempfile.gettempdir(), "flan_jax_test_cache"))
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")

import jax.numpy as jnp
import numpy as np
import pytest

from flan_jax.batch import batch_spec


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """XDG_CACHE_HOME of the processes that tests start: what one made ready the others find, those of other workers, too."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache"


@pytest.fixture
def make_batch():
    """make_batch(architecture, rows, lengths): each row a list of examples (input tokens, target tokens)."""
    return _make_batch


def _make_batch(architecture, rows, lengths):
    spec = batch_spec(architecture, len(rows), lengths)
    batch = {name: np.zeros(shape, dtype) for name, (shape, dtype) in spec.items()}
    for row, examples in enumerate(rows):
        starts = {"encoder": 0, "decoder": 0}
        for segment, (inputs, targets) in enumerate(examples, start=1):
            sequence = targets if architecture == "encoder_decoder" else inputs + targets
            shifted = [0, *sequence[:-1]]
            put = {"decoder_target_tokens": sequence, "decoder_input_tokens": shifted}
            put["decoder_loss_weights"] = [0] * (len(sequence) - len(targets)) + [1] * len(targets)
            if architecture == "encoder_decoder":
                put["encoder_input_tokens"] = inputs
            else:
                # seqio marks the inputs and the first target: those positions are fed inputs only.
                put["decoder_causal_attention"] = [1] * (len(inputs) + 1) + [0] * (len(targets) - 1)
            for side in starts:
                if f"{side}_positions" in batch:
                    size = len(inputs) if side == "encoder" else len(sequence)
                    put |= {
                        f"{side}_positions": range(size),
                        f"{side}_segment_ids": [segment] * size,
                    }
            for name, values in put.items():
                start = starts[name.split("_")[0]]
                batch[name][row, start : start + len(values)] = values
            starts["encoder"] += len(inputs)
            starts["decoder"] += len(sequence)
    return {name: jnp.asarray(value) for name, value in batch.items()}
