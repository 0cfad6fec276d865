"""The decoder-only model: causal or prefix-LM over inputs and targets in one sequence.

By default it has LaMDA-PT's shape in T5's form; fields of DecoderConfig make it Llama, Mistral,
Qwen, OLMo 2 or Gemma.

Parameter tree (unrolled; under `scan_layers` the layers lie stacked in decoder/layers):
    token_embedder/embedding
    decoder/{relpos_bias/rel_embedding, decoder_norm/scale, logits_dense/kernel}
    decoder/layers_0/{pre_self_attention_layer_norm, self_attention, pre_mlp_layer_norm, mlp}
    decoder/layers_0/{post_attention_layer_norm, post_mlp_layer_norm}     with post_norms
        (and without the two pre_..._layer_norm if pre_norms is False)
    decoder/layers_0/self_attention/{query, key, value}/{kernel, bias}    bias with attention_bias
    decoder/layers_0/self_attention/{query_norm, key_norm}/scale          with qk_norm
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

import flax.linen as nn
import flax.struct
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from flan_jax.batch import Batch
from flan_jax.errors import InputError, check_number, is_whole, unknown_name
from flan_jax.models import rope
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
from flan_jax.models.masks import cache_mask, decoder_mask, window_mask
from flan_jax.parallel.sharding import HEAD, constrain

POSITIONS = ("relative", "rope")


@flax.struct.dataclass
class LayerKind:
    """The properties in which layers differ; DecoderConfig.layer_kinds stacks those of all layers.

    Attributes:
      local: whether the layer has the sliding window.
      frequencies: of its rotary embeddings; None for no rotary embeddings.
    """

    local: Bool[Array, "*layers"]
    frequencies: Float[Array, "*layers half"] | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecoderConfig(ModelConfig):
    """Sizes and form of a decoder-only model; the defaults are T5's form.

    The batch says which tokens are inputs, in `decoder_causal_attention` (1: part of the prefix).

    Attributes:
      num_layers: number of layers.
      position: "relative" for T5's bias or "rope" for rotary embeddings.
      num_kv_heads: heads of keys and values, each for as many successive heads of queries; None for
        num_heads.
      attention_bias: whether query, key and value have biases (Qwen 2.5).
      qk_norm: whether queries and keys are normed before rope (Qwen 3, Gemma 3, OLMo 2).
      joint_qk_norm: whether qk_norm is over all heads together (OLMo 2), not over each head.
      query_scale: factor on the queries, head_dim^-0.5 in Llama; None for 1.0.
      attention_softcap: bound of the scores' absolute value (Gemma 2).
      sliding_window: tokens that a local layer attends to, the token itself included; with it all
        layers are local, but for those of `global_every`.
      global_every: with n, the layers n, 2n ... (counted from 1) are global and see all tokens.
      rope_max_wavelength: base of the rotary frequencies ("theta").
      rope_local_max_wavelength: base of the local layers' frequencies, which are then not scaled
        (Gemma 3); None for those of the global layers.
      rope_scaling: how the frequencies are scaled for longer texts, such as {"type": "linear",
        "factor": 8.0}; the types are in models.rope.SCALINGS.
      norm_epsilon: epsilon of the norms.
      norm_offset: added to the stored scale of norms; 1.0 in Gemma.
      pre_norms: whether the inputs of attention and mlp are normed; not so in OLMo 2.
      post_norms: whether the outputs of attention and mlp are normed (Gemma 2 and 3, OLMo 2).
      scale_embeddings: whether embeddings are multiplied by sqrt(emb_dim) (Gemma).
      prefix_lm: whether the tokens of a prefix attend to one another in both directions. Without
        it, as for models pre-trained causally, or without `decoder_causal_attention` in the batch,
        attention is causal throughout.
      start_id: the token that begins a row in the form of the model's family, such as the BOS of
        Llama and Gemma: the {bos} of a row format. None for what the row format says.
      attention: makes the attention of every layer, from Attention's arguments; a subclass of
        Attention here changes all of them.

    Raises:
      InputError: fields contradict one another.
    """

    num_layers: int
    position: str = "relative"
    num_kv_heads: int | None = None
    attention_bias: bool = False
    qk_norm: bool = False
    joint_qk_norm: bool = False
    query_scale: int | float | None = None
    attention_softcap: int | float | None = None
    sliding_window: int | None = None
    global_every: int | None = None
    rope_max_wavelength: int | float = 10_000.0
    rope_local_max_wavelength: int | float | None = None
    # Left out of the hash, which a dict does not have; configs that differ in it are still unequal.
    rope_scaling: Mapping[str, Any] | None = dataclasses.field(default=None, hash=False)
    norm_epsilon: int | float = 1e-6
    norm_offset: int | float = 0.0
    pre_norms: bool = True
    post_norms: bool = False
    scale_embeddings: bool = False
    prefix_lm: bool = True
    start_id: int | None = None
    attention: Callable[..., Any] = Attention

    def __post_init__(self):
        super().__post_init__()
        for name in ("num_kv_heads", "sliding_window", "global_every"):
            if getattr(self, name) is not None:
                self._check_count(name)
        self._check_positive(
            "query_scale",
            "attention_softcap",
            "rope_max_wavelength",
            "rope_local_max_wavelength",
            "norm_epsilon",
        )
        check_number("norm_offset", self.norm_offset)
        object.__setattr__(self, "norm_offset", float(self.norm_offset))
        if self.start_id is not None and not (
            is_whole(self.start_id) and 0 <= self.start_id < self.vocab_size
        ):
            raise InputError(
                f"start_id is {self.start_id!r}; write the id of a token, below vocab_size = "
                f"{self.vocab_size}"
            )
        if self.num_heads % self.kv_heads:
            raise InputError(
                f"num_heads={self.num_heads} heads of queries cannot share "
                f"num_kv_heads={self.kv_heads} heads of keys evenly; write a num_kv_heads that "
                "divides num_heads"
            )
        if self.tied_logits_scale is not None and not self.logits_via_embedding:
            raise InputError(
                "tied_logits_scale is for a head tied to the embeddings; write "
                "logits_via_embedding=True too"
            )
        self._check_norms()
        self._check_positions()
        check_config(
            self,
            dense_mask=self.prefix_lm,
            bias=self.position == "relative",
            softcap=self.attention_softcap is not None,
            window=self.sliding_window is not None,
        )

    def _check_norms(self) -> None:
        if not (self.pre_norms or self.post_norms):
            raise InputError(
                "pre_norms and post_norms are both False, and a decoder without norms does not "
                "train; write post_norms=True for OLMo 2's form"
            )
        if self.joint_qk_norm and not self.qk_norm:
            raise InputError(
                "joint_qk_norm says what qk_norm is over; write qk_norm=True too"
            )

    def _check_positions(self) -> None:
        if self.position not in POSITIONS:
            raise unknown_name("position", self.position, POSITIONS)
        if self.position == "rope" and self.head_dim % 2:
            raise InputError(
                f"head_dim is {self.head_dim}; rotary embeddings rotate pairs of channels: write "
                "an even number"
            )
        for name in ("rope_scaling", "rope_local_max_wavelength"):
            if getattr(self, name) is not None and self.position != "rope":
                raise InputError(
                    f'{name} is for rotary embeddings; write position="rope" too'
                )
        for name in ("global_every", "rope_local_max_wavelength"):
            if getattr(self, name) is not None and self.sliding_window is None:
                raise InputError(
                    f"{name} tells local layers from global ones, and without a window no layer "
                    "is local; write a sliding_window too"
                )
        if self.rope_scaling is not None:
            rope.check_scaling(self.rope_scaling)
            object.__setattr__(self, "rope_scaling", dict(self.rope_scaling))
            self._check_yarn()

    def _check_yarn(self) -> None:
        if self.rope_scaling is None or self.rope_scaling["type"] != "yarn":
            return
        if self.rope_local_max_wavelength is not None:
            raise InputError(
                "YaRN scales the scores of all layers, and rope_local_max_wavelength makes local "
                "layers whose rotary embeddings are not scaled; leave one of them out"
            )
        if self.rope_max_wavelength <= 1:
            raise InputError(
                f"rope_max_wavelength is {self.rope_max_wavelength}; YaRN needs one above 1"
            )

    @property
    def kv_heads(self) -> int:
        """Heads of keys and values."""
        if self.num_kv_heads is None:
            return self.num_heads
        return self.num_kv_heads

    def norm(self, *, axis: str = "embed", name: str | None = None) -> RMSNorm:
        """Returns a norm in the model's form.

        Args:
          axis: the logical axis of its scale.
          name: the module's name; None where an attribute of `setup` names it.
        """
        return RMSNorm(
            self.dtype, self.norm_epsilon, self.norm_offset, axis=axis, name=name
        )

    def self_attention(self, *, deterministic: bool, name: str) -> Attention:
        """Returns the self-attention of a layer in the model's form.

        Args:
          deterministic: whether to leave out dropout.
          name: the module's name.
        """
        return self.attention(
            self,
            deterministic,
            num_kv_heads=self.kv_heads,
            use_bias=self.attention_bias,
            qk_norm=self.norm if self.qk_norm else None,
            joint_qk_norm=self.joint_qk_norm,
            query_scale=self._scaled_query_scale(),
            softcap=self.attention_softcap,
            name=name,
        )

    def _scaled_query_scale(self) -> float | None:
        """Returns query_scale with what the scaling of the rotary embeddings brings to it."""
        factor = rope.score_factor(self.rope_scaling)
        if factor == 1.0:
            return self.query_scale
        return factor * (1.0 if self.query_scale is None else self.query_scale)

    def layer_kinds(self) -> LayerKind:
        """Returns the kinds of all layers, stacked.

        Returns:
          local: bool[layers]; frequencies: float32[layers, head_dim / 2], or None.
        """
        is_local = np.full(self.num_layers, self.sliding_window is not None)
        if self.global_every is not None:
            is_local[self.global_every - 1 :: self.global_every] = False
        if self.position != "rope":
            return LayerKind(jnp.asarray(is_local), None)

        of_global = rope.scaled_frequencies(
            self.head_dim, self.rope_max_wavelength, self.rope_scaling
        )
        of_local = of_global
        if self.rope_local_max_wavelength is not None:
            of_local = rope.frequencies(self.head_dim, self.rope_local_max_wavelength)
        frequencies = np.where(is_local[:, None], of_local[None], of_global[None])
        return LayerKind(jnp.asarray(is_local), jnp.asarray(frequencies))

    @property
    def architecture(self) -> Literal["decoder"]:
        """The kind of batch that the model takes."""
        return "decoder"

    def build(self) -> "DecoderOnly":
        """Returns the model, without parameters."""
        return DecoderOnly(self)

    def train_flops(
        self, rows: int, lengths: Mapping[str, int], supervised: int | None = None
    ) -> int:
        """Returns the matmul FLOPs of one training step.

        Six per parameter and token that it multiplies: 2 forward and 4 backward. Embedding look-ups
        are free, the head is not, but it multiplies only tokens with loss. Each attention adds
        12 x length^2 x joined_kv, however few heads the keys have. Neither recomputation nor
        causality nor a sliding window changes the count.

        Args:
          rows: rows of the batch.
          lengths: tokens of a row, {"inputs": E, "targets": D}; a row holds E + D, padding counts.
          supervised: tokens of the batch with loss; None for what the lengths let expect, D a row.
        """
        if supervised is None:
            supervised = rows * lengths["targets"]
        length = lengths["inputs"] + lengths["targets"]
        query_and_out = 2 * self.emb_dim * self.joined_kv
        key_and_value = 2 * self.emb_dim * self.kv_heads * self.head_dim
        layer = query_and_out + key_and_value + self.mlp_size
        per_token = 6 * self.num_layers * layer
        attention = 12 * self.num_layers * length * self.joined_kv
        head = 6 * supervised * self.emb_dim * self.vocab_size
        return rows * length * (per_token + attention) + head


@flax.struct.dataclass
class DecoderOnlyContext:
    """What every layer takes beside its input.

    Attributes:
      mask: attention of a global layer.
      near: True for keys within the sliding window, to which local layers are limited; None
        without a window.
      bias: the relative position bias; None with rotary embeddings.
      positions: each token's position in its example.
      step: where new tokens go in the KV cache; None without a cache.
    """

    mask: AttentionMask
    near: Bool[Array, "batch 1 length key"] | None
    bias: Bias | None
    positions: Int[Array, "batch length"]
    step: CacheStep | None = None

    def mask_of(
        self, local: Bool[Array, ""], *, has_global_layers: bool
    ) -> AttentionMask:
        """Returns the mask of one layer.

        Args:
          local: whether the layer has the sliding window.
          has_global_layers: whether the model has both kinds of layers.
        """
        if self.near is None or self.mask.dense is None:
            return self.mask
        dense = self.mask.dense & (self.near | ~local)
        return self.mask.replace(
            dense=dense, local=local if has_global_layers else None
        )


class DecoderOnlyLayer(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)).

    With post_norms the outputs of attention and mlp are normed before they are added; without
    pre_norms their inputs are not.

    Attributes:
      config: the model's configuration.
      deterministic: whether to leave out dropout.
    """

    config: DecoderConfig
    deterministic: bool

    @nn.compact
    def __call__(
        self, x: Hidden, context: DecoderOnlyContext, kind: LayerKind
    ) -> tuple[Hidden, None]:
        """Returns (outputs, None), as a scan over layers takes it."""
        config = self.config
        mask = context.mask_of(
            kind.local, has_global_layers=config.global_every is not None
        )
        rotation = None
        if kind.frequencies is not None:
            rotation = (context.positions, kind.frequencies)

        y = x
        if config.pre_norms:
            y = config.norm(name="pre_self_attention_layer_norm")(x)
        attention = config.self_attention(
            deterministic=self.deterministic, name="self_attention"
        )
        y = attention(
            y, mask=mask, bias=context.bias, rotation=rotation, step=context.step
        )
        if config.post_norms:
            y = config.norm(name="post_attention_layer_norm")(y)
        x = x + Dropout(config.dropout_rate)(y, self.deterministic)

        y = x
        if config.pre_norms:
            y = config.norm(name="pre_mlp_layer_norm")(x)
        y = Mlp(config, self.deterministic, name="mlp")(y)
        if config.post_norms:
            y = config.norm(name="post_mlp_layer_norm")(y)
        x = x + Dropout(config.dropout_rate)(y, self.deterministic)
        return constrain(x, RESIDUAL), None


