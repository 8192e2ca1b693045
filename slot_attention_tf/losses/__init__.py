"""Losses: reconstruction error, and Huber error after Hungarian matching."""

import keras  # noqa: F401  Before anything of this room: it registers all rooms.

from slot_attention_tf.losses.hungarian import (
    HungarianHuberLoss,
    hungarian_huber_loss,
    hungarian_huber_loss_per_example,
    pad_targets,
)
from slot_attention_tf.losses.reconstruction import l2_loss, l2_loss_per_example

__all__ = [
    "HungarianHuberLoss",
    "hungarian_huber_loss",
    "hungarian_huber_loss_per_example",
    "l2_loss",
    "l2_loss_per_example",
    "pad_targets",
]
