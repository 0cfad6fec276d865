"""Adafactor (Shazeer and Stern 2018), with the `layers` axis of scanned parameters as a batch axis."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from flan_jax import pytrees
from flan_jax.errors import InputError

Schedule = optax.Schedule | float


# How flan_jax.models names parameters that nn.scan stacked: their first axis counts layers.
STACKED = r"(^|/)layers/"


class AdafactorState(NamedTuple):
    """Second moments, each a tree like the parameters; float32[1] where a leaf has no such moment.

    A factored leaf (..., rows, columns) has v_row (..., rows) and v_col (..., columns), any other one v.
    """

    count: Array
    v_row: Any
    v_col: Any
    v: Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Settings:
    min_dim_size_to_factor: int
    decay_rate: float
    clipping_threshold: float | None
    multiply_by_parameter_scale: bool
    weight_decay_rate: float | None
    epsilon1: float
    epsilon2: float

    def factored(self, shape: tuple[int, ...], stacked: bool) -> bool:
        return len(shape) >= 2 + stacked and min(shape[-2:]) >= self.min_dim_size_to_factor


def adafactor(
    learning_rate: Schedule,
    *,
    stacked: str = STACKED,
    min_dim_size_to_factor: int = 128,
    decay_rate: float = 0.8,
    clipping_threshold: float | None = 1.0,
    multiply_by_parameter_scale: bool = True,
    weight_decay_rate: float | None = None,
    epsilon1: float = 1e-30,
    epsilon2: float = 1e-3,
) -> optax.GradientTransformation:
    """Adafactor without momentum (Shazeer and Stern 2018, algorithms 4 and 5) at T5's settings.

    Per parameter matrix: second moments decay by 1 - (step + 1)^-decay_rate and are kept as row and column means where
    both of the last two sizes are at least `min_dim_size_to_factor`; the update's root mean square is clipped at
    `clipping_threshold` and multiplied by max(epsilon2, the parameter's own). Parameters whose name matches `stacked`
    are stacks of layers: each slice along their first axis is treated by itself, as if the layers were not stacked.
    `weight_decay_rate` times the parameter is taken off at every step, whatever the learning rate, as in optax.
    Raises InputError when updated without parameters.
    """
    settings = _Settings(
        min_dim_size_to_factor=min_dim_size_to_factor,
        decay_rate=decay_rate,
        clipping_threshold=clipping_threshold,
        multiply_by_parameter_scale=multiply_by_parameter_scale,
        weight_decay_rate=weight_decay_rate,
        epsilon1=epsilon1,
        epsilon2=epsilon2,
    )

    def init(params: Any) -> AdafactorState:
        moments = jax.tree.map(
            lambda p, s: _init_moments(p, s, settings), params, pytrees.match(params, stacked)
        )
        return AdafactorState(jnp.zeros((), jnp.int32), *_unzip(params, moments, 3))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, AdafactorState]:
        if params is None:
            raise InputError(
                "Adafactor scales updates by the parameters; write tx.update(grads, state, params)."
            )
        rate = learning_rate(state.count) if callable(learning_rate) else learning_rate
        decay = 1.0 - (state.count + 1).astype(jnp.float32) ** -settings.decay_rate

        def leaf(
            grad: Any, v_row: Any, v_col: Any, v: Any, param: Any, is_stacked: bool
        ) -> tuple[Any, ...]:
            return _update_leaf(grad, (v_row, v_col, v), param, is_stacked, rate, decay, settings)

        moments, mask = (state.v_row, state.v_col, state.v), pytrees.match(params, stacked)
        updates, *moments = _unzip(params, jax.tree.map(leaf, updates, *moments, params, mask), 4)
        return updates, AdafactorState(jnp.asarray(optax.safe_increment(state.count)), *moments)

    return optax.GradientTransformation(init, update)


def _init_moments(param: jax.Array, stacked: bool, settings: _Settings) -> tuple[jax.Array, ...]:
    none = jnp.zeros((1,), jnp.float32)
    if settings.factored(param.shape, stacked):
        rows, columns = param.shape[:-1], (*param.shape[:-2], param.shape[-1])
        return jnp.zeros(rows, jnp.float32), jnp.zeros(columns, jnp.float32), none
    return none, none, jnp.zeros(param.shape, jnp.float32)


def _update_leaf(
    grad: Float[Array, "*shape"],
    moments: tuple[jax.Array, ...],
    param: Float[Array, "*shape"],
    stacked: bool,
    rate: Any,
    decay: Any,
    settings: _Settings,
) -> tuple[jax.Array, ...]:
    """(update, v_row, v_col, v) of one parameter. Written without intermediate trees so that XLA fuses its passes."""
    v_row, v_col, v = moments
    grad = grad.astype(jnp.float32)
    square = jnp.square(grad) + settings.epsilon1
    if settings.factored(param.shape, stacked):
        v_row = decay * v_row + (1.0 - decay) * jnp.mean(square, axis=-1)
        v_col = decay * v_col + (1.0 - decay) * jnp.mean(square, axis=-2)
        row = jax.lax.rsqrt(v_row / jnp.mean(v_row, axis=-1, keepdims=True))
        direction = grad * row[..., :, None] * jax.lax.rsqrt(v_col)[..., None, :]
    else:
        v = decay * v + (1.0 - decay) * square
        direction = grad * jax.lax.rsqrt(v)
    scale = jnp.asarray(rate, jnp.float32)
    if settings.clipping_threshold is not None:
        scale = scale / jnp.maximum(1.0, _rms(direction, stacked) / settings.clipping_threshold)
    if settings.multiply_by_parameter_scale:
        scale = scale * jnp.maximum(settings.epsilon2, _rms(param, stacked))
    step = scale * direction
    if settings.weight_decay_rate is not None:
        step = step + settings.weight_decay_rate * param
    return (-step).astype(param.dtype), v_row, v_col, v


def _rms(array: jax.Array, stacked: bool) -> jax.Array:
    """The root mean square of the array, or of each slice along the first axis of a stack, ready to broadcast."""
    axes = tuple(range(int(stacked), array.ndim))
    return jnp.sqrt(jnp.mean(jnp.square(array.astype(jnp.float32)), axis=axes, keepdims=True))


def _unzip(params: Any, tuples: Any, arity: int) -> list[Any]:
    """A tree of tuples at the leaves of `params` -> one tree for each place of the tuples."""
    treedef = jax.tree.structure(params)
    columns = list(zip(*treedef.flatten_up_to(tuples), strict=True)) or [()] * arity
    return [treedef.unflatten(column) for column in columns]
