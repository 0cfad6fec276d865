"""The decoder-only model: causal or prefix-LM over inputs and targets in one sequence.

By default LaMDA-PT's shape in T5's form; the fields of DecoderConfig make it Llama, Mistral, Qwen or Gemma.

Parameter tree (unrolled; under `scan_layers` the layers lie stacked in decoder/layers):
    token_embedder/embedding
    decoder/{relpos_bias/rel_embedding, decoder_norm/scale, logits_dense/kernel}
    decoder/layers_0/{pre_self_attention_layer_norm, self_attention, pre_mlp_layer_norm, mlp}
    decoder/layers_0/{post_attention_layer_norm, post_mlp_layer_norm}     with post_norms
    decoder/layers_0/self_attention/{query, key, value}/{kernel, bias}    bias with attention_bias
    decoder/layers_0/self_attention/{query_norm, key_norm}/scale          with qk_norm
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import flax.linen as nn
import flax.struct
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from flan_jax.batch import Batch
from flan_jax.errors import InputError, unknown_name
from flan_jax.models import rope
from flan_jax.models.attention import Attention, CacheStep, cache_step
from flan_jax.models.attention_backends import AttentionMask, check_config
from flan_jax.models.blocks import Mlp, RelativePositionBias, head_kernel, head_logits, stack_layers
from flan_jax.models.config import ModelConfig
from flan_jax.models.layers import RESIDUAL, Dropout, Hidden, RMSNorm, constrain
from flan_jax.models.masks import cache_mask, decoder_mask, window_mask

POSITIONS = ("relative", "rope")


@flax.struct.dataclass
class LayerKind:
    """What differs from layer to layer: whether it is local, and its rotary frequencies (None: no rotary embeddings).

    DecoderConfig.layer_kinds stacks those of all layers along a leading axis.
    """

    local: Bool[Array, "*layers"]
    frequencies: Float[Array, "*layers half"] | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecoderConfig(ModelConfig):
    """Sizes and form of a decoder-only model. The defaults are T5's form; position is its relative bias or "rope".

    Which tokens are inputs the batch says, in `decoder_causal_attention` (1: part of the prefix). With `prefix_lm` they see
    one another from both sides; without it, as models trained causally want it, or in a batch without that feature, attention
    is causal throughout. `start_id` is the token before the first of each sequence, in place of PAD: Llama's and Gemma's BOS.

    Attention: `num_kv_heads` heads of keys and values (None: num_heads), each for as many heads of queries;
    `attention_bias` on query, key and value (Qwen 2.5); `qk_norm` of queries and keys before rope (Qwen 3, Gemma 3);
    `query_scale` times the queries (None: 1.0; Llama: head_dim^-0.5); `attention_softcap` bounds the scores (Gemma 2).
    Layers: with a `sliding_window` they are local, a token sees that many positions, itself among them; with
    `global_every` n every n-th layer (n, 2n ... counted from 1) is global and sees all.
    Rope: `rope_max_wavelength` is the base of the frequencies ("theta"), `rope_scaling` how they are stretched for longer
    texts, e.g. {"type": "linear", "factor": 8.0} (models.rope.SCALINGS). Local layers with a `rope_local_max_wavelength`
    have frequencies of their own, not stretched (Gemma 3); without one they have those of the global layers.
    Norms: `norm_epsilon`; `norm_offset` is added to the stored scale (Gemma: 1.0); `post_norms` also norm the outputs of
    attention and mlp (Gemma). `scale_embeddings` multiplies them by sqrt(emb_dim) (Gemma).
    `tied_logits_scale` is 1.0 in Llama, Qwen and Gemma.
    Raises InputError for fields that contradict one another.
    """

    num_layers: int
    position: str = "relative"
    num_kv_heads: int | None = None
    attention_bias: bool = False
    qk_norm: bool = False
    query_scale: int | float | None = None
    attention_softcap: int | float | None = None
    sliding_window: int | None = None
    global_every: int | None = None
    rope_max_wavelength: int | float = 10_000.0
    rope_local_max_wavelength: int | float | None = None
    # Left out of the hash, which a dict has not; configs that differ in it alone are still unequal.
    rope_scaling: Mapping[str, Any] | None = dataclasses.field(default=None, hash=False)
    norm_epsilon: int | float = 1e-6
    norm_offset: int | float = 0.0
    post_norms: bool = False
    scale_embeddings: bool = False
    prefix_lm: bool = True
    start_id: int | None = None

    def __post_init__(self):
        super().__post_init__()
        for name in ("num_kv_heads", "sliding_window", "global_every"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise InputError(
                    f"{name} is {value!r}; it counts something: write a whole number of at least 1, or None."
                )
        self._check_numbers(
            "query_scale", "attention_softcap", "rope_max_wavelength", "rope_local_max_wavelength"
        )
        self._check_numbers("norm_epsilon")
        object.__setattr__(self, "norm_offset", float(self.norm_offset))
        if self.num_heads % self.kv_heads:
            raise InputError(
                f"num_heads={self.num_heads} heads of queries cannot share num_kv_heads={self.kv_heads} heads of keys "
                "evenly; write a num_kv_heads that divides num_heads."
            )
        if self.tied_logits_scale is not None and not self.logits_via_embedding:
            raise InputError(
                "tied_logits_scale is for a head tied to the embeddings; write logits_via_embedding=True too."
            )
        self._check_positions()
        check_config(
            self,
            rule=self.prefix_lm,
            bias=self.position == "relative",
            softcap=self.attention_softcap is not None,
            window=self.sliding_window is not None,
        )

    def _check_positions(self):
        if self.position not in POSITIONS:
            raise unknown_name("position", self.position, POSITIONS)
        if self.position == "rope" and self.head_dim % 2:
            raise InputError(
                f"head_dim is {self.head_dim}; rotary embeddings turn pairs: write an even number."
            )
        for name in ("rope_scaling", "rope_local_max_wavelength"):
            if getattr(self, name) is not None and self.position != "rope":
                raise InputError(f'{name} is for rotary embeddings; write position="rope" too.')
        for name in ("global_every", "rope_local_max_wavelength"):
            if getattr(self, name) is not None and self.sliding_window is None:
                raise InputError(
                    f"{name} tells local layers from global ones; write a sliding_window, which makes them."
                )
        if self.rope_scaling is not None:
            rope.check_scaling(self.rope_scaling)
            object.__setattr__(self, "rope_scaling", dict(self.rope_scaling))

    @property
    def kv_heads(self) -> int:
        """Heads of keys and values."""
        return self.num_heads if self.num_kv_heads is None else self.num_kv_heads

    def norm(self, **fields: Any) -> RMSNorm:
        return RMSNorm(self.dtype, self.norm_epsilon, self.norm_offset, **fields)

    def attention_fields(self) -> dict[str, Any]:
        """The fields of the layers' Attention."""
        return {
            "num_kv_heads": self.kv_heads,
            "use_bias": self.attention_bias,
            "qk_norm": self.norm if self.qk_norm else None,
            "query_scale": self.query_scale,
            "softcap": self.attention_softcap,
        }

    def layer_kinds(self) -> LayerKind:
        """All layers' kinds, stacked: local bool[layers], frequencies float32[layers, head_dim / 2]."""
        local = np.full(self.num_layers, self.sliding_window is not None)
        if self.global_every is not None:
            local[self.global_every - 1 :: self.global_every] = False
        if self.position != "rope":
            return LayerKind(jnp.asarray(local), None)
        far = rope.scaled(
            rope.frequencies(self.head_dim, self.rope_max_wavelength), self.rope_scaling
        )
        near = far
        if self.rope_local_max_wavelength is not None:
            near = rope.frequencies(self.head_dim, self.rope_local_max_wavelength)
        return LayerKind(
            jnp.asarray(local), jnp.asarray(np.where(local[:, None], near[None], far[None]))
        )

    @property
    def architecture(self) -> Literal["decoder"]:
        return "decoder"

    def build(self) -> "DecoderOnly":
        return DecoderOnly(self)

    def train_flops(self, rows: int, lengths: Mapping[str, int]) -> int:
        """Matmul FLOPs of one training step on `rows` rows of E + D tokens, {"inputs": E, "targets": D}.

        Six per parameter and token it multiplies (2 forward, 4 backward; embedding look-ups are free, the head is
        not) and 12 x length^2 x joined_kv per attention, however few heads the keys have. Neither recomputation nor
        causality nor a sliding window changes the count.
        """
        length = lengths["inputs"] + lengths["targets"]
        per_layer = (
            2 * self.emb_dim * (self.joined_kv + self.kv_heads * self.head_dim) + self.mlp_size
        )
        per_token = self.num_layers * per_layer + self.emb_dim * self.vocab_size
        return rows * length * (6 * per_token + 12 * self.num_layers * length * self.joined_kv)


