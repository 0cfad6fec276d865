"""The interface of a model, which both architectures implement and the rest of the code calls."""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array, Float

from flan_jax.batch import Batch
from flan_jax.models.config import ModelConfig
from flan_jax.models.layers import Hidden


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
    def config(self) -> ModelConfig:
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
