"""Adafactor (Shazeer and Stern 2018) for parameters whose layers may be stacked by nn.scan.

optax.adafactor is not used: it clips and scales a stack of layers as one tensor, and may factor it
over the axis of layers. Here that axis is a batch axis, as in T5X, so that scanned and unrolled
models train alike.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from flan_jax import pytrees
from flan_jax.errors import InputError, check_number, is_whole
from flan_jax.pytrees import Params, Tree

Schedule = optax.Schedule | float


# How flan_jax.models names parameters that nn.scan stacked: their first axis counts layers.
STACKED = r"(^|/)layers/"


WIDE = 4096
"""Number of columns above which the CPU computes column means as a matrix product."""


class AdafactorState(NamedTuple):
    """The optimizer state: three trees like the parameters.

    Attributes:
      count: int32[], number of updates so far.
      v_row: float32[..., rows], row means of the second moments of a factored leaf.
      v_col: float32[..., columns], column means of the second moments of a factored leaf.
      v: the second moments of any other leaf. A moment that a leaf does not have is float32[1].
    """

    count: Array
    v_row: Tree
    v_col: Tree
    v: Tree


Moments = tuple[jax.Array, ...]
"""(v_row, v_col, v) of one parameter."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Settings:
    min_dim_size_to_factor: int
    decay_rate: float
    clipping_threshold: float | None
    multiply_by_parameter_scale: bool
    weight_decay_rate: float | None
    epsilon1: float
    epsilon2: float

    def factors(self, shape: tuple[int, ...], is_stacked: bool) -> bool:
        """Returns whether the second moments of a parameter are kept as row and column means."""
        if len(shape) < 2 + is_stacked:
            return False
        return min(shape[-2:]) >= self.min_dim_size_to_factor


