"""The encoder-decoder: T5 1.1 and its relatives (FLAN-T5, T0, mT5, UL2).

Parameter tree (unrolled; under `scan_layers` the layers lie stacked in "layers"):
    token_embedder/embedding
    encoder/{relpos_bias/rel_embedding, encoder_norm/scale}
    encoder/layers_0/{pre_attention_layer_norm, attention, pre_mlp_layer_norm, mlp}
    decoder/{relpos_bias/rel_embedding, decoder_norm/scale, logits_dense/kernel}
    decoder/layers_0/{pre_self_attention_layer_norm, self_attention,
                      pre_cross_attention_layer_norm, encoder_decoder_attention,
                      pre_mlp_layer_norm, mlp}
"""

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

import flax.linen as nn
import flax.struct
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from flan_jax.batch import Batch
from flan_jax.models.attention import Attention, CacheStep, cache_step
from flan_jax.models.attention_backends import AttentionMask, Bias, check_config
from flan_jax.models.blocks import (
    Mlp,
    RelativePositionBias,
    head_kernel,
    head_logits,
    stack_layers,
)
from flan_jax.models.config import ModelConfig
from flan_jax.models.layers import RESIDUAL, Dropout, Hidden, RMSNorm
from flan_jax.models.masks import cache_mask, decoder_mask, segment_mask
from flan_jax.parallel.sharding import HEAD, constrain

