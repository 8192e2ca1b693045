"""What the metrics of label maps share."""

import keras
from keras import ops


class MeanOverImages(keras.metrics.Metric):
    """Mean of a score of each image, over the images that have one.

    A subclass implements `score(true_labels, pred_labels)`, which returns `[B]`
    with NaN for images without a score. These are left out of the mean and counted
    in `num_left_out`.

    Args:
        num_true_labels: one more than the largest possible true label, or None to
            find it from the values of each batch.
        num_pred_labels: the same for the predicted labels.
        name: name of the metric.
        dtype: dtype of the state.
    """

    def __init__(self, num_true_labels, num_pred_labels, name, dtype):
        super().__init__(name=name, dtype=dtype)
        self.num_true_labels = num_true_labels
        self.num_pred_labels = num_pred_labels
        self._total = self.add_variable((), "zeros", name="total")
        self._count = self.add_variable((), "zeros", name="count")
        self._left_out = self.add_variable((), "zeros", name="left_out")

    @property
    def num_left_out(self):
        """Number of images without a score, as a Python integer."""
        return int(self._left_out)

    @property
    def num_counted(self):
        """Number of images in the mean, as a Python integer."""
        return int(self._count)

    def score(self, true_labels, pred_labels):
        """Returns the score of each image, `[B]`, NaN where it has none."""
        raise NotImplementedError

    def update_state(self, true_labels, pred_labels, sample_weight=None):
        """Adds a batch.

        Args:
            true_labels: integer label maps `[B, ...]`, 0 for the background.
            pred_labels: integer label maps of the same shape.
            sample_weight: must be None; every image counts the same.

        Raises:
            ValueError: as in `adjusted_rand_index`, and for sample weights.
        """
        if sample_weight is not None:
            raise ValueError(
                "Every image counts the same; pass sample_weight=None. "
                f"Received: sample_weight={sample_weight}"
            )
        score = self.score(true_labels, pred_labels)
        defined = ops.logical_not(ops.isnan(score))
        kept = ops.where(defined, score, 0.0)
        ones = ops.cast(defined, self.dtype)
        self._total.assign_add(ops.cast(ops.sum(kept), self.dtype))
        self._count.assign_add(ops.sum(ones))
        self._left_out.assign_add(ops.sum(1 - ones))

    def result(self):
        """Returns the mean, or NaN as long as no image had a score."""
        mean = self._total / ops.maximum(self._count, 1)
        return ops.where(self._count > 0, mean, float("nan"))

    def get_config(self):
        return {
            **super().get_config(),
            "num_true_labels": self.num_true_labels,
            "num_pred_labels": self.num_pred_labels,
        }
