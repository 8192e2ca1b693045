"""Datasets: builders for TFDS, input pipelines, scene generators.

Importing this package registers the builders, so that
`tfds.load("tetrominoes/synthetic")` works. It does not load TensorFlow; without
TensorFlow Datasets, the generators still work.
"""

import importlib

try:
    import tensorflow_datasets as _tfds  # noqa: F401
except ModuleNotFoundError as error:
    # A broken installation must not pass for a missing one.
    if error.name not in ("tensorflow_datasets", "tensorflow"):
        raise
else:
    from slot_attention_tf.data import builders  # noqa: F401

_LAZY = {
    "discovery_dataset": "pipelines",
    "set_prediction_dataset": "pipelines",
}


def __getattr__(name):
    # Not imported above: the module of the command line `prepare` is among them, and
    # Python warns if it runs a module that its package has imported.
    if name in _LAZY:
        module = importlib.import_module(f"{__name__}.{_LAZY[name]}")
        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
