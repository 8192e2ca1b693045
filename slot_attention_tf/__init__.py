"""Slot Attention for Keras: layers, models, data, training and evaluation.

The public names load on first use, so `import slot_attention_tf` is quick and needs no
TensorFlow under another backend. As soon as Keras is imported too, before or after, all
classes are registered for `keras.saving.load_model`; as soon as TensorFlow Datasets is,
all datasets are registered for `tfds.load`.
"""

import importlib
import importlib.abc
import importlib.util
import sys

# Where each public name is defined; __init__.pyi says the same to editors.
_HOME = {
    "ComponentVAE": "layers",
    "ConvEncoder": "layers",
    "FSPool": "layers",
    "FixedSlotInitializer": "layers",
    "PixelMLPDecoder": "layers",
    "SetEncoder": "layers",
    "SlotAttention": "layers",
    "SlotInitializer": "layers",
    "SlotMLP": "layers",
    "SoftPositionEmbed": "layers",
    "SpatialBroadcastDecoder": "layers",
    "UNet": "layers",
    "build_grid": "layers",
    "mix_slots": "layers",
    "spatial_broadcast": "layers",
    "spatial_flatten": "layers",
    "DSPN": "models",
    "IODINE": "models",
    "MONet": "models",
    "SlotAttentionAutoEncoder": "models",
    "SlotAttentionClassifier": "models",
    "build_model": "reference",
    "unstack_and_split": "reference",
    "load_reference_checkpoint": "reference",
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
    "build_clevr": "reference.data",
    "build_clevr_iterator": "reference.data",
    "preprocess_clevr": "reference.data",
    "preprocess_images": "data.images",
    "export_onnx_steps": "export",
    "export_saved_model": "export",
    "train": "tasks",
    "ValidationScores": "tasks",
}
_REGISTERED = ("layers", "losses", "metrics", "models")

__all__ = sorted(_HOME)
__version__ = "0.2.0"


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_HOME[name]}")
    return getattr(module, name)


def __dir__():
    return sorted([*globals(), *_HOME])


def _register_classes():
    """Keras finds a saved layer's class only if its module has been imported."""
    for room in _REGISTERED:
        importlib.import_module(f"{__name__}.{room}")


def _register_datasets():
    """`tfds.load` finds a dataset only if its builder has been imported."""
    # Where there is no TensorFlow, TensorFlow Datasets can be imported but is empty.
    if hasattr(sys.modules["tensorflow_datasets"], "core"):
        importlib.import_module(f"{__name__}.data.builders")


class _AfterImport(importlib.abc.MetaPathFinder):
    """Registers what a package has to know when somebody imports it later."""

    def __init__(self, package, register):
        self.package, self.register = package, register

    def find_spec(self, name, path, target=None):
        if name != self.package or self not in sys.meta_path:
            return None
        position = sys.meta_path.index(self)
        sys.meta_path.remove(self)  # Ask the others only.
        spec = importlib.util.find_spec(name)
        # TensorFlow asks where Keras is before it imports it.
        sys.meta_path.insert(position, self)
        if spec is not None:
            execute = spec.loader.exec_module

            def execute_and_register(module):
                sys.meta_path.remove(self)
                execute(module)
                self.register()

            spec.loader.exec_module = execute_and_register
        return spec


for _package, _register in (
    ("keras", _register_classes),
    ("tensorflow_datasets", _register_datasets),
):
    if sys.modules.get(_package) is not None:
        _register()
    else:
        sys.meta_path.insert(0, _AfterImport(_package, _register))
