"""Fixed initial slots: the formula, and weights of models that had random ones."""

import keras
import numpy as np
import pytest

import slot_attention_tf as sa


def model_with(initializer):
    inputs = keras.Input((10, 5))
    layer = sa.SlotAttention(2, 3, 8, 16, slot_initializer=initializer)
    return keras.Model(inputs, layer(inputs))


@pytest.mark.parametrize("num_slots", [1, 3, 7])
def test_slots_are_the_stored_noise_scaled(rng, num_slots):
    initializer = sa.FixedSlotInitializer(8, num_slots=7, seed=0)
    slots = initializer(np.zeros((4, 10, 5)), num_slots=num_slots)
    mu, log_sigma, noise = map(np.array, initializer.weights)
    expected = mu + np.exp(log_sigma) * noise[:, :num_slots]
    np.testing.assert_allclose(slots, np.repeat(expected, 4, axis=0), atol=1e-6)
    given = rng.normal(size=(4, num_slots, 8)).astype("float32")
    slots = initializer(np.zeros((4, 10, 5)), num_slots=num_slots, noise=given)
    np.testing.assert_allclose(slots, mu + np.exp(log_sigma) * given, atol=1e-6)


def test_the_stored_noise_is_standard_normal_and_not_trained():
    initializer = sa.FixedSlotInitializer(100, num_slots=100, seed=0)
    initializer.build((None, 10, 5))
    assert [weight.name for weight in initializer.trainable_weights] == [
        "slots_mu",
        "slots_log_sigma",
    ]
    noise = np.array(initializer.noise)
    # Five standard errors of 10,000 numbers.
    assert abs(noise.mean()) < 0.05 and abs(noise.std() - 1) < 0.036


def test_a_model_gives_the_same_slots_in_every_call(rng):
    features = rng.normal(size=(2, 10, 5))
    random = model_with(sa.SlotInitializer(8))
    assert np.abs(random(features) - random(features)).max() > 1e-3
    fixed = model_with(sa.FixedSlotInitializer(8, 3))
    np.testing.assert_array_equal(fixed(features), fixed(features))


def test_weights_that_were_trained_with_random_slots_are_loaded(rng, tmp_path):
    trained = model_with(sa.SlotInitializer(8, seed=1))
    trained.save_weights(tmp_path / "model.weights.h5")
    fixed = model_with(sa.FixedSlotInitializer(8, 3, seed=2))
    fixed.load_weights(tmp_path / "model.weights.h5")
    features = rng.normal(size=(2, 10, 5)).astype("float32")
    initializer = trained.layers[1].slot_initializer
    noise = np.array(fixed.layers[1].slot_initializer.noise)
    start = initializer(features, num_slots=3, noise=np.repeat(noise, 2, axis=0))
    expected = trained.layers[1](features, initial_slots=start)
    np.testing.assert_allclose(fixed(features), expected, atol=1e-6)
    fixed.save_weights(tmp_path / "fixed.weights.h5")
    other = model_with(sa.FixedSlotInitializer(8, 3, seed=3))
    other.load_weights(tmp_path / "fixed.weights.h5")
    np.testing.assert_array_equal(other(features), fixed(features))


def test_more_slots_than_stored_are_refused():
    initializer = sa.FixedSlotInitializer(8, num_slots=3)
    layer = sa.SlotAttention(2, 3, 8, 16, slot_initializer=initializer)
    with pytest.raises(ValueError, match="noise for 3 slots.*Received: num_slots=4"):
        layer(np.zeros((2, 10, 5)), num_slots=4)
    with pytest.raises(ValueError, match="Received: num_slots=0"):
        sa.FixedSlotInitializer(8, num_slots=0)
