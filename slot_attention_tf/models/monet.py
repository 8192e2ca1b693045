"""MONet, which the paper compares Slot Attention with (Section 4.1)."""

import dataclasses
import typing

import keras
from keras import ops

from slot_attention_tf.layers.arguments import as_pair, check_positive
from slot_attention_tf.layers.component_vae import ComponentVAE
from slot_attention_tf.layers.unet import UNet
from slot_attention_tf.losses.variational import (
    divergence_from_prior,
    mask_divergence,
    mixture_negative_log_likelihood,
)
from slot_attention_tf.models.autoencoder import discovery_outputs
from slot_attention_tf.models.base import BaseModel
from slot_attention_tf.models.registry import register_model
from slot_attention_tf.presets import DATA, Preset
from slot_attention_tf.settings import setting, with_default

# The networks see log masks no lower than this: half precision could not hold them, and
# single precision rounds such a mask to zero.
LOWEST_LOG_MASK = -100.0


class Decomposition(typing.NamedTuple):
    """What MONet makes of a batch of images, in single precision at least."""

    log_masks: typing.Any  # [B, K, H, W, 1], of the attention.
    recons: typing.Any  # [B, K, H, W, C], values in [0, 1].
    mask_logits: typing.Any  # [B, K, H, W, 1], decoded.
    slots: typing.Any  # [B, K, L], the sampled latent variables.
    mean: typing.Any  # [B, K, L], of their posterior.
    log_variance: typing.Any  # [B, K, L], of their posterior.


