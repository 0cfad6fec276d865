"""ModelConfig, the configuration that both architectures share, and Model, what it builds."""

import abc
import dataclasses
import functools
import typing
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias, runtime_checkable

import flax.linen as nn
import jax
from jaxtyping import Array, Float

from flan_jax.batch import Architecture, Batch
from flan_jax.errors import (
    InputError,
    add_to_registry,
    check_call,
    is_number,
    is_whole,
    look_up,
    unknown_name,
)
from flan_jax.models.layers import Dense, Embed, Hidden

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "gelu": functools.partial(jax.nn.gelu, approximate=True),
    "linear": lambda x: x,
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
}

DTYPES = ("float32", "bfloat16")
"""Compute dtypes. Parameters are always float32."""

REMAT_POLICIES: dict[str, Callable[..., bool] | None] = {
    "none": None,
    "minimal": jax.checkpoint_policies.checkpoint_dots_with_no_batch_dims,
    "full": jax.checkpoint_policies.nothing_saveable,
}
"""What a layer keeps for its backward pass; it recomputes the rest.

"none" keeps everything, "minimal" the outputs of matmuls with weights, "full" only the input of
the layer.
"""


def register_remat_policy(name: str, policy: Callable[..., bool]) -> None:
    """Adds a policy (see jax.checkpoint_policies) that ModelConfig.remat can name.

    Raises:
      InputError: another policy has this name, or it cannot be called as jax.checkpoint will.
    """
    check_call(
        policy, f"remat policy {name!r}", ["primitive", "operand"], ["parameter"]
    )
    add_to_registry(REMAT_POLICIES, "remat policy", name, policy)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig(abc.ABC):
    """Sizes and choices that both architectures share; each adds its numbers of layers.

    Sizes have T5X's names.

    Attributes:
      vocab_size: rows of the embedding table.
      emb_dim: width of the residual stream.
      num_heads: query heads of each attention.
      head_dim: width of one head.
      mlp_dim: hidden width of each MLP.
      mlp_activations: names in ACTIVATIONS; two of them make a gated MLP.
      dropout_rate: the fraction to drop, from 0.0 to below 1.0.
      dtype: the compute dtype, a name in DTYPES.
      logits_via_embedding: whether the output head is the embedding table.
      tied_logits_scale: factor on the logits of such a tied head; None is T5's emb_dim^-0.5.
      logits_softcap: bound of the logits' absolute value (Gemma 2); None for no bound.
      scan_layers: whether layers are compiled once (nn.scan) and their parameters stacked.
      remat: a name in REMAT_POLICIES.
      relative_attention_num_buckets: buckets of T5's relative position bias.
      relative_attention_max_distance: distance from which all positions share the last bucket.
      attention_backend: a name in attention_backends.BACKENDS.
      dense: makes every matrix that multiplies activations, from Dense's arguments; a subclass of
        Dense here changes all of them.
      embed: makes the token embedding, from Embed's arguments.

    Raises:
      InputError: a size or a name that no model can be built with.
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
            if field.type is int:
                self._check_count(field.name)
        self._check_rates_and_names()
        self._check_positive("logits_softcap", "tied_logits_scale")
        self._check_buckets()

    def _check_count(self, name: str) -> None:
        value = getattr(self, name)
        if not is_whole(value) or value < 1:
            raise InputError(f"{name} is {value!r}; write a whole number of at least 1")

    def _check_rates_and_names(self) -> None:
        if not (is_number(self.dropout_rate) and 0.0 <= self.dropout_rate < 1.0):
            raise InputError(
                f"dropout_rate is {self.dropout_rate}; write the fraction to drop, from 0.0 to "
                "below 1.0"
            )
        if not self.mlp_activations:
            raise InputError(
                'mlp_activations is empty; write ("gelu", "linear") for T5 1.1 or ("relu",) for '
                "T5 1.0"
            )
        if self.dtype not in DTYPES:
            raise unknown_name("dtype", self.dtype, DTYPES)
        look_up(REMAT_POLICIES, "remat policy", self.remat)
        for name in self.mlp_activations:
            look_up(ACTIVATIONS, "activation", name)

    def _check_positive(self, *names: str) -> None:
        """Checks that fields are above 0 or None, and makes them floats."""
        for name in names:
            value = getattr(self, name)
            if value is None:
                continue
            if not (is_number(value) and value > 0):
                raise InputError(f"{name} is {value!r}; write a number above 0")
            object.__setattr__(self, name, float(value))

    def _check_buckets(self) -> None:
        buckets = self.relative_attention_num_buckets
        distance = self.relative_attention_max_distance
        if buckets < 4 or buckets % 2 or distance <= buckets // 2:
            raise InputError(
                f"relative_attention_num_buckets is {buckets} and relative_attention_max_distance "
                f"is {distance}; half of the buckets hold one distance each, so their number must "
                "be even and at least 4, and its half below the maximum distance. T5 uses 32 and "
                "128"
            )

    @property
    @abc.abstractmethod
    def architecture(self) -> Architecture:
        """The kind of batch that the model takes."""

    @property
    def computes_supervised_logits_only(self) -> bool:
        """Whether training computes the head only where a position has loss.

        A decoder's row is mostly prompt. An encoder-decoder's holds targets alone.
        """
        return self.architecture == "decoder"

    @abc.abstractmethod
    def build(self) -> "Model":
        """Returns the model, without parameters."""

    @abc.abstractmethod
    def train_flops(
        self, rows: int, lengths: Mapping[str, int], supervised: int | None = None
    ) -> int:
        """Returns the matmul FLOPs of one training step.

        Args:
          rows: rows of the batch.
          lengths: tokens of a row, {"inputs": E, "targets": D}; padding counts.
          supervised: tokens of the batch with loss; None for what the lengths let expect, D a row.
        """

    def matmul_tokens(
        self,
        path: str,
        rows: int,
        lengths: Mapping[str, int],
        supervised: int | None = None,
    ) -> int:
        """Returns how many tokens of a batch a parameter multiplies; 0 if it is no matrix.

        Args:
          path: the parameter's path, "decoder/layers/mlp/wo/kernel".
          rows: rows of the batch.
          lengths: tokens of a row, {"inputs": E, "targets": D}; padding counts.
          supervised: tokens of the batch with loss; None for what the lengths let expect, D a row.
        """
        if self.is_head(path):
            return rows * lengths["targets"] if supervised is None else supervised
        is_matrix = path.endswith("/kernel")
        return rows * (lengths["inputs"] + lengths["targets"]) if is_matrix else 0

    def is_head(self, path: str) -> bool:
        """Returns whether the parameter of this path is the matrix that makes the logits."""
        if self.logits_via_embedding:
            return path == "token_embedder/embedding"
        return path == "decoder/logits_dense/kernel"

    def embedder(self) -> Embed:
        """Returns the token embedding.

        Its rows have unit variance, as T5's do. Under a tied head they start as small as gives the
        logits unit variance.
        """
        stddev = 1.0
        if self.logits_via_embedding:
            stddev = self.emb_dim**-0.5 / self.tied_scale
        return self.embed(
            (self.vocab_size, self.emb_dim),
            embedding_init=nn.initializers.normal(stddev),
            dtype=self.dtype,
        )

    @property
    def tied_scale(self) -> float:
        """Factor on the logits of a tied head.

        T5's default, emb_dim^-0.5, is for a table whose rows have unit variance.
        """
        if self.tied_logits_scale is None:
            return self.emb_dim**-0.5
        return self.tied_logits_scale

    @property
    def joined_kv(self) -> int:
        """Width of all query heads together, the second size of the attention kernels."""
        return self.num_heads * self.head_dim

    @property
    def mlp_size(self) -> int:
        """Number of parameters of one Mlp."""
        matrices = len(self.mlp_activations) + 1
        return matrices * self.emb_dim * self.mlp_dim


EXECUTION_SETTINGS = ("attention_backend", "microbatches", "remat", "scan_layers")
"""Settings that change how a result is computed, not the result: fields of a model's configuration,
and TrainConfig.microbatches. A run that has begun may go on with other values of them."""


_READ_FIELDS = (
    "vocab_size",
    "dtype",
    "logits_softcap",
    "logits_via_embedding",
    "computes_supervised_logits_only",
    "attention_backend",
    "num_heads",
    "head_dim",
    "remat",
    "scan_layers",
)
"""Attributes of a model's configuration that are read outside of the model itself."""

