"""Huber loss between two sets, after optimal one-to-one matching."""

import keras
import numpy as np
from keras import ops

from slot_attention_tf.losses.assignment import has_values, match


def hungarian_huber_loss(x, y, weights=None):
    """Huber loss between sets whose elements have no order.

    Each element of the smaller set is matched with a different element of the
    other, such that the total cost is least. Elements left over in the larger set
    cost nothing. The cost of a pair is its Huber loss (threshold 1), averaged over
    the `d` features. The loss is the sum over the pairs, averaged over the batch
    (Locatello et al., 2020, section 3.3).

    The matching is a constant for the gradient. It can be compiled with
    `tf.function`, XLA and `jax.jit`.

    Args:
        x: float tensor `[B, n, d]`, predictions or targets: the loss is symmetric.
        y: float tensor `[B, m, d]`.
        weights: optional `d` non-negative numbers that multiply the costs of the
            features, in the matching and in the loss. See
            `clevr_properties.feature_weights`.

    Returns:
        A scalar, float32 (float64 for float64 inputs).

    Raises:
        ValueError: if the shapes do not fit, or the weights are not `d` finite
            non-negative numbers. Also if a value is NaN or infinite; inside
            compiled functions the loss is NaN instead.

    Example:

    >>> predictions = np.array([[[0.0], [5.0]]], "float32")
    >>> targets = np.array([[[5.0], [1.0]]], "float32")
    >>> float(hungarian_huber_loss(predictions, targets))
    0.5
    """
    return ops.mean(hungarian_huber_loss_per_example(x, y, weights))


def hungarian_huber_loss_per_example(x, y, weights=None):
    """`hungarian_huber_loss` before its mean over the batch.

    Args:
        x: float tensor `[B, n, d]`.
        y: float tensor `[B, m, d]`.
        weights: optional `d` non-negative numbers.

    Returns:
        A float tensor `[B]`, for losses that are scaled by a global batch size.

    Raises:
        ValueError: as in `hungarian_huber_loss`.
    """
    x, y = _as_float(x), _as_float(y)
    _check_sets(x, y)
    cost = _pairwise_cost(x, y, weights)  # [B, n, m]
    if has_values(cost):
        _check_finite(cost)
    # NaN and infinity stay in the sum, since 0 times either is NaN.
    return ops.sum(cost * match(cost), axis=(1, 2))


def pad_targets(target, num_elements):
    """Appends rows of zeros, which stand for "no object", to a set of targets.

    With one target for each prediction, spare predictions learn "no object"
    instead of going unmatched.

    Args:
        target: tensor `[B, m, d]`.
        num_elements: number of predicted elements, at least `m`.

    Returns:
        A tensor `[B, num_elements, d]` in the dtype of `target`.

    Raises:
        ValueError: if `target` has another rank or more than `num_elements`
            elements. If `m` is only known when a compiled function runs, the
            backend raises its own error.

    Example:

    >>> pad_targets(np.ones((8, 6, 19), "float32"), 10).shape
    TensorShape([8, 10, 19])
    """
    target = ops.convert_to_tensor(target)
    if len(target.shape) != 3:
        raise ValueError(
            "`target` must have the shape [batch, elements, features]. Received: "
            f"target.shape={tuple(target.shape)}"
        )
    _check_num_targets(target, num_elements)
    missing = num_elements - ops.shape(target)[1]
    padded = ops.pad(target, [[0, 0], [0, missing], [0, 0]])
    # Padding by an unknown amount would leave the number of elements unknown.
    return ops.reshape(padded, (-1, num_elements, target.shape[2]))


@keras.saving.register_keras_serializable(package="slot_attention_tf")
class HungarianHuberLoss(keras.losses.Loss):
    """`hungarian_huber_loss` as a Keras loss, for `model.compile(loss=...)`.

    Differs from the function in one point: more targets than predictions are an
    error, since some targets would go unmatched and cost nothing.

    Args:
        weights: optional non-negative numbers, one for each feature.
        reduction: as in `keras.losses.Loss`; the default is the mean over the
            batch.
        name: name of the loss.
        dtype: as in `keras.losses.Loss`.

    Call arguments:
        y_true: float tensor `[B, m, d]`.
        y_pred: float tensor `[B, n, d]` with `n >= m`.

    Returns:
        A scalar, or `[B]` with `reduction="none"`.

    Raises:
        ValueError: as in `hungarian_huber_loss`, and for `m > n`.
    """

    def __init__(
        self,
        weights=None,
        reduction="sum_over_batch_size",
        name="hungarian_huber_loss",
        dtype=None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.weights = None if weights is None else [float(w) for w in weights]

    def call(self, y_true, y_pred):
        _check_num_targets(y_true, y_pred.shape[1])
        return hungarian_huber_loss_per_example(y_true, y_pred, self.weights)

    def get_config(self):
        return {**super().get_config(), "weights": self.weights}


def _pairwise_cost(x, y, weights):
    """Huber loss of every pair, averaged over features: `[B, n, m]`."""
    errors = ops.abs(ops.expand_dims(x, 2) - ops.expand_dims(y, 1))  # [B, n, m, d]
    # Quadratic up to 1 and linear beyond, without squaring large errors.
    quadratic = ops.minimum(errors, 1.0)
    huber = 0.5 * ops.square(quadratic) + (errors - quadratic)
    if weights is not None:
        huber = huber * ops.cast(_check_weights(weights, x.shape[-1]), huber.dtype)
    return ops.mean(huber, axis=-1)


def _check_finite(cost):
    finite = np.isfinite(ops.convert_to_numpy(cost)).all(axis=(1, 2))
    if not finite.all():
        raise ValueError(
            "Sets cannot be matched when a value is NaN or infinite. Received: such a "
            f"value in x or y, example {np.argmin(finite)} of a batch of {len(finite)}"
        )


def _as_float(values):
    """Keeps float64 and computes everything else in float32.

    Half precision would decide between matchings by its rounding.
    """
    values = ops.convert_to_tensor(values)
    is_double = keras.backend.standardize_dtype(values.dtype) == "float64"
    return ops.cast(values, "float64" if is_double else "float32")


def _check_sets(x, y):
    x_shape, y_shape = tuple(x.shape), tuple(y.shape)
    if len(x_shape) != 3 or len(y_shape) != 3:
        raise ValueError(
            "Sets must have the shape [batch, elements, features]. Received: "
            f"x.shape={x_shape}, y.shape={y_shape}"
        )
    for axis, name in ((0, "number of sets"), (2, "number of features")):
        if (
            None not in (x_shape[axis], y_shape[axis])
            and x_shape[axis] != y_shape[axis]
        ):
            raise ValueError(
                f"x and y must agree in the {name} (axis {axis}). Received: "
                f"x.shape={x_shape}, y.shape={y_shape}"
            )


def _check_num_targets(target, num_elements):
    num_targets = target.shape[1]
    if None not in (num_targets, num_elements) and num_targets > num_elements:
        raise ValueError(
            "The target has more elements than the prediction, so some would not be "
            f"learned; use at least num_slots={num_targets}, or smaller targets. "
            f"Received: target.shape={tuple(target.shape)} for {num_elements} "
            "predicted elements"
        )


def _check_weights(weights, num_features):
    weights = np.asarray(weights, "float64")
    if weights.shape != (num_features,):
        raise ValueError(
            f"`weights` must hold one number for each of the {num_features} "
            f"features. Received: weights of shape {weights.shape}"
        )
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise ValueError(
            f"`weights` must be finite and not negative. Received: weights={weights}"
        )
    return weights
