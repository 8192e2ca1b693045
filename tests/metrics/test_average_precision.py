"""Average precision against a plain loop over detections and objects."""

import keras
import numpy as np
import pytest

from slot_attention_tf.metrics import AveragePrecisionClevr, average_precision_clevr
from slot_attention_tf.metrics.average_precision import threshold_name

THRESHOLDS = [-1, 1.0, 0.5, 0.25, 0.125]


def average_precision_by_loops(pred, attributes, threshold):
    """Follows the definition detection by detection."""
    pred, attributes = pred.astype("float64"), attributes.astype("float64")
    detections = [
        (-pred[image, slot, 18], image, slot)
        for image in range(pred.shape[0])
        for slot in range(pred.shape[1])
    ]
    taken, correct = set(), []
    for _, image, slot in sorted(detections):
        best, best_distance = None, np.inf
        for target, element in enumerate(attributes[image]):
            if element[18] == 1 and same_categories(pred[image, slot], element):
                distance = 6 * np.sqrt(((pred[image, slot] - element)[:3] ** 2).sum())
                if distance < best_distance:
                    best, best_distance = target, distance
        near = best is not None and (threshold == -1 or best_distance < threshold)
        correct.append(near and (image, best) not in taken)
        if near:
            taken.add((image, best))

    area, reached = 0.0, 0.0
    num_objects = attributes[:, :, 18].sum()
    precisions = np.cumsum(correct) / np.arange(1, len(correct) + 1)
    recalls = np.cumsum(correct) / num_objects
    for rank in range(len(correct)):
        if recalls[rank] > reached:
            area += (recalls[rank] - reached) * precisions[rank:].max()
            reached = recalls[rank]
    return area


def same_categories(a, b):
    return all(
        a[start:end].argmax() == b[start:end].argmax()
        for start, end in ((3, 5), (5, 7), (7, 10), (10, 18))
    )


def random_targets(rng, num_images, max_objects):
    targets = np.zeros([num_images, max_objects, 19], "float32")
    for target in targets:
        for element in target[: rng.integers(0, max_objects + 1)]:
            element[:3] = rng.random(3)
            for start, size in ((3, 2), (5, 2), (7, 3), (10, 8)):
                element[start + rng.integers(size)] = 1
            element[18] = 1
    return targets


def noisy_predictions(rng, targets, num_slots, noise):
    """The targets in another order with noise, so that some detections are right."""
    padding = max(0, num_slots - targets.shape[1])
    pred = np.pad(targets, [(0, 0), (0, padding), (0, 0)])
    pred = pred[:, rng.permutation(pred.shape[1])[:num_slots]]
    scale = np.full([19], noise)
    scale[:3] /= 5  # at most a few tenths of the 6 units of the scene
    return (pred + scale * rng.normal(size=pred.shape)).clip(0, 1).astype("float32")


@pytest.mark.parametrize("threshold", THRESHOLDS)
@pytest.mark.parametrize(
    ("num_slots", "noise"), [(5, 0.05), (5, 0.4), (3, 0.1), (8, 0.2)]
)
def test_equals_plain_loops(threshold, num_slots, noise):
    rng = np.random.default_rng([num_slots, int(100 * noise)])
    targets = random_targets(rng, 40, 5)
    pred = noisy_predictions(rng, targets, num_slots, noise)
    expected = average_precision_by_loops(pred, targets, threshold)
    result = average_precision_clevr(pred, targets, threshold)
    assert result == pytest.approx(expected, rel=1e-9)


def test_the_examples_above_are_neither_all_right_nor_all_wrong():
    rng = np.random.default_rng([5, 40])
    targets = random_targets(rng, 40, 5)
    pred = noisy_predictions(rng, targets, 5, 0.4)
    values = [average_precision_clevr(pred, targets, t) for t in THRESHOLDS]
    assert 0.1 < values[0] < 0.9
    assert values == sorted(values, reverse=True) and values[0] > values[2] > 0


def test_equal_confidences_and_repeated_claims():
    """Few distinct objects, so that detections compete for the same one."""
    rng = np.random.default_rng(0)
    targets = random_targets(rng, 30, 4)
    targets[:, :, 3:18] = 0
    targets[:, :, [3, 5, 7, 10]] = targets[:, :, 18:]
    pred = noisy_predictions(rng, targets, 8, 0.1)
    pred[:, :, 18] = np.round(pred[:, :, 18], 1)
    for threshold in THRESHOLDS:
        assert average_precision_clevr(pred, targets, threshold) == pytest.approx(
            average_precision_by_loops(pred, targets, threshold), rel=1e-9
        )


def one_object(x=0.5, color=0, confidence=1.0):
    element = np.zeros(19)
    element[[0, 3, 5, 7, 10 + color, 18]] = [x, 1, 1, 1, 1, confidence]
    return element


def test_small_cases_by_hand():
    targets = np.array([[one_object(0.5), one_object(0.9)]])
    perfect = targets[:, ::-1]
    assert average_precision_clevr(perfect, targets, 0.125) == 1.0
    wrong_color = np.array([[one_object(0.5, color=3), one_object(0.9, color=3)]])
    assert average_precision_clevr(wrong_color, targets, -1) == 0.0
    # The second claim of one object is a false positive, and the other is missed.
    twice = np.array([[one_object(0.5), one_object(0.5, confidence=0.9)]])
    assert average_precision_clevr(twice, targets, -1) == 0.5
    # A false positive above the true positives halves and then thirds precision.
    late = np.array(
        [[one_object(0.5, 3), one_object(0.5, 0, 0.9), one_object(0.9, 0, 0.8)]]
    )
    assert average_precision_clevr(late, targets, -1) == pytest.approx(2 / 3)


