"""Slot Attention on the feature map of a backbone of keras.applications.

    python examples/backbone_features.py
    python examples/backbone_features.py --weights=imagenet

Slots reconstruct the features of a frozen backbone instead of pixels, as in DINOSAUR
(Seitzer et al. 2023): with good features, that finds objects in real photos. Without
--weights the backbone is random and nothing is downloaded.
"""

import argparse

import keras
import numpy as np
from keras import ops

import slot_attention_tf as sa
from slot_attention_tf.data.generators import multi_dsprites, scenes

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--weights", default=None, help="imagenet, or a file")
parser.add_argument("--scenes", default=1024, type=int)
parser.add_argument("--epochs", default=20, type=int)
parser.add_argument("--seed", default=0, type=int)
args = parser.parse_args()

keras.utils.set_random_seed(args.seed)
drawn = scenes.generate_scenes(multi_dsprites.draw_scene, args.scenes, args.seed)
images = np.asarray(sa.preprocess_images(drawn["image"]))  # [B, 64, 64, 3]

backbone = keras.applications.MobileNetV2(
    (64, 64, 3), alpha=0.35, include_top=False, weights=args.weights
)
# An inner layer: [B, 8, 8, C] still says where things are.
backbone = keras.Model(backbone.input, backbone.get_layer("block_6_expand_relu").output)
# Frozen, so once is enough. Scaled, so that the error has a familiar size.
features = backbone.predict(images, verbose=0)
features = (features - features.mean()) / features.std()

height, width, channels = features.shape[1:]
inputs = keras.Input((height, width, channels))
x = keras.layers.Dense(64)(inputs)
x = sa.SoftPositionEmbed(64, (height, width))(x)
x = keras.layers.LayerNormalization()(sa.spatial_flatten(x))  # [B, N, 64]
slots = sa.SlotAttention(3, num_slots=6, slot_size=64, mlp_hidden_size=128)(x)
decoded = sa.PixelMLPDecoder((height, width), channels, hidden_sizes=(128, 128))(slots)
masks = ops.softmax(decoded[..., -1:], axis=1)  # [B, K, H, W, 1]
reconstruction = ops.sum(decoded[..., :-1] * masks, axis=1)  # [B, H, W, C]
model = keras.Model(inputs, reconstruction)

model.compile(keras.optimizers.Adam(1e-3, global_clipnorm=1.0), loss="mse")
model.fit(features, features, batch_size=64, epochs=args.epochs, verbose=2)

labels = keras.Model(inputs, masks).predict(features[:256], verbose=0)[..., 0].argmax(1)
truth = drawn["segmentation"][:256, 4::8, 4::8, 0]  # At the centres of the features.
ari = np.asarray(sa.adjusted_rand_index(truth, labels))
print(f"FG-ARI at {height}x{width}: {np.nanmean(ari):.2f}")