_CALLED_METHODS: dict[str, tuple[str, ...]] = {
    "build": (),
    "train_flops": ("rows", "lengths", "supervised"),
    "matmul_tokens": ("path", "rows", "lengths", "supervised"),
}
"""Methods of a model's configuration that are called, with their arguments."""


_Call: TypeAlias = tuple[tuple[str, ...], tuple[str, ...]]
"""(the positional arguments, the keyword arguments) of a call."""

_MODEL_METHODS: dict[str, _Call] = {
    "__call__": (("batch",), ()),
    "hidden": (("batch",), ("deterministic",)),
    "logits": (("hidden",), ()),
    "head_kernel": ((), ()),
}
"""Methods of a model of either architecture that are called."""

_DECODING_METHODS: dict[str, dict[str, _Call]] = {
    "decoder": {
        "decode_hidden": (
            ("tokens",),
            ("positions", "segment_ids", "cache_length", "prefix"),
        )
    },
    "encoder_decoder": {
        "encode": (("batch",), ()),
        "decode_hidden": (
            ("encoded", "encoder_segment_ids", "tokens"),
            ("positions", "segment_ids", "cross_segment_ids", "cache_length"),
        ),
    },
}
"""Further methods of a model, by its architecture."""


def check_model_config(model: Any) -> None:  # noqa: ANN401 (a user's class)
    """Checks that a configuration of a user's own has what will be read and called of it.

    So has the model that it builds. Otherwise it would fail when training has begun, or later.

    Args:
      model: what is given as MODEL.

    Raises:
      InputError: it is no configuration of a model, it lacks a member, or a method of it or of its
        model takes other arguments.
    """
    if not hasattr(model, "architecture"):
        raise InputError(
            f"MODEL is {model!r}; write MODEL = @from_warm_start(), @EncoderDecoderConfig() or "
            "@DecoderConfig()"
        )
    name = type(model).__name__
    missing = [
        member
        for member in (*_READ_FIELDS, *_CALLED_METHODS)
        if not hasattr(model, member)
    ]
    if missing or not dataclasses.is_dataclass(type(model)):
        lack = f"has no {', '.join(missing)}" if missing else "is no dataclass"
        raise InputError(
            f"MODEL is a {name}, which {lack}. Write it as a frozen dataclass that derives from "
            "flan_jax.models.config.ModelConfig"
        )
    architecture = model.architecture
    if architecture not in typing.get_args(Architecture):
        raise unknown_name(
            f"{name}.architecture", architecture, typing.get_args(Architecture)
        )
    for method, arguments in _CALLED_METHODS.items():
        check_call(getattr(model, method), f"{name}.{method}", arguments)

    module = model.build()
    calls = _MODEL_METHODS | _DECODING_METHODS[architecture]
    missing = [method for method in calls if not hasattr(module, method)]
    if missing:
        raise InputError(
            f"{name}.build() returns a {type(module).__name__}, which has no "
            f"{', '.join(missing)}. Write a flax.linen module with the methods of "
            "flan_jax.models.config.Model"
        )
    for method, (arguments, keywords) in calls.items():
        method_name = f"{type(module).__name__}.{method}"
        check_call(getattr(module, method), method_name, arguments, keywords)


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
    fields = {
        field.name: getattr(function, field.name)
        for field in dataclasses.fields(function)
    }
    return _call_text(type(function), (), fields)


