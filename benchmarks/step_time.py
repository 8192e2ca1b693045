"""Time of one training step: ours beside a plain graph of the same model.

    python benchmarks/step_time.py --preset=tetrominoes --batch_size=16

The plain graph is what the reference release computes: every slot copied to the full
grid, every decoder layer a transposed convolution at full size. Both run in turn in
one process, so that their ratio means something on a busy machine too.
"""

import statistics
import time

from absl import app, flags

from slot_attention_tf.environment import prepare_environment

prepare_environment()

import keras
import numpy as np
import tensorflow as tf

from slot_attention_tf.layers import spatial_broadcast
from slot_attention_tf.models import SlotAttentionAutoEncoder

FLAGS = flags.FLAGS
PRESETS = {
    name: preset
    for name, preset in SlotAttentionAutoEncoder.presets.items()
    if "/" not in name and not preset.pixel_decoder  # Others have no such plain graph.
}
flags.DEFINE_enum("preset", "tetrominoes", sorted(PRESETS), "Model to time.")
flags.DEFINE_integer("batch_size", 16, "Images of a step.", lower_bound=1)
flags.DEFINE_integer("steps", 10, "Timed steps of each.", lower_bound=1)
flags.DEFINE_bool("jit_compile", False, "Compile both by XLA.")


@keras.saving.register_keras_serializable(package="benchmarks")
class PlainDecoder(keras.layers.Layer):
    """The spatial broadcast decoder as the reference release computes it."""

    def __init__(self, ours):
        super().__init__(name="plain_decoder")
        self.ours = ours
        self.convs = [
            keras.layers.Conv2DTranspose(
                filters, kernel_size, stride, padding="same", activation="relu"
            )
            for filters, kernel_size, stride in zip(
                ours.filters, ours.kernel_size, ours.strides, strict=True
            )
        ]
        self.output_conv = keras.layers.Conv2DTranspose(
            ours.num_channels + 1, ours.output_kernel_size, padding="same"
        )

    def build(self, input_shape):
        self.ours.build(input_shape)
        shape = (None, *self.ours.broadcast_resolution, input_shape[-1])
        for conv in [*self.convs, self.output_conv]:
            conv.build(shape)
            shape = conv.compute_output_shape(shape)

    def call(self, slots):
        x = spatial_broadcast(slots, self.ours.broadcast_resolution)
        x = self.ours.position(x)
        for conv in [*self.convs, self.output_conv]:
            x = conv(x)
        return tf.reshape(x, (-1, tf.shape(slots)[1], *x.shape[1:]))

    def compute_output_shape(self, input_shape):
        return self.ours.compute_output_shape(input_shape)


def make_step(model):
    optimizer = keras.optimizers.Adam(4e-4)
    optimizer.build(model.trainable_variables)

    @tf.function(jit_compile=FLAGS.jit_compile)
    def step(images):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(model.loss_per_example({"image": images}))
        variables = model.trainable_variables
        gradients = tape.gradient(loss, variables)
        pairs = zip(gradients, variables, strict=True)
        optimizer.apply_gradients((g, v) for g, v in pairs if g is not None)
        return loss

    return step


def main(_):
    preset = PRESETS[FLAGS.preset]
    plain_decoder = PlainDecoder(preset.make_decoder())
    steps = {
        "plain graph": make_step(
            SlotAttentionAutoEncoder.from_preset(
                FLAGS.preset, load_weights=False, decoder=plain_decoder
            )
        ),
        "ours": make_step(
            SlotAttentionAutoEncoder.from_preset(FLAGS.preset, load_weights=False)
        ),
    }
    shape = (FLAGS.batch_size, *preset.resolution, preset.num_channels)
    images = tf.constant(np.random.default_rng(0).uniform(-1, 1, shape), tf.float32)
    times = {name: [] for name in steps}
    for i in range(FLAGS.steps + 2):  # Two to compile and warm up.
        for name, step in steps.items():
            start = time.perf_counter()
            step(images).numpy()
            if i >= 2:
                times[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(values) for name, values in times.items()}
    print(f"{FLAGS.preset}, batch {FLAGS.batch_size}, median of {FLAGS.steps} steps")
    for name, seconds in medians.items():
        print(f"  {name:12} {seconds:.3f} s")
    print(f"  ratio        {medians['plain graph'] / medians['ours']:.2f}")


if __name__ == "__main__":
    app.run(main)
