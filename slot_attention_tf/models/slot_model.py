"""What the two models of the paper share: how images become slots."""

import dataclasses
import inspect

from slot_attention_tf.layers.arguments import as_pair, check_positive
from slot_attention_tf.layers.conv_encoder import ConvEncoder
from slot_attention_tf.layers.slot_attention import SlotAttention
from slot_attention_tf.models.base import BaseModel
from slot_attention_tf.presets import Preset, one_or_all
from slot_attention_tf.settings import setting


class SlotModel(BaseModel):
    """An encoder, then Slot Attention or a layer in its place, then what reads slots.

    The arguments are those of the models. A subclass adds layers that read slots and
    gives its default encoder.
    """

    _PARTS = ("encoder", "slot_attention")

    def __init__(
        self,
        *,
        resolution,
        num_slots,
        num_iterations,
        num_channels,
        slot_size,
        mlp_hidden_size,
        implicit_differentiation,
        encoder,
        slot_attention,
        seed,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.resolution = as_pair("resolution", resolution)
        self.num_channels = check_positive("num_channels", num_channels)
        self.seed = seed
        policy = self.dtype_policy
        self.encoder = encoder or self._default_encoder(dtype=policy, name="encoder")
        if slot_attention is None:
            slot_attention = SlotAttention(
                num_iterations,
                num_slots,
                slot_size,
                mlp_hidden_size,
                implicit_differentiation=implicit_differentiation,
                seed=seed,
                dtype=policy,
                name="slot_attention",
            )
        elif num_slots not in (None, slot_attention.num_slots):
            raise ValueError(
                "`num_slots` contradicts `slot_attention`: leave it None. Received: "
                f"num_slots={num_slots}, slot_attention.num_slots="
                f"{slot_attention.num_slots}"
            )
        self.slot_attention = slot_attention
        self.num_slots = slot_attention.num_slots
        self.num_iterations = slot_attention.num_iterations
        self.slot_size = slot_attention.slot_size
        self.mlp_hidden_size = mlp_hidden_size
        self.implicit_differentiation = implicit_differentiation

    def _default_encoder(self, **kwargs):
        raise NotImplementedError

    def build(self, input_shape):
        images = (None, *self.resolution, self.num_channels)
        if not self.encoder.built:
            self.encoder.build(images)
        features = self.encoder.compute_output_shape(images)
        if not self.slot_attention.built:
            self.slot_attention.build(features)

    def _find_slots(self, images, noise=None, return_attention=False, **options):
        """Slots `[B, K, D]` of images, and attention `[B, T, N, K]` or None."""
        self._check_images(images)
        features = self.encoder(images)  # [B, N, F]
        if noise is not None:
            initializer = self.slot_attention.slot_initializer
            options["initial_slots"] = initializer(
                features, num_slots=noise.shape[1], noise=noise
            )
        outputs = self.slot_attention(
            features, return_attention=return_attention, **options
        )
        return outputs if return_attention else (outputs, None)

    def _lookup_dependency(self, name, *args, **kwargs):
        # TensorFlow asks for each part of a checkpoint that it restores, and passes
        # over parts that are not there without a word.
        if name in ("layer_with_weights-0", "encoder_cnn"):
            raise ValueError(
                "The checkpoint is one of the reference release, which "
                "tf.train.Checkpoint cannot restore into this model: use "
                "slot_attention_tf.load_reference_checkpoint(model, path). "
                f"Received: a part named {name!r} for {type(self).__name__}"
            )
        return super()._lookup_dependency(name, *args, **kwargs)

    def noise_shape(self, num_slots=None, num_iterations=None):
        initializer = getattr(self.slot_attention, "slot_initializer", None)
        if (
            "noise"
            not in inspect.signature(getattr(initializer, "call", len)).parameters
        ):
            return None  # Somebody's own layer, or one that starts from nothing.
        return (num_slots or self.num_slots, self.slot_size)

    @property
    def has_attention(self):
        """Whether the layer that finds slots has attention to return."""
        return getattr(self.slot_attention, "has_attention", True)

    @property
    def takes_initial_slots(self):
        """Whether the layer that finds slots can start from given slots."""
        return self.has_attention

    def get_config(self):
        config = {
            "resolution": self.resolution,
            "num_slots": self.num_slots,
            "num_iterations": self.num_iterations,
            "num_channels": self.num_channels,
            "slot_size": self.slot_size,
            "mlp_hidden_size": self.mlp_hidden_size,
            "implicit_differentiation": self.implicit_differentiation,
            "seed": self.seed,
        }
        return {**super().get_config(), **config}


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncoderPreset(Preset):
    """Settings of a model with a `ConvEncoder`."""

    encoder_filters: tuple[int, ...] = setting(
        "Channels of each convolution of the encoder.", (64, 64, 64, 64)
    )
    encoder_kernel_size: tuple[int, ...] = setting(
        "Kernel size of each convolution, or one for all.", (5,)
    )
    encoder_strides: tuple[int, ...] = setting(
        "Stride of each convolution, or one for all.", (1,)
    )
    feature_size: int = setting("Units of the MLP that ends the encoder.", 64)
    append_colors: bool = setting(
        "Append the mean color of each position's pixels to its features.", False
    )

    def make_encoder(self, dtype=None):
        return ConvEncoder(
            self.resolution,
            filters=self.encoder_filters,
            kernel_size=one_or_all(self.encoder_kernel_size),
            strides=one_or_all(self.encoder_strides),
            feature_size=self.feature_size,
            append_colors=self.append_colors,
            dtype=dtype,
            name="encoder",
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class SlotModelPreset(EncoderPreset):
    """Settings that the two models share: an encoder, then Slot Attention."""

    num_iterations: int = setting("Iterations of attention T.", 3)
    slot_size: int = setting("Size of a slot D.", 64)
    mlp_hidden_size: int = setting("Hidden units of the residual MLP.", 128)
    implicit_differentiation: bool = setting(
        "Let gradients flow through the last iteration only.", False
    )

    def model_arguments(self, dtype=None):
        return {
            "resolution": self.resolution,
            "num_slots": self.num_slots,
            "num_iterations": self.num_iterations,
            "num_channels": self.num_channels,
            "slot_size": self.slot_size,
            "mlp_hidden_size": self.mlp_hidden_size,
            "implicit_differentiation": self.implicit_differentiation,
            "encoder": self.make_encoder(dtype),
        }
