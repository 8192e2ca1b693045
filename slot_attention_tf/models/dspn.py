"""Set prediction by gradient descent on the set: DSPN and iDSPN."""

import dataclasses
import math
import warnings
from numbers import Integral, Real

import keras
import numpy as np
from keras import ops

from slot_attention_tf.clevr_properties import NUM_FEATURES
from slot_attention_tf.layers.arguments import as_pair, check_positive
from slot_attention_tf.layers.conv_encoder import ConvEncoder
from slot_attention_tf.layers.dense import Dense
from slot_attention_tf.layers.fspool import SetEncoder
from slot_attention_tf.losses.hungarian import pad_targets
from slot_attention_tf.models.base import BaseModel
from slot_attention_tf.models.classifier import set_loss_per_example, set_outputs
from slot_attention_tf.models.registry import register_model
from slot_attention_tf.models.set_descent import (
    descend_implicit,
    descend_unrolled,
    describe_problem,
)
from slot_attention_tf.models.slot_model import EncoderPreset
from slot_attention_tf.presets import DATA, Preset
from slot_attention_tf.settings import setting, with_default

_INNER_LEARNING_RATE = {"unrolled": 25.0, "implicit": 1.0}
_START_NOISE = 0.1  # Standard deviation of iDSPN's start set.
_SET_ENCODER_WEIGHT = 0.1  # Of the set encoder's loss, per element of the set.