class Decoder(nn.Module):
    """The stack of layers, with the position bias and the head.

    Attributes:
      config: the model's configuration.
    """

    config: DecoderConfig

    def setup(self):
        """Makes the position bias and, unless it is tied, the head."""
        config = self.config
        if config.position == "relative":
            self.relpos_bias = RelativePositionBias(config, bidirectional=False)
        if not config.logits_via_embedding:
            shape = (config.emb_dim, config.vocab_size)
            self.logits_dense = config.dense(shape, HEAD, dtype=config.dtype)

    @nn.compact
    def __call__(
        self, x: Hidden, context: DecoderOnlyContext, deterministic: bool
    ) -> Hidden:
        """Returns the outputs after the final norm and dropout, for embedded tokens."""
        config = self.config
        x = Dropout(config.dropout_rate)(constrain(x, RESIDUAL), deterministic)
        x = stack_layers(
            DecoderOnlyLayer,
            config,
            config.num_layers,
            x=x,
            context=context,
            per_layer=config.layer_kinds(),
            deterministic=deterministic,
        )
        x = config.norm(name="decoder_norm")(x)
        return Dropout(config.dropout_rate)(x, deterministic)

    def bias(
        self, length: int, positions: Int[Array, "batch query"] | None = None
    ) -> Float[Array, "#batch heads query length"] | None:
        """Returns the relative position bias; None with rotary embeddings.

        Args:
          length: tokens of a row, or positions in the KV cache.
          positions: where the queries are in the cache; None for the tokens of a row.
        """
        if self.config.position != "relative":
            return None
        if positions is None:
            return self.relpos_bias(length)
        return self.relpos_bias.between(positions, jnp.arange(length)[None])


