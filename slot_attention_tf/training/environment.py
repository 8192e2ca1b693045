"""What must be decided before TensorFlow is imported, and on which devices to run."""

import os

from absl import logging


def prepare_environment():
    """Sets process-wide switches; call it before anything imports TensorFlow.

    Switches oneDNN's CPU kernels on unless the user decided otherwise: TensorFlow
    leaves them off on CPUs without VNNI, where they make convolutions several times
    faster. Quietens TensorFlow's start-up messages in the same way.
    """
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.set_verbosity(logging.WARNING)


STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker")


def make_strategy(name="auto"):
    """Returns the `tf.distribute` strategy of a training run.

    Args:
        name: `"auto"`: all visible GPUs by MirroredStrategy if there are two or more,
            else one device. `"one_device"`, `"mirrored"` (all visible GPUs, or
            logical CPU devices), or `"multi_worker"` (MultiWorkerMirroredStrategy, as
            the environment variable `TF_CONFIG` describes the cluster).

    Returns:
        A `tf.distribute.Strategy`.
    """
    import tensorflow as tf

    if name not in STRATEGIES:
        raise ValueError(
            f"`strategy` must be one of {', '.join(STRATEGIES)}. "
            f"Received: strategy={name!r}"
        )
    if name == "multi_worker":
        return tf.distribute.MultiWorkerMirroredStrategy()
    gpus = tf.config.list_logical_devices("GPU")
    if name == "mirrored" or (name == "auto" and len(gpus) > 1):
        devices = gpus or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    return tf.distribute.get_strategy()


def is_chief(strategy):
    """Whether this process writes the run's files (one does, in a cluster)."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
        return True
    return resolver.task_type == "chief" or (
        resolver.task_type == "worker"
        and resolver.task_id == 0
        and "chief" not in resolver.cluster_spec().jobs
    )
