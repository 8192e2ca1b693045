"""Datasets: builders for TFDS, input pipelines, scene generators.

Importing this package loads neither TensorFlow nor TensorFlow Datasets, and the
generators work without them. Where TensorFlow Datasets is imported, before or after, it
knows the builders: `tfds.load("tetrominoes/synthetic")` works.
"""

import importlib

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
