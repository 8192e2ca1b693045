"""Both decoders and the encoder against the plain computation they shorten."""

import keras
import numpy as np
import pytest
from keras import ops

from slot_attention_tf.layers import (
    ConvEncoder,
    PixelMLPDecoder,
    SoftPositionEmbed,
    SpatialBroadcastDecoder,
    build_grid,
    spatial_broadcast,
    spatial_flatten,
)


def randomise(layer, rng):
    for variable in layer.trainable_variables:
        variable.assign(rng.normal(size=variable.shape, scale=0.3))


def plain_decoder(decoder, slots):
    """Broadcast, position embedding and every convolution at full size."""
    x = decoder.position(spatial_broadcast(slots, decoder.broadcast_resolution))
    for conv in decoder.convs:
        x = ops.relu(conv(x))
    x = decoder.output_conv(x)
    return ops.reshape(x, (len(slots), slots.shape[1], *x.shape[1:]))


@pytest.mark.parametrize(
    "resolution,kernel_size,output_kernel_size",
    [((9, 12), 5, 3), ((7, 7), 3, 3), ((4, 9), 5, 1), ((8, 8), 4, 2), ((5, 5), 5, 3)],
)
def test_full_size_decoder_equals_plain_convolutions(
    rng, resolution, kernel_size, output_kernel_size
):
    decoder = SpatialBroadcastDecoder(
        resolution,
        num_channels=2,
        broadcast_resolution=resolution,
        filters=(6, 5),
        kernel_size=kernel_size,
        strides=1,
        output_kernel_size=output_kernel_size,
    )
    slots = rng.normal(size=(2, 3, 4)).astype("float32")
    assert decoder(slots).shape == (2, 3, *resolution, 3)
    randomise(decoder, rng)
    np.testing.assert_allclose(decoder(slots), plain_decoder(decoder, slots), atol=1e-4)


def test_strided_decoder_equals_plain_convolutions(rng):
    decoder = SpatialBroadcastDecoder(
        (16, 8), 1, (4, 2), filters=(6, 5, 4), strides=(2, 2, 1)
    )
    slots = rng.normal(size=(2, 3, 4)).astype("float32")
    assert decoder(slots).shape == (2, 3, 16, 8, 2)
    randomise(decoder, rng)
    np.testing.assert_allclose(decoder(slots), plain_decoder(decoder, slots), atol=1e-4)


def test_stride_one_convolution_is_the_transposed_one_with_a_flipped_kernel(rng):
    # Why the decoder may use Conv2D where the reference release has Conv2DTranspose.
    x = rng.normal(size=(1, 6, 7, 3)).astype("float32")
    kernel = rng.normal(size=(5, 5, 2, 3)).astype("float32")  # [kh, kw, out, in]
    np.testing.assert_allclose(
        ops.conv_transpose(x, kernel, strides=1, padding="same"),
        ops.conv(x, kernel[::-1, ::-1].transpose(0, 1, 3, 2), padding="same"),
        atol=1e-4,
    )


def test_pixel_decoder_is_an_mlp_of_slot_and_position(rng):
    decoder = PixelMLPDecoder((3, 4), num_channels=2, hidden_sizes=(6, 5))
    slots = rng.normal(size=(2, 3, 7)).astype("float32")
    decoded = decoder(slots)
    assert decoded.shape == (2, 3, 3, 4, 3)
    randomise(decoder, rng)
    decoded = decoder(slots)
    first = np.concatenate(
        [decoder.project_slots.kernel.numpy(), decoder.project_position.kernel.numpy()]
    )
    for row in range(3):
        for column in range(4):
            y, x = row / 2, column / 3
            position = np.broadcast_to([y, x, 1 - y, 1 - x], (2, 3, 4))
            h = np.concatenate([slots, position], axis=-1) @ first
            h = np.maximum(h + decoder.project_slots.bias.numpy(), 0)
            h = np.maximum(decoder.hidden[0](h.astype("float32")), 0)
            np.testing.assert_allclose(
                decoded[:, :, row, column], decoder.output_dense(h), atol=1e-5
            )


