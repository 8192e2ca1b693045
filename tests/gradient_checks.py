"""What `gradients` must do on every Keras backend: one function for all of them."""

import keras
import numpy as np
from keras import ops

from slot_attention_tf.layers.gradients import gradients


def run_gradient_checks():
    values_and_gradients()
    examples_do_not_see_each_other()
    inputs_are_independent()
    auxiliary_outputs()
    constant_gradients()
    second_derivatives()
    inside_a_model()


def points(count):
    return np.random.default_rng(0).normal(size=(count, 3)).astype("float32")


def energy_of_each(x, y):
    """`[B]` from `[B, 3]` twice: every partial derivative differs from the others."""
    return ops.sum(ops.sin(x) * y**2, axis=-1) + x[:, 0] * y[:, 1] ** 3


def finite_differences(function, x, step=1e-4):
    """Central differences in float64 of a NumPy function with a scalar value."""
    x = x.astype("float64")
    result = np.zeros_like(x)
    for index in np.ndindex(*x.shape):
        offset = np.zeros_like(x)
        offset[index] = step
        result[index] = (function(x + offset) - function(x - offset)) / (2 * step)
    return result


def assert_close(actual, expected):
    actual = ops.convert_to_numpy(actual)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


def _energy(x, y):
    """The sum of `energy_of_each`, in NumPy."""
    return np.sum(np.sin(x) * y**2) + np.sum(x[:, 0] * y[:, 1] ** 3)


def values_and_gradients():
    x, y = points(2), points(4)[2:]
    value, grads = gradients(energy_of_each, [x, y])
    assert tuple(value.shape) == (2,) and isinstance(grads, list)
    assert_close(ops.sum(value), _energy(x, y))
    assert_close(grads[0], finite_differences(lambda x: _energy(x, y), x))
    assert_close(grads[1], finite_differences(lambda y: _energy(x, y), y))
    # Of a scalar, and of an input that it does not depend on.
    value, grads = gradients(lambda x, y: ops.sum(x**2), [x, y])
    assert tuple(value.shape) == ()
    assert_close(grads[0], 2 * x)
    assert_close(grads[1], np.zeros_like(y))


def examples_do_not_see_each_other():
    x = points(4)
    _, (grad, _) = gradients(energy_of_each, [x, 2 * x])
    _, (first, _) = gradients(energy_of_each, [x[:1], 2 * x[:1]])
    assert_close(grad[:1], ops.convert_to_numpy(first))


def inputs_are_independent():
    """An input computed from another, or the same one twice: partial derivatives."""
    x = points(2)

    def outer(x):
        _, grads = gradients(energy_of_each, [x, x**2], create_graph=True)
        _, same = gradients(energy_of_each, [x, x], create_graph=True)
        return ops.sum(x), (grads, same)

    (_, (grads, same)), _ = gradients(outer, [x], has_aux=True)
    assert_close(grads[0], finite_differences(lambda a: _energy(a, x**2), x))
    assert_close(same[0], finite_differences(lambda a: _energy(a, x), x))
    assert_close(same[1], finite_differences(lambda a: _energy(x, a), x))


def auxiliary_outputs():
    """They come back as they are, and an outer derivative passes through them."""

    def inner(x):
        return ops.sum(x**2), {"cube": x**3}

    def outer(x):
        (value, aux), _ = gradients(inner, [x], has_aux=True)
        return value + ops.sum(aux["cube"])

    x = points(2)
    (_, aux), _ = gradients(inner, [x], has_aux=True)
    assert_close(aux["cube"], x**3)
    _, (grad,) = gradients(outer, [x])
    assert_close(grad, 2 * x + 3 * x**2)


def _descent(x, create_graph):
    """Sum of squares after a step downhill on the sum of `x**3`."""
    _, (grad,) = gradients(lambda x: ops.sum(x**3), [x], create_graph=create_graph)
    return ops.sum((x - 0.1 * grad) ** 2)


def constant_gradients():
    x = points(2)
    _, (grad,) = gradients(lambda x: _descent(x, create_graph=False), [x])
    assert_close(grad, 2 * (x - 0.3 * x**2))


def second_derivatives(compiled=lambda function: function):
    def through_a_gradient(x):
        return gradients(lambda x: _descent(x, create_graph=True), [x])

    x = points(2)
    value, (grad,) = compiled(through_a_gradient)(x)

    def descent(x):
        return np.sum((x - 0.3 * x**2) ** 2)

    assert_close(value, descent(x))
    assert_close(grad, finite_differences(descent, x))


class Downhill(keras.layers.Layer):
    """Moves its input down the square of a dense layer's output."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(2, kernel_initializer="ones")

    def build(self, input_shape):
        self.dense.build(input_shape)

    def call(self, x):
        _, (grad,) = gradients(
            lambda x: ops.sum(self.dense(x) ** 2), [x], create_graph=True
        )
        return x - 0.1 * grad


def inside_a_model():
    """In a functional model, while it predicts and while it trains."""
    inputs = keras.Input((3,))
    model = keras.Model(inputs, Downhill()(inputs))
    assert model.output.shape == (None, 3)
    kernel = model.trainable_weights[0]
    x = points(4)
    start = ops.convert_to_numpy(kernel).astype("float64")

    def loss(kernel):
        return np.mean((x - 0.2 * (x @ kernel) @ kernel.T) ** 2)

    predicted = model.predict(x, verbose=0)
    np.testing.assert_allclose(
        predicted, x - 0.2 * (x @ start) @ start.T, rtol=1e-4, atol=1e-4
    )
    expected = start - 0.01 * finite_differences(loss, start)
    model.compile(keras.optimizers.SGD(0.01), loss="mse")
    model.fit(x, np.zeros_like(x), batch_size=4, verbose=0)
    assert_close(kernel, expected)
