"""The likelihood of pixels under a mixture of slots, against SciPy and loops."""

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import logistic

from slot_attention_tf.losses import logistic_mixture

SCALE = 0.03


@pytest.fixture
def case(rng):
    """Images, means and mask logits of 3 slots; some pixels lie far from all means."""
    images = rng.uniform(size=(2, 4, 5, 3)).astype("float32")
    means = images[:, None] + rng.normal(size=(2, 3, 4, 5, 3), scale=0.1)
    means[:, :, 0] += 5
    logits = rng.normal(size=(2, 3, 4, 5, 1), scale=2)
    return images, means.astype("float32"), logits.astype("float32")


def densities(images, means):
    """`[B, K, H, W]` in float64: the product over channels, in logarithms."""
    x = images[:, None].astype("float64")
    return logistic.logpdf(x, loc=means.astype("float64"), scale=SCALE).sum(-1)


def log_mixture(weights, log_probs):
    """`[B, H, W]` without a shortcut; the largest term taken out against underflow."""
    largest = log_probs.max(axis=1, keepdims=True)
    total = np.sum(weights * np.exp(log_probs - largest), axis=1)
    return np.log(total) + largest[:, 0]


def test_log_prob_of_a_pixel(case):
    log_weights, log_probs = logistic_mixture.mixture_log_probs(*case, SCALE)
    weights = softmax(case[2][..., 0].astype("float64"), axis=1)
    expected = densities(*case[:2])
    np.testing.assert_allclose(np.exp(log_weights)[..., 0], weights, rtol=1e-5)
    np.testing.assert_allclose(log_probs[..., 0], expected, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(
        logistic_mixture.mix(log_weights, log_probs)[:, 0, ..., 0],
        log_mixture(weights, expected),
        rtol=1e-5,
        atol=1e-4,
    )


def test_one_mixture_for_all_channels():
    """Two slots that are each right in one channel explain no pixel well."""
    images = np.zeros((1, 1, 1, 2), "float32")
    means = np.array([[0, 1], [1, 0]], "float32").reshape(1, 2, 1, 1, 2)
    parts = logistic_mixture.mixture_log_probs(
        images, means, np.zeros((1, 2, 1, 1, 1), "float32"), SCALE
    )
    right, wrong = logistic.logpdf([0, 1], scale=SCALE)
    np.testing.assert_allclose(
        logistic_mixture.mix(*parts), np.full((1, 1, 1, 1, 1), right + wrong), rtol=1e-5
    )


def test_without_each_slot(case):
    parts = logistic_mixture.mixture_log_probs(*case, SCALE)
    without = logistic_mixture.mix_without_each(*parts)
    for k in range(3):
        others = [j for j in range(3) if j != k]
        weights = softmax(case[2][..., 0].astype("float64")[:, others], axis=1)
        expected = log_mixture(weights, densities(*case[:2])[:, others])
        np.testing.assert_allclose(
            without[:, k, ..., 0], expected, rtol=1e-5, atol=1e-4
        )
