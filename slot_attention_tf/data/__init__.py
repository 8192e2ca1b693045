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
else:
    from slot_attention_tf.data import builders  # noqa: F401


def __getattr__(name):
    # The command lines of these modules must be able to start without a second copy.
    if name == "discovery_dataset":
        from slot_attention_tf.data.pipelines import discovery_dataset

        return discovery_dataset
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
