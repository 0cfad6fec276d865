"""Pytrees with named leaves: "encoder/layers_0/mlp/wo/kernel". Regexes choose leaves by name."""

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import PyTree

Tree: TypeAlias = PyTree
"""Nested dicts and dataclasses of arrays, of their shapes or of their shardings."""
Params: TypeAlias = PyTree
"""A model's parameters by path: arrays, or their shapes (jax.ShapeDtypeStruct)."""


def map_named(function: Callable[..., Any], tree: Tree, *rest: Tree) -> Tree:
    """Returns the tree of `function(name, leaf, *leaves of rest)`: jax.tree.map with names.

    Args:
      function: maps the name of a leaf, and the leaves of all trees there, to a new leaf.
      tree: the tree whose leaves are mapped.
      *rest: trees of the same structure.
    """

    def call(path: tuple[Any, ...], *leaves: object) -> object:
        return function(_name(path), *leaves)

    return jax.tree.map_with_path(call, tree, *rest)


def named_leaves(tree: Tree) -> dict[str, Any]:
    """Returns {name: leaf}, in the tree's own order.

    >>> named_leaves({"mlp": {"wi": 1, "wo": 2}})
    {'mlp/wi': 1, 'mlp/wo': 2}
    """
    leaves = jax.tree.leaves_with_path(tree)
    return {_name(path): leaf for path, leaf in leaves}


def match(tree: Tree, regex: str) -> Tree:
    """Returns the same tree with True at the leaves whose name a regex matches.

    >>> match({"mlp": {"wi": 1, "wo": 2}}, "wo$")
    {'mlp': {'wi': False, 'wo': True}}

    Args:
      tree: any tree.
      regex: searched in each name (re.search); anchor it with ^ and $.
    """
    pattern = re.compile(regex)

    def is_match(name: str, _: object) -> bool:
        return pattern.search(name) is not None

    return map_named(is_match, tree)


def partition(tree: Tree, regex: str) -> tuple[Tree, Tree]:
    """Splits nested dicts into the leaves whose name a regex matches, and the others.

    >>> partition({"mlp": {"wi": 1, "wo": 2}, "norm": 3}, "wo$")
    ({'mlp': {'wo': 2}}, {'mlp': {'wi': 1}, 'norm': 3})

    Args:
      tree: nested dicts.
      regex: searched in each name (re.search); anchor it with ^ and $.
    """
    pattern = re.compile(regex)
    selected = {}
    rest = {}
    for path, leaf in flatten_dict(tree).items():
        name = "/".join(path)
        if pattern.search(name):
            selected[path] = leaf
        else:
            rest[path] = leaf
    return unflatten_dict(selected), unflatten_dict(rest)


def merge(one: Tree, other: Tree) -> Tree:
    """Returns the nested dicts that have the leaves of both: the inverse of `partition`.

    >>> merge({"mlp": {"wo": 2}}, {"mlp": {"wi": 1}, "norm": 3})
    {'mlp': {'wo': 2, 'wi': 1}, 'norm': 3}
    """
    return unflatten_dict(flatten_dict(one) | flatten_dict(other))


def unstacked(tree: Tree) -> Tree:
    """Returns nested dicts in which stacked layers lie one by one: "layers_0", "layers_1" ...

    >>> unstacked({"norm": 3, "layers": {"wi": np.array([1, 2])}})
    {'norm': 3, 'layers_0': {'wi': 1}, 'layers_1': {'wi': 2}}

    Args:
      tree: nested dicts; those named "layers" have a leading axis of layers.
    """
    if not isinstance(tree, Mapping):
        return tree
    out = {}
    for name, branch in tree.items():
        if name != "layers":
            out[name] = unstacked(branch)

    stack = tree.get("layers", {})
    leaves = jax.tree.leaves(stack)
    layer_count = max((len(leaf) for leaf in leaves), default=0)
    for layer in range(layer_count):
        take_layer = operator.itemgetter(layer)
        out[f"layers_{layer}"] = jax.tree.map(take_layer, stack)
    return out


def restack_layers(
    tree: Tree,
    like: Tree,
    *,
    stack: Callable[[list[Any]], Any] = jnp.stack,
    take: Callable[[Any, int], Any] = operator.getitem,
) -> Tree:
    """Returns the leaves of `tree` with their layers stacked or one by one, as in `like`.

    >>> restack_layers({"layers_0": {"wi": 1}, "layers_1": {"wi": 2}}, like={"layers": {"wi": ...}})
    {'layers': {'wi': Array([1, 2])}}

    A leaf that has the same shape in both trees has no axis of layers and is copied: the
    placeholder of a moment that Adafactor does not keep.

    Args:
      tree: parameters or an optimizer state; leaves have a shape.
      like: a tree of the wanted structure; leaves have a shape.
      stack: joins the leaves of all layers along a new first axis.
      take: returns the leaf of one layer from that of a stack.

    Raises:
      KeyError: `like` has a leaf that `tree` has in neither form.
    """
    leaves = named_leaves(tree)

    def leaf_of(name: str, wanted: Tree) -> Tree:
        if name in leaves:
            return leaves[name]

        number = _LAYER.search(name)
        if number is not None:
            stacked_name = _LAYER.sub(r"\1layers/", name, count=1)
            stacked = leaves[stacked_name]
            if stacked.shape == wanted.shape:
                return stacked
            layer = int(number.group(2))
            return take(stacked, layer)

        layers = _layers(leaves, name)
        if not layers:
            raise KeyError(name)
        if layers[0].shape == wanted.shape:
            return layers[0]
        return stack(layers)

    return map_named(leaf_of, like)


def _layers(leaves: Mapping[str, Any], stacked_name: str) -> list[Any]:
    """Returns the leaves "layers_0/...", "layers_1/..." of a stack's name "layers/..."."""
    layers = []
    while True:
        name = _STACK.sub(rf"\1layers_{len(layers)}/", stacked_name, count=1)
        if name not in leaves:
            return layers
        layers.append(leaves[name])


_STACK = re.compile(r"(^|/)layers/")
_LAYER = re.compile(r"(^|/)layers_(\d+)/")


def _name(path: tuple[Any, ...]) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")
