"""Rotary position embeddings (Su et al. 2021): frequencies, their scaling, and the rotation.

Axis letters: kv is the width of a head, half is kv / 2.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from flan_jax.errors import InputError, look_up

Frequencies: TypeAlias = Float[np.ndarray, " half"]
"""Radians per position, for each pair of channels."""

Scaling: TypeAlias = Mapping[str, Any]
"""A type of scaling and its settings: {"type": "linear", "factor": 8.0}."""


def frequencies(head_dim: int, max_wavelength: float) -> Frequencies:
    """Returns max_wavelength^(-2 i / head_dim) for each pair of channels i < head_dim / 2."""
    half = head_dim // 2
    exponents = -np.arange(half, dtype=np.float32) / half
    return np.asarray(max_wavelength**exponents, np.float32)


def rotary(
    x: Float[Array, "batch length heads kv"],
    positions: Int[Array, "batch length"],
    frequencies: Float[Array, " half"],
) -> Float[Array, "batch length heads kv"]:
    """Rotates each pair of channels by position times frequency, in float32.

    Channel i is paired with channel i + kv / 2, as in Llama and Gemma.

    Args:
      x: queries or keys.
      positions: each token's position in its example.
      frequencies: radians per position.

    Returns:
      The rotated array, in the dtype of x.
    """
    half = x.shape[-1] // 2
    first = x[..., :half].astype(jnp.float32)
    second = x[..., half:].astype(jnp.float32)
    angle = (
        positions[:, :, None, None].astype(jnp.float32)
        * frequencies[None, None, None, :]
    )
    sin = jnp.sin(angle)
    cos = jnp.cos(angle)
    rotated = [first * cos - second * sin, second * cos + first * sin]
    return jnp.concatenate(rotated, axis=-1).astype(x.dtype)


def _linear(frequencies: Frequencies, scaling: Scaling) -> Frequencies:
    """Position interpolation (Chen et al. 2023): a step of one position counts 1 / factor."""
    return frequencies / np.float32(scaling["factor"])


def _llama3(frequencies: Frequencies, scaling: Scaling) -> Frequencies:
    """Llama 3.1's scaling (`apply_scaling` in Meta's llama-models).

    Channels that turn more than `high_freq_factor` times over the `original_max_position` tokens of
    pre-training keep their frequency. It is divided by `factor` for those that turn less than
    `low_freq_factor` times, and interpolated in between.
    """
    low = scaling["low_freq_factor"]
    high = scaling["high_freq_factor"]
    turns = scaling["original_max_position"] * frequencies / (2 * np.pi)
    share = np.clip((turns - low) / (high - low), 0.0, 1.0)
    blended = share * frequencies + (1 - share) * frequencies / scaling["factor"]
    return np.asarray(blended, np.float32)


@dataclasses.dataclass(frozen=True)
class ScalingType:
    """A way to scale frequencies.

    Attributes:
      apply: (frequencies, scaling) -> scaled frequencies.
      settings: what a scaling of this type must set beside "type".
    """

    apply: Callable[[Frequencies, Scaling], Frequencies]
    settings: tuple[str, ...]


SCALINGS = {
    "linear": ScalingType(_linear, ("factor",)),
    "llama3": ScalingType(
        _llama3,
        ("factor", "low_freq_factor", "high_freq_factor", "original_max_position"),
    ),
}


def scaled(frequencies: Frequencies, scaling: Scaling | None) -> Frequencies:
    """Returns the frequencies under a scaling that `check_scaling` accepts; None leaves them."""
    if scaling is None:
        return frequencies
    return SCALINGS[scaling["type"]].apply(frequencies, scaling)


def check_scaling(scaling: Scaling) -> None:
    """Checks the settings of a scaling.

    Args:
      scaling: {"type": one of SCALINGS, setting: number, ...}.

    Raises:
      InputError: the type is unknown, or the settings are not exactly those of the type.
    """
    kind = scaling.get("type")
    required = look_up(SCALINGS, "rope_scaling type", str(kind)).settings
    if set(scaling) != {"type", *required}:
        raise InputError(
            f"rope_scaling has the settings {', '.join(sorted(scaling))}; {kind!r} takes exactly "
            f"{', '.join(('type', *required))}: write all of them and no other"
        )
    for name in required:
        value = scaling[name]
        if not isinstance(value, int | float) or not value > 0:
            raise InputError(
                f"{name} of rope_scaling is {value!r}; write a number above 0"
            )
    if (
        kind == "llama3"
        and not scaling["low_freq_factor"] < scaling["high_freq_factor"]
    ):
        raise InputError(
            f"rope_scaling blends from low_freq_factor={scaling['low_freq_factor']} up to "
            f"high_freq_factor={scaling['high_freq_factor']}; write a lower and a higher one. "
            "Llama 3.1 has 1.0 and 4.0"
        )
