"""One training step: gradients over microbatches, the update, and its compilation."""

import ctypes
import functools
import gc
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import stages
from jax.sharding import SingleDeviceSharding

from flan_jax import pytrees
from flan_jax.batch import Batch
from flan_jax.errors import InputError
from flan_jax.hardware import Device
from flan_jax.models.config import Model, ModelConfig
from flan_jax.models.layers import cast_kernels
from flan_jax.pytrees import Params, Tree
from flan_jax.training.losses import Sums, loss_and_weight
from flan_jax.training.settings import TrainConfig
from flan_jax.training.state import TrainState

# On the CPU, XLA removes the barriers of jax.checkpoint before it merges equal computations, so
# that rematerialization would save no memory (tests/models/test_layers.py measures it).
KEEP_BARRIERS = {"xla_disable_hlo_passes": "cse_barrier_expander"}

# Parameters of glibc's mallopt, from malloc.h: how many blocks may be mapped each by itself, and
# how much free memory at the end of the heap goes back to the system.
M_MMAP_MAX, M_TRIM_THRESHOLD = -4, -1


def jitted_step(
    model: ModelConfig,
    tx: optax.GradientTransformation,
    config: TrainConfig,
    state: TrainState,
) -> stages.Wrapped:
    """Returns train_step under jax.jit, a function (state, batch) -> (state, metrics).

    The state's buffers are donated. Its placement stays: left to itself, XLA may place
    Adafactor's moments elsewhere.

    Args:
      model: the model.
      tx: the optimizer.
      config: microbatches, z-loss, what to do with updates that are not finite, compiler options.
      state: arrays, or shapes with shardings; their devices are compiled for.
    """
    step = functools.partial(
        train_step,
        model=model.build(),
        tx=tx,
        microbatches=config.microbatches,
        z_loss=config.z_loss,
        skip=config.not_finite == "skip",
    )
    shardings = jax.tree.map(lambda leaf: leaf.sharding, state)
    options: dict[str, Any] = {}
    if _device_of(state).platform == "cpu":
        options |= KEEP_BARRIERS
    options |= config.compiler_options or {}
    return jax.jit(
        step,
        donate_argnums=0,
        out_shardings=(shardings, None),
        compiler_options=options,
    )


def _device_of(state: TrainState) -> Device:
    """Returns the first of the devices that hold the state."""
    return min(state.step.sharding.device_set, key=lambda device: device.id)


def check_options(options: Mapping[str, Any] | None, device: Device) -> None:
    """Checks that the compiler takes some options. Must not be called inside use_mesh.

    Args:
      options: names and values of XLA's options.
      device: a device to compile for.

    Raises:
      InputError: the compiler for this device does not take an option; the message names the first.
    """
    scalar = jax.ShapeDtypeStruct((), np.float32, sharding=SingleDeviceSharding(device))
    for name, value in (options or {}).items():
        try:
            jax.jit(lambda x: x, compiler_options={name: value}).lower(scalar).compile()
        except (jax.errors.JaxRuntimeError, TypeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(
                f"TrainConfig.compiler_options sets {name} to {value!r}, which this compiler for "
                f"{device.device_kind} does not take ({reason}). Leave it out, or write a name and "
                "value of this version of XLA"
            ) from None


def compiled_step(
    model: ModelConfig, tx: optax.GradientTransformation, config: TrainConfig
) -> Callable[..., Any]:
    """Returns jitted_step for the devices of this process, compiled at its first call.

    Args:
      model: the model.
      tx: the optimizer.
      config: see jitted_step.
    """
    program = None

    def compiled(
        state: TrainState, batch: Batch
    ) -> tuple[TrainState, dict[str, jax.Array]]:
        nonlocal program
        if program is not None:
            return program(state, batch)
        is_on_cpu = _device_of(state).platform == "cpu"
        program = jitted_step(model, tx, config, state).lower(state, batch).compile()
        trim_malloc()
        if not is_on_cpu:
            return program(state, batch)
        keep_freed_memory()
        result = program(state, batch)
        # Where the first step's arrays were, small new ones may leave too little for the next.
        trim_malloc()
        return result

    return compiled


def trim_malloc() -> None:
    """Returns memory that compilation has freed to the operating system.

    glibc would keep it, hundreds of MiB of host memory beside the step's own for the whole run.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # only glibc has it
    if trim is not None:
        trim(0)


def keep_freed_memory() -> None:
    """Makes glibc keep freed memory for the next step, instead of returning it to the system.

    On CPU, a step's arrays are allocated and freed anew each time. The system clears every page
    that it hands out, which takes a tenth of the processor time of a step. It works for what the
    main thread allocates, see hardware.run_cpu_programs_in_caller.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # only glibc has it
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, -1)


