"""One training step: gradients over microbatches, the update, its compilation."""

import ctypes
import functools
import gc
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import SingleDeviceSharding

from flan_jax.batch import Batch
from flan_jax.errors import InputError
from flan_jax.models.layers import cast_kernels
from flan_jax.training.losses import loss_and_weight
from flan_jax.training.settings import TrainConfig
from flan_jax.training.state import TrainState

# On the CPU XLA takes away jax.checkpoint's barriers before it merges what is computed twice: remat would save nothing.
KEEP_BARRIERS = {"xla_disable_hlo_passes": "cse_barrier_expander"}


def jitted_step(
    model: Any, tx: optax.GradientTransformation, config: TrainConfig, state: TrainState
) -> Any:
    """train_step, (state, batch) -> (state, metrics), under jax.jit for the devices of `state`, arrays or shapes with shardings.

    The state's buffers are reused, and it stays placed as it is: left to itself XLA may place what Adafactor keeps otherwise.
    """
    step = functools.partial(
        train_step, model=model.build(), tx=tx, microbatches=config.microbatches, z_loss=config.z_loss,
        skip=config.not_finite == "skip",
    )  # fmt: skip
    shardings = jax.tree.map(lambda leaf: leaf.sharding, state)
    device = min(state.step.sharding.device_set, key=lambda device: device.id)
    options = (KEEP_BARRIERS if device.platform == "cpu" else {}) | dict(
        config.compiler_options or {}
    )
    return jax.jit(
        step, donate_argnums=0, out_shardings=(shardings, None), compiler_options=options
    )


def check_options(options: Mapping[str, Any] | None, device: Any) -> None:
    """Raises InputError for the first option that the compiler for this device does not take. Not to be called inside use_mesh."""
    one = jax.ShapeDtypeStruct((), np.float32, sharding=SingleDeviceSharding(device))
    for name, value in (options or {}).items():
        try:
            jax.jit(lambda x: x, compiler_options={name: value}).lower(one).compile()
        except (jax.errors.JaxRuntimeError, TypeError, ValueError) as error:
            raise InputError(
                f"TrainConfig.compiler_options sets {name} to {value!r}, which this compiler for {device.device_kind} does not "
                f"take ({str(error).splitlines()[0]}). Leave it out, or write a name and value of this version of XLA"
            ) from None


def compiled_step(
    model: Any, tx: optax.GradientTransformation, config: TrainConfig
) -> Callable[..., Any]:
    """jitted_step for the devices here, compiled at its first call."""
    program = None

    def compiled(state: TrainState, batch: Batch) -> Any:
        nonlocal program
        if program is None:
            program = jitted_step(model, tx, config, state).lower(state, batch).compile()
            trim_malloc()
        return program(state, batch)

    return compiled


def trim_malloc() -> None:
    """To the system, what compiling has freed: glibc would keep it, hundreds of MiB beside what the step needs."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc alone has it
    if trim is not None:
        trim(0)


def train_step(
    state: TrainState,
    batch: Batch,
    *,
    model: nn.Module,
    tx: optax.GradientTransformation,
    microbatches: int = 1,
    z_loss: float,
    skip: bool = False,
) -> tuple[TrainState, dict[str, jax.Array]]:
    """One update from the token-weighted mean loss of the whole batch; returns the loss sums and the gradient's norm.

    With `skip`, one whose loss or gradient is not finite leaves parameters and optimizer state as they are, and counts for
    nothing but "skipped".
    """
    key = jax.random.fold_in(jax.random.wrap_key_data(state.rng), state.step)
    grads, sums = mean_gradients(
        state.params, batch, key, model=model, microbatches=microbatches, z_loss=z_loss
    )
    updates, opt_state = tx.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    tokens = sum(
        jnp.count_nonzero(ids) for name, ids in batch.items() if name.endswith("segment_ids")
    )
    metrics = sums | {"tokens": tokens, "grad_norm": optax.tree.norm(grads)}
    after = state.replace(step=state.step + 1, params=params, opt_state=opt_state)
    if skip:
        good = jnp.isfinite(metrics["loss_sum"]) & jnp.isfinite(metrics["grad_norm"])
        kept = state.replace(step=state.step + 1)
        after = jax.tree.map(functools.partial(jnp.where, good), after, kept)
        metrics = jax.tree.map(lambda value: jnp.where(good, value, 0), metrics) | {
            "skipped": ~good
        }
    return after, metrics


def mean_gradients(
    params: Any, batch: Batch, key: jax.Array, *, model: nn.Module, microbatches: int, z_loss: float
) -> tuple[Any, dict[str, jax.Array]]:
    """(gradient of the whole batch's mean loss, loss sums), added up over the microbatches."""
    weight = jnp.maximum(jnp.sum(batch["decoder_loss_weights"]), 1)
    params = cast_kernels(model.config.dtype, params)

    def gradients(piece: Batch, key: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
        def loss(params: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
            # Divided here and not afterwards, when it would be a pass over all gradients.
            loss, sums = loss_and_weight(
                model, params, piece, z_loss=z_loss, deterministic=False, rngs={"dropout": key}
            )
            return loss / weight, sums

        grads, sums = jax.grad(loss, has_aux=True)(params)
        return jax.tree.map(lambda grad: grad.astype(jnp.float32), grads), sums

    if microbatches == 1:
        return gradients(batch, key)
    # Row i goes to microbatch i mod n: each keeps rows of every device, and nothing has to move.
    pieces = jax.tree.map(
        lambda x: jnp.swapaxes(x.reshape(-1, microbatches, *x.shape[1:]), 0, 1), batch
    )
    keys = jax.random.split(key, microbatches)

    def add(total: Any, piece: Any) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, gradients(*piece)), None

    zeros = jax.tree.map(
        jnp.zeros_like, jax.eval_shape(gradients, jax.tree.map(lambda x: x[0], pieces), key)
    )
    return jax.lax.scan(add, zeros, (pieces, keys))[0]
