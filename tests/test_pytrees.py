import jax.numpy as jnp
from same_trees import assert_same

from flan_jax import pytrees

TREE = {"encoder": {"mlp": {"wi": 1, "wo": 2}, "norm": {"scale": 3}}, "head": 4}


def test_leaves_are_named_by_path():
    assert pytrees.named_leaves(TREE) == {
        "encoder/mlp/wi": 1,
        "encoder/mlp/wo": 2,
        "encoder/norm/scale": 3,
        "head": 4,
    }


def test_match_searches_the_whole_name():
    assert pytrees.match(TREE, r"mlp/|^head$") == {
        "encoder": {"mlp": {"wi": True, "wo": True}, "norm": {"scale": False}},
        "head": True,
    }


def test_merge_undoes_partition():
    selected, rest = pytrees.partition(TREE, "norm")
    assert selected == {"encoder": {"norm": {"scale": 3}}}
    assert rest == {"encoder": {"mlp": {"wi": 1, "wo": 2}}, "head": 4}
    assert pytrees.merge(selected, rest) == TREE
    assert pytrees.merge(rest, selected) == TREE
    assert pytrees.partition(TREE, "no such leaf") == ({}, TREE)


def test_map_named_sees_names_and_all_trees():
    assert pytrees.map_named(
        lambda name, a, b: f"{name}={a + b}", {"x": 1}, {"x": jnp.int32(2)}
    ) == {"x": "x=3"}


def test_stacked_layers_are_taken_apart_wherever_they_lie():
    stack = {
        "mlp": {"wi": jnp.arange(6).reshape(3, 2)},
        "norm": {"scale": jnp.arange(3)},
    }
    got = pytrees.unstacked({"encoder": {"layers": stack, "norm": 7}, "head": 8})
    values = {
        name: jnp.asarray(leaf).tolist()
        for name, leaf in pytrees.named_leaves(got).items()
    }
    assert values == {
        "encoder/layers_0/mlp/wi": [0, 1],
        "encoder/layers_0/norm/scale": 0,
        "encoder/layers_1/mlp/wi": [2, 3],
        "encoder/layers_1/norm/scale": 1,
        "encoder/layers_2/mlp/wi": [4, 5],
        "encoder/layers_2/norm/scale": 2,
        "encoder/norm": 7,
        "head": 8,
    }
    assert pytrees.unstacked(got) == got, "unrolled layers stay as they are"


def test_restacked_layers_keep_placeholders_as_they_are():
    stack = {"wi": jnp.arange(6).reshape(3, 2), "placeholder": jnp.zeros((1,))}
    tree = {"encoder": {"layers": stack}, "head": jnp.arange(2)}
    layer = {"wi": jnp.zeros((2,)), "placeholder": jnp.zeros((1,))}
    names = ("layers_0", "layers_1", "layers_2")
    like = {"encoder": dict.fromkeys(names, layer), "head": jnp.zeros((2,))}
    one_by_one = pytrees.restack_layers(tree, like)
    layers = {name: one_by_one["encoder"][name] for name in names}
    assert [leaf["wi"].tolist() for leaf in layers.values()] == [[0, 1], [2, 3], [4, 5]]
    assert {leaf["placeholder"].shape for leaf in layers.values()} == {(1,)}
    assert_same(pytrees.restack_layers(one_by_one, tree), tree)
