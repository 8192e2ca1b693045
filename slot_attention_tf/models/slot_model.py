"""What the two models share: how images become slots, presets, saving."""

import keras

from slot_attention_tf.layers import SlotAttention
from slot_attention_tf.layers.arguments import as_pair, check_positive
from slot_attention_tf.pretrained import load_weights


class SlotModel(keras.Model):
    """Base class of the models: an encoder, Slot Attention, and what reads slots.

    The arguments are those of the models. A subclass adds layers that read slots,
    builds them, lists in `_PARTS` the arguments that are layers, and gives its default
    encoder and its presets.
    """

    _PARTS = ("encoder",)

    def __init__(
        self,
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
    ):
        super().__init__(**kwargs)
        check_positive("num_channels", num_channels)
        self.resolution = as_pair("resolution", resolution)
        self.num_slots = num_slots
        self.num_iterations = num_iterations
        self.num_channels = num_channels
        self.slot_size = slot_size
        self.mlp_hidden_size = mlp_hidden_size
        self.implicit_differentiation = implicit_differentiation
        self.seed = seed

        policy = self.dtype_policy
        self.encoder = encoder or self._default_encoder(dtype=policy, name="encoder")
        self.slot_attention = SlotAttention(
            num_iterations,
            num_slots,
            slot_size,
            mlp_hidden_size,
            implicit_differentiation=implicit_differentiation,
            seed=seed,
            dtype=policy,
            name="slot_attention",
        )

    def _default_encoder(self, **kwargs):
        raise NotImplementedError

    def build(self, input_shape):
        self._check_images(input_shape)
        images = (None, *self.resolution, self.num_channels)
        if not self.encoder.built:
            self.encoder.build(images)
        self.slot_attention.build(self.encoder.compute_output_shape(images))

    def _find_slots(self, images, **options):
        """Slots `[B, K, D]` of images, and attention `[B, T, N, K]`."""
        self._check_images(images.shape)
        features = self.encoder(images)  # [B, N, F]
        return self.slot_attention(features, return_attention=True, **options)

    def _check_images(self, shape):
        expected = (*self.resolution, self.num_channels)
        if tuple(shape[1:]) != expected:
            raise ValueError(
                "Images must have the shape [batch, height, width, channels] with "
                f"{expected} for the last three: resize them, or build the model with "
                "their `resolution` and `num_channels`. "
                f"Received: images.shape={tuple(shape)}"
            )

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
        for part in self._PARTS:
            config[part] = keras.saving.serialize_keras_object(getattr(self, part))
        return {**super().get_config(), **config}

    def compile_from_config(self, config):
        """Compiles a loaded model as it was, with its optimizer's state."""
        # Keras leaves this to models that define `compile` anew.
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        for part in cls._PARTS:
            config[part] = keras.saving.deserialize_keras_object(config[part])
        model = cls(**config)
        for part in (getattr(model, name) for name in cls._PARTS):
            if not part.trainable:
                # Keras restores the flag of a layer, but not of the layers inside,
                # and takes no notice of a value that is set already.
                part.trainable = True
                part.trainable = False
        return model

    @classmethod
    def presets(cls):
        """The presets of this model, a dictionary by name."""
        raise NotImplementedError

    @classmethod
    def from_preset(cls, name, weights=None, **kwargs):
        """Builds the model of a preset.

        Args:
            name: String, a key of `presets()`.
            weights: Optional path of a file `*.keras` or `*.weights.h5` to fill the
                model from, or the name of weights that come with the package:
                `"synthetic"`, trained on generated scenes, for the presets that
                `slot_attention_tf/weights/` has them for. Default: untrained.
            **kwargs: Arguments of the constructor that replace those of the preset.

        Returns:
            The model.

        Raises:
            ValueError: If there is no such preset or are no such weights, or the
                weights are of another architecture.
            FileNotFoundError: If `weights` is a path and nothing lies there.
        """
        presets = cls.presets()
        if name not in presets:
            raise ValueError(
                f"Unknown preset. Known: {', '.join(sorted(presets))}. "
                f"Received: name={name!r}"
            )
        model = cls(**{**presets[name].model_arguments(), **kwargs})
        if weights is not None:
            load_weights(model, name, weights)
        return model
