"""Looks up model families, and compares what two configurations compute."""

import dataclasses
import math
from collections.abc import Mapping

from flan_jax.errors import InputError
from flan_jax.json_files import JsonObject
from flan_jax.models.config import EXECUTION_SETTINGS, ModelConfig
from flan_jax.models.decoder import DecoderConfig

# These modules register their families.
from flan_jax.weights import family_gemma, family_llama, family_olmo, family_t5  # noqa: F401
from flan_jax.weights.family import FAMILIES, Family

NOT_IN_CHECKPOINT = (
    *EXECUTION_SETTINGS,
    "dropout_rate",
    "dtype",
    "dense",
    "embed",
    "attention",
    "prefix_lm",
    "start_id",
)
"""Settings that may differ between a run and the checkpoint that it starts from."""


def family_of_json(config_json: JsonObject) -> Family:
    """Returns the family that a config.json names in `model_type`.

    Args:
      config_json: the content of config.json.

    Returns:
      The family.

    Raises:
      InputError: there is no such family; the message lists those that are known.
    """
    name = config_json.get("model_type")
    if not isinstance(name, str) or name not in FAMILIES:
        # No hint at the nearest name: Mixtral is no Mistral.
        raise InputError(
            f"unknown model_type in config.json {str(name)!r}: models of this architecture are "
            f"not read. Those that are: {', '.join(sorted(FAMILIES))}"
        )
    return FAMILIES[name]


def family_of(config: ModelConfig) -> Family:
    """Returns the first registered family whose config.json can describe all of a model.

    Args:
      config: the configuration of the model.

    Returns:
      The family.

    Raises:
      InputError: there is none.
    """
    if isinstance(config, DecoderConfig) and config.position != "rope":
        raise InputError(
            "Hugging Face has no decoder with T5's relative positions, so this model cannot be "
            "exported there. Take --to=flan_jax"
        )

    has_head = not config.logits_via_embedding
    for family in FAMILIES.values():
        if not isinstance(config, family.config_class):
            continue
        described = family.read(family.write(config), has_head)
        if not differences(config, described):
            return family
    raise InputError(
        "no family of Hugging Face models has the features of this model; known: "
        f"{', '.join(FAMILIES)}"
    )


def differences(config: ModelConfig, other: ModelConfig) -> list[str]:
    """Returns the settings in which two models differ in what they compute.

    >>> differences(LLAMA, dataclasses.replace(LLAMA, num_layers=2, dtype="bfloat16"))
    ['num_layers: 32, not 2']

    Args:
      config: the model that is wanted.
      other: the model that is there.

    Returns:
      A text for each setting; dropout, precision and layout are not compared.
    """
    settings = _computed_settings(config)
    other_settings = _computed_settings(other)
    texts = []
    for name in sorted({*settings, *other_settings}):
        value = settings.get(name)
        other_value = other_settings.get(name)
        if not _is_same(value, other_value):
            texts.append(f"{name}: {value!r}, not {other_value!r}")
    return texts


def _is_same(value: object, other: object) -> bool:
    """Returns whether two settings are equal, but for the rounding of numbers to float32."""
    if isinstance(value, float) and isinstance(other, int | float):
        return math.isclose(value, other, rel_tol=1e-6)
    if isinstance(value, Mapping) and isinstance(other, Mapping):
        return value.keys() == other.keys() and all(
            _is_same(value[name], other[name]) for name in value
        )
    return value == other


def _computed_settings(config: ModelConfig) -> dict[str, object]:
    """Returns the settings that determine what a model computes, in one form."""
    settings: dict[str, object] = {}
    for field in dataclasses.fields(config):
        if field.name not in NOT_IN_CHECKPOINT:
            settings[field.name] = getattr(config, field.name)

    if not config.logits_via_embedding:
        settings["tied_logits_scale"] = None
    if not isinstance(config, DecoderConfig):
        return settings

    if config.num_kv_heads is None:
        settings["num_kv_heads"] = config.num_heads
    if config.position == "rope":
        # These are read by relative positions alone.
        del settings["relative_attention_num_buckets"]
        del settings["relative_attention_max_distance"]
    return settings
