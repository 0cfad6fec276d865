"""The decoder-only model: causal or prefix-LM over inputs and targets in one sequence (LaMDA-PT's shape).

Parameter tree (unrolled; under `scan_layers` the layers lie stacked in decoder/layers):
    token_embedder/embedding
    decoder/{relpos_bias/rel_embedding, decoder_norm/scale, logits_dense/kernel}
    decoder/layers_0/{pre_self_attention_layer_norm, self_attention, pre_mlp_layer_norm, mlp}
"""

import dataclasses
from collections.abc import Mapping
from typing import Literal

import flax.linen as nn
import flax.struct
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from flan_jax.batch import Batch
from flan_jax.errors import InputError, unknown
from flan_jax.models.attention import Attention, CacheStep, cache_step
from flan_jax.models.layers import (
    RESIDUAL,
    Dropout,
    Hidden,
    Mlp,
    ModelConfig,
    RelativePositionBias,
    RMSNorm,
    cache_mask,
    constrain,
    decoder_mask,
    head_kernel,
    head_logits,
    stack_layers,
)

POSITIONS = ("relative", "rope")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecoderConfig(ModelConfig):
    """Sizes of a decoder-only model. `position` is T5's relative bias or rotary embeddings.

    Whether inputs are attended to from both sides is not the model's matter: the batch says so, token by token, in
    `decoder_causal_attention` (1: part of the prefix). A batch without that feature is causal throughout.
    """

    num_layers: int
    position: str = "relative"
    rope_max_wavelength: float = 10_000.0

    def __post_init__(self):
        super().__post_init__()
        if self.position not in POSITIONS:
            raise unknown("position", self.position, POSITIONS)
        if self.position == "rope" and self.head_dim % 2:
            raise InputError(f"head_dim is {self.head_dim}; rotary embeddings turn pairs: write an even number.")

    @property
    def architecture(self) -> Literal["decoder"]:
        return "decoder"

    def build(self) -> "DecoderOnly":
        return DecoderOnly(self)

    def train_flops(self, rows: int, lengths: Mapping[str, int]) -> int:
        """Matmul FLOPs of one training step on `rows` rows of E + D tokens, {"inputs": E, "targets": D}.

        Six per parameter and token it multiplies (2 forward, 4 backward; embedding look-ups are free, the head is
        not) and 12 x length^2 x joined_kv per attention. Neither recomputation nor causality changes the count.
        """
        length = lengths["inputs"] + lengths["targets"]
        per_layer = 4 * self.emb_dim * self.joined_kv + self.mlp_size
        per_token = self.num_layers * per_layer + self.emb_dim * self.vocab_size
        return rows * length * (6 * per_token + 12 * self.num_layers * length * self.joined_kv)


@flax.struct.dataclass
class DecoderOnlyContext:
    """What every layer sees beside its input; `step` only when decoding with a cache."""

    mask: Bool[Array, "batch 1 length key"]
    bias: Float[Array, "#batch heads length key"] | None
    positions: Int[Array, "batch length"]
    step: CacheStep | None = None