def train_step(
    state: TrainState,
    batch: Batch,
    *,
    model: Model,
    tx: optax.GradientTransformation,
    microbatches: int = 1,
    z_loss: float,
    skip: bool = False,
) -> tuple[TrainState, dict[str, jax.Array]]:
    """Updates the state with the gradient of the batch's token-weighted mean loss.

    Args:
      state: the state before the step.
      batch: a global batch, see flan_jax.batch.
      model: the module whose parameters are trained.
      tx: the optimizer.
      microbatches: number of pieces that the gradient is accumulated over.
      z_loss: coefficient of the z-loss.
      skip: leave parameters and optimizer state as they are if loss or gradient is not finite; the
        step then counts only in the metric "skipped".

    Returns:
      The state after the step, and its metrics, scalars: the loss sums (see losses.cross_entropy),
      "tokens", "grad_norm" and, with `skip`, "skipped".
    """
    key = jax.random.fold_in(jax.random.wrap_key_data(state.rng), state.step)
    grads, sums = mean_gradients(
        state.params,
        batch,
        key,
        model=model,
        microbatches=microbatches,
        z_loss=z_loss,
        frozen=state.frozen,
    )
    updates, opt_state = tx.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    tokens = sum(
        jnp.count_nonzero(ids)
        for name, ids in batch.items()
        if name.endswith("segment_ids")
    )
    metrics = sums | {"tokens": tokens, "grad_norm": optax.tree.norm(grads)}
    after = state.replace(step=state.step + 1, params=params, opt_state=opt_state)
    if not skip:
        return after, metrics

    is_finite = jnp.isfinite(metrics["loss_sum"]) & jnp.isfinite(metrics["grad_norm"])
    unchanged = state.replace(step=state.step + 1)
    after = jax.tree.map(functools.partial(jnp.where, is_finite), after, unchanged)
    metrics = jax.tree.map(lambda value: jnp.where(is_finite, value, 0), metrics)
    return after, metrics | {"skipped": ~is_finite}


def mean_gradients(
    params: Params,
    batch: Batch,
    key: jax.Array,
    *,
    model: Model,
    microbatches: int,
    z_loss: float,
    frozen: Params | None = None,
) -> tuple[Params, Sums]:
    """Returns the gradient of the whole batch's mean loss, and the loss sums.

    Args:
      params: the parameters to differentiate with respect to.
      batch: a global batch.
      key: the random key of dropout.
      model: the module that computes the loss.
      microbatches: number of pieces that gradient and sums are accumulated over.
      z_loss: coefficient of the z-loss.
      frozen: the model's other parameters; None: there are none.

    Returns:
      The gradient, float32, in the shapes of `params`; and scalar sums (see losses.cross_entropy).
    """
    weight = jnp.maximum(jnp.sum(batch["decoder_loss_weights"]), 1)
    params, frozen = cast_kernels(model.config.dtype, (params, frozen or {}))

    def gradients(piece: Batch, key: jax.Array) -> tuple[Params, Sums]:
        def loss(params: Params) -> tuple[jax.Array, Sums]:
            all_params = pytrees.merge(params, frozen)
            loss, sums = loss_and_weight(
                model,
                all_params,
                piece,
                z_loss=z_loss,
                deterministic=False,
                rngs={"dropout": key},
            )
            # Divided here and not afterwards, when it would be a pass over all gradients.
            return loss / weight, sums

        grads, sums = jax.grad(loss, has_aux=True)(params)
        return jax.tree.map(lambda grad: grad.astype(jnp.float32), grads), sums

    if microbatches == 1:
        return gradients(batch, key)

    # Row i goes to microbatch i mod n: each has rows of every device, and nothing has to move.
    pieces = jax.tree.map(
        lambda x: jnp.swapaxes(x.reshape(-1, microbatches, *x.shape[1:]), 0, 1), batch
    )
    keys = jax.random.split(key, microbatches)

    def add(total: Tree, piece: tuple[Batch, jax.Array]) -> tuple[Tree, None]:
        return jax.tree.map(jnp.add, total, gradients(*piece)), None

    first_piece = jax.tree.map(lambda x: x[0], pieces)
    shapes = jax.eval_shape(gradients, first_piece, key)
    zeros = jax.tree.map(jnp.zeros_like, shapes)
    total, _ = jax.lax.scan(add, zeros, (pieces, keys))
    return total
