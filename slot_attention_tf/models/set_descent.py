"""Gradient descent on sets: the inner loops of DSPN and iDSPN."""

import numpy as np
from keras import ops

from slot_attention_tf.layers.gradients import gradients

_MOMENTUM = 0.9
_MAX_GRADIENT_NORM = 10.0
_LEAST_MOVE = 1e-3


def descend_unrolled(loss, start, num_iterations, learning_rate):
    """Plain gradient descent that gradients flow through: DSPN.

    The last number of an element says whether it exists, and is clipped to `[0, 1]`.

    Args:
        loss: Function from sets `[B, N, P]` to `[B]`.
        start: Float tensor `[B, N, P]`.
        num_iterations: Integer, the number of steps.
        learning_rate: Float.

    Returns:
        List of `num_iterations + 1` sets `[B, N, P]`, `start` first.
    """
    sets = [start]
    for _ in range(num_iterations):
        _, (gradient,) = gradients(loss, [sets[-1]], create_graph=True)
        moved = sets[-1] - learning_rate * gradient
        exists = ops.clip(moved[..., -1:], 0.0, 1.0)
        sets.append(ops.concatenate([moved[..., :-1], exists], axis=-1))
    return sets


def descend_implicit(loss, start, num_iterations, learning_rate):
    """Descent with Nesterov momentum and an approximate implicit gradient: iDSPN.

    The steps have no gradient. At a minimum, implicit differentiation needs the inverse
    of a Hessian; with the identity in its place, the derivative of the last set is that
    of minus the inner gradient before the last step, with the set held fixed.

    Arguments and result are those of `descend_unrolled`.
    """
    sets, velocity = [start], ops.zeros_like(start)
    for i in range(num_iterations):
        is_last = i == num_iterations - 1
        _, (gradient,) = gradients(loss, [sets[-1]], create_graph=is_last)
        step = _clip_norm(ops.stop_gradient(gradient))
        velocity = _MOMENTUM * velocity + step
        moved = sets[-1] - learning_rate * (step + _MOMENTUM * velocity)
        sets.append(ops.stop_gradient(moved))
        if is_last:
            # Adds zero, with the derivative of minus the gradient.
            sets[-1] = sets[-1] - (gradient - ops.stop_gradient(gradient))
    return sets


def _clip_norm(gradient):
    """Scales the gradient `[B, N, P]` of each set down to the largest norm."""
    norm = ops.sqrt(ops.sum(ops.square(gradient), axis=(1, 2), keepdims=True))
    return gradient * (_MAX_GRADIENT_NORM / ops.maximum(norm, _MAX_GRADIENT_NORM))


def describe_problem(losses, sets):
    """What is wrong with a descent, in words.

    Args:
        losses: List of `T + 1` numbers, the loss of the start and after each step.
        sets: List of `T + 1` arrays `[B, N, P]`.

    Returns:
        A string, or None if the loss falls and the sets move.
    """
    num_iterations, start, end = len(losses) - 1, losses[0], losses[-1]
    if num_iterations == 0:
        return None
    course = (
        f"{num_iterations} inner steps bring the inner loss from {start:.3g} "
        f"to {end:.3g}"
    )
    if not np.isfinite(end) or end > start:
        return f"The sets explode: {course}. Lower `inner_learning_rate`."
    moved = np.abs(sets[-1] - sets[0]).mean()
    if moved < _LEAST_MOVE:
        return (
            f"The sets hardly move: {course} and change a number by {moved:.1g} on "
            "average. Raise `inner_learning_rate`."
        )
    return None
