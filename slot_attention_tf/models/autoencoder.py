"""Object discovery: the Slot Attention autoencoder (paper, Section 3.1)."""

import dataclasses
import math

import keras
from keras import ops

from slot_attention_tf.layers.arguments import as_tuple
from slot_attention_tf.layers.conv_encoder import ConvEncoder
from slot_attention_tf.layers.mix_slots import mix_slots
from slot_attention_tf.layers.pixel_mlp_decoder import PixelMLPDecoder
from slot_attention_tf.layers.spatial_broadcast_decoder import SpatialBroadcastDecoder
from slot_attention_tf.losses.reconstruction import l2_loss_per_example
from slot_attention_tf.models.registry import register_model
from slot_attention_tf.models.slot_model import SlotModel, SlotModelPreset
from slot_attention_tf.presets import (
    DATA,
    DISCOVERY_TRAINING,
    one_or_all,
)
from slot_attention_tf.settings import setting


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
        slot_attention: Optional layer to stand in the place of Slot Attention, called
            like it, such as a `SlotMLP`. Its sizes replace `num_slots`,
            `num_iterations` and `slot_size`, which may then be left out.
        recompute_decoder: Boolean. If `True`, the decoder works on one slot after the
            other and keeps none of its activations for the backward pass, which
            computes them again: less memory, more time.
        **kwargs: Passed to `keras.Model`.

    Call arguments:
        images: Float tensor `[B, H, W, C]`, values in `[-1, 1]`, any batch size.
        num_slots: Optional integer that replaces the model's `num_slots`.
        num_iterations: Optional integer that replaces the model's `num_iterations`.
        initial_slots: Optional tensor `[B, K, D]` to start from instead of samples.
        return_attention: Boolean. If `True`, the attention `[B, T, N, K]` follows as a
            fifth output.
        noise: Optional standard normal tensor `[B, K, D]` to draw the initial slots
            from, so that each image has its own reproducible start.

    Returns:
        Tuple `(recon_combined, recons, masks, slots)` of shapes `[B, H, W, C]`,
        `[B, K, H, W, C]`, `[B, K, H, W, 1]` (summing to 1 over slots), `[B, K, D]`.

    Example:

    >>> model = SlotAttentionAutoEncoder.from_preset("tetrominoes", load_weights=False)
    >>> recon_combined, recons, masks, slots = model(np.zeros((2, 35, 35, 3)))
    >>> tuple(masks.shape)
    (2, 4, 35, 35, 1)

    Reference: Locatello et al., "Object-Centric Learning with Slot Attention",
    NeurIPS 2020, Section 3.1 and Appendix E.3.
    """

    _PARTS = ("encoder", "slot_attention", "decoder")

    def __init__(
        self,
        resolution,
        num_slots=None,
        num_iterations=None,
        num_channels=3,
        slot_size=64,
        mlp_hidden_size=128,
        implicit_differentiation=False,
        encoder=None,
        decoder=None,
        seed=None,
        slot_attention=None,
        recompute_decoder=False,
        **kwargs,
    ):
        super().__init__(
            resolution=resolution,
            num_slots=num_slots,
            num_iterations=num_iterations,
            num_channels=num_channels,
            slot_size=slot_size,
            mlp_hidden_size=mlp_hidden_size,
            implicit_differentiation=implicit_differentiation,
            encoder=encoder,
            slot_attention=slot_attention,
            seed=seed,
            **kwargs,
        )
        self.decoder = decoder or default_decoder(
            self.resolution, num_channels, dtype=self.dtype_policy
        )
        self.recompute_decoder = recompute_decoder
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
        noise=None,
    ):
        slots, attention = self._find_slots(
            images,
            num_slots=num_slots,
            num_iterations=num_iterations,
            initial_slots=initial_slots,
            noise=noise,
            return_attention=return_attention,
        )  # [B, K, D], [B, T, N, K]
        outputs = (*self.decode(slots), slots)
        return (*outputs, attention) if return_attention else outputs

    def decode(self, slots):
        """Decodes slots `[B, K, D]` to `(recon_combined, recons, masks)`."""
        num_slots = slots.shape[1]
        if not self.recompute_decoder or num_slots is None:
            return mix_slots(self.decoder(slots))
        decode = keras.remat(self.decoder)
        decoded = [decode(each) for each in ops.split(slots, num_slots, axis=1)]
        return mix_slots(ops.concatenate(decoded, axis=1))

    def loss_per_example(self, batch, outputs=None, training=True):
        """Mean squared error between each image and its reconstruction."""
        if outputs is None:
            outputs = self(batch["image"], training=training)
        recon_combined = outputs[0]
        images = ops.cast(batch["image"], recon_combined.dtype)
        return l2_loss_per_example(recon_combined, images)

    def compute_output_shape(self, input_shape):
        batch, slots = input_shape[0], self.num_slots
        image = (*self.resolution, self.num_channels)
        return (
            (batch, *image),
            (batch, slots, *image),
            (batch, slots, *self.resolution, 1),
            (batch, slots, self.slot_size),
        )

    def get_config(self):
        return {**super().get_config(), "recompute_decoder": self.recompute_decoder}

    def named_outputs(self, images, **options):
        outputs = self(images, return_attention=self.has_attention, **options)
        return discovery_outputs(*outputs)


def discovery_outputs(recon_combined, recons, masks, slots, attention=None):
    """Names of the outputs of a model that finds objects; see `BaseModel`."""
    outputs = {
        "reconstruction": recon_combined,
        "slot_images": recons,
        "masks": masks,
        "segmentation": ops.cast(ops.argmax(masks[..., 0], axis=1), "int32"),
        "slots": slots,
    }
    return outputs if attention is None else {**outputs, "attention": attention}


def default_encoder(resolution, **kwargs):
    """The paper's encoder: 64 channels from 128 pixels on, 32 below; 64 features."""
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class AutoEncoderPreset(SlotModelPreset):
    """Settings of a run of the autoencoder."""

    pixel_decoder: bool = setting(
        "Decode each position by an MLP instead of convolutions.", False
    )
    decoder_filters: tuple[int, ...] = setting(
        "Channels of each layer of the decoder before the last.", (32, 32, 32)
    )
    decoder_kernel_size: tuple[int, ...] = setting(
        "Kernel size of each layer of the decoder, or one for all.", (5,)
    )
    decoder_strides: tuple[int, ...] = setting(
        "Stride of each layer of the decoder, or one for all.", (1,)
    )
    position_stddev: float | None = setting(
        "Standard deviation of the decoder's initial position embedding. Default: "
        "Glorot's.",
        None,
    )
    patch_size: int = setting(
        "Side of the patch that a position of the decoder decodes.", 1
    )
    recompute_decoder: bool = setting(
        "Less memory, more time: decode slot by slot, again in the backward pass.",
        False,
    )

    def make_decoder(self, dtype=None):
        if self.pixel_decoder:
            return PixelMLPDecoder(
                self.resolution,
                self.num_channels,
                hidden_sizes=self.decoder_filters,
                patch_size=self.patch_size,
                dtype=dtype,
                name="decoder",
            )
        initializer = "glorot_uniform"
        if self.position_stddev is not None:
            initializer = keras.initializers.RandomNormal(stddev=self.position_stddev)
        strides = as_tuple(
            "decoder_strides",
            one_or_all(self.decoder_strides),
            len(self.decoder_filters),
        )
        scale = self.patch_size * math.prod(strides)
        return SpatialBroadcastDecoder(
            self.resolution,
            self.num_channels,
            broadcast_resolution=tuple(side // scale for side in self.resolution),
            filters=self.decoder_filters,
            kernel_size=one_or_all(self.decoder_kernel_size),
            strides=strides,
            position_initializer=initializer,
            patch_size=self.patch_size,
            dtype=dtype,
            name="decoder",
        )

    def model_arguments(self, dtype=None):
        arguments = super().model_arguments(dtype)
        return {
            **arguments,
            "decoder": self.make_decoder(dtype),
            "recompute_decoder": self.recompute_decoder,
        }


# The laptop runs at 64x64. Small batches learn faster (docs/results.md).
_LAPTOP = """Not the paper's: an encoder with strides, a decoder of patches, five
        iterations with implicit differentiation, gradient clipping, averaged weights, a
        higher learning rate, a smaller batch and a short run."""
_LAPTOP_SHARED = {
    "num_iterations": 5,
    "implicit_differentiation": True,
    "encoder_filters": (64, 64, 64),
    "encoder_strides": (4, 1, 1),
    "batch_size": 8,
    "learning_rate": 1e-3,
    "warmup_steps": 500,
    "clip_norm": 1.0,
    "ema": 0.999,
}
# Shaded objects need convolutions; small feature maps and kernels learn faster and from
# fewer images (docs/results.md).
_LAPTOP_CLEVR = {
    **_LAPTOP_SHARED,
    "encoder_kernel_size": (7, 3, 3),
    "decoder_filters": (64, 32),
    "decoder_kernel_size": (5, 3),
    "decoder_strides": (1, 2),
    "patch_size": 2,
    "position_stddev": 1.0,
    "num_train_steps": 24_000,
    "decay_steps": 10_000,
}
# Flat sprites need no convolutions in the decoder (docs/results.md).
_LAPTOP_PATCHES = {
    **_LAPTOP_SHARED,
    "encoder_kernel_size": (7, 5, 3),
    "pixel_decoder": True,
    "patch_size": 4,
    "decoder_filters": (128, 128, 128),
}

PRESETS = {
    "tetrominoes": AutoEncoderPreset(
        description="""Tetrominoes, 35x35, three pieces (paper, Table 1).

        The paper reports 99.5 ± 0.2 % FG-ARI over four seeds; a fifth cut the image
        into stripes. Trained by this project for a part of the steps, on generated
        scenes: see `results/`.
        """,
        **DATA["tetrominoes"],
        **DISCOVERY_TRAINING,
        encoder_filters=(32, 32, 32, 32),
        feature_size=32,
    ),
    "multi_dsprites": AutoEncoderPreset(
        description="""Coloured sprites on grey, 64x64, two to five (paper, Table 1).

        The paper reports 91.3 ± 0.3 % FG-ARI. Trained by this project for a part of the
        steps, on generated scenes: see `results/`.
        """,
        **DATA["multi_dsprites"],
        **DISCOVERY_TRAINING,
        encoder_filters=(32, 32, 32, 32),
        feature_size=32,
    ),
    "clevr6": AutoEncoderPreset(
        description="""CLEVR with masks, at most six objects, 128x128 (paper, Table 1).

        The paper reports 98.8 ± 0.3 % FG-ARI at about 24 hours on 8 V100. Not trained
        by this project yet.
        """,
        **DATA["clevr6"],
        **DISCOVERY_TRAINING,
        decoder_filters=(64, 64, 64, 64, 64),
        decoder_strides=(2, 2, 2, 2, 1),
    ),
    "multi_dsprites_binarized": AutoEncoderPreset(
        description="""White sprites on black, 64x64, two or three.

        The paper reports no score of it; settings as for coloured sprites, with four
        slots. Not trained by this project yet.
        """,
        **DATA["multi_dsprites_binarized"],
        **DISCOVERY_TRAINING,
        encoder_filters=(32, 32, 32, 32),
        feature_size=32,
    ),
    "clevr6_grayscale": AutoEncoderPreset(
        description="""CLEVR6 without colours (paper, Section 4.1 and Figure 4).

        The paper reports 98.5 ± 0.3 % FG-ARI. Not trained by this project yet.
        """,
        **DATA["clevr6_grayscale"],
        **DISCOVERY_TRAINING,
        decoder_filters=(64, 64, 64, 64, 64),
        decoder_strides=(2, 2, 2, 2, 1),
    ),
    "tetrominoes_cpu": AutoEncoderPreset(
        description="""Tetrominoes on a laptop CPU.

        Not the paper's: an encoder and a decoder that work on patches of 5x5 pixels,
        five iterations with implicit differentiation, gradient clipping, averaged
        weights, a higher learning rate and a short run.
        """,
        **DATA["tetrominoes_cpu"],
        num_iterations=5,
        implicit_differentiation=True,
        encoder_filters=(64, 64, 64),
        encoder_kernel_size=(7, 3, 3),
        encoder_strides=(5, 1, 1),
        pixel_decoder=True,
        decoder_filters=(128, 128, 128),
        patch_size=5,
        batch_size=32,
        learning_rate=4e-3,
        num_train_steps=14_000,
        warmup_steps=300,
        decay_steps=4_000,
        clip_norm=1.0,
        ema=0.999,
    ),
    "multi_dsprites_cpu": AutoEncoderPreset(
        description=f"""Coloured sprites on grey, 64x64, on a laptop CPU.

        {_LAPTOP}
        The encoder appends the colours of the image to its features.
        """,
        **DATA["multi_dsprites_cpu"],
        **_LAPTOP_PATCHES,
        append_colors=True,
        num_train_steps=20_000,
        decay_steps=10_000,
    ),
    "multi_dsprites_binarized_cpu": AutoEncoderPreset(
        description=f"""White sprites on black, 64x64, on a laptop CPU.

        {_LAPTOP}
        """,
        **DATA["multi_dsprites_binarized_cpu"],
        **_LAPTOP_PATCHES,
        num_train_steps=5_000,
        decay_steps=4_000,
        # Some starts find no sprites; the loss after 500 steps tells them from the
        # others (docs/guides/failures.md).
        num_starts=3,
    ),
    "clevr6_cpu": AutoEncoderPreset(
        description=f"""Generated CLEVR6 scenes, 64x64, on a laptop CPU.

        {_LAPTOP}
        """,
        **DATA["clevr6_cpu"],
        **_LAPTOP_CLEVR,
    ),
    "clevr6_grayscale_cpu": AutoEncoderPreset(
        description=f"""Generated CLEVR6 scenes without colours, on a laptop CPU.

        {_LAPTOP}
        """,
        **DATA["clevr6_grayscale_cpu"],
        **_LAPTOP_CLEVR,
    ),
}

register_model("slot_attention", "discovery", SlotAttentionAutoEncoder, PRESETS)
