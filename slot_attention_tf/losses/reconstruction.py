"""Reconstruction error of the autoencoder."""

from keras import ops


def l2_loss(prediction, target):
    """Mean squared error over the whole batch (Locatello et al., 2020, section 3.2).

    Args:
        prediction: float tensor `[B, ...]`, for example `recon_combined`.
        target: tensor of the same shape, for example the images.

    Returns:
        A scalar in the dtype of `prediction`.

    Raises:
        ValueError: if the shapes differ.

    Example:

    >>> float(l2_loss(np.ones((2, 3)), np.zeros((2, 3))))
    1.0
    """
    return ops.mean(_squared_differences(prediction, target))


def l2_loss_per_example(prediction, target):
    """Mean squared error of each example, for losses that a global batch divides.

    Args:
        prediction: float tensor `[B, ...]`.
        target: tensor of the same shape.

    Returns:
        A float tensor `[B]`, whose mean is `l2_loss`.

    Raises:
        ValueError: if the shapes differ or have no batch axis.
    """
    squared = _squared_differences(prediction, target)
    if len(squared.shape) == 0:
        raise ValueError(
            "A loss per example needs a batch axis. Received: prediction.shape=()"
        )
    return ops.mean(squared, axis=tuple(range(1, len(squared.shape))))


def _squared_differences(prediction, target):
    prediction = ops.convert_to_tensor(prediction)
    target = ops.convert_to_tensor(target, dtype=prediction.dtype)
    pred_shape, target_shape = tuple(prediction.shape), tuple(target.shape)
    if len(pred_shape) != len(target_shape) or any(
        None not in (a, b) and a != b
        for a, b in zip(pred_shape, target_shape, strict=True)
    ):
        raise ValueError(
            "`prediction` and `target` must have the same shape; broadcasting them "
            "would hide a mistake. Received: "
            f"prediction.shape={pred_shape}, target.shape={target_shape}"
        )
    return ops.square(prediction - target)