@flax.struct.dataclass
class DecoderOnlyContext:
    """What every layer sees beside its input; `step` only when decoding with a cache.

    `near`: the keys within the sliding window, beyond which local layers do not look; None without one.
    """

    mask: AttentionMask
    near: Bool[Array, "batch 1 length key"] | None
    bias: Float[Array, "#batch heads length key"] | None
    positions: Int[Array, "batch length"]
    step: CacheStep | None = None


class DecoderOnlyLayer(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)); with post_norms the outputs of both are normed as well."""

    config: DecoderConfig
    deterministic: bool

    @nn.compact
    def __call__(
        self, x: Hidden, context: DecoderOnlyContext, kind: LayerKind
    ) -> tuple[Hidden, None]:
        config, deterministic, mask = self.config, self.deterministic, context.mask
        if context.near is not None and mask.dense is not None:
            dense = mask.dense & (context.near | ~kind.local)
            mask = mask.replace(
                dense=dense, local=None if config.global_every is None else kind.local
            )
        y = config.norm(name="pre_self_attention_layer_norm")(x)
        attention = Attention(
            config, deterministic, name="self_attention", **config.attention_fields()
        )
        rotation = None if kind.frequencies is None else (context.positions, kind.frequencies)
        y = attention(y, mask=mask, bias=context.bias, rotation=rotation, step=context.step)
        if config.post_norms:
            y = config.norm(name="post_attention_layer_norm")(y)
        x = x + Dropout(config.dropout_rate)(y, deterministic)
        y = config.norm(name="pre_mlp_layer_norm")(x)
        y = Mlp(config, deterministic, name="mlp")(y)
        if config.post_norms:
            y = config.norm(name="post_mlp_layer_norm")(y)
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
        inputs = {"x": x, "context": context, "per_layer": config.layer_kinds()}
        x = stack_layers(
            DecoderOnlyLayer, config, config.num_layers, **inputs, deterministic=deterministic
        )
        return Dropout(config.dropout_rate)(config.norm(name="decoder_norm")(x), deterministic)

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
        self.token_embedder = config.embedder()
        self.decoder = Decoder(config)

    def __call__(
        self, batch: Batch, *, deterministic: bool = True
    ) -> Float[Array, "batch length vocab"]:
        """Logits, float32[B, D, V]. Training reads `hidden` and the head instead and never holds all of these."""
        return self.logits(self.hidden(batch, deterministic=deterministic))

    def hidden(self, batch: Batch, *, deterministic: bool = True) -> Hidden:
        """The outputs after the final norm and dropout, [B, D, M] in the compute dtype."""
        tokens, positions = batch["decoder_input_tokens"], batch["decoder_positions"]
        prefix = batch.get("decoder_causal_attention") if self.config.prefix_lm else None
        segment_ids = batch["decoder_segment_ids"]
        mask = AttentionMask(decoder_mask(segment_ids, prefix))
        if prefix is None:
            mask = mask.replace(segment_ids=segment_ids, window=self.config.sliding_window)
        # Distances within an example are the same counted along the packed row: one bias serves all rows.
        bias, near = self.decoder.bias(tokens.shape[1]), self._near(positions, positions)
        return self.decoder(
            self._embed(tokens, positions),
            DecoderOnlyContext(mask, near, bias, positions),
            deterministic,
        )

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
        mask = AttentionMask(
            cache_mask(step.positions, cache_length, prefix if self.config.prefix_lm else None)
        )
        near = self._near(step.positions, jnp.arange(cache_length)[None])
        context = DecoderOnlyContext(mask, near, bias, step.positions, step)
        return self.decoder(self._embed(tokens, step.positions), context, deterministic)

    def _embed(
        self, tokens: Int[Array, "batch length"], positions: Int[Array, "batch length"]
    ) -> Hidden:
        if self.config.start_id is not None:
            tokens = jnp.where(positions == 0, self.config.start_id, tokens)
        x = self.token_embedder(tokens)
        return (
            x * jnp.asarray(self.config.emb_dim**0.5, x.dtype)
            if self.config.scale_embeddings
            else x
        )

    def _near(
        self, positions: Int[Array, "batch query"], key_positions: Int[Array, "#batch key"]
    ) -> Bool[Array, "batch 1 query key"] | None:
        window = self.config.sliding_window
        return None if window is None else window_mask(positions, key_positions, window)

    def logits(self, hidden: Hidden) -> Float[Array, "batch length vocab"]:
        """hidden @ head in float32, soft-capped as the config says."""
        return head_logits(hidden, self.head_kernel(), self.config.logits_softcap)

    def head_kernel(self) -> Float[Array, "embed vocab"]:
        """The matrix from hidden states to logits, in the compute dtype; the loss multiplies by it in pieces."""
        dense = getattr(self.decoder, "logits_dense", None)
        return head_kernel(self.config, self.token_embedder, dense)
