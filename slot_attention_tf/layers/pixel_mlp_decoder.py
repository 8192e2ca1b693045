"""A decoder that computes each position separately; fast enough for a laptop."""

import keras
from keras import ops

from slot_attention_tf.layers.arguments import (
    as_pair,
    as_tuple,
    check_positive,
    check_shape,
    depth,
)
from slot_attention_tf.layers.dense import Dense
from slot_attention_tf.layers.soft_position_embed import build_grid, merge_patches


@keras.saving.register_keras_serializable(package="slot_attention_tf")
class PixelMLPDecoder(keras.layers.Layer):
    """Decodes each slot by an MLP that sees the slot and one position at a time.

    This decoder is not part of the paper. It is a spatial broadcast decoder with 1x1
    kernels, costs a fraction of the convolutional decoder and suits small images. Its
    first layer is linear, so slots and positions are projected separately and slots are
    never copied to the grid.

    With `patch_size=p`, the last layer decodes a patch of `p x p` pixels per position,
    which is `p * p` times cheaper at the same hidden sizes.

    Args:
        resolution: Pair `(H, W)`, the size of the decoded images.
        num_channels: Integer, channels of the decoded images.
        hidden_sizes: Integers, units of the hidden layers (ReLU).
        patch_size: Integer of at least 1 that divides `H` and `W`.
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        slots: Float tensor `[B, K, D]`.

    Returns:
        Tensor `[B, K, H, W, num_channels + 1]`: images, then mask logits.

    Example:

    >>> decoder = PixelMLPDecoder((36, 36), patch_size=2)
    >>> decoder(np.zeros((2, 7, 64))).shape
    TensorShape([2, 7, 36, 36, 4])
    """

    def __init__(
        self, resolution, num_channels=3, hidden_sizes=(64, 64), patch_size=1, **kwargs
    ):
        super().__init__(**kwargs)
        self.resolution = as_pair("resolution", resolution)
        self.num_channels = check_positive("num_channels", num_channels)
        self.hidden_sizes = as_tuple(
            "hidden_sizes", hidden_sizes, depth("hidden_sizes", hidden_sizes)
        )
        self.patch_size = patch_size = check_positive("patch_size", patch_size)
        self.slot_size = None  # Known from `build` on.
        height, width = self.resolution
        if height % patch_size or width % patch_size:
            raise ValueError(
                "`patch_size` must divide both sides of `resolution`. Received: "
                f"patch_size={patch_size}, resolution={self.resolution}"
            )
        self.grid_resolution = (height // patch_size, width // patch_size)
        # One position per patch: [1, 1, P, 4].
        self.grid = build_grid(self.grid_resolution).reshape(1, 1, -1, 4)

        policy = self.dtype_policy
        self.project_slots = Dense(
            self.hidden_sizes[0], dtype=policy, name="project_slots"
        )
        self.project_position = Dense(
            self.hidden_sizes[0],
            use_bias=False,
            # Large enough to separate close positions: with Keras' default, slots take
            # several times as long to specialise.
            kernel_initializer=keras.initializers.RandomNormal(stddev=2.0),
            dtype=policy,
            name="project_position",
        )
        self.hidden = [
            Dense(units, activation="relu", dtype=policy, name=f"hidden_{i}")
            for i, units in enumerate(self.hidden_sizes[1:])
        ]
        self.output_dense = Dense(
            patch_size**2 * (self.num_channels + 1), dtype=policy, name="output_dense"
        )

    def build(self, input_shape):
        self._check_slots(input_shape)
        self.slot_size = input_shape[-1]
        self.project_slots.build(input_shape)
        self.project_position.build(self.grid.shape)
        for dense, units in zip(
            [*self.hidden, self.output_dense], self.hidden_sizes, strict=True
        ):
            dense.build((None, None, units))

    def _check_slots(self, shape):
        check_shape("slots", shape, ("batch", "slots", self.slot_size or "slot_size"))

    def call(self, slots):
        self._check_slots(slots.shape)
        grid = ops.convert_to_tensor(self.grid, dtype=self.compute_dtype)
        position = self.project_position(grid)  # [1, 1, P, hidden]
        x = ops.expand_dims(self.project_slots(slots), 2)  # [B, K, 1, hidden]
        x = ops.relu(x + position)  # [B, K, P, hidden]
        for dense in self.hidden:
            x = dense(x)
        rows, columns = self.grid_resolution
        x = ops.reshape(
            self.output_dense(x), (-1, rows, columns, self.output_dense.units)
        )
        x = merge_patches(x, self.patch_size)  # [B*K, H, W, C+1]
        num_slots, channels = ops.shape(slots)[1], self.num_channels + 1
        return ops.reshape(x, (-1, num_slots, *self.resolution, channels))

    def compute_output_shape(self, input_shape):
        self._check_slots(input_shape)
        return (*input_shape[:2], *self.resolution, self.num_channels + 1)

    def get_config(self):
        config = {
            "resolution": self.resolution,
            "num_channels": self.num_channels,
            "hidden_sizes": self.hidden_sizes,
            "patch_size": self.patch_size,
        }
        return {**super().get_config(), **config}