Encoded = Float[Array, "batch encoder_length embed"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncoderDecoderConfig(ModelConfig):
    """Sizes of an encoder-decoder; the defaults are T5 1.1's choices.

    T5 1.1 small is:

    >>> EncoderDecoderConfig(vocab_size=32128, emb_dim=512, num_heads=6, head_dim=64, mlp_dim=1024,
    ...                      num_encoder_layers=8, num_decoder_layers=8)

    Attributes:
      num_encoder_layers: layers of the encoder.
      num_decoder_layers: layers of the decoder.
      attention: makes every attention module, from Attention's arguments; a subclass of Attention
        here changes all of them.
    """

    num_encoder_layers: int
    num_decoder_layers: int
    attention: Callable[..., Any] = Attention

    def __post_init__(self):
        super().__post_init__()
        check_config(self, dense_mask=True, bias=True)

    @property
    def architecture(self) -> Literal["encoder_decoder"]:
        """The kind of batch that the model takes."""
        return "encoder_decoder"

    def build(self) -> "EncoderDecoder":
        """Returns the model, without parameters."""
        return EncoderDecoder(self)

    def train_flops(
        self, rows: int, lengths: Mapping[str, int], supervised: int | None = None
    ) -> int:
        """Returns the matmul FLOPs of one training step.

        Six per parameter and token that it multiplies: 2 forward and 4 backward. Embedding look-ups
        are free, the head is not; the keys and values of cross-attention are of encoder tokens.
        Each attention adds 12 x queries x keys x joined_kv for its two products. Recomputation
        under remat does not count, and masked attention is not subtracted.

        Args:
          rows: rows of the batch.
          lengths: tokens of a row, {"inputs": E, "targets": D}; padding counts.
          supervised: tokens of the batch with loss; the head is computed for the others, too.
        """
        del supervised
        encoder_length = lengths["inputs"]
        decoder_length = lengths["targets"]
        kernel = self.emb_dim * self.joined_kv

        encoder_layer = 4 * kernel + self.mlp_size
        decoder_layer = 6 * kernel + self.mlp_size
        cross_keys_and_values = 2 * kernel
        per_encoder_token = (
            self.num_encoder_layers * encoder_layer
            + self.num_decoder_layers * cross_keys_and_values
        )
        per_decoder_token = (
            self.num_decoder_layers * decoder_layer + self.emb_dim * self.vocab_size
        )
        products = (
            encoder_length * per_encoder_token + decoder_length * per_decoder_token
        )

        encoder_pairs = encoder_length**2
        decoder_pairs = decoder_length**2 + decoder_length * encoder_length
        pairs = (
            self.num_encoder_layers * encoder_pairs
            + self.num_decoder_layers * decoder_pairs
        )
        return rows * (6 * products + 12 * pairs * self.joined_kv)

    def matmul_tokens(
        self,
        path: str,
        rows: int,
        lengths: Mapping[str, int],
        supervised: int | None = None,
    ) -> int:
        """Returns the tokens of the encoder or the decoder, see ModelConfig.matmul_tokens."""
        if not (self.is_head(path) or path.endswith("/kernel")):
            return 0
        reads_encoder = re.search(
            r"^encoder/|encoder_decoder_attention/(key|value)/", path
        )
        return rows * lengths["inputs" if reads_encoder else "targets"]


@flax.struct.dataclass
class EncoderContext:
    """What every encoder layer takes beside its input.

    Attributes:
      mask: attention within each example.
      bias: the relative position bias.
    """

    mask: AttentionMask
    bias: Float[Array, "1 heads length length"]


class EncoderLayer(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)).

    Attributes:
      config: the model's configuration.
      deterministic: whether to leave out dropout.
    """

    config: EncoderDecoderConfig
    deterministic: bool

    @nn.compact
    def __call__(self, x: Hidden, context: EncoderContext) -> tuple[Hidden, None]:
        """Returns (outputs, None), as a scan over layers takes it."""
        config = self.config

        y = RMSNorm(config.dtype, name="pre_attention_layer_norm")(x)
        attention = config.attention(config, self.deterministic, name="attention")
        y = attention(y, mask=context.mask, bias=context.bias)
        x = x + Dropout(config.dropout_rate)(y, self.deterministic)

        y = RMSNorm(config.dtype, name="pre_mlp_layer_norm")(x)
        y = Mlp(config, self.deterministic, name="mlp")(y)
        x = x + Dropout(config.dropout_rate)(y, self.deterministic)
        return constrain(x, RESIDUAL), None


class Encoder(nn.Module):
    """The stack of encoder layers.

    Attributes:
      config: the model's configuration.
    """

    config: EncoderDecoderConfig

    @nn.compact
    def __call__(
        self, x: Hidden, segment_ids: Int[Array, "batch length"], deterministic: bool
    ) -> Hidden:
        """Returns the encoder's outputs for embedded tokens and their segment ids."""
        config = self.config
        bias = RelativePositionBias(config, bidirectional=True, name="relpos_bias")(
            x.shape[1]
        )
        mask = AttentionMask(segment_mask(segment_ids, segment_ids))

        x = Dropout(config.dropout_rate)(constrain(x, RESIDUAL), deterministic)
        x = stack_layers(
            EncoderLayer,
            config,
            config.num_encoder_layers,
            x=x,
            context=EncoderContext(mask, bias),
            deterministic=deterministic,
        )
        x = RMSNorm(config.dtype, name="encoder_norm")(x)
        return Dropout(config.dropout_rate)(x, deterministic)


@flax.struct.dataclass
class DecoderContext:
    """What every decoder layer takes beside its input.

    Attributes:
      encoded: the encoder's outputs.
      mask: self-attention.
      cross_mask: attention to the encoder's outputs.
      bias: the relative position bias of self-attention.
      step: where new tokens go in the KV cache; None without a cache.
    """

    encoded: Encoded
    mask: AttentionMask
    cross_mask: AttentionMask
    bias: Bias
    step: CacheStep | None = None


class DecoderLayer(nn.Module):
    """Self-attention, cross-attention and Mlp, each on a normed input and added to the residual.

    Attributes:
      config: the model's configuration.
      deterministic: whether to leave out dropout.
    """

    config: EncoderDecoderConfig
    deterministic: bool

    @nn.compact
    def __call__(self, x: Hidden, context: DecoderContext) -> tuple[Hidden, None]:
        """Returns (outputs, None), as a scan over layers takes it."""
        config = self.config
        is_cached = context.step is not None

        y = RMSNorm(config.dtype, name="pre_self_attention_layer_norm")(x)
        attention = config.attention(config, self.deterministic, name="self_attention")
        y = attention(y, mask=context.mask, bias=context.bias, step=context.step)
        x = x + Dropout(config.dropout_rate)(y, self.deterministic)

        y = RMSNorm(config.dtype, name="pre_cross_attention_layer_norm")(x)
        attention = config.attention(
            config, self.deterministic, name="encoder_decoder_attention"
        )
        y = attention.cross(
            y, context.encoded, mask=context.cross_mask, cached=is_cached
        )
        x = x + Dropout(config.dropout_rate)(y, self.deterministic)

        y = RMSNorm(config.dtype, name="pre_mlp_layer_norm")(x)
        y = Mlp(config, self.deterministic, name="mlp")(y)
        x = x + Dropout(config.dropout_rate)(y, self.deterministic)
        return constrain(x, RESIDUAL), None


