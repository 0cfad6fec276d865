"""A model family: the tensor names and the config.json of public models, and ours.

A module adds a family with one call of `register_family`; Hugging Face folders of that family can
then be read and written.
"""

import dataclasses
import math
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeAlias

from flan_jax.errors import InputError, add_to_registry, check_call
from flan_jax.json_files import JsonObject
from flan_jax.models.config import ModelConfig

ConfigReader: TypeAlias = Callable[[JsonObject, bool], ModelConfig]
ConfigWriter: TypeAlias = Callable[[Any], dict[str, Any]]

IGNORED_TENSORS = re.compile(
    r".*rotary_emb\.inv_freq"
    r"|decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight"
)
"""Tensors that old files have and no model uses."""

HF_ACTIVATIONS = {
    "gelu_new": "gelu",
    "gelu_pytorch_tanh": "gelu",
    "relu": "relu",
    "silu": "silu",
}
"""Hugging Face's name of an activation -> ours."""


COUNTS = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "sliding_window",
    "max_position_embeddings",
    "d_model",
    "d_kv",
    "d_ff",
    "num_layers",
    "num_decoder_layers",
    "num_heads",
    "relative_attention_num_buckets",
    "relative_attention_max_distance",
)
"""Settings of config.json that are whole numbers from 1; some may be null."""

MOST = 100_000_000
"""No setting in COUNTS is larger."""

POSITIVE_NUMBERS = (
    "rms_norm_eps",
    "layer_norm_epsilon",
    "rope_theta",
    "rope_local_base_freq",
    "query_pre_attn_scalar",
    "attn_logit_softcapping",
    "final_logit_softcapping",
)
"""Settings of config.json that are finite numbers above 0; some may be null."""


class HfName(NamedTuple):
    """Hugging Face's name of a parameter, and whether its tensor is the transpose of ours."""

    name: str
    transposed: bool


@dataclasses.dataclass(frozen=True)
class Family:
    """A family of models in Hugging Face's format.

    Attributes:
      model_type: the family's name in config.json.
      architecture: the name of transformers' class, in config.json's `architectures`.
      config_class: the class of our configuration.
      table: (our name, their name) of each parameter. `{i}` stands for the number of a layer; a
        trailing ".T" says that theirs is the transpose of ours. Rows for parameters that a model
        does not have are not used: the table of T5 has the rows of T5 1.0 and of T5 1.1.
      read: read(config.json, whether the file has a tensor for the head) -> our configuration.
      write: write(our configuration) -> the part of config.json that describes the model.
      defaults: values of settings that a config.json leaves out.
      embedding_aliases: further names of the token embedding. A file may have it under one of
        these in place of the table's name, or repeat it there.
      sentencepiece_file: the name of a SentencePiece model in the folder.
    """

    model_type: str
    architecture: str
    config_class: type[ModelConfig]
    table: tuple[tuple[str, str], ...]
    read: ConfigReader
    write: ConfigWriter
    defaults: JsonObject = dataclasses.field(default_factory=dict)
    embedding_aliases: tuple[str, ...] = ()
    sentencepiece_file: str = "tokenizer.model"


FAMILIES: dict[str, Family] = {}
"""All families by model_type. An export without an original takes the first one that fits."""


def register_family(family: Family) -> Family:
    """Adds a family to those whose folders can be read and written, and returns it.

    Args:
      family: the family.

    Returns:
      The same family.

    Raises:
      InputError: another family has its model_type, or `read` or `write` takes other arguments than
        it gets.
    """
    name = f"model family {family.model_type!r}"
    check_call(family.read, f"{name}: read", ["config_json", "has_head"])
    check_call(family.write, f"{name}: write", ["config"])
    add_to_registry(FAMILIES, "model_type", family.model_type, family)
    return family


def hf_names(family: Family, names: Iterable[str]) -> dict[str, HfName]:
    """Returns Hugging Face's names of parameters.

    >>> hf_names(LLAMA, ["decoder/layers_3/mlp/wo/kernel"])
    {'decoder/layers_3/mlp/wo/kernel': HfName('model.layers.3.mlp.down_proj.weight', True)}

    Args:
      family: the model's family.
      names: our names, with layers one by one.

    Raises:
      InputError: the family has no such parameter.
    """
    rows = dict(family.table)
    theirs = {}
    for name in names:
        row = rows.get(re.sub(r"/layers_\d+/", "/layers_{i}/", name))
        if row is None:
            raise InputError(
                f"{family.model_type} models have no parameter for {name}: this model is of "
                "another family. Change MODEL, or give an original of its family"
            )
        layer = re.search(r"/layers_(\d+)/", name)
        if layer is not None:
            row = row.replace("{i}", layer.group(1))
        theirs[name] = HfName(row.removesuffix(".T"), row.endswith(".T"))
    return theirs


def check_numbers(config_json: JsonObject) -> None:
    """Checks the numbers in a config.json before anything is computed with them.

    Args:
      config_json: the content of config.json.

    Raises:
      InputError: a size is not a whole number from 1 to MOST, or another number is not positive and
        finite; the message names the setting.
    """
    for name in COUNTS:
        value = config_json.get(name)
        is_count = isinstance(value, int) and not isinstance(value, bool)
        if value is not None and not (is_count and 1 <= value <= MOST):
            raise InputError(
                f"{name} is {value!r}; it must be a whole number from 1 to {MOST:,}. Copy the file "
                "again"
            )
    for name in POSITIVE_NUMBERS:
        value = config_json.get(name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and not (is_number and 0 < value < math.inf):
            raise InputError(
                f"{name} is {value!r}; it must be a number above 0. Copy the file again"
            )


def refuse_settings(config_json: JsonObject, *names: str) -> None:
    """Refuses a config.json that turns on settings which are not supported.

    Args:
      config_json: the content of config.json.
      *names: the settings that must be absent or falsy.

    Raises:
      InputError: one of the settings is turned on.
    """
    for name in names:
        if config_json.get(name):
            raise InputError(
                f"config.json sets {name} = {config_json[name]!r}, which is not supported. Take a "
                "model without it"
            )
