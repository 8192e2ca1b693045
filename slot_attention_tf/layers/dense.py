"""The `Dense` layer inside layers and models of this package."""

import keras


class Dense(keras.layers.Dense):
    """A `keras.layers.Dense` that stays as it is when its model is quantized.

    Keras keeps no record of the quantization of layers inside layers, so that a saved
    model could not be loaded. It warns of this error and quantizes the rest.
    """

    def quantize(self, mode=None, **kwargs):
        raise NotImplementedError(
            "Layers of slot_attention_tf stay in floating point: Keras could not load "
            "them if they were quantized. Other layers of the model are quantized."
        )
