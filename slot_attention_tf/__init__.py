"""Slot Attention for Keras: layers, models, data, training and evaluation.

The public names live one import deep and load on first use, so that
`import slot_attention_tf` is quick and needs no TensorFlow under another backend.
Imported after Keras, it registers its classes at once, for `keras.saving.load_model`.
"""

import importlib
import sys

_HOME = {
    "ConvEncoder": "layers",
    "PixelMLPDecoder": "layers",
    "SlotAttention": "layers",
    "SlotInitializer": "layers",
    "SlotMLP": "layers",
    "SoftPositionEmbed": "layers",
    "SpatialBroadcastDecoder": "layers",
    "build_grid": "layers",
    "mix_slots": "layers",
    "spatial_broadcast": "layers",
    "spatial_flatten": "layers",
    "SlotAttentionAutoEncoder": "models",
    "SlotAttentionClassifier": "models.classifier",
    "build_model": "models.reference_names",
    "unstack_and_split": "models.reference_names",
    "l2_loss": "losses",
    "hungarian_huber_loss": "losses",
    "HungarianHuberLoss": "losses",
    "adjusted_rand_index": "metrics",
    "AdjustedRandIndex": "metrics",
    "average_precision_clevr": "metrics",
    "AveragePrecisionClevr": "metrics",
    "mean_best_overlap": "metrics",
    "MeanBestOverlap": "metrics",
    "mean_iou": "metrics",
    "SlotMeanIoU": "metrics",
    "attention_to_labels": "metrics",
    "resize_labels": "metrics",
    "pad_targets": "losses",
    "build_clevr": "data.clevr",
    "build_clevr_iterator": "data.clevr",
    "preprocess_clevr": "data.clevr",
    "preprocess_images": "data.images",
    "export_saved_model": "export",
    "load_reference_checkpoint": "export",
}

__all__ = sorted(_HOME)
__version__ = "0.1.0"


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_HOME[name]}")
    return getattr(module, name)


def __dir__():
    return sorted([*globals(), *_HOME])


if sys.modules.get("keras") is not None:
    # Keras finds a saved layer's class only if its module has been imported.
    for _module in ("layers", "losses", "metrics", "models", "models.classifier"):
        importlib.import_module(f"{__name__}.{_module}")
