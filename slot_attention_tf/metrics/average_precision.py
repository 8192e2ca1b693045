"""Average precision of predicted CLEVR properties, as in Locatello et al. (2020)."""

import keras
import numpy as np
from keras import ops

from slot_attention_tf.clevr_properties import (
    CATEGORIES,
    COORDS_SCALE,
    NUM_FEATURES,
    group_slices,
    is_real,
)

# Any distance, as in the reference release.
NO_THRESHOLD = -1
PAPER_THRESHOLDS = (NO_THRESHOLD, 1.0, 0.5, 0.25, 0.125)


def average_precision_clevr(pred, attributes, distance_threshold):
    """Average precision of predicted objects (Locatello et al., 2020, section 4.2).

    Each predicted element is a detection. The detections of all images are ranked
    by confidence, their last number; equal ones keep the order of images and slots.
    A detection claims the nearest real object of its image that has the same size,
    material, shape and colour. It is a true positive if this object is nearer than
    the threshold and no higher-ranked detection within the threshold claimed it.
    Otherwise it is a false positive. The result is the area under the
    precision-recall curve, where the precision at a recall is the highest one at
    that recall or above.

    Args:
        pred: float array `[B, n, 19]`, the output of the classifier: coordinates
            as (xyz + 3) / 6, scores of the categories, confidence.
        attributes: float array `[B, m, 19]` in [0, 1], the true properties, with
            1 for real objects and 0 for padding as the last number. Pass the whole
            evaluation set at once: the detections of all images are ranked
            together, so a mean over batches is a different score.
        distance_threshold: largest distance of a true positive in CLEVR's units,
            in which the scene is 6 wide; -1 (or infinity) for any distance.

    Returns:
        A float in [0, 1].

    Raises:
        ValueError: if shapes, values or the threshold are not as described, or if
            there is no real object at all.

    Example:

    >>> attributes = np.eye(19)[None, -1:]
    >>> average_precision_clevr(attributes, attributes, distance_threshold=0.5)
    1.0
    """
    threshold = _check_threshold(distance_threshold)
    detections = _claim_objects(*_check_sets(pred, attributes))
    return _average_precision(*detections, threshold)


