"""Measures what the Hungarian matching costs in a training step of set prediction.

python benchmarks/matching.py
python benchmarks/matching.py --preset=clevr_cpu --batch_size=512 --steps=10

Times a step of the preset's model (forward, loss, gradients) on random images and
sets, with the matching and with a fixed one: prediction i for target i. Both run in
turn, so that a busy machine slows both.
"""

import argparse
import time

from slot_attention_tf.training.environment import prepare_environment

prepare_environment()

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from slot_attention_tf.losses import hungarian_huber_loss  # noqa: E402
from slot_attention_tf.models.classifier import SlotAttentionClassifier  # noqa: E402
from slot_attention_tf.set_prediction_presets import (  # noqa: E402
    SET_PREDICTION_PRESETS,
)


def fixed_matching_loss(predictions, targets):
    """The same loss with prediction i for target i, compiled with the step."""
    errors = tf.abs(predictions - targets)
    quadratic = tf.minimum(errors, 1.0)
    pairs = tf.reduce_mean(0.5 * quadratic**2 + errors - quadratic, axis=-1)  # [B, K]
    return tf.reduce_mean(tf.reduce_sum(pairs, axis=1))


def make_step(model, loss_fn):
    """Returns a compiled function from images and targets to loss and gradients."""

    @tf.function
    def step(images, targets):
        with tf.GradientTape() as tape:
            loss = loss_fn(model(images, training=True), targets)
        return loss, tape.gradient(loss, model.trainable_variables)

    return step


def time_step(step, *batch):
    """Seconds of one step, until its results are there."""
    start = time.perf_counter()
    loss, gradients = step(*batch)
    for result in (loss, *gradients):
        result.numpy()
    return time.perf_counter() - start


def main():
    """Prints the seconds of both steps and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--preset", default="clevr10", choices=sorted(SET_PREDICTION_PRESETS)
    )
    parser.add_argument("--batch_size", type=int, help="default: the preset's")
    parser.add_argument("--steps", type=int, default=20)
    arguments = parser.parse_args()

    preset = SET_PREDICTION_PRESETS[arguments.preset]
    batch_size = arguments.batch_size or preset.batch_size
    model = SlotAttentionClassifier(**preset.model_arguments(), seed=0)
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, [batch_size, *preset.resolution, 3])
    targets = rng.uniform(size=[batch_size, preset.num_slots, 19])
    batch = [tf.constant(array, tf.float32) for array in (images, targets)]

    steps = {
        "with matching": make_step(model, hungarian_huber_loss),
        "fixed matching": make_step(model, fixed_matching_loss),
    }
    for step in steps.values():
        time_step(step, *batch)
    seconds = {name: [] for name in steps}
    for _ in range(arguments.steps):
        for name, step in steps.items():
            seconds[name].append(time_step(step, *batch))
    # The least disturbed step of each: other programs only ever add time.
    least = {name: min(times) for name, times in seconds.items()}
    for name, time_of_step in least.items():
        print(
            f"{name:15} {1000 * time_of_step:9.1f} ms per step of {batch_size} images"
        )
    overhead = least["with matching"] / least["fixed matching"] - 1
    print(f"overhead of the matching {overhead:+.1%}")


if __name__ == "__main__":
    main()
