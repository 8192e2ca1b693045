"""Metrics: scores of segmentations, average precision of sets."""

import keras  # noqa: F401  Before anything of this room: it registers all rooms.

from slot_attention_tf.metrics.adjusted_rand_index import (
    AdjustedRandIndex,
    adjusted_rand_index,
)
from slot_attention_tf.metrics.average_precision import (
    AveragePrecisionClevr,
    average_precision_clevr,
)
from slot_attention_tf.metrics.label_maps import attention_to_labels, resize_labels
from slot_attention_tf.metrics.overlap import (
    MeanBestOverlap,
    SlotMeanIoU,
    mean_best_overlap,
    mean_iou,
)

__all__ = [
    "AdjustedRandIndex",
    "AveragePrecisionClevr",
    "MeanBestOverlap",
    "SlotMeanIoU",
    "adjusted_rand_index",
    "attention_to_labels",
    "average_precision_clevr",
    "mean_best_overlap",
    "mean_iou",
    "resize_labels",
]
