"""Gradients inside a layer: what `keras.ops` does not have."""

import keras
from keras import ops


def gradients(function, inputs, create_graph=False, has_aux=False):
    """Calls a function and differentiates its value with respect to its inputs.

    A model whose forward pass follows a gradient calls this inside its own `call`,
    eagerly or compiled, on TensorFlow, JAX and PyTorch. Only what happens inside
    `function` counts: inputs that were computed from one another are independent here.
    The value, and what is returned with it, stay differentiable in any case.

    Draw random numbers before the call and hand them in: under JAX a seed generator
    must not change state inside `function`.

    Args:
        function: Called as `function(*inputs)`. Returns a scalar, or a tensor whose sum
            is differentiated, such as one number for each example of a batch. An
            example's gradient then does not depend on the others.
        inputs: List of float tensors.
        create_graph: Boolean. If `True`, the gradients can be differentiated again, for
            a loss that depends on them. If `False`, they are constants to any outer
            derivative, and second derivatives are never computed.
        has_aux: Boolean. If `True`, `function` returns `(value, aux)`, where `aux` is a
            tensor or a list, tuple or dictionary of tensors.

    Returns:
        Tuple `(value, gradients)`, or `((value, aux), gradients)` with `has_aux=True`.
        The gradients are a list with the shapes and dtypes of `inputs`, zero for an
        input that the value does not depend on.

    Raises:
        NotImplementedError: If the Keras backend has no automatic differentiation.
        ValueError: If an input is a symbolic tensor of the functional API.

    Example:

    >>> x = keras.ops.array([1.0, 2.0])
    >>> value, (gradient,) = gradients(lambda x: keras.ops.sum(x**3), [x])
    >>> float(value), [float(each) for each in gradient]
    (9.0, [3.0, 12.0])
    """
    backend = keras.backend.backend()
    if backend not in _BACKENDS:
        raise NotImplementedError(
            "This Keras backend has no automatic differentiation, which the model "
            "needs even to predict: set the environment variable KERAS_BACKEND to one "
            f"of {', '.join(_BACKENDS)}. Received: KERAS_BACKEND={backend}"
        )
    if any(isinstance(x, keras.KerasTensor) for x in inputs):
        raise ValueError(
            "A symbolic tensor of the functional API has no gradients: call "
            f"`gradients` inside the `call` of a layer. Received: inputs={inputs}"
        )
    inputs = [ops.convert_to_tensor(x) for x in inputs]
    pair = function if has_aux else lambda *inputs: (function(*inputs), ())
    value, aux, grads = _BACKENDS[backend](pair, inputs, create_graph)
    if not create_graph:
        grads = [ops.stop_gradient(grad) for grad in grads]
    return ((value, aux) if has_aux else value), list(grads)


def _tensorflow(function, inputs, create_graph):
    import tensorflow as tf

    with tf.GradientTape(watch_accessed_variables=False) as tape:
        # An alias of its own for every input, also if one tensor is given twice.
        inputs = [tf.identity(x) for x in inputs]
        tape.watch(inputs)
        value, aux = function(*inputs)
    zero = tf.UnconnectedGradients.ZERO
    return value, aux, tape.gradient(value, inputs, unconnected_gradients=zero)


def _jax(function, inputs, create_graph):
    import jax

    value, pull_back, aux = jax.vjp(function, *inputs, has_aux=True)
    return value, aux, pull_back(ops.ones_like(value))


def _torch(function, inputs, create_graph):
    import torch

    outer = torch.is_grad_enabled()  # Not while a model predicts.
    with torch.enable_grad():
        inputs = [
            x.view_as(x) if x.requires_grad else x.detach().requires_grad_()
            for x in inputs
        ]
        value, aux = function(*inputs)
        grads = torch.autograd.grad(
            value.sum(),
            inputs,
            create_graph=create_graph,
            retain_graph=outer,
            allow_unused=True,
            materialize_grads=True,
        )
    if outer:
        return value, aux, grads
    return keras.tree.map_structure(torch.Tensor.detach, (value, aux, list(grads)))


_BACKENDS = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
