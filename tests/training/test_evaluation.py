"""Evaluation: right numbers, the same every time, no trace in the run."""

import numpy as np
import pytest
import tensorflow as tf

import slot_attention_tf as sa
from slot_attention_tf.training.evaluation import (
    DiscoveryEvaluator,
    DiscoveryResult,
    stripe_score,
)
from slot_attention_tf.training.randomness import fixed_randomness, seed_states


class Oracle:
    """Stands in for a model: its masks are the truth that the images encode."""

    non_trainable_variables = ()

    def __call__(self, images, num_slots=None, num_iterations=None):
        labels = tf.cast(tf.round(images[..., 0]), tf.int32)
        masks = tf.one_hot(labels, num_slots or 3, axis=1)[..., None]
        return images + 0.5, None, masks, None


def dataset(segmentation):
    images = np.repeat(segmentation[..., None], 3, axis=-1).astype("float32")
    batches = {"image": images, "segmentation": segmentation}
    return tf.data.Dataset.from_tensor_slices(batches).batch(2)


def test_a_perfect_model_scores_one(rng):
    segmentation = rng.integers(0, 3, size=(5, 6, 7)).astype("uint8")
    result = DiscoveryEvaluator(Oracle())(dataset(segmentation))
    np.testing.assert_allclose(result.fg_ari, 1.0)
    np.testing.assert_allclose(result.mse, 0.25)
    assert result.summary() == "FG-ARI 1.000 ± 0.000 over 5 images"


def test_images_without_objects_are_left_out_and_counted(rng):
    segmentation = rng.integers(0, 3, size=(5, 6, 7)).astype("uint8")
    segmentation[3] = 0
    result = DiscoveryEvaluator(Oracle())(dataset(segmentation))
    assert result.left_out == 1
    assert "over 4 images (1 left out" in result.summary()


def test_spread_is_over_images():
    result = DiscoveryResult(np.array([0.5, 1.0]), np.array([0.1, 0.3]), np.zeros(2))
    assert result.summary() == "FG-ARI 0.750 ± 0.250 over 2 images"
    assert result.values()["mse"] == pytest.approx(0.2)


def test_an_empty_dataset_is_an_error(rng):
    empty = dataset(np.zeros((1, 4, 4), "uint8")).take(0)
    with pytest.raises(ValueError, match="holds no batch"):
        DiscoveryEvaluator(Oracle())(empty)


def test_evaluation_repeats_and_leaves_no_trace(rng):
    model = sa.SlotAttentionAutoEncoder(
        (8, 8),
        3,
        2,
        encoder=sa.ConvEncoder((8, 8), filters=(4,)),
        decoder=sa.PixelMLPDecoder((8, 8), hidden_sizes=(8,)),
        seed=1,
    )
    images = rng.uniform(-1, 1, size=(4, 8, 8, 3)).astype("float32")
    data = tf.data.Dataset.from_tensors(
        {"image": images, "segmentation": rng.integers(0, 3, size=(4, 8, 8))}
    )
    evaluate = DiscoveryEvaluator(model)
    before = [state.numpy() for state in seed_states(model)]
    first, second = (evaluate(data) for _ in range(2))
    np.testing.assert_array_equal(first.mse, second.mse)
    other = evaluate(data, seed=1)
    assert np.abs(other.mse - first.mse).max() > 0
    for state, value in zip(seed_states(model), before, strict=True):
        np.testing.assert_array_equal(state.numpy(), value)
    with fixed_randomness(model, 7):
        slots = model(images)[3]
    with fixed_randomness(model, 7):
        np.testing.assert_array_equal(model(images)[3], slots)


def test_stripes_score_high_and_objects_low(rng):
    column = np.arange(30) // 10
    stripes = np.broadcast_to(column, (30, 30))
    blobs = np.zeros((30, 30), int)
    blobs[4:12, 5:13], blobs[16:25, 14:22] = 1, 2
    masks = np.stack([np.eye(3)[labels] for labels in (stripes, stripes.T, blobs)])
    scores = stripe_score(masks.transpose(0, 3, 1, 2))
    np.testing.assert_allclose(scores[:2], 1.0)
    assert scores[2] < 0.5
