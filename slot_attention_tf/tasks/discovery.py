"""Object discovery: finding objects in images without labels (paper, Section 4.1)."""

import math
import warnings
from typing import ClassVar

import numpy as np
import tensorflow as tf

from slot_attention_tf.data.pipelines import discovery_dataset
from slot_attention_tf.failures import signs_of_failed_discovery
from slot_attention_tf.losses.reconstruction import l2_loss_per_example
from slot_attention_tf.metrics.adjusted_rand_index import adjusted_rand_index
from slot_attention_tf.metrics.label_maps import attention_to_labels
from slot_attention_tf.metrics.overlap import mean_best_overlap, mean_iou
from slot_attention_tf.tasks.task import Task, concatenate, predict
from slot_attention_tf.visualization import attention_figure, slots_figure

_NUM_ATTENTION_IMAGES = 3  # Each takes a row for every iteration.


class Discovery(Task):
    """Object discovery: FG-ARI of the masks, reconstruction error, Figure 3."""

    name = "discovery"
    default_preset = "clevr6"
    default_model_dir = "/tmp/object_discovery/"
    test_split = "test"
    num_test_scenes = 320  # As in the paper.
    # The last scenes are held out to watch a run.
    train_split = "train[:98%]"
    watched_split = "train[98%:]"
    num_watched_scenes = 320
    training_options: ClassVar = {"labels": False}

    def open_dataset(self, preset, split, data_dir=None, **options):
        return discovery_dataset(
            preset.dataset,
            split,
            options.pop("batch_size", preset.batch_size),
            resolution=preset.resolution,
            num_channels=preset.num_channels,
            data_dir=data_dir,
            crop=preset.crop,
            max_num_objects=preset.max_num_objects,
            grayscale=preset.grayscale,
            **options,
        )

    def check_batch(self, preset, batch):
        objects = int(np.max(batch["segmentation"]))
        if preset.num_slots < objects + 1:
            warnings.warn(
                f"num_slots={preset.num_slots} is too few: images hold up to {objects} "
                f"objects, and with the background {objects + 1} slots are needed. "
                "Objects will share slots.",
                stacklevel=2,
            )

    def evaluate(self, model, dataset, seed=0, **options):
        parts = []
        for part in predict(model, dataset, seed, _reduce, **options):
            masks = part.pop("masks")  # Too large to keep those of all images.
            parts.append({**part, "stripes": stripe_score(masks)})
        found = concatenate(parts)
        territories = territory_score(found["segmentation"])
        return _means({**_scores(found), "territories": territories})

    def summary(self, scores):
        counted = scores["num_images"] - scores["num_left_out"]
        line = (
            f"FG-ARI {scores['fg_ari']:.3f} ± {scores['fg_ari_std']:.3f} "
            f"over {counted} images, ARI {scores['ari']:.3f}, mBO {scores['mbo']:.3f}, "
            f"MSE {scores['mse']:.5f}"
        )
        if scores["num_left_out"]:
            line += (
                f" ({scores['num_left_out']} left out: fewer than two foreground "
                "pixels, so there is nothing to group)"
            )
        return line

    def figures(self, model, batch, seed=0, **options):
        dataset = tf.data.Dataset.from_tensors({"image": batch["image"]})
        outputs = next(iter(predict(model, dataset, seed, **options)))
        images = np.asarray(batch["image"])
        names = ("reconstruction", "slot_images", "masks")
        figures = {"slots": slots_figure(images, *(outputs[name] for name in names))}
        grid = _feature_resolution(model)
        if grid is not None and "attention" in outputs:
            few = slice(_NUM_ATTENTION_IMAGES)
            attention = outputs["attention"][few]
            figures["attention"] = attention_figure(images[few], attention, grid)
        return figures

    def extract(self, model, dataset, seed=0, **options):
        """Slots and masks, and of images with labels the scores too."""
        parts = []
        for part in predict(model, dataset, seed, _reduce_to_slots, **options):
            found = {"slots": part["slots"], "masks": part["masks"].astype("float16")}
            if "true_labels" in part:
                found |= _scores({**part, "stripes": stripe_score(part["masks"])})
            parts.append(found)
        return concatenate(parts)

    def signs_of_failure(self, scores, sibling_scores):
        return signs_of_failed_discovery(scores, sibling_scores)


