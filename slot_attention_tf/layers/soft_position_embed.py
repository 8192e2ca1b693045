"""Soft position embedding, and reshapes used with it (paper, Appendix D.1)."""

import keras
import numpy as np
from keras import ops

from slot_attention_tf.layers.arguments import (
    as_pair,
    check_positive,
    check_shape,
)
from slot_attention_tf.layers.dense import Dense


def build_grid(resolution):
    """Builds the position grid of `SoftPositionEmbed`.

    Args:
        resolution: Pair `(H, W)` of integers, at least 1.

    Returns:
        NumPy float32 array `[1, H, W, 4]`: the ramps `y, x, 1 - y, 1 - x`, each in
        `[0, 1]` from the first to the last row or column.

    Example:

    >>> build_grid((3, 5))[0, 1, 0]
    array([0.5, 0. , 0.5, 1. ], dtype=float32)
    """
    height, width = as_pair("resolution", resolution)
    y = np.linspace(0.0, 1.0, height, dtype=np.float32)
    x = np.linspace(0.0, 1.0, width, dtype=np.float32)
    ramps = np.stack(np.meshgrid(y, x, indexing="ij"), axis=-1)  # [H, W, 2]
    return np.concatenate([ramps, 1.0 - ramps], axis=-1)[np.newaxis]


def spatial_flatten(x):
    """Flattens a feature map `[B, H, W, D]` to a set of features `[B, H*W, D]`.

    Example:

    >>> spatial_flatten(np.zeros((2, 3, 5, 8))).shape
    TensorShape([2, 15, 8])
    """
    return ops.reshape(x, (-1, x.shape[1] * x.shape[2], x.shape[3]))


def spatial_broadcast(slots, resolution):
    """Copies each slot to every position of a grid.

    Args:
        slots: Tensor `[B, K, D]`.
        resolution: Pair `(H, W)` of integers, at least 1.

    Returns:
        Tensor `[B*K, H, W, D]`.

    Example:

    >>> spatial_broadcast(np.zeros((2, 7, 64)), (8, 8)).shape
    TensorShape([14, 8, 8, 64])
    """
    height, width = as_pair("resolution", resolution)
    slot_size = slots.shape[-1]
    slots = ops.reshape(slots, (-1, 1, 1, slot_size))
    copies = ops.tile(slots, (1, height, width, 1))
    # Keras 3.10 forgets the shape of what it tiles.
    return ops.reshape(copies, (-1, height, width, slot_size))


def merge_patches(x, patch_size):
    """Lays out the channels of each position as a patch of `p x p` pixels.

    Args:
        x: Tensor `[B, H, W, p*p*C]`.
        patch_size: Integer `p`.

    Returns:
        Tensor `[B, H*p, W*p, C]`.

    Example:

    >>> merge_patches(np.arange(4).reshape(1, 1, 1, 4), 2)[0, :, :, 0]
    <tf.Tensor: shape=(2, 2), dtype=int64, numpy=
    array([[0, 1],
           [2, 3]])>
    """
    if patch_size == 1:
        return x
    p, (height, width, channels) = patch_size, x.shape[1:]
    x = ops.reshape(x, (-1, height, width, p, p, channels // p**2))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))  # [B, H, p, W, p, C]
    return ops.reshape(x, (-1, height * p, width * p, channels // p**2))


@keras.saving.register_keras_serializable(package="slot_attention_tf")
class SoftPositionEmbed(keras.layers.Layer):
    """Adds a learned linear embedding of the position to a feature map.

    Args:
        hidden_size: Integer, the number of channels of the feature map.
        resolution: Pair `(H, W)`, the size of the feature map.
        kernel_initializer: Initializer of the projection `[4, hidden_size]`. Default:
            as in the reference release. With larger values, the layers above can
            separate close positions from the start of training.
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor `[B, H, W, hidden_size]`.

    Returns:
        Tensor `[B, H, W, hidden_size]`.

    Example:

    >>> embed = SoftPositionEmbed(hidden_size=32, resolution=(35, 35))
    >>> embed(np.zeros((2, 35, 35, 32))).shape
    TensorShape([2, 35, 35, 32])

    Reference: Locatello et al. 2020, Appendix D.1.
    """

    def __init__(
        self, hidden_size, resolution, kernel_initializer="glorot_uniform", **kwargs
    ):
        super().__init__(**kwargs)
        self.hidden_size = check_positive("hidden_size", hidden_size)
        self.resolution = as_pair("resolution", resolution)
        self.grid = build_grid(self.resolution)  # [1, H, W, 4]
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.dense = Dense(
            self.hidden_size,
            kernel_initializer=self.kernel_initializer,
            dtype=self.dtype_policy,
            name="dense",
        )

    def build(self, input_shape):
        self._check_inputs(input_shape)
        self.dense.build(self.grid.shape)

    def _check_inputs(self, shape):
        expected = ("batch", *self.resolution, self.hidden_size)
        check_shape("inputs", shape, expected, ": [batch, H, W, hidden_size]")

    def call(self, inputs):
        self._check_inputs(inputs.shape)
        return inputs + self.embedding()

    def embedding(self):
        """Returns the embedding without inputs: `[1, H, W, hidden_size]`."""
        return self.dense(ops.convert_to_tensor(self.grid, dtype=self.compute_dtype))

    def compute_output_shape(self, input_shape):
        self._check_inputs(input_shape)
        return input_shape

    def get_config(self):
        config = {
            "hidden_size": self.hidden_size,
            "resolution": self.resolution,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
        return {**super().get_config(), **config}