def _call_text(
    function: object, arguments: tuple[object, ...], keywords: Mapping[str, object]
) -> str:
    texts = [_argument_text(value) for value in arguments]
    texts += [f"{name}={_argument_text(value)}" for name, value in keywords.items()]
    return f"{callable_name(function)}({', '.join(texts)})"


def _argument_text(value: object) -> str:
    return callable_name(value) if callable(value) else repr(value)


@runtime_checkable
class Model(Protocol):
    """A flax.linen module over packed batches (flan_jax.batch).

    Any module with these attributes is a Model; it need not derive from this class. As with every
    linen module the methods run through `apply`, with the parameters given:

        hidden = model.apply({"params": params}, batch, method="hidden")

    A model whose config says architecture "encoder_decoder" has a method `encode` too, which maps a
    batch to the encoder's outputs, [batch, encoder_length, embed].
    """

    @property
    def config(self) -> "ModelConfig":
        """The configuration that built the model."""
        ...

    @property
    def init(self) -> Callable[..., Any]:
        """flax.linen.Module.init: (random key, batch) -> {"params": boxed parameters}."""
        ...

    @property
    def apply(self) -> Callable[..., Any]:
        """flax.linen.Module.apply: runs the method named by `method` on given parameters."""
        ...

    def __call__(
        self, batch: Batch, *, deterministic: bool = True
    ) -> Float[Array, "batch length vocab"]:
        """Returns the float32 logits of all decoder positions."""
        ...

    def hidden(self, batch: Batch, *, deterministic: bool = True) -> Hidden:
        """Returns the decoder's outputs, [batch, length, embed] in the compute dtype."""
        ...

    @property
    def decode_hidden(self) -> Callable[..., Hidden]:
        """Returns the outputs for the next tokens of each row, with a KV cache.

        An encoder-decoder takes the encoder's outputs and segment ids before the tokens; a decoder
        takes the tokens alone.
        """
        ...

    def logits(self, hidden: Hidden) -> Float[Array, "batch length vocab"]:
        """Returns the float32 logits of hidden states, with the config's soft cap applied."""
        ...

    def head_kernel(self) -> Float[Array, "embed vocab"]:
        """Returns the matrix from hidden states to logits, in the compute dtype."""
        ...
