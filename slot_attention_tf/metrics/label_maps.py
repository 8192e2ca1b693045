"""Label maps: counting their pixels, making them from attention, resizing them."""

import operator

import keras
import numpy as np
from keras import ops


def contingency_table(
    true_labels, pred_labels, num_true_labels=None, num_pred_labels=None
):
    """Counts, for each image, the pixels of every pair of labels.

    Args:
        true_labels: integer label maps `[B, ...]`, NumPy or backend tensors.
        pred_labels: integer label maps of the same shape.
        num_true_labels: one more than the largest possible label in
            `true_labels`, or None to find it from the values.
        num_pred_labels: the same for `pred_labels`.

    Returns:
        float32 `[B, I, J]` with `I` true and `J` predicted labels.

    Raises:
        ValueError: as in `adjusted_rand_index`.
    """
    true_labels = _as_labels(true_labels, "true_labels")
    pred_labels = _as_labels(pred_labels, "pred_labels")
    _check_shapes(true_labels, pred_labels)
    num_true_labels = _num_labels(true_labels, num_true_labels, "true_labels")
    num_pred_labels = _num_labels(pred_labels, num_pred_labels, "pred_labels")
    batch_size = ops.shape(true_labels)[0]
    cells = num_true_labels * num_pred_labels
    flat_true = ops.reshape(true_labels, (batch_size, -1))  # [B, P]
    flat_pred = ops.reshape(pred_labels, (batch_size, -1))  # [B, P]
    offset = ops.arange(batch_size, dtype="int32")[:, None] * cells  # [B, 1]
    cell = ops.reshape(offset + flat_true * num_pred_labels + flat_pred, (-1,))
    # float32 counts pixels exactly up to 2^24, an image of 4096 x 4096.
    counts = ops.segment_sum(
        ops.ones_like(cell, dtype="float32"), cell, num_segments=batch_size * cells
    )
    return ops.reshape(counts, (batch_size, num_true_labels, num_pred_labels))


def attention_to_labels(attention, feature_resolution, image_resolution):
    """Assigns each pixel to the slot that attends to it most.

    The maps are resized to the image by bilinear interpolation first. For the
    scores of Locatello et al. (2020), section 4.2, keep the resolution of the
    features and resize the true labels instead, with `resize_labels`.

    Args:
        attention: float tensor `[B, N, K]`, the attention of one iteration. For the
            last one of `SlotAttention`, take `attention[:, -1]`.
        feature_resolution: `(height, width)` of the features, with
            `height * width == N`.
        image_resolution: `(height, width)` of the result.

    Returns:
        int32 `[B, height, width]`, labels from 0 to `K - 1`.

    Raises:
        ValueError: if the shape of `attention` does not fit.

    Example:

    >>> attention = np.random.default_rng(0).dirichlet(np.ones(5), size=(2, 64))
    >>> attention_to_labels(attention, (8, 8), (32, 32)).shape
    TensorShape([2, 32, 32])
    """
    height, width = feature_resolution
    attention = ops.convert_to_tensor(attention)
    shape = tuple(attention.shape)
    if len(shape) != 3 or shape[1] not in (None, height * width):
        raise ValueError(
            "`attention` must have the shape [B, N, K] with N = height * width of "
            "`feature_resolution`; take one iteration, such as attention[:, -1]. "
            f"Received: attention.shape={shape}, "
            f"feature_resolution={(height, width)}"
        )
    maps = ops.reshape(ops.cast(attention, "float32"), (-1, height, width, shape[2]))
    maps = ops.image.resize(
        maps,
        tuple(image_resolution),
        interpolation="bilinear",
        data_format="channels_last",
    )  # [B, H, W, K]
    return ops.cast(ops.argmax(maps, axis=-1), "int32")


def resize_labels(labels, resolution):
    """Resizes label maps to another resolution by taking the nearest pixel.

    Args:
        labels: integer tensor `[B, H, W]`.
        resolution: `(height, width)` of the result.

    Returns:
        int32 `[B, height, width]`.

    Raises:
        ValueError: if `labels` is not an integer tensor of rank 3.

    Example:

    >>> labels = np.repeat(np.arange(4), 3).reshape(1, 1, 12)
    >>> np.array(resize_labels(labels, (1, 4))).tolist()
    [[[0, 1, 2, 3]]]
    """
    labels = _as_labels(labels, "labels")
    if len(labels.shape) != 3:
        raise ValueError(
            "`labels` must have the shape [B, H, W]. Received: "
            f"labels.shape={tuple(labels.shape)}"
        )
    for axis, size in zip((1, 2), resolution, strict=True):
        # The centre of each new pixel, in old pixels.
        centers = (np.arange(size) + 0.5) * labels.shape[axis] / size
        labels = ops.take(labels, centers.astype("int32"), axis=axis)
    return labels


def _as_labels(labels, name):
    """Checks the dtype and returns the labels as an int32 tensor."""
    labels = ops.convert_to_tensor(labels)
    dtype = keras.backend.standardize_dtype(labels.dtype)
    if not dtype.startswith(("int", "uint")):
        raise ValueError(
            f"`{name}` must be an integer label map [B, ...]; take the argmax over "
            f"the slots of soft masks first. Received: dtype={dtype}"
        )
    return ops.cast(labels, "int32")


def _check_shapes(true_labels, pred_labels):
    true_shape, pred_shape = tuple(true_labels.shape), tuple(pred_labels.shape)
    compatible = len(true_shape) == len(pred_shape) and all(
        a is None or b is None or a == b
        for a, b in zip(true_shape, pred_shape, strict=True)
    )
    if not compatible or len(true_shape) < 2:
        raise ValueError(
            "`true_labels` and `pred_labels` must have the same shape [B, ...], "
            "with a batch axis and at least one pixel axis. Received: "
            f"true_labels.shape={true_shape}, pred_labels.shape={pred_shape}"
        )
    if 0 in true_shape:
        raise ValueError(
            "Label maps must hold at least one image and one pixel. "
            f"Received: true_labels.shape={true_shape}"
        )


def _num_labels(labels, given, name):
    """Returns the number of labels, after checking the values where there are any."""
    try:
        # Not int(): inside tf.function AutoGraph turns that into a tensor cast.
        smallest = operator.index(ops.min(labels))
        largest = operator.index(ops.max(labels))
    except TypeError:  # Traced: there are no values yet.
        if given is None and keras.backend.backend() == "jax":
            raise ValueError(
                "Inside jax.jit the number of labels must be given, since shapes "
                f"cannot depend on values. Received: num_{name}=None"
            ) from None
        return ops.max(labels) + 1 if given is None else given
    if smallest < 0 or (given is not None and largest >= given):
        raise ValueError(
            f"`{name}` must lie between 0 and num_{name} - 1. Received: labels "
            f"from {smallest} to {largest}, num_{name}={given}"
        )
    return largest + 1 if given is None else given
