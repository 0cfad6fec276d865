"""Weights that are not numbers: found while they are read, and named."""

from collections.abc import Collection

import jax
import jax.numpy as jnp
import numpy as np

from flan_jax.errors import InputError
from flan_jax.pytrees import Params, named_leaves
from flan_jax.weights.shapes import list_names


def is_finite(values: np.ndarray) -> bool:
    """Returns whether all values are finite.

    Args:
      values: numbers of any shape. Infinities and NaN stay in their sum, so that one pass over the
        memory is enough; only where a finite sum overflows, the values are looked at one by one.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(values.sum()):
            return True
    return bool(np.isfinite(values).all())


def check_params(params: Params, source: object) -> None:
    """Checks that all parameters are finite.

    Args:
      params: arrays on devices.
      source: where they come from, for the message.

    Raises:
      InputError: some are not; the message names them.
    """
    flags = _finite_flags(list(jax.tree.leaves(params)))
    names = list(named_leaves(params))
    damaged = [name for name, flag in zip(names, flags, strict=True) if not flag]
    refuse_damaged(damaged, source)


def refuse_damaged(names: Collection[str], source: object) -> None:
    """Raises InputError with the names of weights that are not finite, if there are any.

    Args:
      names: the names, in any order and more than once.
      source: the folder that they were read from.
    """
    if not names:
        return
    unique = sorted(set(names))
    raise InputError(
        f"{len(unique)} of the weights in {source} hold NaN or infinite numbers: "
        f"{list_names(unique)}. The model is damaged: copy it again, or take a checkpoint from "
        "before its training diverged"
    )


@jax.jit
def _finite_flags(leaves: list[jax.Array]) -> list[jax.Array]:
    return [jnp.isfinite(leaf).all() for leaf in leaves]
