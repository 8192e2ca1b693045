"""Set prediction: the objects of an image, with properties (paper, Section 4.2)."""

import math
from typing import ClassVar

import numpy as np
import tensorflow as tf

from slot_attention_tf.clevr_properties import is_real
from slot_attention_tf.data.pipelines import set_prediction_dataset
from slot_attention_tf.failures import NonFiniteLossError
from slot_attention_tf.metrics.adjusted_rand_index import adjusted_rand_index
from slot_attention_tf.metrics.average_precision import (
    PAPER_THRESHOLDS,
    average_precision_clevr,
    threshold_name,
)
from slot_attention_tf.metrics.label_maps import attention_to_labels, resize_labels
from slot_attention_tf.tasks.task import Task, concatenate, predict
from slot_attention_tf.visualization import set_prediction_figure

_NUM_WATCHED = 512  # Held out to watch a run, as in the reference release.


class SetPrediction(Task):
    """Set prediction: average precision at five distances, Figure 6."""

    name = "set_prediction"
    default_preset = "clevr10"
    default_model_dir = "/tmp/set_prediction/"
    test_split = "validation"
    num_test_scenes = None
    train_split = f"train[{_NUM_WATCHED}:]"
    watched_split = f"train[:{_NUM_WATCHED}]"
    num_watched_scenes = _NUM_WATCHED
    training_options: ClassVar = {"labels": False}

    def open_dataset(self, preset, split, data_dir=None, **options):
        return set_prediction_dataset(
            preset.dataset,
            split,
            options.pop("batch_size", preset.batch_size),
            resolution=preset.resolution,
            data_dir=data_dir,
            max_num_objects=preset.max_num_objects,
            **{"labels": True, **options},
        )

    def check(self, preset):
        if preset.crop is not None or preset.grayscale:
            raise ValueError(
                "Set prediction takes whole images in colour: an object outside of a "
                "crop, and every colour, would have to be predicted too. "
                f"Received: crop={preset.crop}, grayscale={preset.grayscale}"
            )
        if preset.max_num_objects is None:
            raise ValueError(
                "Set prediction needs the size of its sets: give an integer of at "
                "least 1. Received: max_num_objects=None"
            )
        if preset.num_slots < preset.max_num_objects:
            raise ValueError(
                f"Scenes hold up to max_num_objects={preset.max_num_objects}: use at "
                "least as many slots. "
                f"Received: num_slots={preset.num_slots}"
            )

    def check_batch(self, preset, batch):
        smallest, largest = (
            float(np.min(batch["target"])),
            float(np.max(batch["target"])),
        )
        if smallest < 0 or largest > 1:
            raise ValueError(
                "Properties must lie in [0, 1], where the model's sigmoid can reach "
                "them: coordinates as (xyz + 3) / 6. Received: targets from "
                f"{smallest:g} to {largest:g}"
            )

    def evaluate(self, model, dataset, seed=0, **options):
        found = concatenate(
            list(predict(model, dataset, seed, _reduce_to_scores, **options))
        )
        predictions, targets = found["predictions"], found["target"]
        if not np.isfinite(predictions).all():
            raise NonFiniteLossError(
                "The model predicts NaN or infinity. What was saved before is kept. "
                "Continue with a lower --learning_rate or a longer --warmup_steps."
            )
        scores = {
            threshold_name(threshold): average_precision_clevr(
                predictions, targets, threshold
            )
            for threshold in PAPER_THRESHOLDS
        }
        if "attention_fg_ari" in found:
            # NaN: less than two pixels of objects are left at the attention's size.
            values = found["attention_fg_ari"]
            known = np.isfinite(values).any()
            scores["attention_fg_ari"] = (
                float(np.nanmean(values)) if known else math.nan
            )
        return {**scores, "num_images": len(targets)}

    def summary(self, scores):
        values = [
            f"{name} {value:.3f}" for name, value in scores.items() if "AP@" in name
        ]
        line = f"{'  '.join(values)}  over {scores['num_images']} images"
        if "attention_fg_ari" in scores:
            line += f", FG-ARI of the attention {scores['attention_fg_ari']:.3f}"
        return line

    def extract(self, model, dataset, seed=0, **options):
        """Predictions, and the targets of images that have them."""
        return concatenate(list(predict(model, dataset, seed, _reduce, **options)))

    def figures(self, model, batch, seed=0, **options):
        dataset = tf.data.Dataset.from_tensors({"image": batch["image"]})
        outputs = next(iter(predict(model, dataset, seed, **options)))
        if "attention" not in outputs:
            return {}
        figure = set_prediction_figure(
            np.asarray(batch["image"]),
            outputs["attention"],
            outputs["predictions"],
            np.asarray(batch["target"]),
            model.encoder.feature_resolution,
        )
        return {"sets": figure}


def _reduce(model, batch, outputs):
    known = {"target": batch["target"]} if "target" in batch else {}
    return {"predictions": outputs["predictions"], **known}


def _reduce_to_scores(model, batch, outputs):
    """As the paper scores attention: at its own size, to which labels are reduced."""
    reduced = _reduce(model, batch, outputs)
    if "segmentation" in batch and "attention" in outputs:
        grid = model.encoder.feature_resolution
        truth = resize_labels(batch["segmentation"], grid)
        labels = attention_to_labels(outputs["attention"][:, -1], grid, grid)
        reduced["attention_fg_ari"] = adjusted_rand_index(truth, labels)
    return reduced


def with_exactly(dataset, num_objects, batch_size):
    """The scenes of a dataset that hold exactly `num_objects` objects, in batches."""

    def fits(scene):
        return tf.math.count_nonzero(is_real(scene["target"])) == num_objects

    return dataset.unbatch().filter(fits).batch(batch_size)
