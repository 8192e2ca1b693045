"""The evidence lower bound (ELBO) of IODINE, and what its refinement sees of it."""

import math

from keras import ops

from slot_attention_tf.layers.gradients import gradients
from slot_attention_tf.losses import logistic_mixture


def negative_elbo(
    decoder, images, posterior, noise, pixel_scale, dmeans=0.0, dmask_logits=0.0
):
    """Decodes a sample of the posterior and scores it.

    Args:
        decoder: From samples `[B, K, D]` to the tuple `(means, mask_logits)`.
        images: Float tensor `[B, H, W, C]`, values in `[0, 1]`.
        posterior: Float tensor `[B, K, 2 D]`.
        noise: Standard normal tensor `[B, K, D]`.
        pixel_scale: Positive float, the scale of the logistic distributions.
        dmeans, dmask_logits: Added to what the decoder gives.

    Returns:
        Tuple `(loss, decoding, mixture)`: loss `[B]`; decoding `(means, mask_logits,
        z)` of shapes `[B, K, H, W, C]`, `[B, K, H, W, 1]` and `[B, K, D]`; mixture
        `(log_weights, log_probs)`, see `mixture_log_probs`.
    """
    mean, variance = split_posterior(posterior)
    z = mean + ops.sqrt(variance) * noise  # [B, K, D]
    means, mask_logits = decoder(z)
    means, mask_logits = means + dmeans, mask_logits + dmask_logits
    mixture = logistic_mixture.mixture_log_probs(
        images, means, mask_logits, pixel_scale
    )
    log_likelihood = ops.sum(logistic_mixture.mix(*mixture), axis=(1, 2, 3, 4))
    loss = ops.sum(kl_to_prior(mean, variance), axis=1) - log_likelihood
    return loss, (means, mask_logits, z), mixture


def look(decoder, images, posterior, noise, pixel_scale):
    """The loss of a posterior, and all that the refinement network sees of it.

    Gradients, the log likelihood and the counterfactual are constants to training.

    Args:
        decoder, images, posterior, noise, pixel_scale: As for `negative_elbo`.

    Returns:
        Tuple `(loss, spatial, flat)`: loss `[B]`; dictionaries of tensors `[B, K, H, W,
        c]` or `[B, 1, H, W, c]`, and `[B, K, 2 D]`.
    """
    *resolution, num_channels = images.shape[1:]
    num_pixels = math.prod(resolution)

    def loss_per_pixel(posterior, dmeans, dmask_logits):
        # The sum over pixels could overflow in the decoder's half precision.
        loss, *others = negative_elbo(
            decoder, images, posterior, noise, pixel_scale, dmeans, dmask_logits
        )
        return loss / num_pixels, (loss, *others)

    # Gradients of means and mask logits are those of something added to them.
    offsets = [
        ops.zeros((*ops.shape(noise)[:2], *resolution, channels), dtype=noise.dtype)
        for channels in (num_channels, 1)
    ]
    (_, (loss, decoding, mixture)), grads = gradients(
        loss_per_pixel, [posterior, *offsets], has_aux=True
    )
    dposterior, dmeans, dmask_logits = (grad * num_pixels for grad in grads)
    means, mask_logits, _ = decoding
    spatial = {
        "image": ops.expand_dims(images, 1),
        "components": means,
        "mask": mask_logits,
        "dcomponents": dmeans,
        "dmask": dmask_logits,
        **_mixture_maps(*mixture),
    }
    return loss, spatial, {"lambda": posterior, "dlambda": dposterior}


def _mixture_maps(log_weights, log_probs):
    probs = ops.exp(log_probs)
    constant = ops.stop_gradient(log_weights), ops.stop_gradient(log_probs)
    log_prob = logistic_mixture.mix(*constant)
    return {
        "pred_mask": ops.exp(log_weights),
        # Of the slots as if they had equal weights.
        "posterior": probs / (ops.sum(probs, axis=1, keepdims=True) + 1e-6),
        "log_prob": log_prob,
        "counterfactual": log_prob - logistic_mixture.mix_without_each(*constant),
    }


def split_posterior(posterior):
    """Mean and variance `[..., D]` of a posterior's parameters `[..., 2 D]`."""
    mean, raw = ops.split(posterior, 2, axis=-1)
    return mean, ops.softplus(raw)


def kl_to_prior(mean, variance):
    """KL divergence of Gaussians from the prior, summed over the last axis.

    The prior has the mean 0 and the variance `ln 2`: what parameters of zero give.
    """
    ratio = variance / math.log(2)
    terms = ratio + mean**2 / math.log(2) - 1 - ops.log(ratio)
    return 0.5 * ops.sum(terms, axis=-1)
