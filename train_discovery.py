"""Trains Slot Attention to find objects in images without labels.

    python train_discovery.py --preset=tetrominoes_cpu --model_dir=runs/discovery

A preset holds all settings (slot_attention_tf/presets.py); flags replace single ones.
The same command continues a stopped run.
"""

import sys

from absl import app, flags

from slot_attention_tf.training.environment import prepare_environment

prepare_environment()

from slot_attention_tf.presets import DISCOVERY_PRESETS  # noqa: E402
from slot_attention_tf.training import discovery, script  # noqa: E402


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unknown arguments: {' '.join(argv[1:])}")
    try:
        discovery.train(flags.FLAGS)
    except (ValueError, FileNotFoundError, discovery.NonFiniteLossError) as error:
        sys.exit(f"{type(error).__name__}: {error}")


def run():
    script.define_flags(DISCOVERY_PRESETS, "clevr6", "/tmp/object_discovery/")
    app.run(main)


if __name__ == "__main__":
    run()
