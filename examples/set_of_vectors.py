"""Slot Attention on sets of vectors of different sizes: no images, a mask.

    python examples/set_of_vectors.py

Every set holds points from two to four clusters on a plane. A slot shall take the
points of one cluster and predict its centre. Sets are padded to one length; the mask
says which points exist.
"""

import argparse

import keras
import numpy as np

import slot_attention_tf as sa

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--sets", default=4096, type=int)
parser.add_argument("--epochs", default=20, type=int)
parser.add_argument("--seed", default=0, type=int)
args = parser.parse_args()

MAX_CLUSTERS, MAX_POINTS = 4, 40


def draw(number, rng):
    """Points `[B, N, 2]`, their clusters `[B, N]` from 1 (0: padding), targets."""
    centres = rng.uniform(-1, 1, (number, MAX_CLUSTERS, 2))
    exists = np.arange(MAX_CLUSTERS) < rng.integers(2, MAX_CLUSTERS + 1, (number, 1))
    lengths = rng.integers(MAX_POINTS // 2, MAX_POINTS + 1, (number, 1))
    clusters = rng.integers(
        exists.sum(axis=1, keepdims=True), size=(number, MAX_POINTS)
    )
    points = np.take_along_axis(centres, clusters[..., None], axis=1)
    points = points + rng.normal(scale=0.06, size=points.shape)
    labels = np.where(np.arange(MAX_POINTS) < lengths, clusters + 1, 0)
    # A cluster as the loss wants it: position, and a flag that says it is real.
    targets = np.concatenate([centres, np.ones((*exists.shape, 1))], axis=-1)
    targets = np.where(exists[..., None], targets, 0.0)
    return points.astype("float32"), labels, targets.astype("float32")


keras.utils.set_random_seed(args.seed)
rng = np.random.default_rng(args.seed)
points, labels, targets = draw(args.sets, rng)
test_points, test_labels, _ = draw(256, rng)

vectors = keras.Input((None, 2), name="points")
mask = keras.Input((None,), dtype="bool", name="mask")
x = keras.layers.Dense(64, activation="relu")(vectors)
x = keras.layers.Dense(64)(x)
layer = sa.SlotAttention(
    num_iterations=3,
    num_slots=MAX_CLUSTERS,
    slot_size=64,
    mlp_hidden_size=128,
    implicit_differentiation=True,  # Learns faster here.
)
slots, attention = layer(x, mask=mask, return_attention=True)
x = keras.layers.Dense(64, activation="relu")(slots)
predictions = keras.layers.Dense(3, name="predictions")(x)  # [B, K, 3]
model = keras.Model([vectors, mask], predictions)

model.compile(
    keras.optimizers.Adam(2e-3, global_clipnorm=1.0),
    loss=sa.HungarianHuberLoss(),
)
model.fit([points, labels > 0], targets, batch_size=64, epochs=args.epochs, verbose=2)

grouping = keras.Model([vectors, mask], attention)
attention = grouping.predict([test_points, test_labels > 0], verbose=0)
slot_of_point = attention[:, -1].argmax(axis=-1)  # [B, N]
ari = np.asarray(sa.adjusted_rand_index(test_labels, slot_of_point))
print(f"Points grouped by slot, against their clusters: ARI {np.nanmean(ari):.2f}")
