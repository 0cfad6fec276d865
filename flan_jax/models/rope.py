"""Rotary position embeddings (Su et al. 2021): their frequencies, the scaling of these for longer texts, the rotation."""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from flan_jax.errors import InputError, unknown_name

Frequencies = Float[np.ndarray, " half"]


def frequencies(head_dim: int, max_wavelength: float) -> Frequencies:
    """Radians per position, max_wavelength^(-2 i / head_dim), for each pair of channels i < head_dim / 2."""
    half = head_dim // 2
    return np.asarray(max_wavelength ** (-np.arange(half, dtype=np.float32) / half), np.float32)


def rotary(
    x: Float[Array, "batch length heads kv"],
    positions: Int[Array, "batch length"],
    frequencies: Float[Array, " half"],
) -> Float[Array, "batch length heads kv"]:
    """x turned by positions x frequencies in float32, pairing channel i with channel i + kv/2 as Llama and Gemma do."""
    half = x.shape[-1] // 2
    angle = positions[:, :, None, None].astype(jnp.float32) * frequencies[None, None, None, :]
    first, second = x[..., :half].astype(jnp.float32), x[..., half:].astype(jnp.float32)
    sin, cos = jnp.sin(angle), jnp.cos(angle)
    return jnp.concatenate(
        [first * cos - second * sin, second * cos + first * sin], axis=-1
    ).astype(x.dtype)


def _linear(frequencies: Frequencies, scaling: Mapping[str, Any]) -> Frequencies:
    """Position interpolation (Chen et al. 2023): every position counts 1 / factor."""
    return frequencies / np.float32(scaling["factor"])


def _llama3(frequencies: Frequencies, scaling: Mapping[str, Any]) -> Frequencies:
    """Llama 3.1's scaling (`apply_scaling` in Meta's llama-models).

    Channels that turn more than `high_freq_factor` times over the `original_max_position` tokens of pre-training keep
    their frequency, those that turn less than `low_freq_factor` times get 1 / factor of it; in between it is blended.
    """
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    turns = scaling["original_max_position"] * frequencies / (2 * np.pi)
    kept = np.clip((turns - low) / (high - low), 0.0, 1.0)
    return np.asarray(kept * frequencies + (1 - kept) * frequencies / scaling["factor"], np.float32)


# Each type of scaling with the settings that it must have.
SCALINGS: dict[str, tuple[Callable[..., Frequencies], tuple[str, ...]]] = {
    "linear": (_linear, ("factor",)),
    "llama3": (_llama3, ("factor", "low_freq_factor", "high_freq_factor", "original_max_position")),
}


def scaled(frequencies: Frequencies, scaling: Mapping[str, Any] | None) -> Frequencies:
    """The frequencies under a scaling that `check_scaling` let through; None leaves them as they are."""
    return frequencies if scaling is None else SCALINGS[scaling["type"]][0](frequencies, scaling)


def check_scaling(scaling: Mapping[str, Any]) -> None:
    """Raises InputError for a scaling of an unknown type, or with settings that are not those of its type."""
    if scaling.get("type") not in SCALINGS:
        raise unknown_name("rope_scaling type", str(scaling.get("type")), SCALINGS)
    needed = ("type", *SCALINGS[scaling["type"]][1])
    if set(scaling) != set(needed):
        raise InputError(
            f"rope_scaling has the settings {', '.join(sorted(scaling))}; {scaling['type']!r} takes exactly "
            f"{', '.join(needed)}: write all of them and no other."
        )
    for name in needed[1:]:
        if not isinstance(scaling[name], int | float) or not scaling[name] > 0:
            raise InputError(
                f"{name} of rope_scaling is {scaling[name]!r}; write a number above 0."
            )
    if scaling["type"] == "llama3" and not scaling["low_freq_factor"] < scaling["high_freq_factor"]:
        raise InputError(
            f"rope_scaling blends from low_freq_factor={scaling['low_freq_factor']} up to "
            f"high_freq_factor={scaling['high_freq_factor']}; write a lower and a higher one. Llama 3.1 has 1.0 and 4.0."
        )