def test_distance_is_in_scene_units_and_strictly_below():
    targets = np.array([[one_object(0.5)]])
    pred = np.array([[one_object(0.75)]])  # 1.5 units away
    assert average_precision_clevr(pred, targets, 1.5) == 0.0
    assert average_precision_clevr(pred, targets, 1.51) == 1.0
    assert average_precision_clevr(pred, targets, np.inf) == 1.0


def test_a_far_claim_leaves_the_object_to_a_nearer_one():
    targets = np.array([[one_object(0.5)]])
    pred = np.array([[one_object(0.9), one_object(0.5, confidence=0.5)]])
    assert average_precision_clevr(pred, targets, 1.0) == 0.5
    assert average_precision_clevr(pred, targets, -1) == 1.0


def test_metric_equals_the_function_on_all_batches():
    rng = np.random.default_rng(1)
    targets = random_targets(rng, 30, 5)
    pred = noisy_predictions(rng, targets, 6, 0.2)
    metric = AveragePrecisionClevr()
    for rows in (slice(0, 7), slice(7, 8), slice(8, 30)):
        metric.update_state(targets[rows], keras.ops.convert_to_tensor(pred[rows]))
    expected = {
        name: average_precision_clevr(pred, targets, threshold)
        for name, threshold in zip(
            ["AP@inf", "AP@1", "AP@0.5", "AP@0.25", "AP@0.125"], THRESHOLDS, strict=True
        )
    }
    assert metric.result() == expected
    metric.reset_state()
    metric.update_state(targets[:4], pred[:4])
    assert metric.result()["AP@1"] == average_precision_clevr(pred[:4], targets[:4], 1)


def test_metric_in_keras_evaluate():
    rng = np.random.default_rng(2)
    targets = random_targets(rng, 12, 3)
    pred = noisy_predictions(rng, targets, 3, 0.1)
    model = keras.Sequential([keras.layers.Identity()])
    metric = AveragePrecisionClevr([-1, 0.5])
    model.compile(loss="mse", metrics=[metric], run_eagerly=True)
    logs = model.evaluate(pred, targets, batch_size=5, verbose=0, return_dict=True)
    assert logs["AP@0.5"] == average_precision_clevr(pred, targets, 0.5)
    copy = keras.metrics.deserialize(keras.metrics.serialize(metric))
    assert copy.distance_thresholds == (-1, 0.5)


def test_metric_errors():
    metric = AveragePrecisionClevr()
    with pytest.raises(ValueError, match="no batch yet"):
        metric.result()
    metric.update_state(np.zeros([2, 3, 19]), np.zeros([2, 3, 19]))
    with pytest.raises(ValueError, match="not defined without any real object"):
        metric.result()
    with pytest.raises(ValueError, match="distance_threshold=0"):
        AveragePrecisionClevr([1.0, 0])
    with pytest.raises(ValueError, match=r"sample_weight=\[1, 2\]"):
        metric.update_state(np.zeros([2, 3, 19]), np.zeros([2, 3, 19]), [1, 2])


def test_compiled_use_is_an_error():
    tf = pytest.importorskip("tensorflow")
    with pytest.raises(ValueError, match="run_eagerly=True"):
        tf.function(average_precision_clevr)(
            tf.zeros([1, 2, 19]), np.zeros([1, 2, 19]), 1
        )


def test_threshold_names():
    assert [threshold_name(t) for t in (-1, np.inf, 1.0, 0.125)] == [
        "AP@inf",
        "AP@inf",
        "AP@1",
        "AP@0.125",
    ]


TARGETS = np.array([[one_object(0.5)]])


@pytest.mark.parametrize(
    ("pred", "attributes", "threshold", "message"),
    [
        (TARGETS[..., :18], TARGETS, 1, r"`pred` must .*19\].*pred.shape=\(1, 1, 18\)"),
        (TARGETS, TARGETS[0], 1, r"`attributes` must .*attributes.shape=\(1, 19\)"),
        (TARGETS, np.tile(TARGETS, [2, 1, 1]), 1, r"equally many images.*\(2, 1, 19\)"),
        (TARGETS * np.nan, TARGETS, 1, "`pred` must be finite"),
        (TARGETS, TARGETS * 3, 1, r"\[0, 1\].*values from 0 to 3"),
        (TARGETS, TARGETS * 0.5, 1, r"1 for real objects.*Received: 0.5"),
        (TARGETS, TARGETS * 0, 1, "not defined without any real object"),
        (TARGETS, TARGETS, 0, "must be positive.*distance_threshold=0"),
        (TARGETS, TARGETS, -2, "must be positive.*distance_threshold=-2"),
        (TARGETS, TARGETS, np.nan, "must be positive.*distance_threshold=nan"),
    ],
)
def test_errors(pred, attributes, threshold, message):
    with pytest.raises(ValueError, match=message):
        average_precision_clevr(pred, attributes, threshold)


def test_empty_scenes_count_their_false_positives_only():
    targets = np.stack([TARGETS[0], 0 * TARGETS[0]])
    pred = np.stack([TARGETS[0], TARGETS[0]])
    pred[0, 0, 18] = 0.9
    assert average_precision_clevr(pred, targets, -1) == 0.5
