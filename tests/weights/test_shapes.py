"""Names and shapes of parameters with stacked layers, and the differences between two models."""

import jax.numpy as jnp
import numpy as np
import pytest

from flan_jax.errors import InputError
from flan_jax.weights import shapes

STACKED = {"norm": (4,), "encoder/layers/mlp/wi/kernel": (2, 4, 8)}
ONE_BY_ONE = {
    "norm": (4,),
    "encoder/layers_0/mlp/wi/kernel": (4, 8),
    "encoder/layers_1/mlp/wi/kernel": (4, 8),
}


def test_stacked_shapes_become_a_shape_for_each_layer():
    assert shapes.unstacked_shapes(STACKED) == ONE_BY_ONE
    assert shapes.unstacked_shapes({"layers/wi": (4, 2, 8)}, layer_axis=1) == {
        "layers_0/wi": (4, 8),
        "layers_1/wi": (4, 8),
    }
    assert shapes.unstacked_shapes(ONE_BY_ONE) == ONE_BY_ONE


def test_a_stacked_parameter_without_its_layer_axis_is_an_error():
    message = r"layers/scale is \(3,\): its layers should be stacked on axis 1, which it lacks"
    with pytest.raises(InputError, match=message):
        shapes.unstacked_shapes({"layers/scale": (3,)}, layer_axis=1)


@pytest.mark.parametrize("as_array", [np.asarray, jnp.asarray])
def test_stacked_arrays_are_copied_layer_by_layer(as_array):
    norm = np.arange(4.0, dtype=np.float32)
    kernel = np.arange(64.0, dtype=np.float32).reshape(2, 4, 8)
    params = {
        "encoder": {"layers": {"mlp": {"wi": {"kernel": as_array(kernel)}}}},
        "norm": as_array(norm),
    }
    arrays = {
        name: (shape, read()) for name, shape, read in shapes.unstacked_arrays(params)
    }
    assert {name: shape for name, (shape, _) in arrays.items()} == ONE_BY_ONE
    np.testing.assert_array_equal(arrays["norm"][1], norm)
    np.testing.assert_array_equal(
        arrays["encoder/layers_1/mlp/wi/kernel"][1], kernel[1]
    )


def test_differences_name_the_first_parameters_of_each_kind():
    saved = {"a": (3,), "b": (2,), "same": ()}
    expected = {"b": (4,), "c": (3,), "same": ()}
    assert shapes.shape_differences(saved, expected) == [
        "missing parameters (1): c",
        "unknown parameters (1): a",
        "parameters of another shape (1): b is (2,), expected (4,)",
    ]
    assert shapes.shape_differences(saved, saved) == []
    many = {f"layer_{i}": (1,) for i in range(5)}
    assert shapes.shape_differences({}, many) == [
        "missing parameters (5): layer_0, layer_1, layer_2 ..."
    ]
