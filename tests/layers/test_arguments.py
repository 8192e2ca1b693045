"""Bad arguments and shapes fail with our words; unusual good ones work."""

import json

import keras
import numpy as np
import pytest

import slot_attention_tf as sa
from slot_attention_tf.layers import arguments

# Name: constructor, shape of good inputs, arguments of a call.
LAYERS = {
    "SlotAttention": (lambda: sa.SlotAttention(2, 3, 8, 16), (2, 10, 5), {}),
    "SlotInitializer": (lambda: sa.SlotInitializer(8), (2, 10, 5), {"num_slots": 3}),
    "FixedSlotInitializer": (
        lambda: sa.FixedSlotInitializer(8, 4),
        (2, 10, 5),
        {"num_slots": 3},
    ),
    "SlotMLP": (lambda: sa.SlotMLP(3, 8, (2, 5)), (2, 10, 5), {}),
    "SoftPositionEmbed": (lambda: sa.SoftPositionEmbed(5, (4, 3)), (2, 4, 3, 5), {}),
    "ConvEncoder": (lambda: sa.ConvEncoder((8, 6), filters=(4,)), (2, 8, 6, 3), {}),
    "PixelMLPDecoder": (lambda: sa.PixelMLPDecoder((8, 6)), (2, 3, 8), {}),
    "SpatialBroadcastDecoder": (
        lambda: sa.SpatialBroadcastDecoder(
            (8, 6), 3, (8, 6), filters=(4, 5), strides=1
        ),
        (2, 3, 8),
        {},
    ),
    "StridedDecoder": (
        lambda: sa.SpatialBroadcastDecoder(
            (8, 6), 3, (4, 3), filters=(4, 5), strides=(2, 1)
        ),
        (2, 3, 8),
        {},
    ),
}
# Those read the batch size only.
CHECKED = sorted(set(LAYERS) - {"SlotInitializer", "FixedSlotInitializer"})


@pytest.mark.parametrize("name", CHECKED)
@pytest.mark.parametrize(
    "change",
    [
        lambda shape: (shape[0] * shape[1], *shape[2:]),  # A rank less,
        lambda shape: (*shape[:2], 1, *shape[2:]),  # a rank more,
        lambda shape: (*shape[:-1], shape[-1] + 1),  # another width,
        lambda shape: (0, *shape[1:]),  # and nothing at all.
    ],
)
@pytest.mark.parametrize("symbolic", [False, True])
def test_inputs_of_a_built_layer_are_checked(name, change, symbolic):
    make, shape, kwargs = LAYERS[name]
    layer = make()
    layer(np.zeros(shape), **kwargs)
    wrong = change(shape)
    inputs = keras.Input(batch_shape=wrong) if symbolic else np.zeros(wrong)
    received = rf"must have the shape \[batch, .*Received: \w+\.shape=\({wrong[0]}, "
    with pytest.raises(ValueError, match=received):
        layer(inputs, **kwargs)


def test_an_empty_batch_is_named():
    with pytest.raises(ValueError, match=r"none of them 0.*\(0, 10, 5\)"):
        sa.SlotAttention(2, 3, 8, 16)(np.zeros((0, 10, 5)))


@pytest.mark.parametrize("resolution", [(35.0, 35.0), (35.5, 35), ("a", 3), (0, 3)])
def test_a_resolution_consists_of_integers(resolution):
    for make in (sa.build_grid, sa.ConvEncoder, sa.PixelMLPDecoder):
        with pytest.raises(ValueError, match="integers of at least 1.*Received: resol"):
            make(resolution)


@pytest.mark.parametrize("integer", [np.int64, np.int32, np.uint8])
def test_integers_of_numpy_are_sizes(rng, integer):
    layer = sa.SlotAttention(integer(2), integer(3), integer(8), integer(16))
    assert type(json.loads(json.dumps(layer.get_config()))["num_slots"]) is int
    inputs = rng.normal(size=(2, 10, 5))
    slots, attention = layer(
        inputs,
        num_slots=integer(5),
        num_iterations=integer(4),
        return_attention=True,
    )
    assert slots.shape == (2, 5, 8) and attention.shape == (2, 4, 10, 5)
    decoder = sa.PixelMLPDecoder(
        np.array([8, 6]), integer(3), np.array([8, 4]), patch_size=integer(2)
    )
    assert decoder(slots).shape == (2, 5, 8, 6, 4)
    for other in (
        decoder,
        sa.ConvEncoder(np.array([8, 6]), np.array([4]), integer(3)),
        sa.SlotInitializer(integer(8)),
        sa.SlotMLP(integer(3), integer(8), np.array([2, 5])),
        sa.SoftPositionEmbed(integer(8), np.array([2, 5])),
        sa.SpatialBroadcastDecoder(np.array([128, 128]), integer(3)),
    ):
        json.dumps(other.get_config())


def test_a_functional_model_keeps_an_integer_of_numpy(tmp_path):
    inputs = keras.Input((10, 5))
    slots = sa.SlotAttention(2, 3, 8, 16)(inputs, num_slots=np.int64(5))
    assert slots.shape == (None, 5, 8)
    keras.Model(inputs, slots).save(tmp_path / "model.keras")
    model = keras.saving.load_model(tmp_path / "model.keras")
    assert model(np.zeros((2, 10, 5))).shape == (2, 5, 8)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.filterwarnings("ignore:Layer .* does not have a .quantize")
@pytest.mark.filterwarnings("ignore:Layers of slot_attention_tf stay in floating point")
def test_a_quantized_model_with_our_layer_is_saved(rng, name, tmp_path):
    make, shape, kwargs = LAYERS[name]
    inputs = keras.Input(shape[1:])
    hidden = keras.layers.Dense(shape[-1], name="theirs")(inputs)
    layer = make()
    model = keras.Model(inputs, layer(hidden, **kwargs))
    before = [np.array(weight) for weight in layer.weights]
    model.quantize("int8")
    assert model.get_layer("theirs").kernel.dtype == "int8"
    for weight, expected in zip(layer.weights, before, strict=True):
        np.testing.assert_array_equal(weight, expected)
    model.save(tmp_path / "model.keras")
    copy = keras.saving.load_model(tmp_path / "model.keras")
    if name not in ("SlotAttention", "SlotInitializer"):  # They start at random.
        data = rng.normal(size=shape).astype("float32")
        np.testing.assert_array_equal(copy(data), model(data))


@pytest.mark.filterwarnings("ignore:Layer .* does not have a .quantize")
def test_a_quantized_model_says_that_our_layers_are_not():
    inputs = keras.Input((10, 5))
    model = keras.Model(inputs, sa.SlotMLP(3, 8, (2, 5))(inputs))
    with pytest.warns(UserWarning, match="slot_attention_tf stay in floating point"):
        model.quantize("int8")


@pytest.mark.parametrize("value", [0, -1, 2.0, "3", None, np.float32(3), [3]])
def test_check_positive_refuses_all_but_positive_integers(value):
    with pytest.raises(ValueError, match="`size` must be an integer of at least 1"):
        arguments.check_positive("size", value)