def _feature_resolution(model):
    """The grid that attention is laid out on, or None if there is none."""
    return getattr(getattr(model, "encoder", None), "feature_resolution", None)


def _reduce(model, batch, outputs):
    """What is needed of a batch to score it."""
    grid = _feature_resolution(model)
    images = batch["image"]
    reduced = {
        "true_labels": batch["segmentation"],
        "segmentation": outputs["segmentation"],
        "masks": outputs["masks"][..., 0],
        "mse": l2_loss_per_example(outputs["reconstruction"], images),
    }
    if grid is not None and "attention" in outputs:
        last = outputs["attention"][:, -1]  # [B, N, K]
        size = tuple(images.shape[1:3])
        reduced["attention"] = attention_to_labels(last, grid, size)
    return reduced


def _reduce_to_slots(model, batch, outputs):
    """What `extract` needs of a batch, which may have no labels."""
    if "segmentation" in batch:
        reduced = _reduce(model, batch, outputs)
    else:
        reduced = {"masks": outputs["masks"][..., 0]}
    return {**reduced, "slots": tf.cast(outputs["slots"], tf.float32)}


def _scores(part):
    """Scores of each image: arrays `[N]` by name."""
    truth, labels = part["true_labels"], part["segmentation"]
    scores = {
        "fg_ari": adjusted_rand_index(truth, labels),
        "ari": adjusted_rand_index(truth, labels, ignore_background=False),
        "mbo": mean_best_overlap(truth, labels),
        "miou": mean_iou(truth, labels),
        "mse": part["mse"],
        "stripes": part["stripes"],
    }
    if "attention" in part:
        labels = part["attention"]
        scores["attention_fg_ari"] = adjusted_rand_index(truth, labels)
        scores["attention_ari"] = adjusted_rand_index(
            truth, labels, ignore_background=False
        )
        scores["attention_mbo"] = mean_best_overlap(truth, labels)
        scores["attention_miou"] = mean_iou(truth, labels)
    return {name: np.asarray(value) for name, value in scores.items()}


def territory_score(labels):
    """How far images are divided alike, whatever they show.

    Slots that take a place each, and no object, cut every image into about the same
    pieces. Which slot gets which piece does not matter.

    Args:
        labels: Integer array `[N, H, W]`, the slot of each pixel.

    Returns:
        Array `[N]`: the adjusted Rand index between the label maps of each image and of
        the one before. Near 0 for objects, towards 1 for territories; NaN for a single
        image.
    """
    if len(labels) < 2:
        return np.full(len(labels), np.nan)
    before = np.roll(labels, 1, axis=0)
    return np.asarray(
        adjusted_rand_index(labels, before, ignore_background=False), "float64"
    )


def _means(images):
    """Scores over a set of images from arrays `[N]`; NaN means an image without."""
    scores = {
        name: float(np.nanmean(values)) if np.isfinite(values).any() else math.nan
        for name, values in images.items()
    }
    fg_ari = images["fg_ari"]
    counted = np.isfinite(fg_ari)
    scores["fg_ari_std"] = float(fg_ari[counted].std()) if counted.any() else math.nan
    return {
        **scores,
        "num_images": len(fg_ari),
        "num_left_out": int((~counted).sum()),
    }


def stripe_score(masks):
    """How far masks depend on the row alone or the column alone.

    A run that fails cuts every image into stripes or tiles, whatever it shows (paper,
    Section 4.1). Then a mask's variance over the image is that of its column means
    (or its row means).

    Args:
        masks: Float array `[B, K, H, W]`.

    Returns:
        Array `[B]` in [0, 1]: the share of the masks' variance explained by the better
        of the two directions. About 1 for stripes, far below for objects.
    """
    total = masks.var(axis=(2, 3)).sum(axis=1) + 1e-12  # [B]
    rows = masks.mean(axis=3).var(axis=2).sum(axis=1)
    columns = masks.mean(axis=2).var(axis=2).sum(axis=1)
    return np.maximum(rows, columns) / total
