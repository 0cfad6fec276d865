"""Parameters by name and shape, with their layers stacked or one by one.

Scanned layers lie stacked in one array, "encoder/layers/mlp/wo/kernel". Files of other programs
keep each layer by itself: "encoder/layers_0/mlp/wo/kernel", "encoder/layers_1/mlp/wo/kernel" ...
"""

import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from flan_jax.errors import InputError
from flan_jax.hardware import Device
from flan_jax.pytrees import Params, named_leaves

Shape: TypeAlias = tuple[int, ...]
Shapes: TypeAlias = Mapping[str, Shape]
Bounds: TypeAlias = tuple[tuple[int, int], ...]
"""(start, stop) of each dimension of a part of an array."""

STACKED = re.compile(r"(^|/)layers/")
MAX_LAYERS = 10_000
"""Stacked layers that a file may have. Beyond, its shapes are damaged."""
LISTED_NAMES = 3
"""How many parameters an error lists of each kind of difference."""


class LazyArray(NamedTuple):
    """An array that is copied to the host when it is read.

    Attributes:
      name: the parameter's name, of one layer where layers are stacked.
      shape: its shape.
      read: returns the array on the host.
    """

    name: str
    shape: Shape
    read: Callable[[], np.ndarray]


def is_stacked(name: str) -> bool:
    """Returns whether a parameter holds all layers in one array."""
    return STACKED.search(name) is not None


def layer_name(name: str, layer: int) -> str:
    """Returns the name of one layer of a stacked parameter.

    >>> layer_name("encoder/layers/mlp/wo/kernel", 2)
    'encoder/layers_2/mlp/wo/kernel'

    Args:
      name: the path of a stacked parameter.
      layer: the index of the layer, counted from 0.

    Returns:
      The path of the layer's parameter in a model without scanned layers.
    """
    return STACKED.sub(rf"\g<1>layers_{layer}/", name)


def layer_names(name: str, shape: Shape) -> list[str]:
    """Returns the unstacked names of a parameter whose layers, if stacked, lie on axis 0.

    Args:
      name: the path of the parameter.
      shape: its shape; axis 0 counts the layers if it is stacked.

    Returns:
      One name for each layer; [name] if the parameter is not stacked.
    """
    if not is_stacked(name):
        return [name]
    return [layer_name(name, layer) for layer in range(shape[0])]


def unstacked_shapes(shapes: Shapes, layer_axis: int = 0) -> dict[str, Shape]:
    """Returns the shapes that parameters have with their layers one by one.

    >>> unstacked_shapes({"norm": (4,), "layers/wi": (2, 4, 8)})
    {'norm': (4,), 'layers_0/wi': (4, 8), 'layers_1/wi': (4, 8)}

    Args:
      shapes: shapes by name, stacked or not.
      layer_axis: the axis of stacked parameters that counts layers.

    Raises:
      InputError: a stacked parameter lacks this axis, or has more than MAX_LAYERS layers.
    """
    unstacked: dict[str, Shape] = {}
    for name, shape in shapes.items():
        if not is_stacked(name):
            unstacked[name] = shape
            continue
        if len(shape) <= layer_axis:
            raise InputError(
                f"{name} is {shape}: its layers should be stacked on axis {layer_axis}, which it "
                "lacks. Give a checkpoint with stacked layers, or with its layers one by one"
            )
        if shape[layer_axis] > MAX_LAYERS:
            raise InputError(
                f"{name} is {shape}: no model has {shape[layer_axis]:,} layers, which it has on "
                f"axis {layer_axis}. Copy the checkpoint again, or correct the model's sizes"
            )
        layer_shape = shape[:layer_axis] + shape[layer_axis + 1 :]
        for layer in range(shape[layer_axis]):
            unstacked[layer_name(name, layer)] = layer_shape
    return unstacked


def unstacked_arrays(params: Params) -> Iterator[LazyArray]:
    """Yields the arrays of a model, with layers one by one.

    Nothing is copied to the host before `read` is called, so a writer can hold one at a time.

    Args:
      params: the parameters, with stacked layers or without.

    Yields:
      An array for each parameter of each layer, without a layer axis.
    """
    for name, leaf in named_leaves(params).items():
        shape = tuple(leaf.shape)
        if not is_stacked(name):
            yield LazyArray(name, shape, functools.partial(_array_on_host, leaf))
            continue

        for layer, one_name in enumerate(layer_names(name, shape)):
            read = functools.partial(_layer_on_host, leaf, layer)
            yield LazyArray(one_name, shape[1:], read)


def shape_differences(saved: Shapes, expected: Shapes) -> list[str]:
    """Returns the differences between saved parameters and a model's, a text for each kind.

    >>> shape_differences({"a": (3,), "b": (2,)}, {"b": (4,), "c": (3,)})
    ['missing parameters (1): c', 'unknown parameters (1): a',
     'parameters of another shape (1): b is (2,), expected (4,)']

    Args:
      saved: the shapes of the saved parameters.
      expected: the shapes of the model's parameters.
    """
    missing = [name for name in expected if name not in saved]
    unknown = [name for name in saved if name not in expected]
    reshaped = [
        f"{name} is {saved[name]}, expected {shape}"
        for name, shape in expected.items()
        if name in saved and saved[name] != shape
    ]
    kinds = {
        "missing parameters": missing,
        "unknown parameters": unknown,
        "parameters of another shape": reshaped,
    }
    return [
        f"{kind} ({len(names)}): {list_names(names)}"
        for kind, names in kinds.items()
        if names
    ]


def device_bounds(leaf: jax.ShapeDtypeStruct | jax.Array) -> dict[Device, Bounds]:
    """Returns the part of an array that each device of this process holds.

    Args:
      leaf: the array, or its shape, with a sharding.

    Returns:
      The bounds of the part, by device. Devices that hold the same part have equal bounds.
    """
    assert leaf.sharding is not None
    indices = leaf.sharding.addressable_devices_indices_map(tuple(leaf.shape))
    parts = {}
    for device, index in indices.items():
        assert index is not None
        bounds = []
        for dimension, size in zip(index, leaf.shape, strict=True):
            start, stop, _ = dimension.indices(size)
            bounds.append((start, stop))
        parts[device] = tuple(bounds)
    return parts


def list_names(names: Sequence[str]) -> str:
    """Returns the first LISTED_NAMES names as a text, with dots if there are more."""
    ending = " ..." if len(names) > LISTED_NAMES else ""
    return ", ".join(names[:LISTED_NAMES]) + ending


def _layer_on_host(leaf: jax.Array | np.ndarray, layer: int) -> np.ndarray:
    return np.asarray(leaf[layer])


def _array_on_host(leaf: jax.Array | np.ndarray | np.generic) -> np.ndarray:
    # A jax.Array keeps the host's copy of itself once there is one: over all parameters these would
    # add up. The copy of a copy is freed.
    if isinstance(leaf, jax.Array):
        leaf = jnp.copy(leaf)
    return np.asarray(leaf)
