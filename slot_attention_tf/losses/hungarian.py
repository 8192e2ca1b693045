"""Huber loss between two sets, after optimal one-to-one matching."""

import keras
import numpy as np
from keras import ops
from scipy.optimize import linear_sum_assignment


def hungarian_huber_loss(x, y, weights=None):
    """Huber loss between sets whose elements have no order.

    Every element of the smaller set is matched with one of the other, such that
    the total cost is least; what is left over of the larger set costs nothing.
    The cost of a pair is its Huber loss (threshold 1), averaged over the `d`
    features. The loss is the sum over the pairs, averaged over the batch
    (Locatello et al., 2020, section 3.3).

    The matching runs on the host in SciPy and is a constant for the gradient. It
    works eagerly, inside `tf.function` and `jax.jit`, and with PyTorch, but XLA
    cannot compile it on TensorFlow: use `jit_compile=False` there.

    Args:
        x: float tensor `[B, n, d]`, predictions or targets: the loss is symmetric.
        y: float tensor `[B, m, d]`.
        weights: optional `d` non-negative numbers, factors of the features' costs,
            in the matching as well. See `clevr_properties.feature_weights`.

    Returns:
        A scalar, float32 (float64 for float64 inputs).

    Raises:
        ValueError: if the shapes do not fit, or the weights are not `d` finite
            non-negative numbers. Also if a value is NaN or infinite; compiled
            functions raise the error of their backend instead, such as
            `tf.errors.InvalidArgumentError`, with the same message.
    """
    return ops.mean(hungarian_huber_loss_per_example(x, y, weights))


def hungarian_huber_loss_per_example(x, y, weights=None):
    """`hungarian_huber_loss` before its mean over the batch.

    Args:
        x: float tensor `[B, n, d]`.
        y: float tensor `[B, m, d]`.
        weights: optional `d` non-negative numbers.

    Returns:
        A float tensor `[B]`, for example to be divided by a global batch size.

    Raises:
        ValueError: as in `hungarian_huber_loss`.
    """
    x, y = _as_float(x), _as_float(y)
    _check_sets(x, y)
    cost = _pairwise_cost(x, y, weights)  # [B, n, m]
    matching = _match(ops.stop_gradient(cost))  # [B, n, m], 1 for matched pairs
    return ops.sum(cost * matching, axis=(1, 2))


@keras.saving.register_keras_serializable(package="slot_attention_tf")
class HungarianHuberLoss(keras.losses.Loss):
    """`hungarian_huber_loss` for `model.compile(loss=..., jit_compile=False)`.

    Differs from the function in one point: since it knows which of the sets is
    the prediction, it refuses targets with more elements than predictions, of
    which some would go unmatched and cost nothing.

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
        num_targets, num_predictions = y_true.shape[1], y_pred.shape[1]
        if None not in (num_targets, num_predictions) and num_targets > num_predictions:
            raise ValueError(
                "The target has more elements than the prediction, so some would "
                f"not be learned; use at least num_slots={num_targets}, or smaller "
                f"targets. Received: y_true.shape={tuple(y_true.shape)}, "
                f"y_pred.shape={tuple(y_pred.shape)}"
            )
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


def _match(cost):
    """Optimal matching of a batch of cost matrices `[B, n, m]` as zeros and ones."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        if not tf.executing_eagerly():
            matching = tf.numpy_function(
                _match_on_host, [cost], cost.dtype, stateful=False
            )
            return tf.ensure_shape(matching, cost.shape)
    elif backend == "jax":
        import jax

        if isinstance(cost, jax.core.Tracer):
            like_cost = jax.ShapeDtypeStruct(cost.shape, cost.dtype)
            return jax.pure_callback(
                _match_on_host, like_cost, cost, vmap_method="sequential"
            )
    return ops.convert_to_tensor(_match_on_host(ops.convert_to_numpy(cost)))


def _match_on_host(cost):
    cost = np.asarray(cost)
    finite = np.isfinite(cost).all(axis=(1, 2))
    if not finite.all():
        example = int(np.argmin(finite))
        raise ValueError(
            "Sets cannot be matched when a value is NaN or infinite. Received: "
            f"such a value in example {example} of a batch of {len(cost)} (x or y "
            "of hungarian_huber_loss)"
        )
    matching = np.zeros_like(cost)
    for example_cost, example_matching in zip(cost, matching, strict=True):
        example_matching[linear_sum_assignment(example_cost)] = 1
    return matching


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
