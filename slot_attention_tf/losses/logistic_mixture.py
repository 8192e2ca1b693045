"""A mixture of logistic distributions for every pixel, one component for each slot."""

from keras import ops

_NOTHING = -1e30  # The logarithm of no probability; minus infinity gives NaN.


def logistic_log_prob(x, mean, scale):
    """Log density of a logistic distribution.

    Args:
        x: Float tensor.
        mean: Float tensor that broadcasts with `x`.
        scale: Positive float; the standard deviation is `pi / sqrt(3)` times it.

    Returns:
        Float tensor.
    """
    distance = (x - mean) / scale
    return -distance - 2 * ops.softplus(-distance) - ops.log(scale)


def mixture_log_probs(images, means, mask_logits, scale):
    """The parts of the mixture of slots at every pixel.

    All channels of a pixel belong to the same slot: their log densities are summed
    before slots are mixed.

    Args:
        images: Float tensor `[B, H, W, C]`.
        means: Float tensor `[B, K, H, W, C]`, the image of each slot.
        mask_logits: Float tensor `[B, K, H, W, 1]`; a softmax over slots gives the
            weights of the mixture.
        scale: Positive float, the scale of the logistic distributions.

    Returns:
        Tuple `(log_weights, log_probs)` of two tensors `[B, K, H, W, 1]`: log mixture
        weights, and the log density of the pixel under each slot alone.
    """
    log_weights = mask_logits - ops.logsumexp(mask_logits, axis=1, keepdims=True)
    log_probs = logistic_log_prob(ops.expand_dims(images, 1), means, scale)
    return log_weights, ops.sum(log_probs, axis=-1, keepdims=True)


def mix(log_weights, log_probs):
    """Log density of every pixel under the mixture: `[B, 1, H, W, 1]`."""
    return ops.logsumexp(log_weights + log_probs, axis=1, keepdims=True)


def mix_without_each(log_weights, log_probs):
    """The same under the mixture without one slot, for each slot in turn.

    The weights of the other slots are scaled to sum to 1.

    Args:
        log_weights: Float tensor `[B, K, H, W, 1]`, `K` at least 2.
        log_probs: Float tensor `[B, K, H, W, 1]`.

    Returns:
        Float tensor `[B, K, H, W, 1]`.
    """
    num_slots = log_weights.shape[1]
    removed = ops.reshape(
        ops.eye(num_slots, dtype="bool"), (1, num_slots, num_slots, 1, 1, 1)
    )

    def mix_others(x):
        return ops.logsumexp(ops.where(removed, _NOTHING, x[:, None]), axis=2)

    return mix_others(log_weights + log_probs) - mix_others(log_weights)
