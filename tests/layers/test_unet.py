"""The U-Net against a NumPy oracle of its parts."""

import keras
import numpy as np
import pytest

from slot_attention_tf.layers import UNet


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def weights_of(layer, rng):
    """Random weights, float64, by the name of the part: biases are not zero."""
    values = {}
    for weight in layer.trainable_weights:
        part, name = weight.path.split("/")[-2:]
        center = 1.0 if name == "gamma" else 0.0
        weight.assign(rng.normal(center, 0.5, size=weight.shape))
        values.setdefault(part, {})[name] = array(weight).astype("float64")
    return values


def block(x, conv, norm):
    """Convolution, instance normalization and ReLU of one image `[H, W, C]`."""
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    height, width = x.shape[:2]
    x = sum(
        padded[i : i + height, j : j + width] @ conv["kernel"][i, j]
        for i in range(3)
        for j in range(3)
    )
    x = (x - x.mean((0, 1))) / np.sqrt(x.var((0, 1)) + 1e-5)
    return np.maximum(x * norm["gamma"] + norm["beta"], 0)


def oracle(image, weights, depth, padding):
    x = np.pad(image, (*padding, (0, 0)))
    skips = []
    for i in range(depth):
        x = block(x, weights[f"down_conv_{i}"], weights[f"down_norm_{i}"])
        skips.append(x)
        if i < depth - 1:
            x = x[::2, ::2]
    flat = x.reshape(-1)
    for i in range(3):
        dense = weights[f"mlp_{i}"]
        flat = np.maximum(flat @ dense["kernel"] + dense["bias"], 0)
    x = flat.reshape(x.shape)
    for i in range(depth):
        x = np.concatenate([x, skips[depth - 1 - i]], axis=-1)
        x = block(x, weights[f"up_conv_{i}"], weights[f"up_norm_{i}"])
        if i < depth - 1:
            x = np.kron(x, np.ones((2, 2, 1)))
    x = x @ weights["output_conv"]["kernel"][0, 0] + weights["output_conv"]["bias"]
    (top, bottom), (left, right) = padding
    return x[top : len(x) - bottom, left : x.shape[1] - right]


@pytest.mark.parametrize(
    ("resolution", "padding"),
    [((8, 12), ((0, 0), (0, 0))), ((7, 10), ((0, 1), (1, 1)))],
)
def test_logits_are_those_of_the_oracle(resolution, padding, rng):
    layer = UNet(filters=(3, 4, 5), hidden_size=6)
    images = rng.normal(size=(2, *resolution, 4)).astype("float32")
    layer(images)
    weights = weights_of(layer, rng)
    logits = array(layer(images))
    expected = [oracle(image, weights, 3, padding) for image in images]
    assert np.std(expected) > 0.1
    np.testing.assert_allclose(logits, expected, atol=1e-4, rtol=1e-4)


def test_every_pixel_sees_the_whole_image(rng):
    layer = UNet(filters=(3, 4, 5))
    images = np.repeat(rng.normal(size=(1, 32, 32, 2)), 2, axis=0).astype("float32")
    images[1, 0, 0] += 1
    logits = array(layer(images))
    assert np.abs(logits[0, -1, -1] - logits[1, -1, -1]).max() > 1e-6


def test_number_of_weights_is_that_of_the_port():
    layer = UNet(filters=(32, 32, 64, 64, 64))
    layer.build((None, 64, 64, 4))
    assert layer.count_params() == 604_513


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"Received: filters=\(\)"):
        UNet(filters=())
    with pytest.raises(ValueError, match=r"Received: filters=\(8, 0\)"):
        UNet(filters=(8, 0))
    with pytest.raises(ValueError, match="Received: hidden_size=0"):
        UNet(hidden_size=0)
    with pytest.raises(
        ValueError, match=r"Received: inputs.shape=\(None, None, 8, 3\)"
    ):
        UNet().build((None, None, 8, 3))
