"""Overlap of objects with predicted segments: mBO and mIoU of label maps."""

import keras
from keras import ops

from slot_attention_tf.losses.assignment import match
from slot_attention_tf.metrics.label_maps import contingency_table
from slot_attention_tf.metrics.mean_over_images import MeanOverImages


def mean_best_overlap(
    true_labels, pred_labels, num_true_labels=None, num_pred_labels=None
):
    """Mean best overlap (mBO) of the true objects with the predicted segments.

    The overlap of an object is its largest intersection over union (IoU) with any
    predicted segment. It is averaged over the objects of the image. Several objects
    may have the same best segment. Defined by Pont-Tuset et al. (2017) and used
    for slots by Seitzer et al. (2023, DINOSAUR) and in object_centric_bench.

    The background is not an object here. A segment that an object shares with
    background still has a smaller IoU with it, unlike in the FG-ARI.

    Args:
        true_labels: integer label maps `[B, ...]`, NumPy or backend tensors,
            with 0 for the background.
        pred_labels: integer label maps of the same shape. 0 is a segment like any
            other.
        num_true_labels: as in `adjusted_rand_index`.
        num_pred_labels: as in `adjusted_rand_index`.

    Returns:
        float32 `[B]`, in [0, 1]. NaN for an image without objects.

    Raises:
        ValueError: as in `adjusted_rand_index`.

    Example:

    >>> true_labels = np.array([[0, 1, 1, 2, 2, 2]])
    >>> pred_labels = np.array([[0, 0, 1, 2, 2, 2]])
    >>> np.array(mean_best_overlap(true_labels, pred_labels)).tolist()
    [0.75]
    """
    table = contingency_table(
        true_labels, pred_labels, num_true_labels, num_pred_labels
    )
    return _mean_over_objects(ops.max(_overlaps(table), axis=2), table)


def mean_iou(true_labels, pred_labels, num_true_labels=None, num_pred_labels=None):
    """Mean intersection over union (mIoU) of objects and matched segments.

    Each true object is matched with at most one predicted segment, and each segment
    with at most one object, such that the sum of their intersections over union is
    the largest. The IoU is averaged over the objects of the image, with 0 for
    unmatched objects: where two objects share a segment, only one of them scores.
    Defined as in object_centric_bench and VideoSAUR (Zadaianchuk et al., 2023).

    The background is not an object here; a predicted segment of it stays unmatched.

    Args:
        true_labels: integer label maps `[B, ...]`, NumPy or backend tensors,
            with 0 for the background.
        pred_labels: integer label maps of the same shape. 0 is a segment like any
            other.
        num_true_labels: as in `adjusted_rand_index`.
        num_pred_labels: as in `adjusted_rand_index`.

    Returns:
        float32 `[B]`, in [0, 1] and at most `mean_best_overlap`. NaN for an image
        without objects.

    Raises:
        ValueError: as in `adjusted_rand_index`.

    Example:

    >>> true_labels = np.array([[1, 1, 2, 2]])
    >>> pred_labels = np.array([[0, 0, 0, 0]])
    >>> np.array(mean_iou(true_labels, pred_labels)).tolist()
    [0.25]
    """
    table = contingency_table(
        true_labels, pred_labels, num_true_labels, num_pred_labels
    )
    overlaps = _overlaps(table)
    return _mean_over_objects(ops.sum(overlaps * match(-overlaps), axis=2), table)


@keras.saving.register_keras_serializable(package="slot_attention_tf")
class MeanBestOverlap(MeanOverImages):
    """Mean of `mean_best_overlap` over all images seen that have an object.

    Args:
        num_true_labels: as in `adjusted_rand_index`.
        num_pred_labels: as in `adjusted_rand_index`.
        name: name of the metric.
        dtype: dtype of the state.

    Example:

    >>> metric = MeanBestOverlap()
    >>> metric.update_state(np.array([[0, 1, 1, 2]]), np.array([[0, 5, 5, 3]]))
    >>> float(metric.result())
    1.0
    """

    def __init__(
        self,
        num_true_labels=None,
        num_pred_labels=None,
        name="mean_best_overlap",
        dtype=None,
    ):
        super().__init__(num_true_labels, num_pred_labels, name=name, dtype=dtype)

    def score(self, true_labels, pred_labels):
        return mean_best_overlap(
            true_labels, pred_labels, self.num_true_labels, self.num_pred_labels
        )


@keras.saving.register_keras_serializable(package="slot_attention_tf")
class SlotMeanIoU(MeanOverImages):
    """Mean of `mean_iou` over all images seen that have an object.

    Differs from `keras.metrics.MeanIoU`, which compares fixed classes: here the
    labels of each image are matched first.

    Args:
        num_true_labels: as in `adjusted_rand_index`.
        num_pred_labels: as in `adjusted_rand_index`.
        name: name of the metric.
        dtype: dtype of the state.

    Example:

    >>> metric = SlotMeanIoU()
    >>> metric.update_state(np.array([[0, 1, 1, 2]]), np.array([[0, 5, 5, 3]]))
    >>> float(metric.result())
    1.0
    """

    def __init__(
        self,
        num_true_labels=None,
        num_pred_labels=None,
        name="slot_mean_iou",
        dtype=None,
    ):
        super().__init__(num_true_labels, num_pred_labels, name=name, dtype=dtype)

    def score(self, true_labels, pred_labels):
        return mean_iou(
            true_labels, pred_labels, self.num_true_labels, self.num_pred_labels
        )


def _overlaps(table):
    """IoU of each true object with each predicted segment.

    Args:
        table: contingency table `[B, I, J]`.

    Returns:
        float32 `[B, I, J]`, 0 for the background and for labels without pixels.
    """
    true_size = ops.sum(table, axis=2, keepdims=True)  # [B, I, 1]
    pred_size = ops.sum(table, axis=1, keepdims=True)  # [B, 1, J]
    union = true_size + pred_size - table
    return ops.where(_is_object(table), table / ops.maximum(union, 1), 0.0)


def _is_object(table):
    """Whether a true label has pixels and is not the background: `[B, I, 1]`."""
    label = ops.arange(ops.shape(table)[1], dtype="int32")[:, None]  # [I, 1]
    return (ops.sum(table, axis=2, keepdims=True) > 0) & (label > 0)


def _mean_over_objects(values, table):
    """Mean of `values` `[B, I]`, which are 0 for every label but the objects'."""
    count = ops.sum(ops.cast(_is_object(table), values.dtype), axis=(1, 2))
    mean = ops.sum(values, axis=1) / ops.maximum(count, 1)
    return ops.where(count > 0, mean, float("nan"))
