"""Overlap of objects and segments against loops over pixels and permutations."""

import itertools

import keras
import numpy as np
import pytest

from slot_attention_tf.metrics import (
    MeanBestOverlap,
    SlotMeanIoU,
    mean_best_overlap,
    mean_iou,
)


def overlaps(true, pred):
    """IoU of the objects in one image, without 0, with its segments, by sets."""

    def pixels(labels, label):
        return {i for i, value in enumerate(np.ravel(labels)) if value == label}

    objects = [pixels(true, label) for label in np.unique(true) if label != 0]
    segments = [pixels(pred, label) for label in np.unique(pred)]
    return np.array([[len(o & s) / len(o | s) for s in segments] for o in objects])


def best_overlap_of_image(true, pred):
    iou = overlaps(true, pred)
    return np.mean([max(row) for row in iou]) if len(iou) else np.nan


def matched_iou_of_image(true, pred):
    """The best of all ways to give objects distinct segments or none."""
    iou = overlaps(true, pred)
    if len(iou) == 0:
        return np.nan
    num_objects, num_segments = iou.shape
    partners = [*range(num_segments), *([None] * num_objects)]
    return max(
        sum(iou[i, j] for i, j in enumerate(choice) if j is not None) / num_objects
        for choice in set(itertools.permutations(partners, num_objects))
    )


SCORES = [
    (mean_best_overlap, best_overlap_of_image, MeanBestOverlap),
    (mean_iou, matched_iou_of_image, SlotMeanIoU),
]
both = pytest.mark.parametrize(("score", "oracle", "metric_class"), SCORES)


def random_maps(num_true, num_pred, batch_size=20):
    """Related maps; the first has no object, and some labels are missing."""
    rng = np.random.default_rng(num_true * 10 + num_pred)
    true = rng.integers(0, num_true, [batch_size, 5, 6])
    noise = rng.integers(0, num_pred, true.shape)
    pred = np.where(rng.random(true.shape) < 0.6, (true + 1) % num_pred, noise)
    true[0] = 0
    true[1][true[1] == 1] = 0
    return true, pred


@both
@pytest.mark.parametrize(("num_true", "num_pred"), [(4, 4), (3, 5), (5, 2), (1, 3)])
@pytest.mark.parametrize("dtype", ["uint8", "int64"])
def test_equals_brute_force(score, oracle, metric_class, num_true, num_pred, dtype):
    true, pred = random_maps(num_true, num_pred)
    expected = [oracle(t, p) for t, p in zip(true, pred, strict=True)]
    result = keras.ops.convert_to_numpy(score(true.astype(dtype), pred.astype(dtype)))
    assert result.dtype == "float32" and np.isnan(result[0])
    np.testing.assert_allclose(result, expected, atol=1e-6)
    more = score(true, pred, num_true_labels=9, num_pred_labels=7)
    np.testing.assert_allclose(more, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("true", "pred", "best", "matched"),
    [
        ([0, 1, 1, 2, 2], [4, 3, 3, 0, 0], 1.0, 1.0),  # all found
        ([0, 0, 1, 1], [0, 0, 0, 0], 0.5, 0.5),  # one object, with its background
        ([1, 1, 2, 2], [0, 0, 0, 0], 0.5, 0.25),  # two objects in one segment
        ([1, 1, 1, 1], [0, 1, 2, 3], 0.25, 0.25),  # one object in four segments
        ([0, 1, 1, 0], [0, 1, 1, 2], 1.0, 1.0),  # a background in pieces
        ([0, 0, 0, 0], [0, 1, 2, 3], np.nan, np.nan),  # no object
    ],
)
def test_cases_by_hand(true, pred, best, matched):
    true, pred = np.array([true]), np.array([pred])
    np.testing.assert_allclose(mean_best_overlap(true, pred), [best])
    np.testing.assert_allclose(mean_iou(true, pred), [matched])


@both
def test_metric_averages_images_with_objects(score, oracle, metric_class):
    true, pred = random_maps(4, 4)
    metric = metric_class()
    assert np.isnan(float(metric.result()))
    for rows in (slice(0, 7), slice(7, 20)):
        metric.update_state(true[rows], pred[rows])
    expected = np.mean([oracle(t, p) for t, p in zip(true[1:], pred[1:], strict=True)])
    assert float(metric.result()) == pytest.approx(expected, abs=1e-6)
    assert (metric.num_left_out, metric.num_counted) == (1, 19)
    metric.reset_state()
    assert (metric.num_left_out, metric.num_counted) == (0, 0)
    with pytest.raises(ValueError, match="sample_weight=1"):
        metric.update_state(true, pred, 1)


@both
def test_metric_config_round_trip(score, oracle, metric_class):
    metric = metric_class(5, 7, name="of_attention")
    copy = keras.metrics.deserialize(keras.metrics.serialize(metric))
    assert copy.get_config() == metric.get_config()
    assert (copy.num_true_labels, copy.num_pred_labels) == (5, 7)


@both
@pytest.mark.parametrize(
    ("num_labels", "jit_compile"), [(None, False), (5, False), (5, True), (15, True)]
)
def test_compiled(score, oracle, metric_class, num_labels, jit_compile):
    tf = pytest.importorskip("tensorflow")
    true, pred = (maps.astype("int32") for maps in random_maps(4, 5))
    spec = tf.TensorSpec([None, None, 6], tf.int32)

    @tf.function(input_signature=[spec, spec], jit_compile=jit_compile)
    def compiled(true, pred):
        return score(true, pred, num_labels, num_labels)

    expected = [oracle(t, p) for t, p in zip(true, pred, strict=True)]
    np.testing.assert_allclose(compiled(true, pred), expected, atol=1e-6)


@pytest.mark.slow
def test_jax_backend(run_python):
    pytest.importorskip("jax")
    run_python(
        """
import jax, numpy as np
from slot_attention_tf.metrics import mean_best_overlap, mean_iou
from tests.metrics.test_overlap import SCORES, random_maps
true, pred = random_maps(4, 5)
for score, oracle, _ in SCORES:
    expected = [oracle(t, p) for t, p in zip(true, pred)]
    np.testing.assert_allclose(score(true, pred), expected, atol=1e-6)
    jitted = jax.jit(lambda t, p: score(t, p, 4, 5))(true, pred)
    np.testing.assert_allclose(jitted, expected, atol=1e-6)
""",
        KERAS_BACKEND="jax",
    )


@both
def test_errors(score, oracle, metric_class):
    with pytest.raises(ValueError, match="same shape"):
        score(np.zeros([2, 4], int), np.zeros([2, 5], int))
    with pytest.raises(ValueError, match="from 0 to 5, num_pred_labels=5"):
        score(np.array([[0, 1]]), np.array([[0, 5]]), num_pred_labels=5)
