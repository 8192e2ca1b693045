"""Gradients inside a layer, against finite differences and on every backend."""

import importlib.util

import keras
import numpy as np
import pytest
import tensorflow as tf

from slot_attention_tf.layers.gradients import gradients
from tests import gradient_checks

RUN_CHECKS = """
import keras
from tests.gradient_checks import run_gradient_checks
run_gradient_checks()
print(keras.backend.backend())
"""


def test_tensorflow():
    gradient_checks.run_gradient_checks()


def test_inside_a_compiled_function():
    gradient_checks.second_derivatives(tf.function)
    compiled = tf.function(
        lambda x: gradients(gradient_checks.energy_of_each, [x, 2 * x]),
        input_signature=[tf.TensorSpec((None, 3))],
    )
    x = gradient_checks.points(4)
    value, grads = compiled(x)
    expected, expected_grads = gradients(gradient_checks.energy_of_each, [x, 2 * x])
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(grads[0], expected_grads[0], rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends(backend, run_python):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    assert run_python(RUN_CHECKS, KERAS_BACKEND=backend).strip() == backend


def test_a_backend_without_gradients_says_so(run_python):
    code = """
from slot_attention_tf.layers.gradients import gradients
try:
    gradients(lambda x: x, [1.0])
except NotImplementedError as error:
    print(error)
"""
    output = run_python(code, KERAS_BACKEND="numpy")
    assert "one of tensorflow, jax, torch. Received: KERAS_BACKEND=numpy" in output


def test_a_symbolic_input_says_so():
    with pytest.raises(ValueError, match="inside the `call` of a layer"):
        gradients(keras.ops.sum, [keras.Input((3,))])
