"""Keras models: those of the paper, and those it compares them with.

A new model is one file here: its class, its presets, and `register_model` at the end.
"""

import keras  # noqa: F401  Before anything of this room: it registers all rooms.

from slot_attention_tf.models import slot_mlp  # noqa: F401  It registers itself.
from slot_attention_tf.models.autoencoder import SlotAttentionAutoEncoder
from slot_attention_tf.models.classifier import SlotAttentionClassifier
from slot_attention_tf.models.dspn import DSPN
from slot_attention_tf.models.iodine import IODINE
from slot_attention_tf.models.monet import MONet
from slot_attention_tf.models.registry import find_model, model_names

__all__ = [
    "DSPN",
    "IODINE",
    "MONet",
    "SlotAttentionAutoEncoder",
    "SlotAttentionClassifier",
    "find_model",
    "model_names",
]