class Decoder(nn.Module):
    """The stack of decoder layers, with the position bias and the head.

    Attributes:
      config: the model's configuration.
    """

    config: EncoderDecoderConfig

    def setup(self):
        """Makes the position bias and, unless it is tied, the head."""
        config = self.config
        self.relpos_bias = RelativePositionBias(config, bidirectional=False)
        if not config.logits_via_embedding:
            shape = (config.emb_dim, config.vocab_size)
            self.logits_dense = config.dense(shape, HEAD, dtype=config.dtype)

    @nn.compact
    def __call__(
        self, x: Hidden, context: DecoderContext, deterministic: bool
    ) -> Hidden:
        """Returns the outputs after the final norm and dropout, for embedded tokens."""
        config = self.config
        x = Dropout(config.dropout_rate)(constrain(x, RESIDUAL), deterministic)
        x = stack_layers(
            DecoderLayer,
            config,
            config.num_decoder_layers,
            x=x,
            context=context,
            deterministic=deterministic,
        )
        x = RMSNorm(config.dtype, name="decoder_norm")(x)
        return Dropout(config.dropout_rate)(x, deterministic)

    def context(
        self,
        encoded: Encoded,
        encoder_segment_ids: Int[Array, "batch encoder_length"],
        *,
        segment_ids: Int[Array, "batch length"],
        cross_segment_ids: Int[Array, "batch length"],
    ) -> DecoderContext:
        """Returns the context for all tokens of a row at once.

        Args:
          encoded: the encoder's outputs.
          encoder_segment_ids: the example of each encoder token.
          segment_ids: the example of each decoder token.
          cross_segment_ids: the encoder's example that each decoder token attends to.
        """
        mask = decoder_mask(segment_ids)
        cross_mask = segment_mask(cross_segment_ids, encoder_segment_ids)
        bias = self.relpos_bias(segment_ids.shape[1])
        return DecoderContext(
            encoded, AttentionMask(mask), AttentionMask(cross_mask), bias
        )

    def cached_context(
        self,
        encoded: Encoded,
        encoder_segment_ids: Int[Array, "batch encoder_length"],
        step: CacheStep,
    ) -> DecoderContext:
        """Returns the context for new tokens against the KV cache; a row holds one example.

        Args:
          encoded: the encoder's outputs.
          encoder_segment_ids: above 0 where an encoder token is not padding.
          step: where the new tokens go in the cache.
        """
        mask = cache_mask(step.positions, step.length)
        is_encoder_token = jnp.minimum(encoder_segment_ids, 1)
        cross_mask = segment_mask(jnp.ones_like(step.positions), is_encoder_token)
        cache_positions = jnp.arange(step.length)[None]
        bias = self.relpos_bias.between(step.positions, cache_positions)
        return DecoderContext(
            encoded, AttentionMask(mask), AttentionMask(cross_mask), bias, step
        )


