"""A training run of set prediction, from flags to average precision."""

import functools

import numpy as np
import tensorflow as tf

from slot_attention_tf.data.pipelines import set_prediction_dataset
from slot_attention_tf.losses.hungarian import hungarian_huber_loss_per_example
from slot_attention_tf.models.classifier import SlotAttentionClassifier
from slot_attention_tf.set_prediction_presets import SET_PREDICTION_PRESETS
from slot_attention_tf.training import script
from slot_attention_tf.training.loop import NonFiniteLossError
from slot_attention_tf.training.randomness import fixed_randomness
from slot_attention_tf.training.set_evaluation import SetPredictionEvaluator
from slot_attention_tf.visualization import figure_to_image, set_prediction_figure

__all__ = ["NonFiniteLossError", "train"]

# As in the reference release: these are held out to watch the training.
NUM_WATCHED_SCENES = 512
_NUM_PICTURES = 4


def train(values):
    """Runs `train_set_prediction.py`: trains, or continues, and evaluates.

    Args:
        values: The parsed flags of `script.define_flags`.

    Returns:
        A `SetPredictionResult` on the validation split, or None in a worker that is
        not chief.
    """
    preset = script.resolve_preset(values, SET_PREDICTION_PRESETS)
    check_sizes(preset, values.jit_compile)
    script.prepare_process(values)
    open_split = functools.partial(open_dataset, preset, data_dir=values.data_dir)
    watched = open_split(f"train[:{NUM_WATCHED_SCENES}]", preset.batch_size)
    trainer = script.make_trainer(
        preset,
        values,
        SlotAttentionClassifier,
        functools.partial(set_losses, preset.loss_weights()),
    )
    run, evaluate = trainer.run, SetPredictionEvaluator(trainer.model)
    script.train_to_the_end(
        trainer, lambda: _train(trainer, evaluate, preset, values, watched)
    )
    if not run.writable:
        return None
    result = evaluate(open_split("validation", preset.batch_size))
    print(result.summary())
    print(f"Pictures: {run.pictures}")
    return result


def set_losses(weights, model, batch):
    """Matched Huber loss of each image, `[b]`.

    Targets are padded to the number of slots, so that every slot learns whether it
    holds an object.
    """
    predictions = model(batch["image"], training=True)  # [b, K, 19]
    missing = predictions.shape[1] - batch["target"].shape[1]
    target = tf.pad(batch["target"], [[0, 0], [0, missing], [0, 0]])
    return hungarian_huber_loss_per_example(predictions, target, weights)


def open_dataset(preset, split, batch_size, data_dir=None, **options):
    """The images and sets of a split, as the preset wants them."""
    return set_prediction_dataset(
        preset.dataset,
        split,
        batch_size,
        resolution=preset.resolution,
        data_dir=data_dir,
        max_num_objects=preset.max_num_objects,
        **options,
    )


def check_sizes(preset, jit_compile=False):
    """Raises ValueError for settings under which a run could not learn its targets."""
    if preset.num_slots < preset.max_num_objects:
        raise ValueError(
            f"Scenes hold up to max_num_objects={preset.max_num_objects}, more than "
            "the slots can predict: use at least as many. "
            f"Received: num_slots={preset.num_slots}"
        )
    if jit_compile:
        raise ValueError(
            "XLA on TensorFlow cannot compile the matching, which runs on the host: "
            "leave --jit_compile out. Received: --jit_compile=True"
        )


def check_targets(targets):
    """Raises ValueError unless properties are scaled as the model predicts them."""
    smallest, largest = float(np.min(targets)), float(np.max(targets))
    if smallest < 0 or largest > 1:
        raise ValueError(
            "Properties must lie in [0, 1] (coordinates as (xyz + 3) / 6), which is "
            "where the model's sigmoid can reach them. Received: targets from "
            f"{smallest:g} to {largest:g}"
        )


def picture(model, images, targets, seed=0, **options):
    """What each slot attends and says, for a batch of images `[B, H, W, C]`.

    `options` are those of the model's call, such as `num_slots`.
    """
    with fixed_randomness(model, seed):
        predictions, attention = model(images, return_attention=True, **options)
    arrays = map(np.asarray, (images, attention, predictions, targets))
    return set_prediction_figure(*arrays, model.encoder.feature_resolution)


def _train(trainer, evaluate, preset, values, watched):
    pictured = {
        key: array[:_NUM_PICTURES] for key, array in next(iter(watched)).items()
    }
    check_targets(pictured["target"])
    try:
        trainer.train(
            functools.partial(_training_batches, preset, values),
            functools.partial(_on_checkpoint, evaluate, trainer.run, pictured, watched),
        )
    except tf.errors.InvalidArgumentError as error:
        if "Sets cannot be matched" not in error.message:
            raise
        # NaN stops the matching before it shows in a loss.
        raise _non_finite_error(trainer.run, int(trainer.step) + 1) from None


def _non_finite_error(run, step):
    return NonFiniteLossError(
        f"A prediction is NaN or infinite at step {step}. Training stopped; the "
        f"checkpoints in {run.checkpoints} are kept. Continue with a lower "
        "--learning_rate or a longer --warmup_steps."
    )


def _training_batches(preset, values, start_batch):
    return open_dataset(
        preset,
        f"train[{NUM_WATCHED_SCENES}:]",
        preset.batch_size,
        data_dir=values.data_dir,
        shuffle=True,
        repeat=True,
        seed=values.seed,
        start_batch=start_batch,
    )


def _on_checkpoint(evaluate, run, pictured, watched, step, progress):
    result = evaluate(watched)
    if not np.isfinite(result.predictions).all():
        raise _non_finite_error(run, step)
    figure = picture(evaluate.model, pictured["image"], pictured["target"])
    run.save_figure(f"sets_{step:07}.png", figure)
    progress.image("sets", figure_to_image(figure), step)
    return result.values()