def test_pixel_decoder_decodes_patches_at_once(rng):
    decoder = PixelMLPDecoder((6, 4), num_channels=2, hidden_sizes=(5,), patch_size=2)
    slots = rng.normal(size=(2, 3, 7)).astype("float32")
    decoder.build(slots.shape)
    randomise(decoder, rng)
    decoded = np.asarray(decoder(slots))
    assert decoded.shape == (2, 3, 6, 4, 3) == decoder.compute_output_shape((2, 3, 7))
    for row in range(3):
        for column in range(2):
            y, x = row / 2, column
            position = np.array([y, x, 1 - y, 1 - x], "float32")
            h = slots @ decoder.project_slots.kernel.numpy()
            h = h + decoder.project_slots.bias.numpy()
            h = np.maximum(h + position @ decoder.project_position.kernel.numpy(), 0)
            patch = np.asarray(decoder.output_dense(h)).reshape(2, 3, 2, 2, 3)
            rows, columns = (
                slice(2 * row, 2 * row + 2),
                slice(2 * column, 2 * column + 2),
            )
            np.testing.assert_allclose(decoded[:, :, rows, columns], patch, atol=1e-5)


def test_broadcast_decoder_decodes_patches_at_once(rng):
    sizes = {"filters": (4, 5), "strides": (1, 2), "kernel_size": 3}
    decoder = SpatialBroadcastDecoder((8, 12), 2, (2, 3), patch_size=2, **sizes)
    slots = rng.normal(size=(2, 3, 7)).astype("float32")
    decoder.build(slots.shape)
    randomise(decoder, rng)
    decoded = np.asarray(decoder(slots))
    assert decoded.shape == (2, 3, 8, 12, 3) == decoder.compute_output_shape((2, 3, 7))
    # Each patch is what a decoder without patches outputs as channels of one position.
    whole = SpatialBroadcastDecoder((4, 6), 11, (2, 3), **sizes)
    whole.build(slots.shape)
    whole.set_weights(decoder.get_weights())
    channels = np.asarray(whole(slots))
    for row in range(4):
        for column in range(6):
            patch = channels[:, :, row, column].reshape(2, 3, 2, 2, 3)
            rows, columns = np.s_[2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            np.testing.assert_allclose(decoded[:, :, rows, columns], patch, atol=1e-5)


def test_encoder_follows_the_paper_step_by_step(rng):
    encoder = ConvEncoder(
        (9, 7), filters=(4, 6), kernel_size=3, strides=(2, 1), feature_size=5
    )
    images = rng.normal(size=(2, 9, 7, 3)).astype("float32")
    assert encoder(images).shape == (2, 5 * 4, 5)
    assert encoder.feature_resolution == (5, 4)
    assert encoder.compute_output_shape((None, 9, 7, 3)) == (None, 20, 5)
    randomise(encoder, rng)
    x = images
    for i, conv in enumerate(encoder.convs):
        kernel, bias = conv.kernel.numpy(), conv.bias.numpy()
        strides = encoder.strides[i]
        x = np.maximum(ops.conv(x, kernel, strides, padding="same") + bias, 0)
    x = x + (build_grid((5, 4)) @ encoder.position.dense.kernel.numpy())
    x = (x + encoder.position.dense.bias.numpy()).reshape(2, 20, 6)
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-3)
    x = x * encoder.norm.gamma.numpy() + encoder.norm.beta.numpy()
    x = x @ encoder.mlp_hidden.kernel.numpy() + encoder.mlp_hidden.bias.numpy()
    x = np.maximum(x, 0) @ encoder.mlp_output.kernel.numpy()
    x = x + encoder.mlp_output.bias.numpy()
    np.testing.assert_allclose(encoder(images), x, atol=1e-4)