@keras.saving.register_keras_serializable(package="slot_attention_tf")
class DSPN(BaseModel):
    """Predicts a set by gradient descent on the set itself.

    An encoder turns the image into a vector. From a start set, each inner step moves
    the elements by gradient descent, so that a set encoder maps the set closer to the
    vector. Permuting the start set permutes the predictions and changes nothing else.

    Vector: the encoder's features are flattened, and a dense layer reduces them to
    `latent_size` numbers. Flattening keeps where things are, as the last convolution of
    the original does. The default encoder is that of `SlotAttentionClassifier`, so that
    a comparison is about what follows it; only its last stride is 4, which leaves 8x8
    positions of an image of 128x128. The originals have a ResNet-34 and a ResNet-18.

    Set: inside as outside, an element is `num_properties` numbers, whose targets are in
    `[0, 1]`. The last one says whether the object exists. Predictions are clipped to
    `[0, 1]`; the loss sees them before, because clipped numbers have no gradient.

    `differentiation="unrolled"` is DSPN. Gradients flow through all inner steps, which
    takes second derivatives. The start set is learned, and existence is clipped to `[0,
    1]` after every step. The set encoder reads pairs of elements and also learns from
    true sets: the Huber loss between their encoding and the vector is added, with the
    weight 0.1 of the paper, times `N` since our matched loss is a sum over elements.

    `differentiation="implicit"` is iDSPN. The gradient of the last inner step stands in
    for an implicit gradient, so that the memory of a training step does not grow with
    the number of inner steps. The start set is `0.1 * noise`; steps have Nesterov
    momentum and clipped gradients. The set encoder reads single elements and learns
    from the matched loss only.

    Inner gradients are computed for each image alone and in float32, so that
    predictions do not depend on the batch. Differs from DSPN's code, which averages
    them over the batch: its inner learning rate of 800 for 32 images is 25 here.

    Args:
        resolution: Pair `(H, W)`, the size of the images.
        num_slots: Integer `N`, the size of the set: not less than the objects of an
            image.
        num_iterations: Integer `T`, inner steps, at least 0.
        num_channels: Integer `C`, channels of the images.
        differentiation: String, `"unrolled"` or `"implicit"`.
        inner_learning_rate: Positive float, the learning rate of the inner steps.
            Default: 25 if unrolled, 1 if implicit. After a change, `check_training`
            warns if sets explode or do not move.
        latent_size: Integer `L`, the size of the vector.
        set_encoder_size: Integer, hidden units of the set encoder.
        num_properties: Integer `P`, numbers predicted for an object.
            Default: those of `clevr_properties`.
        encoder: Optional layer from images `[B, H, W, C]` to features of any shape
            `[B, ...]`. Default: see above.
        seed: Optional integer, the seed of random start sets.
        **kwargs: Passed to `keras.Model`.

    Call arguments:
        images: Float tensor `[B, H, W, C]`, values in `[-1, 1]`, any batch size.
        num_slots: Optional integer that replaces the model's `num_slots`. Implicit
            only: a learned start set has one size.
        num_iterations: Optional integer that replaces the model's `num_iterations`; 0
            returns the start set.
        noise: Optional standard normal tensor `[B, N, P]` to make the start set from.
            Implicit only.

    Returns:
        Predictions `[B, N, P]` in `[0, 1]`, float32.

    Example:

    >>> model = DSPN((64, 64), num_slots=10)
    >>> tuple(model(np.zeros((2, 64, 64, 3))).shape)
    (2, 10, 19)

    Reference: Zhang et al., "Deep Set Prediction Networks", NeurIPS 2019, Section 3;
    Zhang et al., "Multiset-Equivariant Set Prediction with Approximate Implicit
    Differentiation", ICLR 2022, Section 3; settings as in their code.
    """

    _PARTS = ("encoder",)

    def __init__(
        self,
        resolution,
        num_slots,
        num_iterations=10,
        num_channels=3,
        differentiation="unrolled",
        inner_learning_rate=None,
        latent_size=512,
        set_encoder_size=512,
        num_properties=NUM_FEATURES,
        encoder=None,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        sizes = {
            "num_slots": num_slots,
            "num_channels": num_channels,
            "latent_size": latent_size,
            "set_encoder_size": set_encoder_size,
            "num_properties": num_properties,
        }
        for name, value in sizes.items():
            check_positive(name, value)
            setattr(self, name, int(value))
        self.resolution = as_pair("resolution", resolution)
        self.num_iterations = _check_iterations(num_iterations)
        _check_descent(differentiation, inner_learning_rate)
        self.differentiation = differentiation
        self.inner_learning_rate = float(
            inner_learning_rate or _INNER_LEARNING_RATE[differentiation]
        )
        self.seed = seed
        self.encoder = encoder or default_encoder(
            self.resolution, dtype=self.dtype_policy, name="encoder"
        )
        self.to_vector = Dense(
            self.latent_size, dtype=self.dtype_policy, name="to_vector"
        )
        if self._is_implicit:
            self.seed_generator = keras.random.SeedGenerator(
                seed, name="seed_generator"
            )
        self.set_encoder = SetEncoder(
            self.set_encoder_size,
            self.latent_size,
            pairs=not self._is_implicit,
            num_knots=max(self.num_slots, 2) if self._is_implicit else 21,
            dtype=self._inner_dtype,
            name="set_encoder",
        )
        # All sizes are known: a model has its weights from the start.
        self.build((None, *self.resolution, self.num_channels))

    @property
    def _is_implicit(self):
        return self.differentiation == "implicit"

    @property
    def _inner_dtype(self):
        """Float32 always: half precision would lose the small gradients of a mean."""
        return keras.backend.result_type(self.compute_dtype, "float32")

    def build(self, input_shape):
        images = (None, *self.resolution, self.num_channels)
        if not self.encoder.built:
            self.encoder.build(images)
        features = self.encoder.compute_output_shape(images)
        self.to_vector.build((None, int(np.prod(features[1:]))))
        self.set_encoder.build((None, self.num_slots, self.num_properties))
        if not self._is_implicit:
            self.start_set = self.add_weight(
                shape=(self.num_slots, self.num_properties),
                initializer=_start_set,
                dtype=self._inner_dtype,
                autocast=False,  # Mixed precision would round it inside `call`.
                name="start_set",
            )

    def call(self, images, num_slots=None, num_iterations=None, noise=None):
        sets, _ = self._descend(images, num_slots, num_iterations, noise)
        return ops.clip(sets[-1], 0.0, 1.0)

    def compute_output_spec(self, images, num_slots=None, **options):
        self._check_images(images)
        shape = (images.shape[0], num_slots or self.num_slots, self.num_properties)
        return keras.KerasTensor(shape, dtype=self._inner_dtype)

    def _descend(self, images, num_slots=None, num_iterations=None, noise=None):
        """The start set and the set after each inner step, and the images' vectors."""
        self._check_images(images)
        if num_iterations is None:
            num_iterations = self.num_iterations
        _check_iterations(num_iterations)
        features = self.encoder(images)
        features = ops.reshape(features, (-1, int(np.prod(features.shape[1:]))))
        vector = ops.cast(self.to_vector(features), self._inner_dtype)  # [B, L]
        start = self._start(ops.shape(images)[0], num_slots, noise)  # [B, N, P]
        descend = descend_implicit if self._is_implicit else descend_unrolled
        sets = descend(
            lambda sets: self._inner_loss(sets, vector),
            start,
            num_iterations,
            self.inner_learning_rate,
        )
        return sets, vector

    def _start(self, batch_size, num_slots, noise):
        if self._is_implicit:
            if noise is None:
                shape = (batch_size, *self.noise_shape(num_slots))
                noise = keras.random.normal(
                    shape, dtype=self._inner_dtype, seed=self.seed_generator
                )
            elif noise.shape[1:] != self.noise_shape(num_slots or noise.shape[1]):
                raise ValueError(
                    "`noise` must have the shape [batch, num_slots, num_properties] "
                    f"with num_properties={self.num_properties}. Received: "
                    f"noise.shape={tuple(noise.shape)}, num_slots={num_slots}"
                )
            return _START_NOISE * ops.cast(noise, self._inner_dtype)
        if noise is not None or num_slots not in (None, self.num_slots):
            raise ValueError(
                'With differentiation="unrolled" the start set is learned: leave out '
                f"`noise` and `num_slots`. Received: num_slots={num_slots}, noise of "
                f"shape {None if noise is None else tuple(noise.shape)}"
            )
        start = ops.convert_to_tensor(self.start_set)[None]
        return ops.broadcast_to(start, (batch_size, *self.start_set.shape))

    def _inner_loss(self, sets, vector):
        """How far sets are from what the vectors say, `[B]`."""
        errors = self.set_encoder(sets) - vector  # [B, L]
        if self._is_implicit:
            return ops.mean(0.5 * ops.square(errors), axis=-1)
        return _mean_huber(errors)

    def inner_losses(self, images, num_iterations=None, noise=None):
        """What the inner steps minimise, before the first step and after each.

        Args:
            images: As in `call`.
            num_iterations: As in `call`.
            noise: As in `call`.

        Returns:
            Float tensor `[B, T + 1]`.
        """
        sets, vector = self._descend(images, None, num_iterations, noise)
        return ops.stack([self._inner_loss(each, vector) for each in sets], axis=1)

    def check_training(self, images, num_iterations=None):
        """Warns if the inner learning rate is too large or too small.

        Inner steps must lower the inner loss and move the elements. Call this once on a
        batch, before training and after it; training itself does not check, so that it
        costs a step nothing.

        Args:
            images: As in `call`.
            num_iterations: As in `call`.
        """
        sets, vector = self._descend(images, None, num_iterations)
        losses = [ops.mean(self._inner_loss(each, vector)) for each in sets]
        problem = describe_problem(
            *([ops.convert_to_numpy(x) for x in each] for each in (losses, sets))
        )
        if problem:
            warnings.warn(
                f"{problem} Received: inner_learning_rate={self.inner_learning_rate}",
                stacklevel=2,
            )

    def noise_shape(self, num_slots=None, num_iterations=None):
        if not self._is_implicit:
            return None
        if num_slots is not None:
            check_positive("num_slots", num_slots)
        return (num_slots or self.num_slots, self.num_properties)

    def loss_per_example(self, batch, outputs=None, training=True):
        """Matched Huber loss of the last set; if unrolled, also the set encoder's.

        `outputs` are not used: where they are clipped they have no gradient.
        """
        sets, vector = self._descend(batch["image"])
        loss = set_loss_per_example(self, batch, sets[-1], training)
        if self._is_implicit:
            return loss
        target = ops.cast(pad_targets(batch["target"], self.num_slots), vector.dtype)
        errors = self.set_encoder(target) - vector  # [B, L]
        return loss + _SET_ENCODER_WEIGHT * self.num_slots * _mean_huber(errors)

    def named_outputs(self, images, **options):
        return set_outputs(self(images, **options))

    def get_config(self):
        config = {
            "resolution": self.resolution,
            "num_slots": self.num_slots,
            "num_iterations": self.num_iterations,
            "num_channels": self.num_channels,
            "differentiation": self.differentiation,
            "inner_learning_rate": self.inner_learning_rate,
            "latent_size": self.latent_size,
            "set_encoder_size": self.set_encoder_size,
            "num_properties": self.num_properties,
            "seed": self.seed,
        }
        return {**super().get_config(), **config}


def default_encoder(resolution, **kwargs):
    """The encoder of `SlotAttentionClassifier`, with a last stride of 4."""
    return ConvEncoder(resolution, filters=(64,) * 4, strides=(1, 2, 2, 4), **kwargs)


def _start_set(shape, dtype=None):
    """Elements uniform in `[0, 1]`, of which it is open whether they exist."""
    num_elements, num_properties = shape
    elements = keras.random.uniform((num_elements, num_properties - 1), dtype=dtype)
    exists = ops.full((num_elements, 1), 0.5, dtype=dtype)
    return ops.concatenate([elements, exists], axis=1)


def _mean_huber(errors):
    errors = ops.abs(errors)
    quadratic = ops.minimum(errors, 1.0)
    return ops.mean(0.5 * ops.square(quadratic) + (errors - quadratic), axis=-1)


def _check_iterations(num_iterations):
    if not isinstance(num_iterations, Integral) or num_iterations < 0:
        raise ValueError(
            "`num_iterations` must be an integer of at least 0. "
            f"Received: num_iterations={num_iterations!r}"
        )
    return int(num_iterations)


def _check_descent(differentiation, learning_rate):
    if differentiation not in _INNER_LEARNING_RATE:
        raise ValueError(
            '`differentiation` must be "unrolled" or "implicit". '
            f"Received: differentiation={differentiation!r}"
        )
    is_number = isinstance(learning_rate, Real) and 0 < learning_rate < math.inf
    if learning_rate is not None and not is_number:
        raise ValueError(
            "`inner_learning_rate` must be a positive number, or None for the default. "
            f"Received: inner_learning_rate={learning_rate!r}"
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class DSPNPreset(EncoderPreset):
    """Settings of a DSPN run. Defaults: those of the original for CLEVR."""

    num_iterations: int = setting("Inner steps T.", 10)
    differentiation: str = setting(
        "`unrolled` (DSPN) or `implicit` (iDSPN).", "unrolled"
    )
    inner_learning_rate: float | None = setting(
        "Learning rate of the inner steps. Default: 25 if unrolled, 1 if implicit.",
        None,
    )
    latent_size: int = setting("Size of the vector of an image.", 512)
    set_encoder_size: int = setting("Hidden units of the set encoder.", 512)
    batch_size: int = with_default(Preset, "batch_size", 32)
    num_train_steps: int = with_default(Preset, "num_train_steps", 219_000)
    learning_rate: float = with_default(Preset, "learning_rate", 3e-4)
    warmup_steps: int = with_default(Preset, "warmup_steps", 0)
    decay_rate: float = with_default(Preset, "decay_rate", 1.0)
    decay_steps: int = with_default(Preset, "decay_steps", 100_000)

    def model_arguments(self, dtype=None):
        return {
            "resolution": self.resolution,
            "num_slots": self.num_slots,
            "num_iterations": self.num_iterations,
            "num_channels": self.num_channels,
            "differentiation": self.differentiation,
            "inner_learning_rate": self.inner_learning_rate,
            "latent_size": self.latent_size,
            "set_encoder_size": self.set_encoder_size,
            "encoder": self.make_encoder(dtype),
        }


_LAPTOP_TRAINING = {
    "latent_size": 256,
    "set_encoder_size": 128,
    "encoder_filters": (64, 128, 128),
    "encoder_kernel_size": (7, 3, 3),
    "encoder_strides": (4, 2, 1),
    "batch_size": 64,
    "num_train_steps": 6_000,
    "learning_rate": 1e-3,
    "warmup_steps": 300,
    "decay_rate": 0.5,
    "decay_steps": 2_500,
    "clip_norm": 1.0,
}

PRESETS = {
    "clevr10": DSPNPreset(
        description="""CLEVR with three to ten objects, 128x128.

        Settings of DSPN's code, but the encoder of Slot Attention in place of a ResNet.
        With that and 10 inner steps, AP 72.8 / 59.2 / 39.0 / 12.4 / 1.3 % at the
        distances inf / 1 / 0.5 / 0.25 / 0.125 is reported. Needs a GPU.
        iDSPN: --differentiation=implicit --num_iterations=20 --batch_size=128
        --num_train_steps=55000 --learning_rate=1e-3. Its code takes 40 inner steps in
        the second half, and a tenth of the learning rate in the last tenth.
        Not trained by this project yet.
        """,
        **DATA["clevr10"],
        encoder_strides=(1, 2, 2, 4),
    ),
    "clevr6_properties": DSPNPreset(
        description="""CLEVR with at most six objects, to be tested on more.

        Settings as in `clevr10`. Only differentiation=implicit can predict larger sets
        than it was trained on. Needs a GPU. Not trained by this project yet.
        """,
        **DATA["clevr6_properties"],
        encoder_strides=(1, 2, 2, 4),
    ),
    "clevr_cpu": DSPNPreset(
        description="""Generated CLEVR scenes of one to four objects, for a laptop CPU.

        Not the paper's: the encoder and the learning rate of Slot Attention's preset, a
        small vector and set encoder, gradient clipping and a short run.
        """,
        **DATA["clevr_cpu"],
        **_LAPTOP_TRAINING,
    ),
    "clevr6_properties_cpu": DSPNPreset(
        description="""Generated CLEVR scenes of three to six objects, for a laptop CPU.

        Settings of `clevr_cpu`, but differentiation=implicit, without which it cannot
        predict larger sets than it was trained on. Not tuned, and not trained by this
        project yet.
        """,
        **DATA["clevr6_properties_cpu"],
        **_LAPTOP_TRAINING,
        differentiation="implicit",
    ),
}

register_model("dspn", "set_prediction", DSPN, PRESETS)
