"""A training run of object discovery, from flags to pictures."""

import dataclasses
import functools
import warnings

import numpy as np

from slot_attention_tf.data.pipelines import discovery_dataset
from slot_attention_tf.losses.reconstruction import l2_loss_per_example
from slot_attention_tf.models import SlotAttentionAutoEncoder
from slot_attention_tf.presets import DISCOVERY_PRESETS
from slot_attention_tf.training import script
from slot_attention_tf.training.evaluation import DiscoveryEvaluator
from slot_attention_tf.training.loop import NonFiniteLossError
from slot_attention_tf.training.randomness import fixed_randomness
from slot_attention_tf.visualization import figure_to_image, slots_figure

__all__ = ["NonFiniteLossError", "train"]

NUM_TEST_SCENES = 320  # As in the paper.
_NUM_PICTURES = 8


def train(values):
    """Runs `train_discovery.py`: trains, or continues, and evaluates.

    Args:
        values: The parsed flags of `script.define_flags`.

    Returns:
        A `DiscoveryResult` on the test split, or None in a worker that is not chief.
    """
    preset = script.resolve_preset(values, DISCOVERY_PRESETS)
    script.prepare_process(values)
    test_set = open_dataset(
        preset, "test", values.data_dir, preset.batch_size, num_scenes=NUM_TEST_SCENES
    )
    warn_of_few_slots(preset, test_set)
    trainer = script.make_trainer(
        preset, values, SlotAttentionAutoEncoder, reconstruction_losses
    )
    run, evaluate = trainer.run, DiscoveryEvaluator(trainer.model)
    pictures = next(iter(test_set))["image"][:_NUM_PICTURES]
    script.train_to_the_end(
        trainer,
        lambda: trainer.train(
            functools.partial(_training_batches, preset, values),
            functools.partial(_on_checkpoint, evaluate, run, pictures, test_set),
        ),
    )
    if not run.writable:
        return None
    result = evaluate(test_set)
    print(result.summary())
    print(f"Pictures: {run.pictures}")
    return result


def reconstruction_losses(model, batch):
    """Mean squared reconstruction error of each image, `[b]`."""
    recon_combined, *_ = model(batch["image"], training=True)
    return l2_loss_per_example(recon_combined, batch["image"])


def open_dataset(preset, split, data_dir, batch_size, **options):
    """The images and label maps of a split, as the preset wants them."""
    return discovery_dataset(
        preset.dataset,
        split,
        batch_size,
        resolution=preset.resolution,
        num_channels=preset.num_channels,
        data_dir=data_dir,
        crop=preset.crop,
        max_num_objects=preset.max_num_objects,
        **options,
    )


def with_replacements(preset, **values):
    """The preset with those of `values` that are not None."""
    given = {name: value for name, value in values.items() if value is not None}
    return dataclasses.replace(preset, **given)


def warn_of_few_slots(preset, dataset):
    """Warns if an image of the dataset holds more objects than slots can."""
    objects = max(int(np.max(batch["segmentation"])) for batch in dataset)
    if preset.num_slots < objects + 1:
        warnings.warn(
            f"num_slots={preset.num_slots} is too few: images hold up to {objects} "
            f"objects, and with the background {objects + 1} slots are needed. Objects "
            "will share slots.",
            stacklevel=2,
        )


def picture(model, images):
    """Figure 3 of the paper for a batch of images `[B, H, W, C]`."""
    with fixed_randomness(model):
        recon_combined, recons, masks, _ = model(images)
    return slots_figure(
        *(np.asarray(array) for array in (images, recon_combined, recons, masks))
    )


def _training_batches(preset, values, start_batch):
    return open_dataset(
        preset,
        "train",
        values.data_dir,
        preset.batch_size,
        shuffle=True,
        repeat=True,
        seed=values.seed,
        start_batch=start_batch,
    )


def _on_checkpoint(evaluate, run, images, test_set, step, progress):
    result = evaluate(test_set)
    figure = picture(evaluate.model, images)
    run.save_figure(f"slots_{step:07}.png", figure)
    progress.image("slots", figure_to_image(figure), step)
    return result.values()