def test_colors_of_the_pixels_follow_the_features(rng):
    sizes = {"filters": (4, 6), "kernel_size": 3, "strides": (2, 1), "feature_size": 5}
    plain = ConvEncoder((9, 7), **sizes)
    encoder = ConvEncoder((9, 7), **sizes, append_colors=True)
    images = rng.normal(size=(2, 9, 7, 3)).astype("float32")
    features = encoder(images)
    assert encoder.compute_output_shape((None, 9, 7, 3)) == (None, 20, 8)
    plain(images)
    plain.set_weights(encoder.get_weights())
    np.testing.assert_array_equal(features[..., :5], plain(images))
    # The last row and column of the feature map have fewer pixels.
    for position in range(20):
        row, column = 2 * (position // 4), 2 * (position % 4)
        pixels = images[:, row : row + 2, column : column + 2]
        found = features[:, position, 5:]
        np.testing.assert_allclose(found, pixels.mean((1, 2)), atol=1e-6)


def test_grid_holds_four_ramps():
    grid = build_grid((3, 5))
    assert grid.shape == (1, 3, 5, 4) and grid.dtype == np.float32
    np.testing.assert_allclose(grid[0, 1, 3], [0.5, 0.75, 0.5, 0.25])
    np.testing.assert_array_equal(build_grid((1, 1)), [[[[0, 0, 1, 1]]]])


def test_soft_position_embed_adds_a_projection_of_the_grid(rng):
    layer = SoftPositionEmbed(6, (4, 5))
    x = rng.normal(size=(2, 4, 5, 6)).astype("float32")
    embedded = layer(x)
    expected = x + build_grid((4, 5)) @ layer.dense.kernel.numpy()
    np.testing.assert_allclose(embedded, expected, atol=1e-6)


def test_flatten_and_broadcast(rng):
    x = rng.normal(size=(2, 3, 4, 5)).astype("float32")
    np.testing.assert_array_equal(spatial_flatten(x), x.reshape(2, 12, 5))
    slots = rng.normal(size=(2, 3, 5)).astype("float32")
    copies = np.array(spatial_broadcast(slots, (2, 4)))
    assert copies.shape == (6, 2, 4, 5)
    np.testing.assert_array_equal(copies[4, 1, 2], slots[1, 1])


@pytest.mark.parametrize(
    "make,message",
    [
        (lambda: build_grid((3,)), r"`resolution` must be a pair.*\(3,\)"),
        (lambda: build_grid((0, 3)), r"at least 1.*\(0, 3\)"),
        (lambda: SoftPositionEmbed(0, (3, 3)), "Received: hidden_size=0"),
        (lambda: SoftPositionEmbed(4, (3, 3))(np.zeros((1, 3, 4, 4))), "3, 3, 4"),
        (lambda: ConvEncoder((8, 8), filters=()), r"at least one.*\(\)"),
        (lambda: ConvEncoder((8, 8), strides=(1, 2)), r"4 of them.*\(1, 2\)"),
        (lambda: ConvEncoder((8, 8), kernel_size=0), "Received: kernel_size=0"),
        (lambda: ConvEncoder((8, 8))(np.zeros((1, 8, 9, 3))), r"\(1, 8, 9, 3\)"),
        (lambda: SpatialBroadcastDecoder((64, 64)), r"\(128, 128\).*\(64, 64\)"),
        (lambda: SpatialBroadcastDecoder((128, 128), 0), "num_channels=0"),
        (lambda: SpatialBroadcastDecoder((128, 128), patch_size=2), "patch_size=2"),
        (lambda: SpatialBroadcastDecoder((128, 128), patch_size=0), "patch_size=0"),
        (lambda: PixelMLPDecoder((8, 8), hidden_sizes=()), "hidden_sizes"),
        (lambda: PixelMLPDecoder((8, 6), patch_size=4), r"patch_size=4.*\(8, 6\)"),
    ],
)
def test_wrong_sizes_are_named(make, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        make()


@pytest.mark.parametrize("stride", [1, 2])
def test_mixed_precision_decodes_in_half(rng, stride):
    keras.config.set_dtype_policy("mixed_float16")
    decoder = SpatialBroadcastDecoder(
        (8, 8), 3, (8 // stride, 8 // stride), filters=(4,), strides=stride
    )
    decoded = decoder(rng.normal(size=(1, 2, 4)))
    assert decoded.dtype == "float16" and np.isfinite(decoded).all()
