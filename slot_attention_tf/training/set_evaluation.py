"""Evaluation of set prediction on a dataset (paper, Section 4.2)."""

import dataclasses

import numpy as np
import tensorflow as tf

from slot_attention_tf.metrics.average_precision import (
    PAPER_THRESHOLDS,
    average_precision_clevr,
    threshold_name,
)
from slot_attention_tf.training.randomness import fixed_randomness


@dataclasses.dataclass(frozen=True)
class SetPredictionResult:
    """What a classifier says of a set of images.

    Attributes:
        predictions: Array `[N, K, 19]`.
        targets: Array `[N, M, 19]`, the true properties.
    """

    predictions: np.ndarray
    targets: np.ndarray

    def values(self, thresholds=PAPER_THRESHOLDS):
        """Average precision by threshold, as in `{"AP@inf": 0.943}`.

        Raises:
            ValueError: If no image holds an object.
        """
        return {
            threshold_name(threshold): average_precision_clevr(
                self.predictions, self.targets, threshold
            )
            for threshold in thresholds
        }

    def summary(self):
        """One line for people."""
        values = [f"{name} {ap:.3f}" for name, ap in self.values().items()]
        return f"{'  '.join(values)}  over {len(self.targets)} images"


class SetPredictionEvaluator:
    """Predicts the objects of the images of a dataset.

    Args:
        model: A `SlotAttentionClassifier`.
        num_slots: Optional integer that replaces the model's `num_slots`.
        num_iterations: Optional integer that replaces the model's `num_iterations`.
    """

    def __init__(self, model, num_slots=None, num_iterations=None):
        self.model = model

        @tf.function
        def predict(images):
            return model(images, num_slots=num_slots, num_iterations=num_iterations)

        shape = (None, *model.resolution, model.num_channels)
        # Traced once, for batches of any size.
        self._predict = predict.get_concrete_function(tf.TensorSpec(shape))

    def __call__(self, dataset, seed=0):
        """Evaluates the model as it is now.

        Args:
            dataset: Finite `tf.data.Dataset` of `{"image", "target"}` batches.
            seed: Integer, the seed of the initial slots.

        Returns:
            A `SetPredictionResult`.

        Raises:
            ValueError: If the dataset holds no batch.
        """
        predictions, targets = [], []
        with fixed_randomness(self.model, seed):
            for batch in dataset:
                predictions.append(self._predict(batch["image"]).numpy())
                targets.append(batch["target"].numpy())
        if not targets:
            raise ValueError("The dataset to evaluate on holds no batch.")
        return SetPredictionResult(np.concatenate(predictions), np.concatenate(targets))


def with_exactly(dataset, num_objects, batch_size):
    """The scenes of a dataset that hold exactly `num_objects` objects, in batches."""

    def fits(scene):
        count = tf.reduce_sum(scene["target"][:, -1])
        return tf.equal(tf.cast(count, tf.int32), num_objects)

    return dataset.unbatch().filter(fits).batch(batch_size)
