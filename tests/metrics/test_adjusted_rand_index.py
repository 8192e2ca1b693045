"""The adjusted Rand index against pair counts and exact integer arithmetic."""

from fractions import Fraction

import keras
import numpy as np
import pytest

from slot_attention_tf.metrics import AdjustedRandIndex, adjusted_rand_index


def index(true, pred, **kwargs):
    return keras.ops.convert_to_numpy(adjusted_rand_index(true, pred, **kwargs))


def index_by_pairs(true, pred, ignore_background=True):
    """Counts every pair of pixels of one image."""
    true, pred = np.ravel(true).astype(int), np.ravel(pred).astype(int)
    if ignore_background:
        true, pred = true[true > 0], pred[true > 0]
    upper = np.triu_indices(len(true), 1)
    same_true = (true[:, None] == true)[upper]
    same_pred = (pred[:, None] == pred)[upper]
    num_pairs = len(same_true)
    if num_pairs == 0:
        return np.nan
    both = int((same_true & same_pred).sum())
    in_true, in_pred = int(same_true.sum()), int(same_pred.sum())
    expected = Fraction(in_true * in_pred, num_pairs)
    highest = Fraction(in_true + in_pred, 2)
    if highest == expected:
        return 1.0
    return float((both - expected) / (highest - expected))


