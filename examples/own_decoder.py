"""The autoencoder with your own decoder: every slot draws one blob.

    python examples/own_decoder.py

A decoder is a Keras layer from slots [B, K, D] to [B, K, H, W, C + 1]: an image and a
mask logit for each slot. This one has a few numbers per slot: where, how large, which
colour.
"""

import argparse
import pathlib

import keras
import numpy as np
from keras import ops

import slot_attention_tf as sa
from slot_attention_tf.data.generators import scenes, tetrominoes
from slot_attention_tf.visualization import slots_figure

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--output", default="runs/own_decoder", type=pathlib.Path)
parser.add_argument("--scenes", default=4096, type=int)
parser.add_argument("--epochs", default=10, type=int)
parser.add_argument("--seed", default=0, type=int)
args = parser.parse_args()


@keras.saving.register_keras_serializable(package="examples")
class BlobDecoder(keras.layers.Layer):
    """Decodes each slot to one round blob of one colour."""

    def __init__(self, resolution, num_channels=3, **kwargs):
        super().__init__(**kwargs)
        self.resolution = tuple(resolution)
        self.num_channels = num_channels
        self.dense = keras.layers.Dense(num_channels + 4)

    def build(self, input_shape):
        self.dense.build(input_shape)

    def call(self, slots):
        x = self.dense(slots)[:, :, None, None]  # [B, K, 1, 1, C+4]
        color, centre = x[..., :-4], ops.sigmoid(x[..., -4:-2])
        sharpness, bias = ops.exp(x[..., -2:-1]), x[..., -1:]
        grid = ops.convert_to_tensor(sa.build_grid(self.resolution)[None, ..., :2])
        distance = ops.sum((grid - centre) ** 2, axis=-1, keepdims=True)
        logits = bias - 20.0 * sharpness * distance  # [B, K, H, W, 1]
        color = ops.broadcast_to(color, (*ops.shape(logits)[:-1], self.num_channels))
        return ops.concatenate([color, logits], axis=-1)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:2], *self.resolution, self.num_channels + 1)

    def get_config(self):
        config = {"resolution": self.resolution, "num_channels": self.num_channels}
        return {**super().get_config(), **config}


keras.utils.set_random_seed(args.seed)
drawn = scenes.generate_scenes(tetrominoes.draw_scene, args.scenes, args.seed)
images = np.asarray(sa.preprocess_images(drawn["image"]))

model = sa.SlotAttentionAutoEncoder.from_preset(
    "tetrominoes_cpu",
    load_weights=False,
    decoder=BlobDecoder((35, 35)),
    seed=args.seed,
)
model.compile(keras.optimizers.Adam(1e-3, global_clipnorm=1.0))
model.fit(images, batch_size=32, epochs=args.epochs, verbose=2)

args.output.mkdir(parents=True, exist_ok=True)
model.save(args.output / "model.keras")
recon_combined, recons, masks, _ = map(np.asarray, model(images[:8]))
slots_figure(images[:8], recon_combined, recons, masks).savefig(
    args.output / "slots.png"
)
print(f"Weights and pictures: {args.output}")