@keras.saving.register_keras_serializable(package="slot_attention_tf")
class MONet(BaseModel):
    """Finds objects one after the other: masks by a U-Net, contents by a small VAE.

    The U-Net sees the image and the log scope, the share of each pixel that no slot has
    taken yet, and gives the next slot a part of it. The last slot takes what is left,
    so that masks sum to 1. The VAE, the same for all slots, encodes the image with a
    slot's log mask and decodes both. `compile(optimizer=...)` and `fit(images)` train
    on

    `-log sum_k m_k N(x; x_k, sigma_k) + beta KL(q(z) || N(0, I)) + gamma KL(m || d)`

    with decoded masks `d`, summed over pixels and channels, slots and latents, and
    pixels. `masks` are the attention masks `m`, which are also those that are scored.

    There is no official code. Where ports disagree, this one has: the small U-Net with
    instance normalization and nearest resizing of Locatello's and Engelcke's ports; log
    masks as the input of the VAE (one port: masks); a posterior of mean and log
    variance; sigmoid colours with sigmas for images in `[0, 1]` (one port: linear
    colours in `[-1, 1]`); one mixture for each channel of a pixel (one port: a bound on
    it); mask values of at least 1e-5 in the last term; Keras's initial weights (two
    ports: a small normal distribution). Images whose sides do not halve evenly are
    padded inside the U-Net (Locatello's port crops Tetrominoes to 32x32).

    Args:
        resolution: Pair `(H, W)`, the size of the images.
        num_slots: Integer `K`, at least 1; one more than the objects of an image.
        num_channels: Integer `C`, channels of the images.
        latent_size: Integer `L`, the size of a slot: latent variables of the VAE.
        attention_filters: Integers, channels of the U-Net's blocks, see `UNet`.
            Default: four, five or six blocks of 32 and 64, by the smaller side of the
            images.
        encoder_filters: Integers, channels of the convolutions of the VAE's encoder.
        decoder_filters: Integers, channels of the convolutions of the VAE's decoder.
        background_sigma: Positive float, the standard deviation of the pixels of the
            first slot, for images in `[0, 1]`.
        foreground_sigma: Positive float, that of the other slots. Small values split an
            image into colours, large ones leave it in one piece.
        beta: Float of at least 0, the weight of the divergence of the latents.
        gamma: Float of at least 0, the weight of the divergence of the masks.
        seed: Optional integer, the seed of the latent samples.
        **kwargs: Passed to `keras.Model`.

    Call arguments:
        images: Float tensor `[B, H, W, C]`, values in `[-1, 1]`, any batch size.
        num_slots: Optional integer that replaces the model's `num_slots`.
        noise: Optional standard normal tensor `[B, K, L]` to sample the latents with.
            Zeros give their mean. The masks do not depend on it.

    Returns:
        Tuple `(recon_combined, recons, masks, slots)` of shapes `[B, H, W, C]`,
        `[B, K, H, W, C]`, `[B, K, H, W, 1]` (summing to 1 over slots), `[B, K, L]`.

    Example:

    >>> model = MONet.from_preset("tetrominoes", load_weights=False)
    >>> recon_combined, recons, masks, slots = model(np.zeros((2, 35, 35, 3)))
    >>> tuple(masks.shape)
    (2, 4, 35, 35, 1)

    Reference: Burgess et al., "MONet: Unsupervised Scene Decomposition and
    Representation", 2019; Locatello et al. 2020, Section 4.1.
    """

    def __init__(
        self,
        resolution,
        num_slots,
        num_channels=3,
        latent_size=16,
        attention_filters=None,
        encoder_filters=(32, 32, 64, 64),
        decoder_filters=(32, 32, 32, 32),
        background_sigma=0.09,
        foreground_sigma=0.11,
        beta=0.5,
        gamma=0.5,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive("num_slots", num_slots)
        check_positive("num_channels", num_channels)
        _check_weights(background_sigma, foreground_sigma, beta, gamma)
        self.resolution = as_pair("resolution", resolution)
        self.num_slots = num_slots
        self.num_channels = num_channels
        self.latent_size = latent_size
        self.background_sigma = background_sigma
        self.foreground_sigma = foreground_sigma
        self.beta = beta
        self.gamma = gamma
        self.seed = seed
        self.attention = UNet(
            attention_filters or default_attention_filters(self.resolution),
            dtype=self.dtype_policy,
            name="attention",
        )
        self.component_vae = ComponentVAE(
            self.resolution,
            output_channels=num_channels + 1,
            latent_size=latent_size,
            encoder_filters=encoder_filters,
            decoder_filters=decoder_filters,
            seed=seed,
            dtype=self.dtype_policy,
            name="component_vae",
        )
        # All sizes are known: a model has its weights from the start.
        self.build((None, *self.resolution, num_channels))

    def build(self, input_shape):
        images_and_mask = (None, *self.resolution, self.num_channels + 1)
        for part in (self.attention, self.component_vae):
            if not part.built:
                part.build(images_and_mask)

    def call(self, images, num_slots=None, noise=None):
        parts = self.decompose(images, num_slots, noise)
        masks = ops.exp(parts.log_masks)  # [B, K, H, W, 1]
        recons = 2.0 * parts.recons - 1.0  # [B, K, H, W, C]
        return ops.sum(masks * recons, axis=1), recons, masks, parts.slots

    def decompose(self, images, num_slots=None, noise=None):
        """All that the outputs and the loss are made of, a `Decomposition`.

        The arguments are those of a call.
        """
        num_slots = self.num_slots if num_slots is None else num_slots
        self._check_images(images)
        self._check_slots(num_slots, noise)
        images = self._in_unit_range(images)
        log_masks = self._attend(images, num_slots)  # [B, K, H, W, 1]

        copies = ops.repeat(images[:, None], num_slots, axis=1)  # [B, K, H, W, C]
        visible = ops.maximum(log_masks, LOWEST_LOG_MASK)
        inputs = ops.concatenate([copies, visible], axis=-1)  # [B, K, H, W, C+1]
        if noise is not None:
            noise = ops.reshape(noise, (-1, self.latent_size))  # [B*K, L]
        outputs = self.component_vae(
            ops.reshape(inputs, (-1, *inputs.shape[2:])), noise=noise
        )
        decoded, slots, mean, log_variance = (
            ops.reshape(output, (-1, num_slots, *output.shape[1:]))
            for output in outputs
        )  # [B, K, H, W, C+1], [B, K, L], [B, K, L], [B, K, L]
        colors, mask_logits = ops.split(
            ops.cast(decoded, images.dtype), [self.num_channels], axis=-1
        )
        recons = ops.sigmoid(colors)
        return Decomposition(log_masks, recons, mask_logits, slots, mean, log_variance)

    def _attend(self, images, num_slots):
        """Log masks `[B, K, H, W, 1]`."""
        log_scope = ops.zeros_like(images[..., :1])  # [B, H, W, 1]
        log_masks = []
        for _ in range(num_slots - 1):
            visible = ops.maximum(log_scope, LOWEST_LOG_MASK)
            logits = self.attention(ops.concatenate([images, visible], axis=-1))
            logits = ops.cast(logits, images.dtype)
            log_masks.append(log_scope + ops.log_sigmoid(logits))
            log_scope = log_scope + ops.log_sigmoid(-logits)
        return ops.stack([*log_masks, log_scope], axis=1)

    def _in_unit_range(self, images):
        """Images in `[0, 1]`; log masks need single precision."""
        images = ops.convert_to_tensor(images)
        dtype = keras.backend.result_type(images.dtype, "float32")
        return (ops.cast(images, dtype) + 1.0) / 2.0

    def _check_slots(self, num_slots, noise):
        check_positive("num_slots", num_slots)
        expected = (num_slots, self.latent_size)
        if noise is not None and tuple(noise.shape[1:]) != expected:
            raise ValueError(
                f"`noise` must have the shape [batch, {num_slots}, "
                f"{self.latent_size}], one row for each slot; see `noise_shape`. "
                f"Received: noise.shape={tuple(noise.shape)}"
            )

    def noise_shape(self, num_slots=None, num_iterations=None):
        return (num_slots or self.num_slots, self.latent_size)

    def loss_per_example(self, batch, outputs=None, training=True):
        """Weighted sum of `loss_terms`. The outputs of a call do not hold all of it."""
        terms = self.loss_terms(batch["image"])
        return (
            terms["reconstruction"]
            + self.beta * terms["latents"]
            + self.gamma * terms["masks"]
        )

    def loss_terms(self, images, num_slots=None, noise=None):
        """The three terms of the loss, before they are weighted.

        The arguments are those of a call.

        Returns:
            Dictionary of tensors `[B]`: `reconstruction`, the negative log likelihood
            of an image in `[0, 1]`; `latents`, the divergence of the posterior of all
            slots from the prior; `masks`, that of the attention masks from the decoded
            ones.
        """
        parts = self.decompose(images, num_slots, noise)
        foreground = (self.foreground_sigma,) * (parts.recons.shape[1] - 1)
        return {
            "reconstruction": mixture_negative_log_likelihood(
                self._in_unit_range(images),
                parts.recons,
                parts.log_masks,
                (self.background_sigma, *foreground),
            ),
            "latents": divergence_from_prior(parts.mean, parts.log_variance),
            "masks": mask_divergence(parts.log_masks, parts.mask_logits),
        }

    def named_outputs(self, images, **options):
        return discovery_outputs(*self(images, **options))

    def get_config(self):
        config = {
            "resolution": self.resolution,
            "num_slots": self.num_slots,
            "num_channels": self.num_channels,
            "latent_size": self.latent_size,
            "attention_filters": self.attention.filters,
            "encoder_filters": self.component_vae.encoder_filters,
            "decoder_filters": self.component_vae.decoder_filters,
            "background_sigma": self.background_sigma,
            "foreground_sigma": self.foreground_sigma,
            "beta": self.beta,
            "gamma": self.gamma,
            "seed": self.seed,
        }
        return {**super().get_config(), **config}


def default_attention_filters(resolution):
    """Channels of Locatello's port for the next smaller of 32, 64 and 128 pixels."""
    if min(resolution) >= 128:
        return (32, 32, 32, 64, 64, 64)
    return (32, 32, 64, 64, 64) if min(resolution) >= 64 else (32, 64, 64, 64)


def _check_weights(background_sigma, foreground_sigma, beta, gamma):
    for name, value, valid, allowed in (
        ("background_sigma", background_sigma, background_sigma > 0, "positive"),
        ("foreground_sigma", foreground_sigma, foreground_sigma > 0, "positive"),
        ("beta", beta, beta >= 0, "at least 0"),
        ("gamma", gamma, gamma >= 0, "at least 0"),
    ):
        if not valid:
            raise ValueError(f"`{name}` must be {allowed}. Received: {name}={value}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class MONetPreset(Preset):
    """Settings of a MONet run. Defaults: what most ports share."""

    latent_size: int = setting("Latent variables of a slot.", 16)
    attention_filters: tuple[int, ...] = setting(
        "Channels of each block of the attention network.", (32, 32, 64, 64, 64)
    )
    encoder_filters: tuple[int, ...] = setting(
        "Channels of each convolution of the encoder.", (32, 32, 64, 64)
    )
    decoder_filters: tuple[int, ...] = setting(
        "Channels of each layer of the decoder before the last.", (32, 32, 32, 32)
    )
    background_sigma: float = setting("Standard deviation of the first slot.", 0.09)
    foreground_sigma: float = setting("Standard deviation of the other slots.", 0.11)
    beta: float = setting("Weight of the divergence of the latents.", 0.5)
    gamma: float = setting("Weight of the divergence of the masks.", 0.5)
    batch_size: int = with_default(Preset, "batch_size", 64)
    num_train_steps: int = with_default(Preset, "num_train_steps", 1_000_000)
    learning_rate: float = with_default(Preset, "learning_rate", 1e-4)
    warmup_steps: int = with_default(Preset, "warmup_steps", 0)
    decay_rate: float = with_default(Preset, "decay_rate", 1.0)
    decay_steps: int = with_default(Preset, "decay_steps", 100_000)

    def model_arguments(self, dtype=None):
        names = ("resolution", "num_slots", "num_channels", "latent_size")
        names += ("attention_filters", "encoder_filters", "decoder_filters")
        names += ("background_sigma", "foreground_sigma", "beta", "gamma")
        return {name: getattr(self, name) for name in names}

    def make_optimizer(self, schedule):
        # PyTorch's RMSprop, which the ports use, adds 1e-8 after the square root; Keras
        # adds epsilon before.
        return keras.optimizers.RMSprop(schedule, rho=0.99, epsilon=1e-16)


_LAPTOP_TRAINING = {
    "latent_size": 8,
    "decoder_filters": (16, 16, 16, 16),
    "background_sigma": 0.08,
    "foreground_sigma": 0.08,
    "gamma": 0.02,
    "batch_size": 32,
    "num_train_steps": 2_000,
    "learning_rate": 1e-3,
    "warmup_steps": 300,
    "decay_rate": 0.5,
    "decay_steps": 1_000,
    "clip_norm": 1_000.0,
}

PRESETS = {
    "tetrominoes": MONetPreset(
        description="""Tetrominoes, 35x35, three pieces.

        Nobody has published a score of MONet on this dataset. The sigmas are those of
        Locatello's port, which crops the images to 32x32. Not trained by this project
        yet.
        """,
        **DATA["tetrominoes"],
        attention_filters=(32, 64, 64, 64),
        background_sigma=0.30,
        foreground_sigma=0.36,
    ),
    "multi_dsprites": MONetPreset(
        description="""Coloured sprites on grey, 64x64, two to five (paper, Table 1).

        The paper reports 90.4 ± 0.8 % FG-ARI, from runs by the authors of IODINE whose
        settings are not known. Sigmas are those of MONet's paper; Locatello's port has
        0.06 and 0.10. Not trained by this project yet.
        """,
        **DATA["multi_dsprites"],
    ),
    "clevr6": MONetPreset(
        description="""CLEVR with masks, at most six objects, 128x128 (paper, Table 1).

        The paper reports 96.2 ± 0.6 % FG-ARI, from runs by the authors of IODINE whose
        settings are not known. Sigmas are those of MONet's paper. Not trained by this
        project yet.
        """,
        **DATA["clevr6"],
        attention_filters=(32, 32, 32, 64, 64, 64),
    ),
    "tetrominoes_cpu": MONetPreset(
        description="""Tetrominoes on a laptop CPU.

        Not a published configuration: half the channels and latent variables, small
        sigmas and a small weight of the masks' divergence (with 0.30, 0.36 and 0.5 the
        masks stay uniform for over 1,000 steps), a higher learning rate with warm-up,
        clipping and decay, and a short run.
        """,
        **DATA["tetrominoes_cpu"],
        **_LAPTOP_TRAINING,
        attention_filters=(16, 32, 32, 32),
    ),
    "multi_dsprites_cpu": MONetPreset(
        description="""Coloured sprites on grey, 64x64, on a laptop CPU.

        Settings of `tetrominoes_cpu`, with one block more in the attention network. Not
        tuned, and not trained by this project yet.
        """,
        **DATA["multi_dsprites_cpu"],
        **_LAPTOP_TRAINING,
        attention_filters=(16, 16, 32, 32, 32),
    ),
    "clevr6_cpu": MONetPreset(
        description="""Generated CLEVR6 scenes, 64x64, on a laptop CPU.

        Settings of `tetrominoes_cpu`, with one block more in the attention network. Not
        tuned, and not trained by this project yet.
        """,
        **DATA["clevr6_cpu"],
        **_LAPTOP_TRAINING,
        attention_filters=(16, 16, 32, 32, 32),
    ),
}

register_model("monet", "discovery", MONet, PRESETS)
