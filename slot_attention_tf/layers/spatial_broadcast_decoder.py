"""The spatial broadcast decoder (paper, Section 3.1 and Appendix E.3)."""

import math

import keras
from keras import ops

from slot_attention_tf.layers.arguments import (
    as_pair,
    as_tuple,
    check_positive,
    check_shape,
    depth,
)
from slot_attention_tf.layers.soft_position_embed import (
    SoftPositionEmbed,
    merge_patches,
    spatial_broadcast,
)


@keras.saving.register_keras_serializable(package="slot_attention_tf")
class SpatialBroadcastDecoder(keras.layers.Layer):
    """Decodes each slot separately to an image and an unnormalised mask.

    Copies each slot to every position of a grid and adds a soft position embedding.
    Transposed convolutions with ReLU upsample the grid to the size of the image, and a
    last convolution outputs the channels of the image and one mask logit per pixel.

    Differs from the reference release in two ways that do not change the output.
    Transposed convolutions of stride 1 are plain convolutions (with flipped kernels).
    A first layer of stride 1 is computed on a small grid: the slot is the same
    everywhere, so the output depends on the distance to the border only. For a `k x k`
    kernel it needs a `k x k` grid, whose middle row and column are then repeated.

    With `patch_size=p`, which is not part of the paper, the last convolution outputs a
    patch of `p x p` pixels per position: the layers work on smaller feature maps.

    Args:
        resolution: Pair `(H, W)`, the size of the decoded images.
        num_channels: Integer, channels of the decoded images.
        broadcast_resolution: Pair, the size of the grid that slots are copied to.
            Multiplied by the product of `strides` and by `patch_size`, it must equal
            `resolution`.
        filters: Integers, the output channels of each layer before the last.
        kernel_size: Integer, or one per layer before the last.
        strides: Integer, or one per layer before the last.
        output_kernel_size: Integer, the kernel size of the last convolution.
        position_initializer: Initializer of the position embedding, see
            `SoftPositionEmbed`.
        patch_size: Integer of at least 1.
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        slots: Float tensor `[B, K, D]`.

    Returns:
        Tensor `[B, K, H, W, num_channels + 1]`: images, then mask logits.

    Example:

    >>> decoder = SpatialBroadcastDecoder((128, 128))
    >>> decoder(np.zeros((1, 7, 64))).shape
    TensorShape([1, 7, 128, 128, 4])

    Reference: Watters et al. 2019 (spatial broadcast); Locatello et al. 2020.
    """

    def __init__(
        self,
        resolution,
        num_channels=3,
        broadcast_resolution=(8, 8),
        filters=(64, 64, 64, 64, 64),
        kernel_size=5,
        strides=(2, 2, 2, 2, 1),
        output_kernel_size=3,
        position_initializer="glorot_uniform",
        patch_size=1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.resolution = as_pair("resolution", resolution)
        self.num_channels = check_positive("num_channels", num_channels)
        self.broadcast_resolution = as_pair(
            "broadcast_resolution", broadcast_resolution
        )
        self.filters = as_tuple("filters", filters, depth("filters", filters))
        self.kernel_size = as_tuple("kernel_size", kernel_size, len(self.filters))
        self.strides = as_tuple("strides", strides, len(self.filters))
        self.output_kernel_size = check_positive(
            "output_kernel_size", output_kernel_size
        )
        self.position_initializer = keras.initializers.get(position_initializer)
        self.patch_size = check_positive("patch_size", patch_size)
        self._check_sizes()
        self.slot_size = None  # Known from `build` on.

        policy = self.dtype_policy
        layers = zip(self.filters, self.kernel_size, self.strides, strict=True)
        self.convs = [
            _conv(filters, kernel_size, stride, dtype=policy, name=f"conv_{i}")
            for i, (filters, kernel_size, stride) in enumerate(layers)
        ]
        self.output_conv = _conv(
            self.patch_size**2 * (self.num_channels + 1),
            self.output_kernel_size,
            1,
            dtype=policy,
            name="output_conv",
        )

    def _check_sizes(self):
        scale = self.patch_size * math.prod(self.strides)
        reached = tuple(side * scale for side in self.broadcast_resolution)
        if reached != self.resolution:
            raise ValueError(
                f"`broadcast_resolution` {self.broadcast_resolution} times the product "
                f"{scale} of `strides` and `patch_size` gives {reached}, but must give "
                f"`resolution`. Received: resolution={self.resolution}, "
                f"strides={self.strides}, patch_size={self.patch_size}"
            )

    def build(self, input_shape):
        self._check_slots(input_shape)
        self.slot_size = slot_size = input_shape[-1]
        self.position = SoftPositionEmbed(
            slot_size,
            self.broadcast_resolution,
            self.position_initializer,
            dtype=self.dtype_policy,
            name="position",
        )
        shape = (None, *self.broadcast_resolution, slot_size)
        self.position.build(shape)
        for conv in self.convs:
            conv.build(shape)
            shape = conv.compute_output_shape(shape)
        self.output_conv.build(shape)

    def _check_slots(self, shape):
        check_shape("slots", shape, ("batch", "slots", self.slot_size or "slot_size"))

    def call(self, slots):
        self._check_slots(slots.shape)
        first, *others = self.convs
        if self.strides[0] == 1:
            x = self._first_convolution(first, slots)
        else:
            x = first(
                self.position(spatial_broadcast(slots, self.broadcast_resolution))
            )
        for conv in others:
            x = conv(ops.relu(x))
        x = self.output_conv(ops.relu(x))  # [B*K, H/p, W/p, p*p*(C+1)]
        x = merge_patches(x, self.patch_size)  # [B*K, H, W, C+1]
        num_slots = ops.shape(slots)[1]
        return ops.reshape(x, (-1, num_slots, *self.resolution, self.num_channels + 1))

    def _first_convolution(self, conv, slots):
        """Returns `conv(position(spatial_broadcast(slots)))`, without the copies."""
        kernel_size = self.kernel_size[0]
        small = tuple(min(kernel_size, side) for side in self.broadcast_resolution)
        x = conv(spatial_broadcast(slots, small))  # [B*K, k, k, filters]
        for axis, side in (
            (1, self.broadcast_resolution[0]),
            (2, self.broadcast_resolution[1]),
        ):
            x = _repeat_middle(x, side, axis)
        position = ops.conv(
            self.position.embedding(),
            ops.cast(conv.kernel, self.compute_dtype),
            padding="same",
            data_format="channels_last",
        )
        return x + position  # [B*K, H, W, filters]

    def compute_output_shape(self, input_shape):
        self._check_slots(input_shape)
        return (*input_shape[:2], *self.resolution, self.num_channels + 1)

    def get_config(self):
        config = {
            "resolution": self.resolution,
            "num_channels": self.num_channels,
            "broadcast_resolution": self.broadcast_resolution,
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "output_kernel_size": self.output_kernel_size,
            "position_initializer": keras.initializers.serialize(
                self.position_initializer
            ),
            "patch_size": self.patch_size,
        }
        return {**super().get_config(), **config}


def _conv(filters, kernel_size, stride, **kwargs):
    kwargs = {"padding": "same", "data_format": "channels_last", **kwargs}
    if stride == 1:
        return keras.layers.Conv2D(filters, kernel_size, **kwargs)
    return keras.layers.Conv2DTranspose(filters, kernel_size, stride, **kwargs)


def _repeat_middle(x, size, axis):
    """Extends `x` along `axis` to `size` by repeating its middle element."""
    length = x.shape[axis]
    before, middle, after = ops.split(
        x, [(length - 1) // 2, (length - 1) // 2 + 1], axis=axis
    )
    middle = ops.repeat(middle, size - length + 1, axis=axis)
    return ops.concatenate([before, middle, after], axis=axis)
