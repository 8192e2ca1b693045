"""What the two models share: the check of their images, presets, saving."""

import keras

from slot_attention_tf.pretrained import load_weights


class SlotModel(keras.Model):
    """Base class of the models: an encoder, Slot Attention, and what reads slots.

    Subclasses set `resolution` and `num_channels`, give their `presets()`, and list
    in `_PARTS` the arguments of theirs that are layers.
    """

    _PARTS = ("encoder",)

    def _check_images(self, shape):
        expected = (*self.resolution, self.num_channels)
        if tuple(shape[1:]) != expected:
            raise ValueError(
                "Images must have the shape [batch, height, width, channels] with "
                f"{expected} for the last three: resize them, or build the model with "
                "their `resolution` and `num_channels`. "
                f"Received: images.shape={tuple(shape)}"
            )

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
        for part in map(model.__getattribute__, cls._PARTS):
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
