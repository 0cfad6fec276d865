"""FLOPs of a training step in which some parameters are frozen."""

import math
import re
from collections.abc import Mapping
from typing import TypeAlias

import flax.linen as nn

from flan_jax.hardware import Number
from flan_jax.models.config import ModelConfig
from flan_jax.models.params import abstract_params
from flan_jax.pytrees import merge, named_leaves
from flan_jax.training.state import split_trainable

PARTS = ("token_embedder", "encoder", "decoder", "head")
"""The parts of a model, in the order in which the forward pass runs through them."""

Place: TypeAlias = tuple[Number, Number]
"""(index in PARTS, layer): larger ones are later in the forward pass."""

_LAYER = re.compile(r"layers(?:_(\d+))?/")


def step_flops(
    model: ModelConfig,
    rows: int,
    lengths: Mapping[str, int],
    trainable: str | None,
    *,
    supervised: int | None = None,
) -> int:
    """Returns the matmul FLOPs of one training step.

    A matrix takes two per parameter and token for the forward pass, two for its gradient, unless it
    is frozen, and two for the gradient of its input, unless nothing is trained in its layer or
    below. If all parameters are trained that is `train_flops`. The products of attention count in
    full.

    Args:
      model: the model's configuration.
      rows: rows of the batch.
      lengths: tokens of a row, {"inputs": E, "targets": D}; padding counts.
      trainable: regex of the parameters that are trained; None: all.
      supervised: tokens of the batch with loss; None for what the lengths let expect, D a row.

    Raises:
      InputError: `trainable` is not a regex or matches no parameter.
    """
    flops = model.train_flops(rows, lengths, supervised)
    if trainable is None:
        return flops
    trained, frozen = split_trainable(nn.unbox(abstract_params(model)), trainable)
    frozen_paths = named_leaves(frozen).keys()
    lowest = min(_place(path) for path in named_leaves(trained))
    for path, leaf in named_leaves(merge(trained, frozen)).items():
        tokens = model.matmul_tokens(path, rows, lengths, supervised)
        forward_flops = 2 * tokens * leaf.size
        if path in frozen_paths:
            flops -= forward_flops
        if _place_of_input(path) < lowest:
            flops -= forward_flops
    return flops


def _place(path: str) -> Place:
    """Returns where a parameter first acts.

    Stacked layers are in one place, as the gradient passes through all of them. Of a part that is
    not known it is the start, so that no gradient is left out.
    """
    part, _, rest = path.partition("/")
    if rest.startswith("logits_dense/"):
        part = "head"
    if part not in PARTS:
        return -math.inf, 0
    layer = _LAYER.match(rest)
    if layer is not None:
        return PARTS.index(part), int(layer.group(1) or 0)
    is_norm_after_layers = rest.endswith("_norm/scale")
    return PARTS.index(part), math.inf if is_norm_after_layers else 0


def _place_of_input(path: str) -> Place:
    """Returns where the input of a matrix comes from: its own layer, or the end of another part."""
    place = _place(path)
    if re.search("encoder_decoder_attention/(key|value)/", path):
        return PARTS.index("encoder"), math.inf
    is_head = place[0] in (PARTS.index("head"), PARTS.index("token_embedder"))
    if is_head:  # the table multiplies as a tied head only
        return PARTS.index("decoder"), math.inf
    return (math.inf, 0) if place[0] < 0 else place