class EncoderDecoder(nn.Module):
    """T5 1.1 over packed batches (flan_jax.batch).

    Methods run through `model.apply(variables, ..., method=name)`; see models.config.Model.

    Attributes:
      config: the model's configuration.
    """

    config: EncoderDecoderConfig

    def setup(self):
        """Makes the embedding and the two stacks."""
        config = self.config
        self.token_embedder = config.embedder()
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    def __call__(
        self, batch: Batch, *, deterministic: bool = True
    ) -> Float[Array, "batch length vocab"]:
        """Returns the float32 logits of all decoder positions.

        Training reads `hidden` and the head instead and never holds all logits at once.
        """
        return self.logits(self.hidden(batch, deterministic=deterministic))

    def hidden(self, batch: Batch, *, deterministic: bool = True) -> Hidden:
        """Returns the decoder's outputs after the final norm and dropout, in the compute dtype.

        Args:
          batch: a packed batch.
          deterministic: whether to leave out dropout.
        """
        inputs = batch["encoder_input_tokens"]
        targets = batch["decoder_input_tokens"]
        encoder_segment_ids = batch["encoder_segment_ids"]
        segment_ids = batch["decoder_segment_ids"]
        # One look-up for both stacks: the table gets one gradient, not a sum of two of its size.
        tokens = jnp.concatenate([inputs, targets], axis=1)
        embedded = self.token_embedder(tokens)
        x, y = jnp.split(embedded, [inputs.shape[1]], axis=1)

        encoded = self.encoder(x, encoder_segment_ids, deterministic)
        context = self.decoder.context(
            encoded,
            encoder_segment_ids,
            segment_ids=segment_ids,
            cross_segment_ids=segment_ids,
        )
        return self.decoder(y, context, deterministic)

    def encode(self, batch: Batch, *, deterministic: bool = True) -> Encoded:
        """Returns the encoder's outputs in the compute dtype.

        Args:
          batch: a packed batch; only the encoder_* features are read.
          deterministic: whether to leave out dropout.
        """
        x = self.token_embedder(batch["encoder_input_tokens"])
        return self.encoder(x, batch["encoder_segment_ids"], deterministic)

    def decode_hidden(  # noqa: PLR0913 (packed rows and decoding with a cache differ in these)
        self,
        encoded: Encoded,
        encoder_segment_ids: Int[Array, "batch encoder_length"],
        tokens: Int[Array, "batch length"],
        *,
        segment_ids: Int[Array, "batch length"] | None = None,
        cross_segment_ids: Int[Array, "batch length"] | None = None,
        positions: Int[Array, "batch length"] | None = None,
        cache_length: int | None = None,
        deterministic: bool = True,
    ) -> Hidden:
        """Returns the decoder's outputs for tokens, given the encoder's outputs.

        Without `cache_length` the tokens are whole rows. With it they are the next tokens of each
        row and attend to a KV cache: apply with mutable=["cache"]. The first call makes the cache
        and keeps the keys and values of cross-attention, which later calls read instead of
        `encoded`.

        Args:
          encoded: what `encode` returns.
          encoder_segment_ids: the example of each encoder token.
          tokens: decoder input tokens.
          segment_ids: the example of each token; None for one example per row. With a cache, 0
            marks padding.
          cross_segment_ids: the encoder's example that each token attends to; None for the one of
            the same number. With it several answers to one prompt can lie in a row.
          positions: each token's position in its sequence; only for decoding with a cache.
          cache_length: the number of positions in the cache.
          deterministic: whether to leave out dropout.
        """
        if cache_length is None:
            if segment_ids is None:
                segment_ids = jnp.ones_like(tokens)
            if cross_segment_ids is None:
                cross_segment_ids = segment_ids
            context = self.decoder.context(
                encoded,
                encoder_segment_ids,
                segment_ids=segment_ids,
                cross_segment_ids=cross_segment_ids,
            )
        else:
            step = cache_step(tokens, positions, segment_ids, length=cache_length)
            context = self.decoder.cached_context(encoded, encoder_segment_ids, step)
        return self.decoder(self.token_embedder(tokens), context, deterministic)

    def logits(self, hidden: Hidden) -> Float[Array, "batch length vocab"]:
        """Returns the float32 logits of hidden states, with the config's soft cap applied."""
        return head_logits(hidden, self.head_kernel(), self.config.logits_softcap)

    def head_kernel(self) -> Float[Array, "embed vocab"]:
        """Returns the matrix from hidden states to logits, in the compute dtype."""
        logits_dense = getattr(self.decoder, "logits_dense", None)
        return head_kernel(self.config, self.token_embedder, logits_dense)
