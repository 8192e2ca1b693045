"""Pictures of what a model does: pure functions from arrays to figures.

Figures are plain `matplotlib.figure.Figure` objects without pyplot, so nothing
opens a window or stays in memory: save them with `figure.savefig(path)`, or turn
them into pixels with `figure_to_image`.
"""

from slot_attention_tf.visualization.attention import attention_figure
from slot_attention_tf.visualization.colors import (
    masks_to_color,
    segmentation_to_color,
    slot_palette,
    to_uint8,
)
from slot_attention_tf.visualization.curves import training_curves_figure
from slot_attention_tf.visualization.grid import figure_to_image
from slot_attention_tf.visualization.iterations import iterations_figure
from slot_attention_tf.visualization.lines import empty_figure, lines_figure
from slot_attention_tf.visualization.sets import set_prediction_figure
from slot_attention_tf.visualization.slots import slots_figure

__all__ = [
    "attention_figure",
    "empty_figure",
    "figure_to_image",
    "iterations_figure",
    "lines_figure",
    "masks_to_color",
    "segmentation_to_color",
    "set_prediction_figure",
    "slot_palette",
    "slots_figure",
    "to_uint8",
    "training_curves_figure",
]
