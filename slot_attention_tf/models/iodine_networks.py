"""The two networks of IODINE: the decoder, and the network that refines a posterior."""

import keras
import numpy as np
from keras import ops

from slot_attention_tf.layers.dense import Dense
from slot_attention_tf.layers.soft_position_embed import spatial_broadcast

COORDINATES = ("linear", "cosine")
_CAPACITY = 0.5  # A constant input that the release keeps from earlier versions.
_DECODER_CONSTANT = 5.0  # Likewise.


class IODINEDecoder(keras.layers.Layer):
    """Decodes each sample to an image and mask logits by a spatial broadcast.

    Sizes are those of `IODINE`. Call argument: samples `[B, K, D]`. Returns the tuple
    `(means, mask_logits)` of shapes `[B, K, H, W, C]` and `[B, K, H, W, 1]`, float32.
    """

    def __init__(self, resolution, num_channels, filters, kernel_size, **kwargs):
        super().__init__(**kwargs)
        self.resolution = resolution
        self.num_channels = num_channels
        columns, rows = np.moveaxis(coordinate_channels("linear", resolution), -1, 0)
        constant = np.full_like(rows, _DECODER_CONSTANT)
        self.constants = np.stack([constant, rows, columns], axis=-1)  # [H, W, 3]
        policy = self.dtype_policy
        self.convs = convolutions(filters, kernel_size, 1, policy)
        self.output_conv = keras.layers.Conv2D(
            num_channels + 1,
            kernel_size[-1],
            padding="same",
            kernel_initializer=linear_initializer(),
            data_format="channels_last",
            dtype=policy,
            name="output_conv",
        )

    def build(self, input_shape):
        shape = (None, *self.resolution, input_shape[-1] + self.constants.shape[-1])
        for conv in self.convs:
            conv.build(shape)
            shape = conv.compute_output_shape(shape)
        self.output_conv.build(shape)

    def call(self, z):
        x = spatial_broadcast(z, self.resolution)  # [B*K, H, W, D]
        constants = ops.convert_to_tensor(self.constants, dtype=x.dtype)
        shape = (ops.shape(x)[0], *self.constants.shape)
        x = ops.concatenate([x, ops.broadcast_to(constants, shape)], axis=-1)
        for conv in self.convs:
            x = conv(x)
        x = self.output_conv(x)  # [B*K, H, W, 1 + C]
        x = ops.cast(x, keras.backend.result_type(x.dtype, "float32"))
        size = (*self.resolution, self.num_channels + 1)
        x = ops.reshape(x, (-1, z.shape[1], *size))
        return x[..., 1:], x[..., :1]


