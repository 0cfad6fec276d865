"""A model family: its tensor names and its config.json, in and out."""

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from flan_jax.errors import InputError
from flan_jax.models.config import ModelConfig

Json = Mapping[str, Any]


IGNORED_TENSORS = r".*rotary_emb\.inv_freq|decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight"
"""Tensors that old files have and no model uses."""


ACTIVATIONS = {"gelu_new": "gelu", "gelu_pytorch_tanh": "gelu", "relu": "relu", "silu": "silu"}
"""Hugging Face's name of an activation -> ours."""


@dataclasses.dataclass(frozen=True)
class Family:
    """What config.json calls model_type and architectures, the table, and the configuration in both directions.

    `read(config_json, has_head)` gives ours, `write(config)` the model's part of config.json. `defaults` are the settings
    of a config.json that does not say them. `embeddings` are further names that the token embedding may have, which a file
    has in place of the table's, or repeats it under.
    """

    model_type: str
    architecture: str
    table: tuple[tuple[str, str], ...]
    read: Callable[[Json, bool], ModelConfig]
    write: Callable[[Any], dict[str, Any]]
    defaults: Json = dataclasses.field(default_factory=dict)
    embeddings: tuple[str, ...] = ()


def hf_names(family: Family, ours: Iterable[str]) -> dict[str, tuple[str, bool]]:
    """{our unrolled name: (their name, whether theirs is transposed)}. Raises InputError for a name without a row."""
    rows = {own: theirs for own, theirs in family.table}
    found = {}
    for name in ours:
        layer = re.search(r"/layers_(\d+)/", name)
        row = rows.get(re.sub(r"/layers_\d+/", "/layers_{i}/", name))
        if row is None:
            raise InputError(
                f"{family.model_type} models have no parameter for {name}: this model is of another family"
            )
        theirs = row.replace("{i}", layer.group(1) if layer else "")
        found[name] = theirs.removesuffix(".T"), theirs.endswith(".T")
    return found


def _untied(config: ModelConfig) -> bool:
    return not config.logits_via_embedding


def _refuse(config: Json, names: Iterable[str]) -> None:
    for name in names:
        if config.get(name):
            raise InputError(f"config.json sets {name} = {config[name]!r}, which is not supported")


_SILU, _GELU = {"hidden_act": "silu"}, {"hidden_activation": "gelu_pytorch_tanh"}
