"""The U-Net that attends to one slot after the other in MONet and its successors."""

import keras
from keras import ops

from slot_attention_tf.layers.arguments import as_tuple, check_positive, depth
from slot_attention_tf.layers.dense import Dense


@keras.saving.register_keras_serializable(package="slot_attention_tf")
class UNet(keras.layers.Layer):
    """Gives every pixel a logit, with the whole image in view.

    Blocks of convolution, instance normalization and ReLU halve the feature map, except
    after the last. An MLP mixes all positions of the smallest map. As many blocks
    double the map again; each also sees the map of its size from the way down. A last
    1x1 convolution gives the logits.

    Images that do not halve evenly are padded with zeros on all sides, and the logits
    are cropped.

    Args:
        filters: Integers, one per block on the way down: channels. On the way up, each
            block has the channels of the map that the next block sees.
        hidden_size: Integer, units of the two hidden layers of the MLP.
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        inputs: Float tensor `[B, H, W, C]`.

    Returns:
        Logits `[B, H, W, 1]`.

    Example:

    >>> tuple(UNet(filters=(8, 16, 16))(np.zeros((2, 35, 35, 4))).shape)
    (2, 35, 35, 1)

    Reference: Burgess et al., "MONet: Unsupervised Scene Decomposition and
    Representation", 2019; Ronneberger et al. 2015.
    """

    def __init__(self, filters=(32, 32, 64, 64, 64), hidden_size=128, **kwargs):
        super().__init__(**kwargs)
        check_positive("hidden_size", hidden_size)
        self.filters = as_tuple("filters", filters, depth("filters", filters))
        self.hidden_size = hidden_size
        up_filters = (*self.filters[-2::-1], self.filters[0])
        self.down_convs, self.down_norms = self._blocks("down", self.filters)
        self.up_convs, self.up_norms = self._blocks("up", up_filters)
        self.output_conv = keras.layers.Conv2D(
            1,
            1,
            data_format="channels_last",
            dtype=self.dtype_policy,
            name="output_conv",
        )

    def _blocks(self, name, filters):
        """Convolutions and instance normalizations of the blocks on one way."""
        policy = self.dtype_policy
        convs = [
            keras.layers.Conv2D(
                channels,
                3,
                padding="same",
                use_bias=False,
                data_format="channels_last",
                dtype=policy,
                name=f"{name}_conv_{i}",
            )
            for i, channels in enumerate(filters)
        ]
        norms = [
            keras.layers.GroupNormalization(
                groups=-1, epsilon=1e-5, dtype=policy, name=f"{name}_norm_{i}"
            )
            for i in range(len(filters))
        ]
        return convs, norms

    def build(self, input_shape):
        if len(input_shape) != 4 or None in input_shape[1:]:
            raise ValueError(
                "`inputs` of UNet must have the shape [batch, height, width, "
                "channels], all but the batch known. "
                f"Received: inputs.shape={tuple(input_shape)}"
            )
        height, width, channels = input_shape[1:]
        scale = 2 ** (len(self.filters) - 1)
        self.padding = tuple(_pad_to_multiple(side, scale) for side in (height, width))
        for conv, norm in zip(self.down_convs, self.down_norms, strict=True):
            conv.build((None, None, None, channels))
            norm.build((None, None, None, conv.filters))
            channels = conv.filters
        rows, columns = (
            (side + sum(padding)) // scale
            for side, padding in zip((height, width), self.padding, strict=True)
        )
        self._build_mlp((rows, columns, channels))
        skips = reversed(self.filters)
        for conv, norm, skip in zip(self.up_convs, self.up_norms, skips, strict=True):
            conv.build((None, None, None, channels + skip))
            norm.build((None, None, None, conv.filters))
            channels = conv.filters
        self.output_conv.build((None, None, None, channels))

    def _build_mlp(self, shape):
        rows, columns, channels = shape
        self.bottleneck_shape = shape
        sizes = (self.hidden_size, self.hidden_size, rows * columns * channels)
        self.mlp = [
            Dense(size, activation="relu", dtype=self.dtype_policy, name=f"mlp_{i}")
            for i, size in enumerate(sizes)
        ]
        for dense, size in zip(self.mlp, (sizes[-1], *sizes[:-1]), strict=True):
            dense.build((None, size))

    def call(self, inputs):
        x = ops.pad(inputs, ((0, 0), *self.padding, (0, 0)))
        skips = []
        for conv, norm in zip(self.down_convs, self.down_norms, strict=True):
            if skips:
                x = x[:, ::2, ::2]
            x = ops.relu(norm(conv(x)))
            skips.append(x)
        x = ops.reshape(x, (-1, self.mlp[-1].units))
        for dense in self.mlp:
            x = dense(x)
        x = ops.reshape(x, (-1, *self.bottleneck_shape))
        for conv, norm in zip(self.up_convs, self.up_norms, strict=True):
            x = ops.concatenate([x, skips.pop()], axis=-1)
            x = ops.relu(norm(conv(x)))
            if skips:
                x = ops.repeat(ops.repeat(x, 2, axis=1), 2, axis=2)
        logits = self.output_conv(x)
        (top, _), (left, _) = self.padding
        height, width = inputs.shape[1:3]
        return logits[:, top : top + height, left : left + width]  # [B, H, W, 1]

    def compute_output_shape(self, input_shape):
        return (*input_shape[:3], 1)

    def get_config(self):
        config = {"filters": self.filters, "hidden_size": self.hidden_size}
        return {**super().get_config(), **config}


def _pad_to_multiple(side, scale):
    """Rows to add before and after, so that `side` is a multiple of `scale`."""
    missing = -side % scale
    return missing // 2, missing - missing // 2
