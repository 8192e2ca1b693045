"""Fine-tuning with a frozen encoder: from discovery to set prediction.

    python examples/frozen_encoder.py
    python examples/frozen_encoder.py --model=runs/discovery_0

The encoder that a discovery model learned without labels is kept as it is; a
classifier on top of it learns to predict position and colour of every piece from few
labelled images. Without --model it is the trained encoder that comes with the package.
"""

import argparse
import pathlib

import keras
import numpy as np

import slot_attention_tf as sa
from slot_attention_tf.data.generators import scenes, tetrominoes

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument(
    "--model", default="tetrominoes_cpu", help="a preset, a run's folder or *.keras"
)
parser.add_argument("--output", default="runs/frozen_encoder", type=pathlib.Path)
parser.add_argument("--scenes", default=512, type=int)
parser.add_argument("--epochs", default=30, type=int)
parser.add_argument("--seed", default=0, type=int)
args = parser.parse_args()


def draw(number, seed):
    """Images, and a set of (y, x, red, green, blue) in [0, 1] for each."""
    drawn = scenes.generate_scenes(tetrominoes.draw_scene, number, seed)
    corners = np.stack([drawn["y"], drawn["x"]], axis=-1) / 35
    pieces = np.concatenate([corners, drawn["color"] / 255], axis=-1)
    pieces = pieces[:, 1:]  # Without the background.
    images = np.asarray(sa.preprocess_images(drawn["image"]))
    return images, pieces.astype("float32")


keras.utils.set_random_seed(args.seed)
images, pieces = draw(args.scenes, args.seed)
test_data = draw(256, scenes.held_out_seed(args.seed))

encoder = sa.SlotAttentionAutoEncoder.from_preset(args.model).encoder
encoder.trainable = False
model = sa.SlotAttentionClassifier(
    (35, 35),
    num_slots=3,
    num_iterations=3,
    num_properties=pieces.shape[-1],
    encoder=encoder,
    seed=args.seed,
)
trainable = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
print(f"{trainable} of {model.count_params()} weights are trained")

model.compile(keras.optimizers.Adam(1e-3))
model.fit(
    images,
    pieces,
    batch_size=32,
    epochs=args.epochs,
    validation_data=test_data,
    verbose=2,
)
args.output.mkdir(parents=True, exist_ok=True)
model.save(args.output / "model.keras")
print(f"Weights: {args.output / 'model.keras'}")
