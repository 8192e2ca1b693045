"""Names of the reference release that this package itself has no use for."""

from keras import ops

from slot_attention_tf.layers.arguments import check_positive
from slot_attention_tf.models.autoencoder import SlotAttentionAutoEncoder
from slot_attention_tf.models.classifier import SlotAttentionClassifier

_MODEL_TYPES = {
    "object_discovery": SlotAttentionAutoEncoder,
    "set_prediction": SlotAttentionClassifier,
}


def build_model(
    resolution,
    batch_size,
    num_slots,
    num_iterations,
    num_channels=3,
    model_type="object_discovery",
):
    """Builds a model by the arguments of the reference release.

    Args:
        resolution: Pair `(H, W)`, the size of the images.
        batch_size: Integer of at least 1 or None. Has no effect: unlike the release's,
            the model takes batches of any size.
        num_slots: Integer of at least 1.
        num_iterations: Integer of at least 1.
        num_channels: Integer, channels of the images.
        model_type: `"object_discovery"` or `"set_prediction"`.

    Returns:
        A `SlotAttentionAutoEncoder` or a `SlotAttentionClassifier`.
    """
    if batch_size is not None:
        check_positive("batch_size", batch_size)
    if model_type not in _MODEL_TYPES:
        raise ValueError(
            f"`model_type` must be one of {', '.join(_MODEL_TYPES)}. "
            f"Received: model_type={model_type!r}"
        )
    return _MODEL_TYPES[model_type](
        resolution, num_slots, num_iterations, num_channels=num_channels
    )


def unstack_and_split(x, batch_size, num_channels=3):
    """Separates the slots of a batch, and the images of each from its mask.

    Args:
        x: Tensor `[B*K, H, W, num_channels + 1]`, decoded slots.
        batch_size: Integer or integer tensor `B`.
        num_channels: Integer, channels of the images.

    Returns:
        Tuple of images `[B, K, H, W, num_channels]` and masks `[B, K, H, W, 1]`.
    """
    x = ops.convert_to_tensor(x)
    shape = tuple(x.shape)
    if len(shape) != 4 or shape[-1] != num_channels + 1:
        raise ValueError(
            "`x` must have the shape [batch * slots, height, width, channels] with "
            f"num_channels + 1 = {num_channels + 1} channels. Received: x.shape={shape}"
        )
    x = ops.reshape(x, (batch_size, -1, *shape[1:]))  # [B, K, H, W, C+1]
    return x[..., :num_channels], x[..., num_channels:]