@keras.saving.register_keras_serializable(package="slot_attention_tf")
class AveragePrecisionClevr(keras.metrics.Metric):
    """`average_precision_clevr` over all batches, at several thresholds.

    The metric keeps three numbers of each detection, so its state grows with the
    data. It must be updated outside of compiled functions: in an evaluation loop,
    or with `model.compile(run_eagerly=True)`.

    Args:
        distance_thresholds: as in `average_precision_clevr`; by default the five
            of the paper.
        name: name of the metric.
        dtype: as in `keras.metrics.Metric`; the values are computed in float64.

    Returns:
        `result()` gives a dict such as `{"AP@inf": 0.943, "AP@1": 0.867}`.
    """

    def __init__(
        self,
        distance_thresholds=PAPER_THRESHOLDS,
        name="average_precision_clevr",
        dtype=None,
    ):
        super().__init__(name=name, dtype=dtype)
        self.distance_thresholds = tuple(distance_thresholds)
        for threshold in self.distance_thresholds:
            _check_threshold(threshold)
        self.reset_state()

    def reset_state(self):
        """Forgets all batches."""
        self._batches = []
        self._num_cells = 0
        self._num_objects = 0

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Adds a batch.

        Args:
            y_true: float array `[B, m, 19]`, `attributes` of
                `average_precision_clevr`.
            y_pred: float array `[B, n, 19]`, its `pred`.
            sample_weight: must be None, since detections have no weights.

        Raises:
            ValueError: as there, and inside compiled functions.
        """
        if sample_weight is not None:
            raise ValueError(
                "Average precision has no weights; pass sample_weight=None. "
                f"Received: sample_weight={sample_weight}"
            )
        pred, attributes = _check_sets(y_pred, y_true)
        confidence, objects, distance, num_objects = _claim_objects(pred, attributes)
        self._batches.append((confidence, objects + self._num_cells, distance))
        self._num_cells += attributes.shape[0] * attributes.shape[1]
        self._num_objects += num_objects

    def result(self):
        """Returns the average precision by threshold; an error without objects."""
        if not self._batches:
            raise ValueError("There is no batch yet; call update_state first.")
        detections = [
            np.concatenate(parts) for parts in zip(*self._batches, strict=True)
        ]
        return {
            threshold_name(threshold): _average_precision(
                *detections, self._num_objects, _check_threshold(threshold)
            )
            for threshold in self.distance_thresholds
        }

    def get_config(self):
        return {
            **super().get_config(),
            "distance_thresholds": list(self.distance_thresholds),
        }


def threshold_name(distance_threshold):
    """Returns "AP@inf", "AP@1", "AP@0.5" and so on."""
    return f"AP@{_check_threshold(distance_threshold):g}"


def _claim_objects(pred, attributes):
    """Finds the object that each detection claims.

    Returns:
        A tuple of three arrays `[B * n]` and an integer: the confidence of each
        detection, the index of its object within the batch, the distance to it
        (infinite if no object has the same categories), the number of real objects.
    """
    num_targets = attributes.shape[1]
    real = is_real(attributes)  # [B, m]
    comparable = (_codes(pred)[:, :, None] == _codes(attributes)[:, None]) & real[
        :, None
    ]
    coords = group_slices()["coords"]
    offset = pred[:, :, None, coords] - attributes[:, None, :, coords]
    distance = np.linalg.norm(offset * COORDS_SCALE, axis=-1)  # [B, n, m]
    distance = np.where(comparable, distance, np.inf)
    nearest = np.argmin(distance, axis=-1)  # [B, n]
    distance = np.take_along_axis(distance, nearest[..., None], axis=-1)
    objects = nearest + num_targets * np.arange(len(pred))[:, None]
    return pred[..., -1].ravel(), objects.ravel(), distance.ravel(), int(real.sum())


def _codes(elements):
    """Encodes the four categories of each element as one integer: `[B, n]`."""
    slices = group_slices()
    code = np.zeros(elements.shape[:-1], "int64")
    for name, values in CATEGORIES.items():
        code = code * len(values) + np.argmax(elements[..., slices[name]], axis=-1)
    return code


def _average_precision(confidence, objects, distance, num_objects, threshold):
    if num_objects == 0:
        raise ValueError(
            "Average precision is not defined without any real object. Received: "
            "attributes whose last number is 0 for every element"
        )
    ranking = np.argsort(-confidence, kind="stable")
    near_ranks = np.flatnonzero(distance[ranking] < threshold)
    _, first = np.unique(objects[ranking][near_ranks], return_index=True)
    # Ranks of the true positives; precision only peaks there.
    ranks = near_ranks[np.sort(first)]
    precision = np.arange(1, len(ranks) + 1) / (ranks + 1)
    envelope = np.maximum.accumulate(precision[::-1])
    # Each true positive raises the recall by one object.
    return float(np.sum(envelope) / num_objects)


def _check_threshold(threshold):
    if threshold == NO_THRESHOLD:
        return np.inf
    if not threshold > 0:
        raise ValueError(
            "`distance_threshold` must be positive, or -1 for any distance. "
            f"Received: distance_threshold={threshold}"
        )
    return float(threshold)


def _check_sets(pred, attributes):
    pred, attributes = _as_array(pred, "pred"), _as_array(attributes, "attributes")
    if pred.shape[0] != attributes.shape[0]:
        raise ValueError(
            "`pred` and `attributes` must hold equally many images. Received: "
            f"pred.shape={pred.shape}, attributes.shape={attributes.shape}"
        )
    if attributes.size and (attributes.min() < 0 or attributes.max() > 1):
        raise ValueError(
            "`attributes` must lie in [0, 1]; coordinates as (xyz + 3) / 6. Received: "
            f"values from {attributes.min():g} to {attributes.max():g}"
        )
    flags = attributes[..., -1]
    if not np.isin(flags, (0, 1)).all():
        raise ValueError(
            "The last number of `attributes` must be 1 for real objects and 0 for "
            f"padding. Received: {flags[~np.isin(flags, (0, 1))][0]:g}"
        )
    return pred, attributes


def _as_array(values, name):
    try:
        if keras.backend.backend() == "torch":  # NumPy alone refuses GPU tensors.
            values = ops.convert_to_numpy(values)
        values = np.asarray(values, "float64")
    except (TypeError, NotImplementedError):
        raise ValueError(
            f"`{name}` must hold values: average precision ranks all detections and "
            "cannot be compiled. Call it outside of tf.function and jax.jit, or use "
            "run_eagerly=True."
        ) from None
    if values.ndim != 3 or values.shape[-1] != NUM_FEATURES:
        raise ValueError(
            f"`{name}` must have the shape [images, elements, {NUM_FEATURES}]. "
            f"Received: {name}.shape={values.shape}"
        )
    if not np.isfinite(values).all():
        raise ValueError(f"`{name}` must be finite. Received: NaN or infinity")
    return values
