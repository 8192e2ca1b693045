"""SlotMLP against plain NumPy, and what it cannot do."""

import keras
import numpy as np
import pytest

from slot_attention_tf.layers import SlotAttention, SlotMLP


def numpy_resize(image, size):
    """Bilinear, pixel centres at half integers, one output pixel at a time."""
    resized = np.zeros((*size, image.shape[-1]))
    for row in range(size[0]):
        for column in range(size[1]):
            y = np.clip((row + 0.5) * image.shape[0] / size[0] - 0.5, 0, None)
            x = np.clip((column + 0.5) * image.shape[1] / size[1] - 0.5, 0, None)
            for i in (int(y), int(y) + 1):
                for j in (int(x), int(x) + 1):
                    weight = (1 - abs(y - i)) * (1 - abs(x - j))
                    pixel = image[
                        min(i, image.shape[0] - 1), min(j, image.shape[1] - 1)
                    ]
                    resized[row, column] += weight * pixel
    return resized


def numpy_slot_mlp(layer, features):
    x = features.reshape(*layer.resolution, -1).astype("float64")
    x = numpy_resize(x, layer.feature_resolution).reshape(-1)
    for dense in layer.hidden:
        x = np.maximum(x @ dense.kernel.numpy() + dense.bias.numpy(), 0)
    x = x @ layer.output_dense.kernel.numpy() + layer.output_dense.bias.numpy()
    return x.reshape(layer.num_slots, layer.slot_size)


@pytest.mark.parametrize(
    "resolution,feature_resolution",
    [((4, 5), (4, 5)), ((4, 5), (7, 9)), ((9, 8), (3, 5)), ((35, 35), (16, 16))],
)
def test_matches_plain_numpy(rng, resolution, feature_resolution):
    layer = SlotMLP(3, 6, resolution, feature_resolution, hidden_units=(9, 7))
    size = resolution[0] * resolution[1]
    layer.build((None, size, 4))
    for variable in layer.trainable_variables:
        variable.assign(rng.normal(size=variable.shape, scale=0.3))
    features = rng.normal(size=(2, size, 4)).astype("float32")
    slots = layer(features)
    for b in range(2):
        expected = numpy_slot_mlp(layer, features[b])
        np.testing.assert_allclose(slots[b], expected, atol=1e-4)


def test_the_order_of_inputs_matters_and_slots_differ_by_their_weights(rng):
    layer = SlotMLP(4, 8, (4, 5), hidden_units=(16,))
    features = rng.normal(size=(2, 20, 6)).astype("float32")
    slots = np.array(layer(features))
    moved = np.array(layer(features[:, rng.permutation(20)]))
    # Slot Attention would give the same slots (Proposition 1) to rounding.
    assert np.abs(moved - slots).max() > 0.1
    # Slot k is decided by the weights: swapping two columns of them swaps the slots.
    output = layer.output_dense
    for variable in (output.kernel, output.bias):
        columns = np.array(variable).reshape(-1, 4, 8)[:, [1, 0, 2, 3]]
        variable.assign(columns.reshape(variable.shape))
    np.testing.assert_allclose(layer(features), slots[:, [1, 0, 2, 3]], atol=1e-6)


@pytest.mark.parametrize(
    "argument,message",
    [
        ({"num_slots": 5}, "weights of this SlotMLP give 4 slots.*num_slots=5"),
        ({"num_slots": 0}, "Received: num_slots=0"),
        ({"num_iterations": 3}, "in one pass.*num_iterations=3"),
        (
            {"initial_slots": np.zeros((2, 4, 8))},
            r"no `initial_slots`.*inputs alone.*\(2, 4, 8\)",
        ),
        ({"mask": np.ones((2, 20), bool)}, "no `mask`.*whole feature map"),
        ({"return_attention": True}, "computes no attention.*return_attention=True"),
    ],
)
def test_refuses_what_one_mlp_cannot_do(argument, message):
    layer = SlotMLP(4, 8, (4, 5))
    with pytest.raises(ValueError, match=f"(?s){message}"):
        layer(np.zeros((2, 20, 6)), **argument)
    if "num_slots" in argument or "return_attention" in argument:
        with pytest.raises(ValueError, match=f"(?s){message}"):
            layer(keras.Input((20, 6)), **argument)
    # A caller may pass what every slot layer takes, left at its defaults.
    slots = layer(
        np.zeros((2, 20, 6)),
        num_slots=4,
        num_iterations=None,
        initial_slots=None,
        mask=None,
        return_attention=False,
    )
    assert slots.shape == (2, 4, 8)


def test_refuses_a_keras_mask():
    inputs = keras.Input((20, 6))
    with pytest.raises(ValueError, match="(?s)no `mask`"):
        SlotMLP(4, 8, (4, 5))(keras.layers.Masking()(inputs))


@pytest.mark.parametrize("shape", [(2, 21, 6), (2, 4, 5, 6), (0, 20, 6), (2, 20, 7)])
def test_refuses_inputs_of_another_shape(shape):
    layer = SlotMLP(4, 8, (4, 5))
    layer.build((None, 20, 6))
    with pytest.raises(ValueError, match=r"(?s)\[batch, 20, .*\(4, 5\).*Received: inp"):
        layer(np.zeros(shape))


def test_tells_callers_whether_it_has_attention():
    assert SlotAttention.has_attention and not SlotMLP.has_attention
    assert SlotMLP(4, 8, (4, 5)).num_iterations is None