def index_by_integers(true, pred):
    """The textbook formula in Python's unbounded integers."""
    true, pred = np.ravel(true).astype(int), np.ravel(pred).astype(int)
    true, pred = true[true > 0], pred[true > 0]

    def pairs(labels):
        counts = np.unique(labels, return_counts=True)[1]
        return sum(int(n) * (int(n) - 1) // 2 for n in counts)

    both = pairs(true * (pred.max() + 1) + pred)
    total = len(true) * (len(true) - 1) // 2
    expected = Fraction(pairs(true) * pairs(pred), total)
    return float(
        (both - expected) / (Fraction(pairs(true) + pairs(pred), 2) - expected)
    )


@pytest.mark.parametrize("ignore_background", [True, False])
@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_equals_count_of_pairs(dtype, ignore_background):
    rng = np.random.default_rng(0)
    true = rng.integers(0, 4, [20, 7, 8]).astype(dtype)
    pred = np.where(
        rng.random(true.shape) < 0.6, 3 - true, rng.integers(0, 6, true.shape)
    ).astype(dtype)
    result = index(true, pred, ignore_background=ignore_background)
    expected = [
        index_by_pairs(t, p, ignore_background) for t, p in zip(true, pred, strict=True)
    ]
    np.testing.assert_allclose(result, expected, atol=1e-6)


@pytest.mark.parametrize("wrong_pixels", [0, 1, 2, 50, 30_000])
def test_is_exact_on_large_lopsided_maps(wrong_pixels):
    """Nearly everything in one object: float32 binomials would have no digits left."""
    rng = np.random.default_rng(wrong_pixels)
    true = np.ones([1, 240 * 320], "int32")
    true[0, :3] = 2
    pred = true - 1
    pred[0, rng.permutation(pred.shape[1])[:wrong_pixels]] = 1
    assert index(true, pred)[0] == pytest.approx(
        index_by_integers(true, pred), rel=1e-5, abs=1e-6
    )


def test_is_exact_on_large_random_maps():
    rng = np.random.default_rng(3)
    true = rng.integers(0, 11, [4, 240, 320])
    pred = np.where(rng.random(true.shape) < 0.9, true, rng.integers(0, 11, true.shape))
    expected = [index_by_integers(t, p) for t, p in zip(true, pred, strict=True)]
    np.testing.assert_allclose(index(true, pred), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("true", "pred", "expected"),
    [
        ([0, 0, 1, 1], [4, 4, 7, 7], 1.0),  # one object, whole
        ([0, 0, 1, 1, 2, 2], [0, 1, 0, 0, 1, 1], 1.0),  # background joins slots
        ([0, 1, 1, 2, 2], [0, 1, 1, 1, 1], 0.0),  # two objects in one slot
        ([0, 1, 1, 1, 1], [0, 1, 1, 2, 2], 0.0),  # one object over two slots
        ([0, 1, 2, 3], [0, 5, 4, 6], 1.0),  # one pixel per object, all apart
        ([0, 0, 0, 0], [0, 1, 1, 0], np.nan),  # empty foreground
        ([0, 0, 0, 1], [0, 1, 1, 0], np.nan),  # one pixel of foreground
        ([1, 1, 2, 2], [0, 1, 0, 1], -0.5),  # worse than chance
    ],
)
def test_edge_cases(true, pred, expected):
    assert index_by_pairs(true, pred) == pytest.approx(expected, nan_ok=True)
    np.testing.assert_allclose(index(np.array([true]), np.array([pred])), [expected])


def test_number_of_labels_can_exceed_those_present():
    true, pred = np.array([[0, 1, 1, 2, 3]]), np.array([[1, 1, 0, 2, 2]])
    np.testing.assert_array_equal(
        index(true, pred, num_true_labels=9, num_pred_labels=7), index(true, pred)
    )


def test_metric_averages_and_counts_what_it_leaves_out():
    rng = np.random.default_rng(1)
    true = rng.integers(0, 3, [12, 30])
    pred = rng.integers(0, 3, [12, 30])
    true[[2, 7]] = 0
    metric = AdjustedRandIndex()
    assert np.isnan(float(metric.result()))
    for rows in (slice(0, 5), slice(5, 12)):
        metric.update_state(true[rows], pred[rows])
    expected = np.nanmean(
        [index_by_pairs(t, p) for t, p in zip(true, pred, strict=True)]
    )
    assert float(metric.result()) == pytest.approx(expected, abs=1e-6)
    assert (metric.num_left_out, metric.num_counted) == (2, 10)
    metric.reset_state()
    assert (metric.num_left_out, metric.num_counted) == (0, 0)


def test_metric_knows_no_weights():
    labels = np.ones([2, 3], int)
    with pytest.raises(ValueError, match=r"sample_weight=\[1, 2\]"):
        AdjustedRandIndex().update_state(labels, labels, [1, 2])


def test_metric_config_round_trip():
    metric = AdjustedRandIndex(False, 5, 7, name="all_pixels")
    copy = keras.metrics.deserialize(keras.metrics.serialize(metric))
    assert copy.get_config() == metric.get_config()
    assert copy.num_pred_labels == 7


@pytest.mark.parametrize("num_labels", [None, 4])
def test_runs_inside_tf_function_with_unknown_batch(num_labels):
    tf = pytest.importorskip("tensorflow")
    rng = np.random.default_rng(2)
    true, pred = rng.integers(0, 4, [2, 6, 5, 5]).astype("int32")
    metric = AdjustedRandIndex(num_true_labels=num_labels, num_pred_labels=num_labels)
    spec = tf.TensorSpec([None, None, 5], tf.int32)

    @tf.function(input_signature=[spec, spec])
    def update(true, pred):
        metric.update_state(true, pred)
        return adjusted_rand_index(
            true, pred, num_true_labels=num_labels, num_pred_labels=num_labels
        )

    np.testing.assert_allclose(update(true, pred), index(true, pred), atol=1e-6)
    assert float(metric.result()) == pytest.approx(np.mean(index(true, pred)), abs=1e-6)


def test_jax_backend(run_python):
    pytest.importorskip("jax")
    code = """
import jax, numpy as np
from slot_attention_tf.metrics import adjusted_rand_index
true, pred = np.array([[0, 1, 1, 2, 2]]), np.array([[0, 1, 1, 0, 2]])
eager = adjusted_rand_index(true, pred)
jitted = jax.jit(lambda t, p: adjusted_rand_index(t, p, True, 3, 3))(true, pred)
np.testing.assert_allclose(eager, [4 / 7], atol=1e-6)
np.testing.assert_allclose(jitted, eager)
try:
    jax.jit(adjusted_rand_index)(true, pred)
except ValueError as error:
    assert "num_true_labels=None" in str(error)
else:
    raise AssertionError("no error")
"""
    assert index_by_pairs([0, 1, 1, 2, 2], [0, 1, 1, 0, 2]) == pytest.approx(4 / 7)
    run_python(code, KERAS_BACKEND="jax")


@pytest.mark.parametrize(
    ("true", "pred", "kwargs", "message"),
    [
        (np.zeros([2, 4], int), np.zeros([2, 5], int), {}, "same shape"),
        (np.zeros([2, 4], int), np.zeros([2, 2, 2], int), {}, "same shape"),
        (np.zeros([4], int), np.zeros([4], int), {}, "batch axis"),
        (np.zeros([0, 4], int), np.zeros([0, 4], int), {}, "at least one image"),
        (np.zeros([2, 4]), np.zeros([2, 4], int), {}, "`true_labels` must be an int"),
        (np.zeros([2, 4], int), np.zeros([2, 4]), {}, "`pred_labels` must be an int"),
        (np.array([[0, -1]]), np.array([[0, 1]]), {}, "from -1 to 0"),
        (
            np.array([[0, 1]]),
            np.array([[0, 5]]),
            {"num_pred_labels": 5},
            "from 0 to 5, num_pred_labels=5",
        ),
    ],
)
def test_errors(true, pred, kwargs, message):
    with pytest.raises(ValueError, match=message):
        adjusted_rand_index(true, pred, **kwargs)
