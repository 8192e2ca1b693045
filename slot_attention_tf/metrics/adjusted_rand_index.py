"""Adjusted Rand index between label maps, as used to score object discovery."""

import operator

import keras
from keras import ops


def adjusted_rand_index(
    true_labels,
    pred_labels,
    ignore_background=True,
    num_true_labels=None,
    num_pred_labels=None,
):
    """Similarity of two partitions of the pixels, corrected for chance.

    Every pixel pair is put together or kept apart by each partition. The index
    (Hubert and Arabie, 1985) compares how often both agree with what two
    unrelated partitions of the same sizes would reach: 1 for equal partitions,
    about 0 for unrelated ones, negative for worse. The names of the labels do
    not matter. With the background left out this is the FG-ARI of Locatello et
    al. (2020), section 4.1: an object that is split over slots or shares its
    slot with another object costs, background in an object's slot does not.

    Args:
        true_labels: integer label maps `[B, ...]`, NumPy or backend tensors,
            with 0 for the background.
        pred_labels: integer label maps of the same shape, for example the
            argmax over the masks of the slots. 0 has no special meaning here.
        ignore_background: whether to count only the pixels whose true label is
            not 0.
        num_true_labels: one more than the largest label in `true_labels`. Found
            from the values by default; needed inside `jax.jit` and XLA, where
            shapes cannot depend on values.
        num_pred_labels: the same for `pred_labels`.

    Returns:
        float32 `[B]`, one value in [-1, 1] for each image. NaN for an image with
        fewer than two counted pixels; 1 where both partitions are trivial and
        equal (a single object kept whole, or every pixel on its own).

    Raises:
        ValueError: if the shapes differ, are empty or have no batch axis, if
            the dtypes are not integer, or if a label is negative or not below
            the number of labels given. (Values can only be checked outside of
            compiled functions.)
    """
    true_labels = _as_labels(true_labels, "true_labels")
    pred_labels = _as_labels(pred_labels, "pred_labels")
    _check_shapes(true_labels, pred_labels)
    num_true_labels = _num_labels(true_labels, num_true_labels, "true_labels")
    num_pred_labels = _num_labels(pred_labels, num_pred_labels, "pred_labels")
    table = _contingency_table(
        true_labels, pred_labels, num_true_labels, num_pred_labels
    )
    if ignore_background:
        table = table[:, 1:, :]
    return _index_from_table(table)


@keras.saving.register_keras_serializable(package="slot_attention_tf")
class AdjustedRandIndex(keras.metrics.Metric):
    """Mean adjusted Rand index over all images seen.

    Images with fewer than two counted pixels have no index. They are left out
    of the mean and counted in `num_left_out`.

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
        super().__init__(name=name, dtype=dtype)
        self.ignore_background = ignore_background
        self.num_true_labels = num_true_labels
        self.num_pred_labels = num_pred_labels
        self._total = self.add_variable((), "zeros", name="total")
        self._count = self.add_variable((), "zeros", name="count")
        self._left_out = self.add_variable((), "zeros", name="left_out")

    @property
    def num_left_out(self):
        """Number of images without an index, as a Python integer."""
        return int(self._left_out)

    @property
    def num_counted(self):
        """Number of images in the mean, as a Python integer."""
        return int(self._count)

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
        index = adjusted_rand_index(
            true_labels,
            pred_labels,
            self.ignore_background,
            self.num_true_labels,
            self.num_pred_labels,
        )
        defined = ops.logical_not(ops.isnan(index))
        kept = ops.where(defined, index, 0.0)
        ones = ops.cast(defined, self.dtype)
        self._total.assign_add(ops.cast(ops.sum(kept), self.dtype))
        self._count.assign_add(ops.sum(ones))
        self._left_out.assign_add(ops.sum(1 - ones))

    def result(self):
        """Returns the mean, or NaN as long as no image had an index."""
        mean = self._total / ops.maximum(self._count, 1)
        return ops.where(self._count > 0, mean, float("nan"))

    def get_config(self):
        config = super().get_config()
        config.update(
            {
                "ignore_background": self.ignore_background,
                "num_true_labels": self.num_true_labels,
                "num_pred_labels": self.num_pred_labels,
            }
        )
        return config


def _contingency_table(true_labels, pred_labels, num_true_labels, num_pred_labels):
    """Counts, for each image, the pixels of every pair of labels: `[B, I, J]`."""
    batch_size = ops.shape(true_labels)[0]
    cells = num_true_labels * num_pred_labels
    flat_true = ops.reshape(true_labels, (batch_size, -1))  # [B, P]
    flat_pred = ops.reshape(pred_labels, (batch_size, -1))  # [B, P]
    offset = ops.arange(batch_size, dtype="int32")[:, None] * cells  # [B, 1]
    cell = ops.reshape(offset + flat_true * num_pred_labels + flat_pred, (-1,))
    # float32 counts pixels exactly up to 2^24, an image of 4096 x 4096.
    counts = ops.segment_sum(
        ops.ones_like(cell, dtype="float32"), cell, num_segments=batch_size * cells
    )
    return ops.reshape(counts, (batch_size, num_true_labels, num_pred_labels))


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


def _as_labels(labels, name):
    """Checks the dtype and returns the labels as an int32 tensor."""
    labels = ops.convert_to_tensor(labels)
    dtype = keras.backend.standardize_dtype(labels.dtype)
    if not dtype.startswith(("int", "uint")):
        raise ValueError(
            f"`{name}` must be an integer label map [B, ...]; take the argmax over "
            f"the slots of soft masks first. Received: dtype={dtype}"
        )
    return ops.cast(labels, "int32")


def _check_shapes(true_labels, pred_labels):
    true_shape, pred_shape = tuple(true_labels.shape), tuple(pred_labels.shape)
    compatible = len(true_shape) == len(pred_shape) and all(
        a is None or b is None or a == b
        for a, b in zip(true_shape, pred_shape, strict=True)
    )
    if not compatible or len(true_shape) < 2:
        raise ValueError(
            "`true_labels` and `pred_labels` must have the same shape [B, ...], "
            "with a batch axis and at least one pixel axis. Received: "
            f"true_labels.shape={true_shape}, pred_labels.shape={pred_shape}"
        )
    if 0 in true_shape:
        raise ValueError(
            "Label maps must hold at least one image and one pixel. "
            f"Received: true_labels.shape={true_shape}"
        )


def _num_labels(labels, given, name):
    """Returns the number of labels, after checking the values where there are any."""
    try:
        # Not int(): inside tf.function AutoGraph turns that into a tensor cast.
        smallest = operator.index(ops.min(labels))
        largest = operator.index(ops.max(labels))
    except TypeError:  # Traced: there are no values yet.
        if given is None and keras.backend.backend() == "jax":
            raise ValueError(
                "Inside jax.jit the number of labels must be given, since shapes "
                f"cannot depend on values. Received: num_{name}=None"
            ) from None
        return ops.max(labels) + 1 if given is None else given
    if smallest < 0 or (given is not None and largest >= given):
        raise ValueError(
            f"`{name}` must lie between 0 and num_{name} - 1. Received: labels "
            f"from {smallest} to {largest}, num_{name}={given}"
        )
    return largest + 1 if given is None else given
