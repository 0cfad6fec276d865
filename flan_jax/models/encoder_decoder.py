"""The encoder-decoder: T5 1.1 and its relatives (FLAN-T5, T0, mT5, UL2).

Parameter tree (unrolled; under `scan_layers` the layers lie stacked in "layers"):
    token_embedder/embedding
    encoder/{relpos_bias/rel_embedding, encoder_norm/scale}
    encoder/layers_0/{pre_attention_layer_norm, attention, pre_mlp_layer_norm, mlp}
    decoder/{relpos_bias/rel_embedding, decoder_norm/scale, logits_dense/kernel}
    decoder/layers_0/{pre_self_attention_layer_norm, self_attention, pre_cross_attention_layer_norm,
                      encoder_decoder_attention, pre_mlp_layer_norm, mlp}
"""

import dataclasses
from collections.abc import Mapping
from typing import Literal

import flax.linen as nn
import flax.struct
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from flan_jax.batch import Batch
from flan_jax.models.attention import Attention, CacheStep, cache_step
from flan_jax.models.attention_backends import AttentionMask, check_config
from flan_jax.models.blocks import Mlp, RelativePositionBias, head_kernel, head_logits, stack_layers
from flan_jax.models.config import ModelConfig
from flan_jax.models.layers import RESIDUAL, Dropout, Hidden, RMSNorm, constrain
from flan_jax.models.masks import cache_mask, decoder_mask, segment_mask


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncoderDecoderConfig(ModelConfig):
    """Sizes of an encoder-decoder; the defaults are T5 1.1's choices. T5 1.1 small is

    EncoderDecoderConfig(vocab_size=32128, emb_dim=512, num_heads=6, head_dim=64, mlp_dim=1024,
                         num_encoder_layers=8, num_decoder_layers=8)
    """

    num_encoder_layers: int
    num_decoder_layers: int

    def __post_init__(self):
        super().__post_init__()
        check_config(self, rule=True, bias=True)

    @property
    def architecture(self) -> Literal["encoder_decoder"]:
        return "encoder_decoder"

    def build(self) -> "EncoderDecoder":
        return EncoderDecoder(self)

    def train_flops(self, rows: int, lengths: Mapping[str, int]) -> int:
        """Matmul FLOPs of one training step on `rows` rows of {"inputs": E, "targets": D} tokens, padding included.

        Six per parameter and token it multiplies (2 forward, 4 backward; embedding look-ups are free, the head is
        not; the cross-attention's key and value see encoder tokens) and 12 x Q x K x joined_kv per attention for its
        two products. Recomputation under remat does not count, nor is masked attention taken off.
        """
        encoder, decoder, kernel = (
            lengths["inputs"],
            lengths["targets"],
            self.emb_dim * self.joined_kv,
        )
        per_encoder_token = (
            self.num_encoder_layers * (4 * kernel + self.mlp_size)
            + self.num_decoder_layers * 2 * kernel
        )
        per_decoder_token = (
            self.num_decoder_layers * (6 * kernel + self.mlp_size) + self.emb_dim * self.vocab_size
        )
        pairs = self.num_encoder_layers * encoder**2 + self.num_decoder_layers * (
            decoder**2 + decoder * encoder
        )
        weights = encoder * per_encoder_token + decoder * per_decoder_token
        return rows * (6 * weights + 12 * pairs * self.joined_kv)


@flax.struct.dataclass
class EncoderContext:
    """What every encoder layer sees beside its input."""

    mask: AttentionMask
    bias: Float[Array, "1 heads length length"]


