"""Trains Slot Attention to predict the properties of the objects of an image.

    python train_set_prediction.py --preset=clevr_cpu --model_dir=runs/set_prediction

A preset holds all settings (slot_attention_tf/set_prediction_presets.py); flags
replace single ones. The same command continues a stopped run.
"""

import sys

from absl import app, flags

from slot_attention_tf.training.environment import prepare_environment

prepare_environment()

from slot_attention_tf.set_prediction_presets import (  # noqa: E402
    SET_PREDICTION_PRESETS,
)
from slot_attention_tf.training import script, set_prediction  # noqa: E402


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unknown arguments: {' '.join(argv[1:])}")
    try:
        set_prediction.train(flags.FLAGS)
    except (ValueError, FileNotFoundError, set_prediction.NonFiniteLossError) as error:
        sys.exit(f"{type(error).__name__}: {error}")


def run():
    script.define_flags(SET_PREDICTION_PRESETS, "clevr10", "/tmp/set_prediction/")
    app.run(main)


if __name__ == "__main__":
    run()
