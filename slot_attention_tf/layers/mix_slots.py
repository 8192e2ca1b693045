"""Combines decoded slots into one image (paper, Section 3.1)."""

import keras
from keras import ops

from slot_attention_tf.layers.arguments import check_shape
from slot_attention_tf.layers.softmax import softmax_over_slots


def mix_slots(decoded):
    """Sums the images of all slots, weighted by a softmax of mask logits over slots.

    Computed in float32 (or float64): masks of half precision would show as bands.

    Args:
        decoded: Float tensor `[B, K, H, W, C + 1]`, the output of a decoder: the image
            of every slot, then its mask logit.

    Returns:
        Tuple `(recon_combined, recons, masks)` of shapes `[B, H, W, C]`,
        `[B, K, H, W, C]` and `[B, K, H, W, 1]`, float32 (float64 for float64). Masks
        sum to 1 over slots.

    Raises:
        ValueError: If `decoded` has another rank.

    Example:

    >>> decoded = np.random.normal(size=(2, 4, 35, 35, 3 + 1)).astype("float32")
    >>> recon_combined, recons, masks = mix_slots(decoded)
    >>> recon_combined.shape
    TensorShape([2, 35, 35, 3])
    """
    expected = ("batch", "slots", "height", "width", "channels + 1")
    check_shape("decoded", decoded.shape, expected)
    decoded = ops.cast(decoded, keras.backend.result_type(decoded.dtype, "float32"))
    # Whole planes of channels: on a CPU, this and its gradient take a third of the time
    # of slices of the last axis and `ops.softmax`.
    planes = ops.moveaxis(decoded, -1, 2)  # [B, K, C+1, H, W]
    recons, logits = ops.split(planes, [decoded.shape[-1] - 1], axis=2)
    masks = softmax_over_slots(logits)  # [B, K, 1, H, W]
    recon_combined = ops.sum(recons * masks, axis=1)  # [B, C, H, W]
    return (
        ops.moveaxis(recon_combined, 1, -1),  # [B, H, W, C]
        ops.moveaxis(recons, 2, -1),  # [B, K, H, W, C]
        ops.moveaxis(masks, 2, -1),  # [B, K, H, W, 1]
    )
