"""The variational autoencoder that describes one slot in MONet and its successors."""

import keras
import numpy as np
from keras import ops

from slot_attention_tf.layers.arguments import as_pair, as_tuple, check_positive, depth
from slot_attention_tf.layers.dense import Dense


@keras.saving.register_keras_serializable(package="slot_attention_tf")
class ComponentVAE(keras.layers.Layer):
    """Encodes images to a few Gaussian variables each, and decodes a sample of them.

    The encoder has strided 3x3 convolutions and one hidden layer. The decoder copies
    the sample to every position of a grid, next to the position's coordinates, and
    applies 3x3 convolutions without padding and a 1x1 convolution. The grid is larger
    than the image by what these convolutions take off.

    The first layer of the decoder is computed without the copies: what it makes of the
    sample is the same at each position, and what it makes of the coordinates is the
    same for each sample.

    Args:
        resolution: Pair `(H, W)`, the size of the images.
        output_channels: Integer, channels of the decoded images.
        latent_size: Integer `L`, the number of variables.
        encoder_filters: Integers, one per convolution of the encoder, each of stride 2.
        encoder_hidden_size: Integer, units of the hidden layer of the encoder.
        decoder_filters: Integers, one per convolution of the decoder before the last.
        seed: Optional integer, the seed of the samples.
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        inputs: Float tensor `[B, H, W, C]`.
        noise: Optional standard normal tensor `[B, L]` to sample with. Zeros give the
            mean.

    Returns:
        Tuple `(decoded, latents, mean, log_variance)`. `decoded`
        `[B, H, W, output_channels]` has the compute dtype and no activation; the
        others, `[B, L]`, have at least single precision.

    Example:

    >>> vae = ComponentVAE((16, 16), latent_size=8, encoder_filters=(4,))
    >>> decoded, latents, mean, log_variance = vae(np.zeros((2, 16, 16, 4)))
    >>> tuple(decoded.shape), tuple(latents.shape)
    ((2, 16, 16, 4), (2, 8))

    Reference: Burgess et al. 2019; Watters et al., "Spatial Broadcast Decoder", 2019.
    """

    def __init__(
        self,
        resolution,
        output_channels=4,
        latent_size=16,
        encoder_filters=(32, 32, 64, 64),
        encoder_hidden_size=256,
        decoder_filters=(32, 32, 32, 32),
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive("output_channels", output_channels)
        check_positive("latent_size", latent_size)
        check_positive("encoder_hidden_size", encoder_hidden_size)
        self.resolution = as_pair("resolution", resolution)
        self.output_channels = output_channels
        self.latent_size = latent_size
        self.encoder_filters, self.decoder_filters = (
            as_tuple(name, filters, depth(name, filters))
            for name, filters in (
                ("encoder_filters", encoder_filters),
                ("decoder_filters", decoder_filters),
            )
        )
        self.encoder_hidden_size = encoder_hidden_size
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed, name="seed_generator")
        self._make_encoder()
        self._make_decoder()

    def _make_encoder(self):
        policy = self.dtype_policy
        self.encoder_convs = [
            keras.layers.Conv2D(
                filters,
                3,
                strides=2,
                padding="same",
                activation="relu",
                data_format="channels_last",
                dtype=policy,
                name=f"encoder_conv_{i}",
            )
            for i, filters in enumerate(self.encoder_filters)
        ]
        self.encoder_hidden = Dense(
            self.encoder_hidden_size,
            activation="relu",
            dtype=policy,
            name="encoder_hidden",
        )
        self.encoder_output = Dense(
            2 * self.latent_size, dtype=policy, name="encoder_output"
        )

    def _make_decoder(self):
        policy = self.dtype_policy
        self.decoder_convs = [
            keras.layers.Conv2D(
                filters,
                3,
                data_format="channels_last",
                dtype=policy,
                name=f"decoder_conv_{i}",
            )
            for i, filters in enumerate(self.decoder_filters)
        ]
        self.decoder_output = keras.layers.Conv2D(
            self.output_channels,
            1,
            data_format="channels_last",
            dtype=policy,
            name="decoder_output",
        )
        height, width = (
            side + 2 * len(self.decoder_filters) for side in self.resolution
        )
        ramps = np.meshgrid(
            np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij"
        )
        self.grid = np.stack(ramps, axis=-1)[np.newaxis]  # [1, H', W', 2]

    def build(self, input_shape):
        if len(input_shape) != 4 or tuple(input_shape[1:3]) != self.resolution:
            raise ValueError(
                "`inputs` of ComponentVAE must have the shape [batch, "
                f"{self.resolution[0]}, {self.resolution[1]}, channels]. "
                f"Received: inputs.shape={tuple(input_shape)}"
            )
        shape = tuple(input_shape)
        for conv in self.encoder_convs:
            conv.build(shape)
            shape = conv.compute_output_shape(shape)
        self.flat_size = shape[1] * shape[2] * shape[3]
        self.encoder_hidden.build((None, self.flat_size))
        self.encoder_output.build((None, self.encoder_hidden_size))
        channels = self.latent_size + self.grid.shape[-1]
        for conv in (*self.decoder_convs, self.decoder_output):
            conv.build((None, None, None, channels))
            channels = conv.filters

    def call(self, inputs, noise=None):
        mean, log_variance = self.encode(inputs)  # [B, L], [B, L]
        if noise is None:
            noise = keras.random.normal(
                ops.shape(mean), dtype=mean.dtype, seed=self.seed_generator
            )
        latents = mean + ops.exp(log_variance / 2) * ops.cast(noise, mean.dtype)
        return self.decode(latents), latents, mean, log_variance

    def encode(self, inputs):
        """Mean and log variance `[B, L]` of the variables of images `[B, H, W, C]`."""
        x = inputs
        for conv in self.encoder_convs:
            x = conv(x)
        x = self.encoder_hidden(ops.reshape(x, (-1, self.flat_size)))
        x = self.encoder_output(x)  # [B, 2 L]
        # Half precision would round what the divergence from the prior is made of.
        x = ops.cast(x, keras.backend.result_type(x.dtype, "float32"))
        return x[:, : self.latent_size], x[:, self.latent_size :]

    def decode(self, latents):
        """Images `[B, H, W, output_channels]` of variables `[B, L]`."""
        first, *others = self.decoder_convs
        x = ops.relu(self._first_convolution(first, latents))
        for conv in others:
            x = ops.relu(conv(x))
        return self.decoder_output(x)

    def _first_convolution(self, conv, latents):
        """`conv` of the latents copied to the grid, next to the coordinates."""
        kernel = ops.cast(conv.kernel, self.compute_dtype)  # [3, 3, L + 2, filters]
        taps = ops.sum(kernel[:, :, : self.latent_size], axis=(0, 1))  # [L, filters]
        latents = ops.matmul(ops.cast(latents, self.compute_dtype), taps)
        grid = ops.convert_to_tensor(self.grid, dtype=self.compute_dtype)
        position = ops.conv(
            grid,
            kernel[:, :, self.latent_size :],
            padding="valid",
            data_format="channels_last",
        )
        position = position + ops.cast(conv.bias, self.compute_dtype)
        return latents[:, np.newaxis, np.newaxis] + position

    def get_config(self):
        config = {
            "resolution": self.resolution,
            "output_channels": self.output_channels,
            "latent_size": self.latent_size,
            "encoder_filters": self.encoder_filters,
            "encoder_hidden_size": self.encoder_hidden_size,
            "decoder_filters": self.decoder_filters,
            "seed": self.seed,
        }
        return {**super().get_config(), **config}
