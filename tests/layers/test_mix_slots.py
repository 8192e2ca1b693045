"""`mix_slots` against the plain form of the paper, in values and gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from slot_attention_tf.layers import mix_slots


def plain_mix(decoded):
    """Slices of the last axis, a softmax over slots, a weighted sum."""
    recons, logits = decoded[..., :-1], decoded[..., -1:]
    masks = tf.nn.softmax(logits, axis=1)
    return tf.reduce_sum(recons * masks, axis=1), recons, masks


def value_and_gradient(mix, decoded, weights):
    """All three outputs, and the gradient of a weighted sum of all of them."""
    with tf.GradientTape() as tape:
        tape.watch(decoded)
        outputs = mix(decoded)
        loss = sum(
            tf.reduce_sum(output * weight)
            for output, weight in zip(outputs, weights, strict=True)
        )
    return outputs, tape.gradient(loss, decoded)


@pytest.mark.parametrize("shape", [(2, 4, 5, 7, 4), (3, 2, 4, 4, 2)])
@pytest.mark.parametrize("dtype,atol", [("float32", 1e-5), ("float64", 1e-12)])
def test_equals_the_plain_form_in_values_and_gradients(rng, shape, dtype, atol):
    decoded = tf.constant(rng.normal(size=shape, scale=3.0), dtype)
    weights = [rng.normal(size=output.shape) for output in plain_mix(decoded)]
    outputs, gradient = value_and_gradient(mix_slots, decoded, weights)
    expected, expected_gradient = value_and_gradient(plain_mix, decoded, weights)
    for output, each in zip(outputs, expected, strict=True):
        assert output.dtype == dtype and output.shape == each.shape
        np.testing.assert_allclose(output, each, atol=atol)
    np.testing.assert_allclose(gradient, expected_gradient, atol=atol)


def test_large_logits_stay_finite():
    decoded = np.zeros((1, 3, 1, 1, 2), "float32")
    decoded[0, :, 0, 0] = [[1.0, 1e30], [2.0, -1e30], [3.0, 500.0]]
    decoded = tf.constant(decoded)
    weights = [1.0, 0.0, 0.0]
    (combined, _, masks), gradient = value_and_gradient(mix_slots, decoded, weights)
    np.testing.assert_array_equal(tf.squeeze(masks), [1.0, 0.0, 0.0])
    assert combined[0, 0, 0, 0] == 1.0
    np.testing.assert_array_equal(gradient[0, :, 0, 0, 0], [1.0, 0.0, 0.0])
    assert np.isfinite(gradient).all()


def test_one_slot_is_its_image(rng):
    decoded = rng.normal(size=(2, 1, 3, 4, 4)).astype("float32")
    combined, _, masks = mix_slots(decoded)
    np.testing.assert_array_equal(masks, np.ones((2, 1, 3, 4, 1)))
    np.testing.assert_array_equal(combined, decoded[:, 0, ..., :3])


def test_half_precision_is_mixed_in_float32(rng):
    decoded = rng.normal(size=(2, 4, 3, 3, 4)).astype("float16")
    for output, expected in zip(
        mix_slots(decoded), plain_mix(tf.cast(decoded, tf.float32)), strict=True
    ):
        assert output.dtype == "float32"
        np.testing.assert_allclose(output, expected, atol=1e-5)


def test_any_batch_and_number_of_slots_in_a_functional_model(rng):
    inputs = keras.Input((None, 3, 5, 4))
    model = keras.Model(inputs, mix_slots(inputs))
    assert [tuple(output.shape) for output in model.outputs] == [
        (None, 3, 5, 3),
        (None, None, 3, 5, 3),
        (None, None, 3, 5, 1),
    ]
    decoded = rng.normal(size=(2, 6, 3, 5, 4)).astype("float32")
    np.testing.assert_allclose(model(decoded)[0], plain_mix(decoded)[0], atol=1e-5)


def test_rejects_another_rank():
    with pytest.raises(ValueError, match=r"\[batch, slots, height.*\(4, 3, 3, 4\)"):
        mix_slots(np.zeros((4, 3, 3, 4)))
