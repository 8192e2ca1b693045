"""Terms of variational losses against sampling and special cases."""

import keras
import numpy as np

from slot_attention_tf.losses.variational import (
    divergence_from_prior,
    mask_divergence,
    mixture_negative_log_likelihood,
)


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def test_likelihood_of_a_mixture_integrates_to_one():
    """Over all values that the one channel of the one pixel can have."""
    values, step = np.linspace(-3, 4, 7001, retstep=True)
    images = values.reshape(-1, 1, 1, 1).astype("float32")
    means = np.broadcast_to(np.reshape([0.2, 0.9], (1, 2, 1, 1, 1)), (7001, 2, 1, 1, 1))
    weights = np.reshape([0.3, 0.7], (1, 2, 1, 1, 1))
    losses = mixture_negative_log_likelihood(
        images, means.astype("float32"), np.log(weights).astype("float32"), (0.1, 0.3)
    )
    likelihood = np.exp(-array(losses).astype("float64"))
    np.testing.assert_allclose(likelihood.sum() * step, 1, rtol=1e-5)
    mean = (values * likelihood).sum() * step
    np.testing.assert_allclose(mean, 0.3 * 0.2 + 0.7 * 0.9, rtol=1e-5)


def test_pixels_far_from_every_slot_have_a_finite_loss():
    images = np.ones((1, 2, 1, 3), "float32")
    log_weights = np.array([0.0, -1e4], "float32").reshape(1, 2, 1, 1, 1)
    log_weights = np.repeat(log_weights, 2, axis=2)
    loss = mixture_negative_log_likelihood(
        images, np.zeros((1, 2, 2, 1, 3), "float32"), log_weights, (0.01, 1.0)
    )
    per_channel = 0.5 * 100**2 + np.log(0.01) + 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(array(loss), [6 * per_channel], rtol=1e-5)


def test_divergence_from_the_prior_is_that_of_samples(rng):
    mean, log_variance = rng.normal(size=(2, 1, 2, 3))
    samples = mean + np.exp(log_variance / 2) * rng.normal(size=(400_000, 2, 3))
    log_ratio = (
        samples**2 - (samples - mean) ** 2 / np.exp(log_variance) - log_variance
    ) / 2
    expected = log_ratio.sum(axis=(1, 2)).mean()
    divergence = array(divergence_from_prior(mean, log_variance))
    np.testing.assert_allclose(divergence, [expected], rtol=0.02)
    zeros = np.zeros((2, 3, 4), "float32")
    np.testing.assert_array_equal(array(divergence_from_prior(zeros, zeros)), 0)


def test_divergence_of_masks(rng):
    logits = rng.normal(size=(2, 3, 5, 4, 1)).astype("float32")
    exp = np.exp(logits.astype("float64"))
    log_masks = np.log(exp / exp.sum(axis=1, keepdims=True)).astype("float32")
    same = array(mask_divergence(log_masks, logits + 7))  # A shift changes no mask.
    np.testing.assert_allclose(same, 0, atol=1e-4)
    other = rng.normal(size=logits.shape).astype("float32")
    assert (array(mask_divergence(log_masks, other)) > 1).all()
    # Sure and wrong at one pixel: the decoded share counts as 1e-5.
    sure = np.array([0.0, -1e4], "float32").reshape(1, 2, 1, 1, 1)
    wrong = array(mask_divergence(sure, sure[:, ::-1]))
    np.testing.assert_allclose(wrong, [(1 - 1e-5) * np.log(1e5)], rtol=1e-4)
