"""Measures what the Hungarian matching costs in a training step of set prediction.

python benchmarks/matching.py
python benchmarks/matching.py --preset=clevr_cpu --batch_size=512 --steps=10

Times a step of the preset's model (forward, loss, gradients) on random images and
sets, with the matching inside the step, with SciPy on the host, and with a fixed
matching: prediction i for target i. They take turns, so that other load on the
machine slows all of them.
"""

import argparse
import time

from slot_attention_tf.environment import prepare_environment

prepare_environment()

import numpy as np
import tensorflow as tf

from slot_attention_tf.losses.assignment import match
from slot_attention_tf.models.classifier import SlotAttentionClassifier


def match_fixed(cost):
    """Prediction i for target i."""
    return tf.eye(cost.shape[1])


def match_on_host(cost):
    """SciPy, called from the compiled step."""
    matching = tf.numpy_function(lambda cost: match(cost).numpy(), [cost], cost.dtype)
    return tf.stop_gradient(tf.ensure_shape(matching, cost.shape))


MATCHINGS = {"fixed": match_fixed, "in the step": match, "on the host": match_on_host}


def make_step(model, matching):
    """Returns a compiled function from images and targets to loss and gradients."""

    @tf.function
    def step(images, targets):
        with tf.GradientTape() as tape:
            predictions = model(images, training=True)
            errors = tf.abs(predictions[:, :, None] - targets[:, None])
            quadratic = tf.minimum(errors, 1.0)
            huber = 0.5 * quadratic**2 + errors - quadratic
            cost = tf.reduce_mean(huber, axis=-1)  # [B, K, K]
            total = tf.reduce_sum(cost * matching(cost), axis=[1, 2])
            loss = tf.reduce_mean(total)
        return loss, tape.gradient(loss, model.trainable_variables)

    return step


def time_step(step, *batch):
    """Returns the seconds of one step, results included."""
    start = time.perf_counter()
    loss, gradients = step(*batch)
    for result in (loss, *gradients):
        result.numpy()
    return time.perf_counter() - start


def main():
    """Prints the time of a step with each matching."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--preset", default="clevr10", choices=sorted(SlotAttentionClassifier.presets)
    )
    parser.add_argument("--batch_size", type=int, help="default: the preset's")
    parser.add_argument("--steps", type=int, default=20)
    arguments = parser.parse_args()

    preset = SlotAttentionClassifier.presets[arguments.preset]
    batch_size = arguments.batch_size or preset.batch_size
    model = SlotAttentionClassifier(**preset.model_arguments(), seed=0)
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, [batch_size, *preset.resolution, 3])
    targets = rng.uniform(size=[batch_size, preset.num_slots, 19])
    batch = [tf.constant(array, tf.float32) for array in (images, targets)]

    steps = {name: make_step(model, matching) for name, matching in MATCHINGS.items()}
    for step in steps.values():
        time_step(step, *batch)
    seconds = {name: [] for name in steps}
    for _ in range(arguments.steps):
        for name, step in steps.items():
            seconds[name].append(time_step(step, *batch))
    print(f"Matching, time of a step of {batch_size} images, share of the matching")
    # The fastest step: load of the machine can only add time.
    fixed = min(seconds["fixed"])
    for name, times in seconds.items():
        print(f"{name:12} {1e3 * min(times):9.1f} ms {1 - fixed / min(times):7.1%}")


if __name__ == "__main__":
    main()
