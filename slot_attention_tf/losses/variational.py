"""Terms of the losses of variational models of slots."""

import math

from keras import ops

# Mask values below this do not count in the divergence between masks.
SMALLEST_MASK = 1e-5


def mixture_negative_log_likelihood(images, means, log_weights, sigmas):
    """Negative log likelihood of images, each pixel drawn from a mixture of slots.

    `-log sum_k weight_k N(image; mean_k, sigma_k)`, summed over pixels and channels;
    the weights of a pixel are those of each of its channels.

    Args:
        images: Float tensor `[B, H, W, C]`.
        means: Float tensor `[B, K, H, W, C]`.
        log_weights: Float tensor `[B, K, H, W, 1]`.
        sigmas: `K` positive floats, the standard deviation of each slot.

    Returns:
        Float tensor `[B]`.
    """
    sigmas = ops.convert_to_tensor(sigmas, dtype=means.dtype)
    sigmas = ops.reshape(sigmas, (-1, 1, 1, 1))  # [K, 1, 1, 1]
    errors = (ops.expand_dims(images, 1) - means) / sigmas  # [B, K, H, W, C]
    log_normal = -0.5 * (ops.square(errors) + math.log(2 * math.pi)) - ops.log(sigmas)
    log_likelihood = ops.logsumexp(log_weights + log_normal, axis=1)  # [B, H, W, C]
    return -ops.sum(log_likelihood, axis=(1, 2, 3))


def divergence_from_prior(mean, log_variance):
    """KL divergence of `N(mean, exp(log_variance))` from `N(0, I)`, summed over slots.

    Args:
        mean: Float tensor `[B, K, L]`.
        log_variance: Float tensor `[B, K, L]`.

    Returns:
        Float tensor `[B]`.
    """
    divergence = ops.square(mean) + ops.exp(log_variance) - 1.0 - log_variance
    return 0.5 * ops.sum(divergence, axis=(1, 2))


def mask_divergence(log_masks, mask_logits):
    """KL divergence of masks from the softmax of mask logits, summed over pixels.

    Both count as at least 1e-5 everywhere, so that no pixel has an infinite share.

    Args:
        log_masks: Float tensor `[B, K, H, W, 1]`.
        mask_logits: Float tensor `[B, K, H, W, 1]`.

    Returns:
        Float tensor `[B]`.
    """
    masks = ops.maximum(ops.exp(log_masks), SMALLEST_MASK)
    others = ops.maximum(ops.softmax(mask_logits, axis=1), SMALLEST_MASK)
    divergence = masks * (ops.log(masks) - ops.log(others))
    return ops.sum(divergence, axis=(1, 2, 3, 4))
