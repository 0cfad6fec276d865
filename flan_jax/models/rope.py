"""Rotary position embeddings (Su et al. 2021): frequencies, their scaling, and the rotation.

Axis letters: kv is the width of a head, half is kv / 2.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from flan_jax.errors import InputError, is_number, look_up

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


def _linear(
    frequencies: Frequencies, scaling: Scaling, max_wavelength: float
) -> Frequencies:
    """Position interpolation (Chen et al. 2023): a step of one position counts 1 / factor."""
    return frequencies / np.float32(scaling["factor"])


def _llama3(
    frequencies: Frequencies, scaling: Scaling, max_wavelength: float
) -> Frequencies:
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


def _yarn(
    frequencies: Frequencies, scaling: Scaling, max_wavelength: float
) -> Frequencies:
    """YaRN (Peng et al. 2023, section 3.2), with the whole bounds that transformers takes.

    Channels that turn more than `beta_fast` times over the `original_max_position` tokens of
    pre-training keep their frequency. It is divided by `factor` for those that turn less than
    `beta_slow` times, and interpolated in between by the number of the channel. The scores are
    scaled too, see `score_factor`.
    """
    half = len(frequencies)

    def channel_that_turns(times: float) -> float:
        wavelength = scaling["original_max_position"] / (2 * math.pi * times)
        return half * math.log(wavelength) / math.log(max_wavelength)

    low = max(math.floor(channel_that_turns(float(scaling["beta_fast"]))), 0)
    high = min(math.ceil(channel_that_turns(float(scaling["beta_slow"]))), 2 * half - 1)
    if low == high:
        high += 0.001  # as transformers has it
    channels = np.arange(half, dtype=np.float32)
    divided = np.clip((channels - low) / (high - low), 0.0, 1.0)
    slow = frequencies / np.float32(scaling["factor"])
    return np.asarray(divided * slow + (1 - divided) * frequencies, np.float32)


def yarn_attention_factor(factor: float, mscale: float = 1.0) -> float:
    """Returns YaRN's factor on rotated queries and on keys (Peng et al. 2023, equation 22).

    Args:
      factor: how many times longer than in pre-training texts are.
      mscale: multiplies the logarithm of `factor`.
    """
    if factor <= 1:
        return 1.0
    return 0.1 * mscale * math.log(factor) + 1.0


def score_factor(scaling: Scaling | None) -> float:
    """Returns the factor that a scaling brings to the attention scores; 1.0 for all but YaRN."""
    if scaling is None or scaling["type"] != "yarn":
        return 1.0
    # Queries and keys are multiplied each.
    return float(scaling["attention_factor"]) ** 2


@dataclasses.dataclass(frozen=True)
class ScalingType:
    """A way to scale frequencies.

    Attributes:
      apply: (frequencies, scaling, max_wavelength) -> scaled frequencies.
      settings: what a scaling of this type must set beside "type".
    """

    apply: Callable[[Frequencies, Scaling, float], Frequencies]
    settings: tuple[str, ...]


SCALINGS = {
    "linear": ScalingType(_linear, ("factor",)),
    "llama3": ScalingType(
        _llama3,
        ("factor", "low_freq_factor", "high_freq_factor", "original_max_position"),
    ),
    "yarn": ScalingType(
        _yarn,
        (
            "factor",
            "original_max_position",
            "beta_fast",
            "beta_slow",
            "attention_factor",
        ),
    ),
}


def scaled_frequencies(
    head_dim: int, max_wavelength: float, scaling: Scaling | None
) -> Frequencies:
    """Returns the frequencies under a scaling that `check_scaling` accepts; None for none.

    Args:
      head_dim: width of a head.
      max_wavelength: the base of the frequencies.
      scaling: the scaling.
    """
    unscaled = frequencies(head_dim, max_wavelength)
    if scaling is None:
        return unscaled
    return SCALINGS[scaling["type"]].apply(unscaled, scaling, max_wavelength)


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
        if not (is_number(value) and value > 0):
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
    if kind == "yarn" and not scaling["beta_slow"] < scaling["beta_fast"]:
        raise InputError(
            f"rope_scaling blends from beta_slow={scaling['beta_slow']} up to "
            f"beta_fast={scaling['beta_fast']}; write a lower and a higher one. Most models have "
            "1 and 32"
        )