class DecoderOnly(nn.Module):
    """A decoder over packed batches (flan_jax.batch).

    Methods run through `model.apply(variables, ..., method=name)`; see models.config.Model.

    Attributes:
      config: the model's configuration.
    """

    config: DecoderConfig

    def setup(self):
        """Makes the embedding and the decoder."""
        config = self.config
        self.token_embedder = config.embedder()
        self.decoder = Decoder(config)

    def __call__(
        self, batch: Batch, *, deterministic: bool = True
    ) -> Float[Array, "batch length vocab"]:
        """Returns the float32 logits of all positions.

        Training reads `hidden` and the head instead and never holds all logits at once.
        """
        return self.logits(self.hidden(batch, deterministic=deterministic))

    def hidden(self, batch: Batch, *, deterministic: bool = True) -> Hidden:
        """Returns the outputs after the final norm and dropout, in the compute dtype.

        Args:
          batch: a packed batch.
          deterministic: whether to leave out dropout.
        """
        config = self.config
        tokens = batch["decoder_input_tokens"]
        positions = batch["decoder_positions"]
        segment_ids = batch["decoder_segment_ids"]
        prefix = batch.get("decoder_causal_attention") if config.prefix_lm else None

        mask = AttentionMask(decoder_mask(segment_ids, prefix))
        if prefix is None:
            mask = mask.replace(segment_ids=segment_ids, window=config.sliding_window)
        context = DecoderOnlyContext(
            mask=mask,
            # Within an example, distances along the packed row are distances between positions:
            # one bias serves all rows.
            bias=self.decoder.bias(tokens.shape[1]),
            near=self._near(positions, positions),
            positions=positions,
        )
        return self.decoder(self._embed(tokens), context, deterministic)

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
        """Returns the outputs for the next tokens of each row, against a KV cache.

        Apply with mutable=["cache"]; the first call makes the cache. A prompt is one call, padded
        on the right.

        Args:
          tokens: input tokens.
          positions: each token's position in its sequence.
          cache_length: the number of positions in the cache.
          segment_ids: 0 where a token is padding, which is not written to the cache.
          prefix: 1 where a token is part of the prefix, which attends to itself in both directions.
          deterministic: whether to leave out dropout.
        """
        step = cache_step(tokens, positions, segment_ids, length=cache_length)
        if not self.config.prefix_lm:
            prefix = None
        cache_positions = jnp.arange(cache_length)[None]
        context = DecoderOnlyContext(
            bias=self.decoder.bias(cache_length, step.positions),
            mask=AttentionMask(cache_mask(step.positions, cache_length, prefix)),
            near=self._near(step.positions, cache_positions),
            positions=step.positions,
            step=step,
        )
        return self.decoder(self._embed(tokens), context, deterministic)

    def _embed(self, tokens: Int[Array, "batch length"]) -> Hidden:
        config = self.config
        x = self.token_embedder(tokens)
        if config.scale_embeddings:
            x = x * jnp.asarray(config.emb_dim**0.5, x.dtype)
        return x

    def _near(
        self,
        positions: Int[Array, "batch query"],
        key_positions: Int[Array, "#batch key"],
    ) -> Bool[Array, "batch 1 query key"] | None:
        window = self.config.sliding_window
        if window is None:
            return None
        return window_mask(positions, key_positions, window)

    def logits(self, hidden: Hidden) -> Float[Array, "batch length vocab"]:
        """Returns the float32 logits of hidden states, with the config's soft cap applied."""
        return head_logits(hidden, self.head_kernel(), self.config.logits_softcap)

    def head_kernel(self) -> Float[Array, "embed vocab"]:
        """Returns the matrix from hidden states to logits, in the compute dtype."""
        logits_dense = getattr(self.decoder, "logits_dense", None)
        return head_kernel(self.config, self.token_embedder, logits_dense)
