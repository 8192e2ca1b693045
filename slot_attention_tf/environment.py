"""What a command decides before TensorFlow is imported."""

import contextlib
import importlib
import importlib.util
import os
import sys

from absl import logging


def prepare_environment():
    """Sets process-wide switches and loads TensorFlow, without its start-up messages.

    Where TensorFlow is not installed, for work under JAX, nothing is loaded.

    Switches oneDNN's CPU kernels on unless the user decided otherwise: TensorFlow
    leaves them off on CPUs without VNNI, where they make convolutions several times
    faster. With `TF_CPP_MIN_LOG_LEVEL=0` in the environment all messages are shown.
    """
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.set_verbosity(logging.WARNING)
    if importlib.util.find_spec("tensorflow") is None:
        return
    if os.environ["TF_CPP_MIN_LOG_LEVEL"] == "3":
        with _without_stderr():
            importlib.import_module("tensorflow")


@contextlib.contextmanager
def _without_stderr():
    """Some messages of TensorFlow's libraries heed no setting."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
