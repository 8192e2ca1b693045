"""Metrics: adjusted Rand index of segmentations, average precision of sets."""

from slot_attention_tf.metrics.adjusted_rand_index import (
    AdjustedRandIndex,
    adjusted_rand_index,
)

__all__ = ["AdjustedRandIndex", "adjusted_rand_index"]
