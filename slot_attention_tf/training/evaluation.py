"""Evaluation of object discovery on a dataset (paper, Section 4.1)."""

import dataclasses
import math

import numpy as np
import tensorflow as tf

from slot_attention_tf.losses.reconstruction import l2_loss_per_example
from slot_attention_tf.metrics.adjusted_rand_index import adjusted_rand_index
from slot_attention_tf.training.randomness import fixed_randomness


@dataclasses.dataclass(frozen=True)
class DiscoveryResult:
    """What an autoencoder does on a set of images.

    Attributes:
        fg_ari: Array `[N]`, the adjusted Rand index over foreground pixels of each
            image; NaN for an image with fewer than two foreground pixels.
        mse: Array `[N]`, the mean squared reconstruction error of each image.
        stripes: Array `[N]`, how far the masks are explained by the column or the row
            alone, in [0, 1]; see `stripe_score`.
    """

    fg_ari: np.ndarray
    mse: np.ndarray
    stripes: np.ndarray

    @property
    def left_out(self):
        """Number of images without an FG-ARI."""
        return int(np.isnan(self.fg_ari).sum())

    def values(self):
        """The means, a dictionary of floats."""
        ari = self.fg_ari[~np.isnan(self.fg_ari)]
        return {
            "fg_ari": float(ari.mean()) if len(ari) else math.nan,
            "fg_ari_std": float(ari.std()) if len(ari) else math.nan,
            "mse": float(self.mse.mean()),
            "stripes": float(self.stripes.mean()),
        }

    def summary(self):
        """One line for people: mean ± standard deviation over images."""
        values = self.values()
        counted = len(self.fg_ari) - self.left_out
        line = (
            f"FG-ARI {values['fg_ari']:.3f} ± {values['fg_ari_std']:.3f} "
            f"over {counted} images"
        )
        if self.left_out:
            line += (
                f" ({self.left_out} left out: fewer than two foreground pixels, "
                "so there is nothing to group)"
            )
        return line


class DiscoveryEvaluator:
    """Segments the images of a dataset and compares them with the truth.

    Args:
        model: A `SlotAttentionAutoEncoder`.
        num_slots: Optional integer that replaces the model's `num_slots`.
        num_iterations: Optional integer that replaces the model's `num_iterations`.
    """

    def __init__(self, model, num_slots=None, num_iterations=None):
        self.model = model

        def predict(images):
            recon_combined, _, masks, _ = model(
                images, num_slots=num_slots, num_iterations=num_iterations
            )
            return l2_loss_per_example(recon_combined, images), masks[..., 0]

        self._predict = tf.function(predict, reduce_retracing=True)

    def __call__(self, dataset, seed=0):
        """Evaluates the model as it is now.

        Args:
            dataset: Finite `tf.data.Dataset` of `{"image", "segmentation"}` batches.
            seed: Integer, the seed of the initial slots.

        Returns:
            A `DiscoveryResult`.
        """
        fg_ari, mse, stripes = [], [], []
        with fixed_randomness(self.model, seed):
            for batch in dataset:
                errors, masks = self._predict(batch["image"])
                labels = tf.argmax(masks, axis=1, output_type=tf.int32)
                ari = adjusted_rand_index(batch["segmentation"], labels)
                fg_ari.append(np.asarray(ari))
                mse.append(errors.numpy())
                stripes.append(stripe_score(masks.numpy()))
        if not mse:
            raise ValueError("The dataset to evaluate on holds no batch.")
        return DiscoveryResult(*map(np.concatenate, (fg_ari, mse, stripes)))


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
