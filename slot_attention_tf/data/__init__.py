"""Datasets: builders for TFDS, input pipelines, scene generators.

Importing this package registers the builders, so that
`tfds.load("tetrominoes/synthetic")` works. It does not load TensorFlow; without
TensorFlow Datasets, the generators still work.
"""

try:
    import tensorflow_datasets as _tfds  # noqa: F401
except ModuleNotFoundError as error:
    # A broken installation must not pass for a missing one.
    if error.name not in ("tensorflow_datasets", "tensorflow"):
        raise
