"""What the configurations of both architectures share."""

import abc
import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import flax.linen as nn
import jax

from flan_jax.batch import Architecture
from flan_jax.errors import InputError, unknown_name
from flan_jax.models.layers import Dense, Embed

if TYPE_CHECKING:  # models have configurations: model.py imports this module
    from flan_jax.models.model import Model

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "gelu": functools.partial(jax.nn.gelu, approximate=True),
    "linear": lambda x: x,
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
}


DTYPES = ("float32", "bfloat16")


# What a layer keeps for its backward pass. "minimal" keeps the outputs of matmuls with weights and recomputes the rest.
REMAT_POLICIES: dict[str, Callable[..., bool] | None] = {
    "none": None,
    "minimal": jax.checkpoint_policies.checkpoint_dots_with_no_batch_dims,
    "full": jax.checkpoint_policies.nothing_saveable,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig(abc.ABC):
    """What both architectures have in common; each adds its number of layers. Sizes are T5X's names and units.

    `dtype` is the compute dtype; parameters are always float32. `remat` names a policy of REMAT_POLICIES.
    `tied_logits_scale` multiplies the logits of a head that is tied to the embeddings; None is T5's emb_dim^-0.5.
    `logits_softcap` keeps logits within +-softcap (Gemma 2); the model's `logits` and the loss both read it.
    `attention_backend` is a name in models.attention_backends.BACKENDS; whether it can is checked by the subclasses.
    `dense` and `embed` make every weight matrix of the model: give a subclass to change all of them.
    Raises InputError for a size or a name that cannot be built.
    """

    vocab_size: int
    emb_dim: int
    num_heads: int
    head_dim: int
    mlp_dim: int
    mlp_activations: tuple[str, ...] = ("gelu", "linear")
    dropout_rate: float = 0.1
    dtype: str = "float32"
    logits_via_embedding: bool = False
    tied_logits_scale: int | float | None = None
    logits_softcap: int | float | None = None
    scan_layers: bool = True
    remat: str = "none"
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    attention_backend: str = "xla"
    dense: Callable[..., Any] = Dense
    embed: Callable[..., Any] = Embed

    def __post_init__(self):
        object.__setattr__(self, "mlp_activations", tuple(self.mlp_activations))
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type is int and (not isinstance(value, int) or value < 1):
                raise InputError(
                    f"{field.name} is {value!r}; it counts something: write a whole number of at least 1."
                )
        if not 0.0 <= self.dropout_rate < 1.0:
            raise InputError(
                f"dropout_rate is {self.dropout_rate}; write the fraction to drop, from 0.0 to below 1.0."
            )
        if not self.mlp_activations:
            raise InputError(
                'mlp_activations is empty; write ("gelu", "linear") for T5 1.1 or ("relu",) for T5 1.0.'
            )
        known = [("dtype", self.dtype, DTYPES), ("remat policy", self.remat, REMAT_POLICIES)]
        known += [("activation", name, ACTIVATIONS) for name in self.mlp_activations]
        for kind, name, names in known:
            if name not in names:
                raise unknown_name(kind, name, names)
        self._check_numbers("logits_softcap", "tied_logits_scale")
        self._check_buckets()

    def _check_numbers(self, *names: str):
        """The fields of these names: above 0 or None, and float from here on."""
        for name in names:
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"{name} is {value}; write a number above 0.")
            object.__setattr__(self, name, None if value is None else float(value))

    def _check_buckets(self):
        buckets, distance = (
            self.relative_attention_num_buckets,
            self.relative_attention_max_distance,
        )
        if buckets < 4 or buckets % 2 or distance <= buckets // 2:
            raise InputError(
                f"relative_attention_num_buckets={buckets} with relative_attention_max_distance={distance}: half the "
                "buckets hold one distance each, so the number must be even, at least 4, and its half below the "
                "maximum distance. T5 uses 32 and 128."
            )

    @property
    @abc.abstractmethod
    def architecture(self) -> Architecture:
        """The kind of batch that the model takes."""

    @abc.abstractmethod
    def build(self) -> "Model":
        """Returns the model, without parameters."""

    @abc.abstractmethod
    def train_flops(self, rows: int, lengths: Mapping[str, int]) -> int:
        """Returns the matmul FLOPs of one training step.

        Args:
          rows: rows of the batch.
          lengths: tokens of a row, {"inputs": E, "targets": D}; padding counts.
        """

    def embedder(self) -> Any:
        """The embeddings. Those of a tied head begin as small as gives logits of unit variance (T5's: unit variance)."""
        stddev = self.emb_dim**-0.5 / self.tied_scale if self.logits_via_embedding else 1.0
        init = nn.initializers.normal(stddev)
        return self.embed((self.vocab_size, self.emb_dim), embedding_init=init, dtype=self.dtype)

    @property
    def tied_scale(self) -> float:
        """What a tied head's logits are multiplied by; T5's emb_dim^-0.5 is for a table whose rows have unit variance."""
        return self.emb_dim**-0.5 if self.tied_logits_scale is None else self.tied_logits_scale

    @property
    def joined_kv(self) -> int:
        """The width of all heads together, the second size of the attention kernels."""
        return self.num_heads * self.head_dim

    @property
    def mlp_size(self) -> int:
        """Parameters of one Mlp."""
        return (len(self.mlp_activations) + 1) * self.emb_dim * self.mlp_dim


EXECUTION_SETTINGS = ("attention_backend", "microbatches", "remat", "scan_layers")
"""Settings that change how a result is computed, not the result: fields of a model's configuration,
and TrainConfig.microbatches. A run that has begun may go on with other values of them."""


def config_fields(config: ModelConfig) -> dict[str, object]:
    """Returns the name and the fields of a model's configuration, as JSON has them.

    A callable is given by module and name, and left out where it is the default of its field.

    >>> config_fields(EncoderDecoderConfig(vocab_size=64, dense=my_layers.Lora, ...))
    {'name': 'EncoderDecoderConfig', 'vocab_size': 64, 'dense': 'my_layers.Lora', ...}

    Args:
      config: a model's configuration.
    """
    fields: dict[str, object] = {"name": type(config).__name__}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if not callable(value):
            fields[field.name] = value
        elif value != field.default:
            fields[field.name] = callable_name(value)
    return fields


def callable_name(function: object) -> str:
    """Returns a name that is the same in every process: module, qualified name and bound arguments.

    >>> callable_name(functools.partial(my_layers.lora, rank=8))
    'my_layers.lora(rank=8)'

    Args:
      function: a function, a class, a functools.partial, or an instance with __call__; the
        arguments of an instance are known if it is a dataclass.
    """
    if isinstance(function, functools.partial):
        return _call_text(function.func, function.args, function.keywords)
    qualified_name = getattr(function, "__qualname__", None)
    if qualified_name is not None:
        return f"{function.__module__}.{qualified_name}"
    if not dataclasses.is_dataclass(function):
        return callable_name(type(function))
    fields = {field.name: getattr(function, field.name) for field in dataclasses.fields(function)}
    return _call_text(type(function), (), fields)


def _call_text(
    function: object, arguments: tuple[object, ...], keywords: Mapping[str, object]
) -> str:
    texts = [_argument_text(value) for value in arguments]
    texts += [f"{name}={_argument_text(value)}" for name, value in keywords.items()]
    return f"{callable_name(function)}({', '.join(texts)})"


def _argument_text(value: object) -> str:
    return callable_name(value) if callable(value) else repr(value)