class DecoderOnlyLayer(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    config: DecoderConfig
    deterministic: bool

    @nn.compact
    def __call__(self, x: Hidden, context: DecoderOnlyContext) -> tuple[Hidden, None]:
        config, deterministic = self.config, self.deterministic
        wavelength = config.rope_max_wavelength if config.position == "rope" else None
        y = RMSNorm(config.dtype, name="pre_self_attention_layer_norm")(x)
        attention = Attention(config, deterministic, wavelength, name="self_attention")
        y = attention(y, mask=context.mask, bias=context.bias, positions=context.positions, step=context.step)
        x = x + Dropout(config.dropout_rate)(y, deterministic)
        y = RMSNorm(config.dtype, name="pre_mlp_layer_norm")(x)
        y = Mlp(config, deterministic, name="mlp")(y)
        return constrain(x + Dropout(config.dropout_rate)(y, deterministic), RESIDUAL), None


class Decoder(nn.Module):
    """Embedded tokens -> hidden states; holds the head and the position bias."""

    config: DecoderConfig

    def setup(self):
        config = self.config
        if config.position == "relative":
            self.relpos_bias = RelativePositionBias(config, bidirectional=False)
        if not config.logits_via_embedding:
            shape, axes = (config.emb_dim, config.vocab_size), ("embed", "vocab")
            self.logits_dense = config.dense(shape, axes, dtype=config.dtype)

    @nn.compact
    def __call__(self, x: Hidden, context: DecoderOnlyContext, deterministic: bool) -> Hidden:
        config = self.config
        x = Dropout(config.dropout_rate)(constrain(x, RESIDUAL), deterministic)
        layers = config.num_layers
        x = stack_layers(DecoderOnlyLayer, config, layers, x=x, context=context, deterministic=deterministic)
        return Dropout(config.dropout_rate)(RMSNorm(config.dtype, name="decoder_norm")(x), deterministic)

    def bias(
        self, length: int, positions: Int[Array, "batch query"] | None = None
    ) -> Float[Array, "#batch heads query length"] | None:
        """Among `length` tokens in a row, or between the tokens at `positions` and a cache of `length`."""
        if self.config.position != "relative":
            return None
        if positions is None:
            return self.relpos_bias(length)
        return self.relpos_bias.between(positions, jnp.arange(length)[None])


class DecoderOnly(nn.Module):
    """A decoder over packed batches (flan_jax.batch). Methods are called with `model.apply(..., method=name)`.

    Shapes: B rows of D tokens, M = emb_dim, V = vocab_size.
    """

    config: DecoderConfig

    def setup(self):
        config = self.config
        self.token_embedder = config.embed((config.vocab_size, config.emb_dim), dtype=config.dtype)
        self.decoder = Decoder(config)

    def __call__(self, batch: Batch, *, deterministic: bool = True) -> Float[Array, "batch length vocab"]:
        """Logits, float32[B, D, V]. Training reads `hidden` and the head instead and never holds all of these."""
        return self.logits(self.hidden(batch, deterministic=deterministic))

    def hidden(self, batch: Batch, *, deterministic: bool = True) -> Hidden:
        """The outputs after the final norm and dropout, [B, D, M] in the compute dtype."""
        tokens = batch["decoder_input_tokens"]
        mask = decoder_mask(batch["decoder_segment_ids"], batch.get("decoder_causal_attention"))
        # Distances within an example are the same counted along the packed row: one bias serves all rows.
        context = DecoderOnlyContext(mask, self.decoder.bias(tokens.shape[1]), batch["decoder_positions"])
        return self.decoder(self.token_embedder(tokens), context, deterministic)

    def decode_hidden(
        self,
        tokens: Int[Array, "batch length"],
        *,
        positions: Int[Array, "batch length"],
        cache_length: int,
        segment_ids: Int[Array, "batch length"] | None = None,
        prefix: Int[Array, "batch length"] | None = None,
        deterministic: bool = True,
    ) -> Hidden:
        """Hidden states [B, D, M] of each row's next tokens at `positions`, against a cache of `cache_length`.

        Apply with mutable=["cache"]; the first call makes the cache. A prompt goes in with one call, padded on the
        right, with `segment_ids` 0 on the padding (it is not kept) and `prefix` 1 on tokens seen from both sides.
        """
        step = cache_step(tokens, positions, segment_ids, cache_length)
        bias = self.decoder.bias(cache_length, step.positions)
        mask = cache_mask(step.positions, cache_length, prefix)
        context = DecoderOnlyContext(mask, bias, step.positions, step)
        return self.decoder(self.token_embedder(tokens), context, deterministic)

    def logits(self, hidden: Hidden) -> Float[Array, "batch length vocab"]:
        """hidden @ head, in float32."""
        return head_logits(hidden, self.head_kernel())

    def head_kernel(self) -> Float[Array, "embed vocab"]:
        """The matrix from hidden states to logits, in the compute dtype; the loss multiplies by it in pieces."""
        return head_kernel(self.config, self.token_embedder, getattr(self.decoder, "logits_dense", None))
