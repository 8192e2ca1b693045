"""Metrics: adjusted Rand index of segmentations, average precision of sets."""

from slot_attention_tf.metrics.adjusted_rand_index import (
    AdjustedRandIndex,
    adjusted_rand_index,
)
from slot_attention_tf.metrics.average_precision import (
    AveragePrecisionClevr,
    average_precision_clevr,
)

__all__ = [
    "AdjustedRandIndex",
    "AveragePrecisionClevr",
    "adjusted_rand_index",
    "average_precision_clevr",
]
