"""Object discovery: the Slot Attention autoencoder (paper, Section 3.1)."""

import keras
from keras import ops

from slot_attention_tf.layers import ConvEncoder, SpatialBroadcastDecoder
from slot_attention_tf.losses.reconstruction import l2_loss
from slot_attention_tf.models.slot_model import SlotModel
from slot_attention_tf.presets import DISCOVERY_PRESETS


@keras.saving.register_keras_serializable(package="slot_attention_tf")
class SlotAttentionAutoEncoder(SlotModel):
    """Finds objects without labels: encodes an image to slots, decodes each slot.

    Every slot is decoded to an image and a mask logit per pixel; a softmax over slots
    turns logits into masks, which mix the images. `compile(optimizer=...)` and
    `fit(images)` train it on its own mean squared reconstruction error.

    Args:
        resolution: Pair `(H, W)`, the size of the images.
        num_slots: Integer `K`, at least 1; one more than the objects of an image.
        num_iterations: Integer `T`, at least 1.
        num_channels: Integer `C`, channels of the images.
        slot_size: Integer `D`, the size of a slot.
        mlp_hidden_size: Integer, hidden units of the residual MLP of the slots.
        implicit_differentiation: Boolean, see `SlotAttention`.
        encoder: Optional layer from images `[B, H, W, C]` to features `[B, N, F]`.
            Default: the paper's for this resolution, see `default_encoder`.
        decoder: Optional layer from slots `[B, K, D]` to `[B, K, H, W, C + 1]`.
            Default: the paper's for this resolution, see `default_decoder`.
        seed: Optional integer, the seed of the initial slots.
        **kwargs: Passed to `keras.Model`.

    Call arguments:
        images: Float tensor `[B, H, W, C]`, values in `[-1, 1]`, any batch size.
        num_slots: Optional integer that replaces the model's `num_slots`.
        num_iterations: Optional integer that replaces the model's `num_iterations`.
        initial_slots: Optional tensor `[B, K, D]` to start from instead of samples.
        return_attention: Boolean. If `True`, the attention `[B, T, N, K]` follows as a
            fifth output.

    Returns:
        Tuple `(recon_combined, recons, masks, slots)` of shapes `[B, H, W, C]`,
        `[B, K, H, W, C]`, `[B, K, H, W, 1]` (summing to 1 over slots), `[B, K, D]`.

    Example:

    >>> model = SlotAttentionAutoEncoder.from_preset("tetrominoes")
    >>> recon_combined, recons, masks, slots = model(np.zeros((2, 35, 35, 3)))
    >>> masks.shape
    (2, 4, 35, 35, 1)

    Reference: Locatello et al., "Object-Centric Learning with Slot Attention",
    NeurIPS 2020, Section 3.1 and Appendix E.3.
    """

    _PARTS = ("encoder", "decoder")

    def __init__(
        self,
        resolution,
        num_slots,
        num_iterations,
        num_channels=3,
        slot_size=64,
        mlp_hidden_size=128,
        implicit_differentiation=False,
        encoder=None,
        decoder=None,
        seed=None,
        **kwargs,
    ):
        super().__init__(
            resolution,
            num_slots,
            num_iterations,
            num_channels,
            slot_size,
            mlp_hidden_size,
            implicit_differentiation,
            encoder,
            seed,
            **kwargs,
        )
        self.decoder = decoder or default_decoder(
            self.resolution, num_channels, dtype=self.dtype_policy
        )
        # All sizes are known: a model has its weights from the start.
        self.build((None, *self.resolution, num_channels))

    def _default_encoder(self, **kwargs):
        return default_encoder(self.resolution, **kwargs)

    def build(self, input_shape):
        super().build(input_shape)
        slots = (None, self.num_slots, self.slot_size)
        if not self.decoder.built:
            self.decoder.build(slots)
        decoded = tuple(self.decoder.compute_output_shape(slots))[2:]
        expected = (*self.resolution, self.num_channels + 1)
        if decoded != expected:
            raise ValueError(
                "`decoder` must give [batch, slots, height, width, channels + 1] with "
                f"{expected} for the last three. Received: decoder output {decoded}"
            )

    def call(
        self,
        images,
        num_slots=None,
        num_iterations=None,
        initial_slots=None,
        return_attention=False,
    ):
        slots, attention = self._find_slots(
            images,
            num_slots=num_slots,
            num_iterations=num_iterations,
            initial_slots=initial_slots,
        )  # [B, K, D], [B, T, N, K]
        decoded = self.decoder(slots)  # [B, K, H, W, C+1]
        # Masks and images of half precision would band: mix them in float32.
        decoded = ops.cast(decoded, keras.backend.result_type(decoded.dtype, "float32"))
        recons = decoded[..., :-1]  # [B, K, H, W, C]
        masks = ops.softmax(decoded[..., -1:], axis=1)  # [B, K, H, W, 1]
        recon_combined = ops.sum(recons * masks, axis=1)  # [B, H, W, C]
        outputs = (recon_combined, recons, masks, slots)
        return (*outputs, attention) if return_attention else outputs

    def compile(self, optimizer="adam", loss=None, **kwargs):
        """As `keras.Model.compile`; the loss is fixed to the reconstruction error."""
        if loss is not None:
            raise ValueError(
                "SlotAttentionAutoEncoder trains on its reconstruction error: leave "
                f"`loss` out, or override `compute_loss`. Received: loss={loss!r}"
            )
        super().compile(optimizer=optimizer, **kwargs)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Mean squared error between images `x` and their reconstruction."""
        return l2_loss(y_pred[0], ops.cast(x, y_pred[0].dtype))

    @classmethod
    def presets(cls):
        return DISCOVERY_PRESETS


def default_encoder(resolution, **kwargs):
    """The paper's encoder: 64 channels from 128 pixels on, 32 below."""
    filters = 64 if min(resolution) >= 128 else 32
    return ConvEncoder(resolution, filters=(filters,) * 4, feature_size=64, **kwargs)


def default_decoder(resolution, num_channels=3, **kwargs):
    """The paper's decoder: strided from 128 pixels on, at full size below."""
    if min(resolution) >= 128 and resolution[0] % 16 == resolution[1] % 16 == 0:
        sizes = {
            "broadcast_resolution": (resolution[0] // 16, resolution[1] // 16),
            "filters": (64,) * 5,
            "strides": (2, 2, 2, 2, 1),
        }
    else:
        sizes = {"broadcast_resolution": resolution, "filters": (32,) * 3, "strides": 1}
    return SpatialBroadcastDecoder(
        resolution, num_channels, name="decoder", **sizes, **kwargs
    )
