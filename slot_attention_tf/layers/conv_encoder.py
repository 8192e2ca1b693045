"""The encoder from images to features (paper, Section 3 and Appendix E)."""

import math

import keras

from slot_attention_tf.layers.arguments import (
    as_pair,
    as_tuple,
    check_positive,
    check_shape,
    depth,
)
from slot_attention_tf.layers.dense import Dense
from slot_attention_tf.layers.soft_position_embed import (
    SoftPositionEmbed,
    spatial_flatten,
)


@keras.saving.register_keras_serializable(package="slot_attention_tf")
class ConvEncoder(keras.layers.Layer):
    """Encodes images as a set of features, one per position of a feature map.

    Applies convolutions with ReLU, adds a soft position embedding, flattens the feature
    map, and applies LayerNorm and an MLP to each position.

    With `append_colors`, which is not part of the paper, the features of a position end
    with the mean color of its pixels. Where brightness is enough to tell the objects
    from the background, convolutions lose colors early in training, and learn them
    late.

    Args:
        resolution: Pair `(H, W)`, the size of the images.
        filters: Integers, the output channels of each convolution.
        kernel_size: Integer, or one per convolution.
        strides: Integer, or one per convolution. The attribute `feature_resolution` is
            the resulting size of the feature map.
        feature_size: Integer, hidden and output units of the MLP. Default: the last
            of `filters`.
        append_colors: Boolean.
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        images: Float tensor `[B, H, W, C]`.

    Returns:
        Features `[B, N, feature_size]`, one per position of the feature map, row by
        row; with `append_colors`, `[B, N, feature_size + C]`.

    Example:

    >>> encoder = ConvEncoder((64, 64), filters=(32, 32), strides=(2, 1))
    >>> encoder(np.zeros((2, 64, 64, 3))).shape
    TensorShape([2, 1024, 32])
    >>> encoder.feature_resolution
    (32, 32)

    Reference: Locatello et al. 2020, Appendix E.3; sizes as in the reference release.
    """

    def __init__(
        self,
        resolution,
        filters=(64, 64, 64, 64),
        kernel_size=5,
        strides=1,
        feature_size=None,
        append_colors=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.resolution = as_pair("resolution", resolution)
        self.filters = as_tuple("filters", filters, depth("filters", filters))
        self.kernel_size = as_tuple("kernel_size", kernel_size, len(self.filters))
        self.strides = as_tuple("strides", strides, len(self.filters))
        self.feature_size = check_positive(
            "feature_size", feature_size or self.filters[-1]
        )
        self.append_colors = append_colors
        self.num_channels = None  # Known from `build` on.

        height, width = self.resolution
        for stride in self.strides:
            height, width = -(-height // stride), -(-width // stride)
        self.feature_resolution = (height, width)

        policy = self.dtype_policy
        self.convs = [
            keras.layers.Conv2D(
                *conv,
                padding="same",
                data_format="channels_last",
                activation="relu",
                dtype=policy,
                name=f"conv_{i}",
            )
            for i, conv in enumerate(
                zip(self.filters, self.kernel_size, self.strides, strict=True)
            )
        ]
        self.position = SoftPositionEmbed(
            self.filters[-1], self.feature_resolution, dtype=policy, name="position"
        )
        self.norm = keras.layers.LayerNormalization(
            epsilon=1e-3, dtype=policy, name="norm"
        )
        self.mlp_hidden = Dense(
            self.feature_size, activation="relu", dtype=policy, name="mlp_hidden"
        )
        self.mlp_output = Dense(self.feature_size, dtype=policy, name="mlp_output")

    def build(self, input_shape):
        self._check_images(input_shape)
        self.num_channels = input_shape[-1]
        shape = tuple(input_shape)
        for conv in self.convs:
            conv.build(shape)
            shape = conv.compute_output_shape(shape)
        self.position.build(shape)
        features_shape = (shape[0], shape[1] * shape[2], shape[3])
        self.norm.build(features_shape)
        self.mlp_hidden.build(features_shape)
        self.mlp_output.build((*features_shape[:2], self.feature_size))

    def _check_images(self, shape):
        check_shape(
            "images",
            shape,
            ("batch", *self.resolution, self.num_channels or "channels"),
            ": resize them, or build the layer for their size",
        )

    def call(self, images):
        self._check_images(images.shape)
        x = images
        for conv in self.convs:
            x = conv(x)  # [B, H', W', filters]
        x = spatial_flatten(self.position(x))  # [B, N, filters]
        x = self.mlp_output(self.mlp_hidden(self.norm(x)))  # [B, N, feature_size]
        if not self.append_colors:
            return x
        stride = math.prod(self.strides)
        colors = keras.ops.average_pool(
            images, stride, stride, padding="same", data_format="channels_last"
        )
        return keras.ops.concatenate([x, spatial_flatten(colors)], axis=-1)

    def compute_output_shape(self, input_shape):
        self._check_images(input_shape)
        height, width = self.feature_resolution
        size = self.feature_size + self.append_colors * input_shape[-1]
        return (input_shape[0], height * width, size)

    def get_config(self):
        config = {
            "resolution": self.resolution,
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "feature_size": self.feature_size,
            "append_colors": self.append_colors,
        }
        return {**super().get_config(), **config}