class EncoderLayer(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    config: EncoderDecoderConfig
    deterministic: bool

    @nn.compact
    def __call__(self, x: Hidden, context: EncoderContext) -> tuple[Hidden, None]:
        config, deterministic = self.config, self.deterministic
        y = RMSNorm(config.dtype, name="pre_attention_layer_norm")(x)
        y = Attention(config, deterministic, name="attention")(
            y, mask=context.mask, bias=context.bias
        )
        x = x + Dropout(config.dropout_rate)(y, deterministic)
        y = RMSNorm(config.dtype, name="pre_mlp_layer_norm")(x)
        y = Mlp(config, deterministic, name="mlp")(y)
        return constrain(x + Dropout(config.dropout_rate)(y, deterministic), RESIDUAL), None


class Encoder(nn.Module):
    """Embedded tokens and their segment ids -> encoder outputs."""

    config: EncoderDecoderConfig

    @nn.compact
    def __call__(
        self, x: Hidden, segment_ids: Int[Array, "batch length"], deterministic: bool
    ) -> Hidden:
        config = self.config
        bias = RelativePositionBias(config, bidirectional=True, name="relpos_bias")(x.shape[1])
        context = EncoderContext(AttentionMask(segment_mask(segment_ids, segment_ids)), bias)
        x = Dropout(config.dropout_rate)(constrain(x, RESIDUAL), deterministic)
        layers = config.num_encoder_layers
        x = stack_layers(
            EncoderLayer, config, layers, x=x, context=context, deterministic=deterministic
        )
        return Dropout(config.dropout_rate)(
            RMSNorm(config.dtype, name="encoder_norm")(x), deterministic
        )


@flax.struct.dataclass
class DecoderContext:
    """What every decoder layer sees beside its input; `step` only when decoding with a cache."""

    encoded: Float[Array, "batch encoder_length embed"]
    mask: AttentionMask
    cross_mask: AttentionMask
    bias: Float[Array, "#batch heads length key"]
    step: CacheStep | None = None


class DecoderLayer(nn.Module):
    """Causal self-attention, attention to the encoder's outputs, Mlp: each on a normed input, added to the residual."""

    config: EncoderDecoderConfig
    deterministic: bool

    @nn.compact
    def __call__(self, x: Hidden, context: DecoderContext) -> tuple[Hidden, None]:
        config, deterministic = self.config, self.deterministic
        y = RMSNorm(config.dtype, name="pre_self_attention_layer_norm")(x)
        attention = Attention(config, deterministic, name="self_attention")
        y = attention(y, mask=context.mask, bias=context.bias, step=context.step)
        x = x + Dropout(config.dropout_rate)(y, deterministic)
        y = RMSNorm(config.dtype, name="pre_cross_attention_layer_norm")(x)
        attention = Attention(config, deterministic, name="encoder_decoder_attention")
        y = attention.cross(
            y, context.encoded, mask=context.cross_mask, cached=context.step is not None
        )
        x = x + Dropout(config.dropout_rate)(y, deterministic)
        y = RMSNorm(config.dtype, name="pre_mlp_layer_norm")(x)
        y = Mlp(config, deterministic, name="mlp")(y)
        return constrain(x + Dropout(config.dropout_rate)(y, deterministic), RESIDUAL), None


class Decoder(nn.Module):
    """Embedded tokens and encoder outputs -> hidden states."""

    config: EncoderDecoderConfig

    def setup(self):
        config = self.config
        self.relpos_bias = RelativePositionBias(config, bidirectional=False)
        if not config.logits_via_embedding:
            shape, axes = (config.emb_dim, config.vocab_size), ("embed", "vocab")
            self.logits_dense = config.dense(shape, axes, dtype=config.dtype)

    @nn.compact
    def __call__(self, x: Hidden, context: DecoderContext, deterministic: bool) -> Hidden:
        config = self.config
        x = Dropout(config.dropout_rate)(constrain(x, RESIDUAL), deterministic)
        layers = config.num_decoder_layers
        x = stack_layers(
            DecoderLayer, config, layers, x=x, context=context, deterministic=deterministic
        )
        return Dropout(config.dropout_rate)(
            RMSNorm(config.dtype, name="decoder_norm")(x), deterministic
        )

    def context(
        self,
        encoded: Float[Array, "batch encoder_length embed"],
        encoder_segment_ids: Int[Array, "batch encoder_length"],
        segment_ids: Int[Array, "batch length"],
        cross_segment_ids: Int[Array, "batch length"],
    ) -> DecoderContext:
        """Training and scoring: all tokens at once."""
        mask, cross_mask = (
            decoder_mask(segment_ids),
            segment_mask(cross_segment_ids, encoder_segment_ids),
        )
        bias = self.relpos_bias(segment_ids.shape[1])
        return DecoderContext(encoded, AttentionMask(mask), AttentionMask(cross_mask), bias)

    def cached_context(
        self,
        encoded: Float[Array, "batch encoder_length embed"],
        encoder_segment_ids: Int[Array, "batch encoder_length"],
        step: CacheStep,
    ) -> DecoderContext:
        """Decoding: new tokens against the cache; a row holds one example."""
        mask, index = cache_mask(step.positions, step.length), jnp.arange(step.length)[None]
        cross_mask = segment_mask(
            jnp.ones_like(step.positions), jnp.minimum(encoder_segment_ids, 1)
        )
        bias = self.relpos_bias.between(step.positions, index)
        return DecoderContext(encoded, AttentionMask(mask), AttentionMask(cross_mask), bias, step)


class EncoderDecoder(nn.Module):
    """T5 1.1 over packed batches (flan_jax.batch). Every method takes its arrays from `model.apply(..., method=name)`.

    Shapes: B rows, E encoder and D decoder tokens, M = emb_dim, V = vocab_size.
    """

    config: EncoderDecoderConfig

    def setup(self):
        config = self.config
        self.token_embedder = config.embedder()
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    def __call__(
        self, batch: Batch, *, deterministic: bool = True
    ) -> Float[Array, "batch length vocab"]:
        """Logits, float32[B, D, V]. Training reads `hidden` and the head instead and never holds all of these."""
        return self.logits(self.hidden(batch, deterministic=deterministic))

    def hidden(self, batch: Batch, *, deterministic: bool = True) -> Hidden:
        """The decoder's outputs after the final norm and dropout, [B, D, M] in the compute dtype."""
        inputs, segment_ids = batch["encoder_input_tokens"], batch["encoder_segment_ids"]
        # One look-up for both stacks, so that the table gets one gradient and not the sum of two of its size.
        tokens = jnp.concatenate([inputs, batch["decoder_input_tokens"]], axis=1)
        x, y = jnp.split(self.token_embedder(tokens), [inputs.shape[1]], axis=1)
        encoded = self.encoder(x, segment_ids, deterministic)
        own = batch["decoder_segment_ids"]
        context = self.decoder.context(encoded, segment_ids, own, own)
        return self.decoder(y, context, deterministic)

    def encode(self, batch: Batch, *, deterministic: bool = True) -> Hidden:
        """The encoder's outputs, [B, E, M]. Reads only the encoder_* features."""
        x = self.token_embedder(batch["encoder_input_tokens"])
        return self.encoder(x, batch["encoder_segment_ids"], deterministic)

    def decode_hidden(
        self,
        encoded: Float[Array, "batch encoder_length embed"],
        encoder_segment_ids: Int[Array, "batch encoder_length"],
        tokens: Int[Array, "batch length"],
        *,
        segment_ids: Int[Array, "batch length"] | None = None,
        cross_segment_ids: Int[Array, "batch length"] | None = None,
        positions: Int[Array, "batch length"] | None = None,
        cache_length: int | None = None,
        deterministic: bool = True,
    ) -> Hidden:
        """Hidden states [B, D, M] of decoder input tokens, given `encode`'s outputs.

        Without `cache_length`: all tokens at once, in the examples that `segment_ids` names (None: one per row). They
        look at the encoder's example of `cross_segment_ids` (None: of the same number), so that several answers to
        one prompt can lie in a row.
        With it: the next tokens of each row, at `positions`, attend to a cache of `cache_length` positions. Apply with
        mutable=["cache"]; the first call makes the cache and keeps the cross-attention's keys and values, which later
        calls read instead of `encoded`.
        """
        if cache_length is None:
            segment_ids = jnp.ones_like(tokens) if segment_ids is None else segment_ids
            cross = segment_ids if cross_segment_ids is None else cross_segment_ids
            context = self.decoder.context(encoded, encoder_segment_ids, segment_ids, cross)
        else:
            step = cache_step(tokens, positions, segment_ids, cache_length)
            context = self.decoder.cached_context(encoded, encoder_segment_ids, step)
        return self.decoder(self.token_embedder(tokens), context, deterministic)

    def logits(self, hidden: Hidden) -> Float[Array, "batch length vocab"]:
        """hidden @ head in float32, soft-capped as the config says."""
        return head_logits(hidden, self.head_kernel(), self.config.logits_softcap)

    def head_kernel(self) -> Float[Array, "embed vocab"]:
        """The matrix from hidden states to logits, in the compute dtype; the loss multiplies by it in pieces."""
        return head_kernel(
            self.config, self.token_embedder, getattr(self.decoder, "logits_dense", None)
        )
