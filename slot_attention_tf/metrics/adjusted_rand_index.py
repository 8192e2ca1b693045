"""Adjusted Rand index between label maps, as used to score object discovery."""

import keras
from keras import ops

from slot_attention_tf.metrics.label_maps import contingency_table
from slot_attention_tf.metrics.mean_over_images import MeanOverImages


def adjusted_rand_index(
    true_labels,
    pred_labels,
    ignore_background=True,
    num_true_labels=None,
    num_pred_labels=None,
):
    """Similarity of two segmentations of the pixels, corrected for chance.

    The index (Hubert and Arabie, 1985) counts the pairs of pixels that both
    segmentations put together or both keep apart. It is 1 for equal segmentations,
    about 0 for unrelated ones, and negative for worse ones. Only the grouping
    counts, not which label a group has.

    By default the background is ignored. This is the FG-ARI of Locatello et al.
    (2020), section 4.1: it falls when an object is split over slots or shares a
    slot with another object, but not when a slot of an object also covers
    background. `ignore_background=False` gives the ARI with background, which
    falls then too.

    Args:
        true_labels: integer label maps `[B, ...]`, NumPy or backend tensors,
            with 0 for the background.
        pred_labels: integer label maps of the same shape, for example the
            argmax over the masks of the slots. 0 has no special meaning here.
        ignore_background: whether to leave out the pixels whose true label is 0.
        num_true_labels: one more than the largest possible label in
            `true_labels`. By default it is found from the values. It must be given
            inside `jax.jit` and XLA, where shapes cannot depend on values.
        num_pred_labels: the same for `pred_labels`.

    Returns:
        float32 `[B]`, one value in [-1, 1] for each image. NaN for an image with
        fewer than two counted pixels; 1 where both segmentations are trivial and
        equal (a single object kept whole, or a segment for every pixel).

    Raises:
        ValueError: if the shapes differ, are empty or have no batch axis, if
            the dtypes are not integer, or if a label is negative or not below
            the given number of labels. Compiled functions cannot check values.

    Example:

    >>> true_labels = np.array([[0, 1, 1, 2, 2]])
    >>> pred_labels = np.array([[3, 3, 3, 1, 1]])
    >>> np.array(adjusted_rand_index(true_labels, pred_labels)).tolist()
    [1.0]
    """
    table = contingency_table(
        true_labels, pred_labels, num_true_labels, num_pred_labels
    )
    if ignore_background:
        table = table[:, 1:, :]
    return _index_from_table(table)


@keras.saving.register_keras_serializable(package="slot_attention_tf")
class AdjustedRandIndex(MeanOverImages):
    """Mean adjusted Rand index over all images seen.

    Images with fewer than two counted pixels have no index. They are left out of
    the mean and counted in `num_left_out`.

    Args:
        ignore_background: as in `adjusted_rand_index`.
        num_true_labels: as in `adjusted_rand_index`.
        num_pred_labels: as in `adjusted_rand_index`.
        name: name of the metric.
        dtype: dtype of the state.

    Example:

    >>> metric = AdjustedRandIndex()
    >>> metric.update_state(np.array([[0, 1, 1, 2]]), np.array([[5, 5, 5, 3]]))
    >>> float(metric.result())
    1.0
    """

    def __init__(
        self,
        ignore_background=True,
        num_true_labels=None,
        num_pred_labels=None,
        name="adjusted_rand_index",
        dtype=None,
    ):
        super().__init__(num_true_labels, num_pred_labels, name=name, dtype=dtype)
        self.ignore_background = ignore_background

    def score(self, true_labels, pred_labels):
        return adjusted_rand_index(
            true_labels,
            pred_labels,
            self.ignore_background,
            self.num_true_labels,
            self.num_pred_labels,
        )

    def get_config(self):
        return {**super().get_config(), "ignore_background": self.ignore_background}


def _index_from_table(table):
    """Adjusted Rand index `[B]` of contingency tables `[B, I, J]`.

    The usual formula subtracts binomials of the size P^2 / 2 from each other and
    loses most digits of float32 when one label covers nearly everything. Here
    the four kinds of pairs are each a sum of non-negative products of exact
    counts, and the index in these four has no such cancellation.
    """
    true_size = ops.sum(table, axis=2, keepdims=True)  # [B, I, 1]
    pred_size = ops.sum(table, axis=1, keepdims=True)  # [B, 1, J]
    size = ops.sum(true_size, axis=1, keepdims=True)  # [B, 1, 1]

    def ordered_pairs(partners):
        """Sum over pixels of the number of partners, per pixel of the image.

        The common factor cancels in the index and keeps the products small.
        """
        return ops.sum(table * partners / ops.maximum(size, 1), axis=(1, 2))  # [B]

    # A cell without pixels contributes nothing, but would have -1 partners.
    together = ordered_pairs(ops.maximum(table - 1, 0))
    only_true = ordered_pairs(true_size - table)
    only_pred = ordered_pairs(pred_size - table)
    apart = ordered_pairs((size - true_size) - (pred_size - table))

    numerator = 2 * (together * apart - only_true * only_pred)
    denominator = (
        2 * together * apart
        + ops.square(only_true)
        + ops.square(only_pred)
        + (only_true + only_pred) * (together + apart)
    )
    # No pair on which the two differ, and nothing to be right about by chance.
    trivial = denominator == 0
    index = ops.where(trivial, 1.0, numerator / ops.where(trivial, 1.0, denominator))
    return ops.where(size[:, 0, 0] < 2, float("nan"), index)