class RefinementNetwork(keras.layers.Layer):
    """Turns what a decoding got wrong into an update of the posterior.

    Convolutions, a mean over positions, an MLP, an LSTM that remembers the steps
    before, and a linear layer, for each slot with the same weights. Sizes are those of
    `IODINE`.

    Call arguments:
        spatial: Dictionary of float tensors `[B, K, H, W, c]` or `[B, 1, H, W, c]`.
        flat: Dictionary of float tensors `[B, K, c]`.
        state: List of the LSTM's two tensors, or an empty list without one.

    Returns:
        Tuple `(update, state)`; update `[B, K, output_size]`, float32.
    """

    NORMALIZED = ("counterfactual", "dcomponents", "dlambda", "dmask", "log_prob")

    def __init__(
        self,
        resolution,
        output_size,
        filters,
        kernel_size,
        mlp_sizes,
        lstm_size,
        coordinates,
        **kwargs,
    ):
        # Gradients are normalised before half precision could overflow.
        super().__init__(autocast=False, **kwargs)
        self.output_size = output_size
        self.coordinates = coordinate_channels(coordinates, resolution)  # [H, W, c]
        policy = self.dtype_policy
        # One group of all channels: statistics over all axes but the batch.
        self.norms = {
            name: keras.layers.GroupNormalization(
                groups=1, epsilon=1e-5, dtype=policy, name=f"norm_{name}"
            )
            for name in self.NORMALIZED
        }
        self.convs = convolutions(filters, kernel_size, 2, policy)
        self.mlp = [
            Dense(
                units,
                activation=None if i == len(mlp_sizes) - 1 else "elu",
                kernel_initializer=linear_initializer(),
                dtype=policy,
                name=f"mlp_{i}",
            )
            for i, units in enumerate(mlp_sizes)
        ]
        self.lstm = None
        if lstm_size is not None:
            fan_in = mlp_sizes[-1] + 2 * output_size + 1 + lstm_size
            self.lstm = _lstm(lstm_size, fan_in, policy)
        self.update = Dense(
            output_size,
            kernel_initializer=linear_initializer(),
            dtype=policy,
            name="update",
        )

    def build(self, input_shape):
        """Takes the shape of the images, `[B, H, W, C]`."""
        *_, height, width, channels = input_shape
        for name, norm in self.norms.items():
            size = {"dcomponents": channels, "dlambda": self.output_size}.get(name, 1)
            flat = (None, size)
            norm.build(flat if name == "dlambda" else (None, height, width, size))
        # Components, their gradient and the image; then the maps of one channel.
        channels = 3 * channels + self.coordinates.shape[-1] + 7
        shape = (None, height, width, channels)
        for conv in self.convs:
            conv.build(shape)
            shape = conv.compute_output_shape(shape)
        shape = (None, shape[-1])
        for dense in self.mlp:
            dense.build(shape)
            shape = (None, dense.units)
        shape = (None, shape[-1] + 2 * self.output_size + 1)
        if self.lstm is not None:
            self.lstm.build(shape)
            shape = (None, self.lstm.units)
        self.update.build(shape)

    def initial_state(self, batch_size):
        """The LSTM's state before the first step, for `batch_size` slots in all."""
        if self.lstm is None:
            return []
        shape = (batch_size, self.lstm.units)
        return [ops.zeros(shape, dtype=self.compute_dtype) for _ in range(2)]

    def call(self, spatial, flat, state):
        num_slots = flat["lambda"].shape[1]
        x = self._spatial_inputs(spatial, num_slots)  # [B*K, H, W, c]
        for conv in self.convs:
            x = conv(x)
        x = ops.mean(x, axis=(1, 2))  # [B*K, filters]
        for dense in self.mlp:
            x = dense(x)
        x = ops.concatenate([x, self._flat_inputs(flat)], axis=-1)
        if self.lstm is not None:
            x, state = self.lstm(x, state)
        update = ops.reshape(self.update(x), (-1, num_slots, self.output_size))
        dtype = keras.backend.result_type(update.dtype, "float32")
        return ops.cast(update, dtype), state

    def _spatial_inputs(self, maps, num_slots):
        """Normalised where due, in the order of the release: by name."""
        one = ops.zeros_like(maps["mask"])
        maps = {
            **maps,
            "capacity": one + _CAPACITY,
            "coordinates": ops.cast(self.coordinates, one.dtype) + one,
        }
        inputs = []
        for name in sorted(maps):
            x = maps[name]
            slots, *size = x.shape[1:]
            x = self._normalize(name, ops.reshape(x, (-1, *size)))
            x = ops.reshape(x, (-1, slots, *size))
            if slots != num_slots:
                x = ops.repeat(x, num_slots, axis=1)
            inputs.append(ops.cast(x, self.compute_dtype))
        x = ops.concatenate(inputs, axis=-1)
        return ops.reshape(x, (-1, *x.shape[2:]))

    def _flat_inputs(self, vectors):
        vectors = {
            name: ops.reshape(x, (-1, x.shape[-1])) for name, x in vectors.items()
        }
        inputs = [
            self._normalize("dlambda", vectors["dlambda"]),
            ops.zeros_like(vectors["lambda"][:, :1]) + _CAPACITY,
            vectors["lambda"],
        ]
        inputs = [ops.cast(x, self.compute_dtype) for x in inputs]
        return ops.concatenate(inputs, axis=-1)

    def _normalize(self, name, x):
        return self.norms[name](x) if name in self.norms else x


def convolutions(filters, kernel_size, strides, policy):
    return [
        keras.layers.Conv2D(
            *conv,
            strides=strides,
            padding="same",
            activation="elu",
            kernel_initializer=linear_initializer(),
            data_format="channels_last",
            dtype=policy,
            name=f"conv_{i}",
        )
        for i, conv in enumerate(zip(filters, kernel_size, strict=True))
    ]


def _lstm(units, fan_in, policy):
    """As in Sonnet: input, state and bias come from one distribution."""
    initializers = {
        f"{part}_initializer": keras.initializers.TruncatedNormal(stddev=fan_in**-0.5)
        for part in ("kernel", "recurrent", "bias")
    }
    return keras.layers.LSTMCell(units, dtype=policy, name="lstm", **initializers)


def linear_initializer():
    """Truncated normal of scale `1 / sqrt(fan_in)`, as in Sonnet.

    Keras would divide by the standard deviation that truncation leaves.
    """
    return keras.initializers.VarianceScaling(
        scale=0.87962566103423978**2, mode="fan_in", distribution="truncated_normal"
    )


def coordinate_channels(kind, resolution):
    """Maps of the position, NumPy float32 `[H, W, c]`.

    `"linear"`: column and row from -1 to 1. `"cosine"`: the products of
    `cos(pi i x)` and `cos(pi j y)` for `i` and `j` below 3, without the constant one.
    """
    y, x = np.meshgrid(*(np.linspace(0, 1, side) for side in resolution), indexing="ij")
    if kind == "linear":
        channels = [2 * x - 1, 2 * y - 1]
    else:
        channels = [
            np.cos(np.pi * i * x) * np.cos(np.pi * j * y)
            for i in range(3)
            for j in range(3)
        ][1:]
    return np.stack(channels, axis=-1).astype("float32")
