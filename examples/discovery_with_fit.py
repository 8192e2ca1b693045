"""Trains object discovery by plain Keras `compile` and `fit`, on any backend.

    python examples/discovery_with_fit.py
    KERAS_BACKEND=jax python examples/discovery_with_fit.py --preset=tetrominoes

Scenes are generated and held in memory. Under JAX no TensorFlow is needed, and all
devices of the machine share each batch. Writes weights, the training curve and pictures
into --output.
"""

import argparse
import pathlib

import keras
import numpy as np

import slot_attention_tf as sa
from slot_attention_tf.data.generators import scenes, tetrominoes
from slot_attention_tf.training.schedule import WarmupExponentialDecay
from slot_attention_tf.visualization import slots_figure, training_curves_figure

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--preset", default="tetrominoes_cpu")
parser.add_argument("--output", default="runs/discovery_with_fit", type=pathlib.Path)
parser.add_argument("--scenes", default=60_000, type=int)
parser.add_argument("--steps", default=None, type=int, help="default: the preset's")
parser.add_argument("--seed", default=0, type=int)
args = parser.parse_args()


def draw(number, seed):
    drawn = scenes.generate_scenes(tetrominoes.draw_scene, number, seed)
    images = np.asarray(sa.preprocess_images(drawn["image"]))
    return images, drawn["segmentation"][..., 0]


keras.utils.set_random_seed(args.seed)
if keras.backend.backend() == "jax" and len(keras.distribution.list_devices()) > 1:
    # Before the model is made. The size of every batch must be a multiple of theirs.
    keras.distribution.set_distribution(keras.distribution.DataParallel())
preset = sa.SlotAttentionAutoEncoder.presets[args.preset]
images, _ = draw(args.scenes, args.seed)
test_images, test_labels = draw(320, scenes.held_out_seed(args.seed))

model = sa.SlotAttentionAutoEncoder.from_preset(
    args.preset, load_weights=False, seed=args.seed
)
schedule = WarmupExponentialDecay(
    preset.learning_rate, preset.warmup_steps, preset.decay_rate, preset.decay_steps
)
model.compile(keras.optimizers.Adam(schedule, global_clipnorm=preset.clip_norm))
steps = args.steps or preset.num_train_steps
steps_per_epoch = min(steps, len(images) // preset.batch_size)
# A row per epoch: `fit` counts epochs, we count steps.
rows = []
log = keras.callbacks.LambdaCallback(
    on_epoch_end=lambda epoch, logs: rows.append(
        {"step": (epoch + 1) * steps_per_epoch, "loss": logs["loss"]}
    )
)
model.fit(
    images[: steps_per_epoch * preset.batch_size],
    batch_size=preset.batch_size,
    epochs=round(steps / steps_per_epoch),
    callbacks=[log],
)

recon_combined, recons, masks, _ = model.predict(test_images, batch_size=32)
ari = np.asarray(sa.adjusted_rand_index(test_labels, masks[..., 0].argmax(axis=1)))
print(f"FG-ARI {np.nanmean(ari):.3f} ± {np.nanstd(ari):.3f} over {len(ari)} images")

args.output.mkdir(parents=True, exist_ok=True)
model.save(args.output / "model.keras")
training_curves_figure(rows).savefig(args.output / "curve.png")
few = (test_images[:8], recon_combined[:8], recons[:8], masks[:8])
slots_figure(*few).savefig(args.output / "slots.png")
print(f"Weights, curve and pictures: {args.output}")