def adafactor(  # noqa: PLR0913 (the arguments of optax.adafactor)
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
    """Returns Adafactor without momentum (Shazeer and Stern 2018, algorithms 4 and 5), T5's way.

    Its update raises InputError if it is called without parameters.

    Args:
      learning_rate: a rate, or a function from step to rate.
      stacked: regex of the names of parameters that are stacks of layers. Each slice along their
        first axis is treated as a parameter of its own.
      min_dim_size_to_factor: least size of both last axes of a parameter whose second moments are
        kept as row and column means.
      decay_rate: second moments decay by 1 - (step + 1)^-decay_rate.
      clipping_threshold: largest root mean square of an update; None: no clipping.
      multiply_by_parameter_scale: multiply the update by max(epsilon2, root mean square of the
        parameter).
      weight_decay_rate: times the parameter, is subtracted at every step, whatever the learning
        rate, as in optax; None: no decay.
      epsilon1: is added to squared gradients.
      epsilon2: least scale of a parameter.

    Raises:
      InputError: a setting is no number, or out of its range.
    """
    name = "adafactor's"
    if not is_whole(min_dim_size_to_factor):
        raise InputError(
            f"{name} min_dim_size_to_factor is {min_dim_size_to_factor!r}; it must be a whole "
            "number"
        )
    if not isinstance(multiply_by_parameter_scale, bool):
        raise InputError(
            f"{name} multiply_by_parameter_scale is {multiply_by_parameter_scale!r}; it must be "
            "True or False"
        )
    check_number(f"{name} decay_rate", decay_rate, least=0.0)
    if clipping_threshold is not None:
        check_number(f"{name} clipping_threshold", clipping_threshold, above=0.0)
    if weight_decay_rate is not None:
        check_number(f"{name} weight_decay_rate", weight_decay_rate, least=0.0)
    check_number(f"{name} epsilon1", epsilon1, least=0.0)
    check_number(f"{name} epsilon2", epsilon2, least=0.0)
    settings = _Settings(
        min_dim_size_to_factor=min_dim_size_to_factor,
        decay_rate=decay_rate,
        clipping_threshold=clipping_threshold,
        multiply_by_parameter_scale=multiply_by_parameter_scale,
        weight_decay_rate=weight_decay_rate,
        epsilon1=epsilon1,
        epsilon2=epsilon2,
    )

    def init(params: Params) -> AdafactorState:
        moments = jax.tree.map(
            lambda param, is_stacked: _init_moments(param, is_stacked, settings),
            params,
            pytrees.match(params, stacked),
        )
        v_row, v_col, v = _unzip(params, moments, 3)
        return AdafactorState(jnp.zeros((), jnp.int32), v_row, v_col, v)

    def update(
        updates: Params, state: Tree, params: Params | None = None
    ) -> tuple[Params, AdafactorState]:
        if params is None:
            raise InputError(
                "Adafactor scales updates by the parameters; write tx.update(grads, state, params)."
            )
        rate = learning_rate(state.count) if callable(learning_rate) else learning_rate
        decay = 1.0 - (state.count + 1).astype(jnp.float32) ** -settings.decay_rate

        # Without intermediate trees, so that XLA fuses the passes over a parameter.
        def update_leaf(
            grad: jax.Array, param: jax.Array, is_stacked: bool, *moments: jax.Array
        ) -> tuple[jax.Array, ...]:
            is_factored = settings.factors(param.shape, is_stacked)
            direction, squares, moments = _second_moments(
                grad, moments, decay, is_factored=is_factored, epsilon=settings.epsilon1
            )
            step = _scaled_step(
                direction, squares, param, is_stacked, rate=rate, settings=settings
            )
            return step, *moments

        is_stacked = pytrees.match(params, stacked)
        leaves = jax.tree.map(
            update_leaf, updates, params, is_stacked, state.v_row, state.v_col, state.v
        )
        updates, v_row, v_col, v = _unzip(params, leaves, 4)
        count = jnp.asarray(optax.safe_increment(state.count))
        return updates, AdafactorState(count, v_row, v_col, v)

    return optax.GradientTransformation(init, update)


def _init_moments(param: jax.Array, is_stacked: bool, settings: _Settings) -> Moments:
    none = jnp.zeros((1,), jnp.float32)
    if not settings.factors(param.shape, is_stacked):
        return none, none, jnp.zeros(param.shape, jnp.float32)
    rows = param.shape[:-1]
    columns = (*param.shape[:-2], param.shape[-1])
    return jnp.zeros(rows, jnp.float32), jnp.zeros(columns, jnp.float32), none


def _second_moments(
    grad: Float[Array, "*shape"],
    moments: Moments,
    decay: jax.Array,
    *,
    is_factored: bool,
    epsilon: float,
) -> tuple[Float[Array, "*shape"], jax.Array, Moments]:
    """Divides the gradient by the root of its second moments.

    Returns:
      The direction, which is the quotient; its squares, or their means over each row of a factored
      parameter; and the new moments.
    """
    v_row, v_col, v = moments
    grad = grad.astype(jnp.float32)
    square = jnp.square(grad)
    if is_factored:
        row_means = jnp.mean(square, axis=-1) + epsilon
        column_means = _column_means(square) + epsilon
        v_row = decay * v_row + (1.0 - decay) * row_means
        v_col = decay * v_col + (1.0 - decay) * column_means
        row = jax.lax.rsqrt(v_row / jnp.mean(v_row, axis=-1, keepdims=True))
        column = jax.lax.rsqrt(v_col)
        direction = grad * row[..., :, None] * column[..., None, :]
        # Not from the direction: on CPU, XLA would write that to memory for its sum of squares.
        scaled = square * jnp.square(column)[..., None, :]
        squares = jnp.square(row) * jnp.mean(scaled, axis=-1)
    else:
        v = decay * v + (1.0 - decay) * (square + epsilon)
        direction = grad * jax.lax.rsqrt(v)
        squares = jnp.square(direction)
    return direction, squares, (v_row, v_col, v)


def _column_means(
    square: Float[Array, "*shape rows columns"],
) -> Float[Array, "*shape columns"]:
    """Returns the means over the rows.

    The time of XLA's sum on CPU grows with the square of the columns: a table of 32000 columns
    takes 60 ms, and 3 ms as a product with a row of ones.
    """
    rows, columns = square.shape[-2:]

    def mean(square: jax.Array) -> jax.Array:
        return jnp.mean(square, axis=-2)

    def mean_by_product(square: jax.Array) -> jax.Array:
        ones = jnp.ones((*square.shape[:-2], 1, rows), jnp.float32)
        return jnp.matmul(ones, square, precision="highest")[..., 0, :] / rows

    if columns <= WIDE:
        return mean(square)
    return jax.lax.platform_dependent(square, cpu=mean_by_product, default=mean)


def _scaled_step(
    direction: Float[Array, "*shape"],
    squares: jax.Array,
    param: Float[Array, "*shape"],
    is_stacked: bool,
    *,
    rate: jax.typing.ArrayLike,
    settings: _Settings,
) -> Float[Array, "*shape"]:
    """Returns the update of a parameter: the direction clipped and scaled, with weight decay.

    Args:
      direction: see _second_moments.
      squares: the direction's squares, or their means over each row.
      param: the parameter.
      is_stacked: whether it is a stack of layers.
      rate: the learning rate.
      settings: the optimizer's settings.
    """
    scale = jnp.asarray(rate, jnp.float32)
    if settings.clipping_threshold is not None:
        rms = _root_mean(squares, is_stacked, direction.ndim)
        scale = scale / jnp.maximum(1.0, rms / settings.clipping_threshold)
    if settings.multiply_by_parameter_scale:
        param_squares = jnp.square(param.astype(jnp.float32))
        rms = _root_mean(param_squares, is_stacked, param.ndim)
        scale = scale * jnp.maximum(settings.epsilon2, rms)
    step = scale * direction
    if settings.weight_decay_rate is not None:
        step = step + settings.weight_decay_rate * param
    return (-step).astype(param.dtype)


def _root_mean(squares: jax.Array, is_stacked: bool, rank: int) -> jax.Array:
    """Returns the root of the mean, or of the mean of each slice of a stack.

    Args:
      squares: the squares of a parameter, or their means over some axes.
      is_stacked: whether the first axis counts layers.
      rank: the number of axes of the result, which is ready to broadcast.
    """
    axes = tuple(range(int(is_stacked), squares.ndim))
    roots = jnp.sqrt(jnp.mean(squares, axis=axes))
    return jnp.expand_dims(roots, tuple(range(roots.ndim, rank)))


def _unzip(params: Params, tuples: Tree, arity: int) -> list[Tree]:
    """Turns a tree with tuples at the leaves of `params` into a tree for each place of them."""
    treedef = jax.tree.structure(params)
    columns = list(zip(*treedef.flatten_up_to(tuples), strict=True))
    if not columns:
        columns = [()] * arity
    return [treedef.unflatten(column) for column in columns]
