"""The set-prediction model."""

import keras
import numpy as np
import pytest

from slot_attention_tf.layers import ConvEncoder
from slot_attention_tf.models.classifier import SlotAttentionClassifier

RESOLUTION = (16, 20)


def small_classifier(**kwargs):
    encoder = ConvEncoder(RESOLUTION, filters=(8, 8), strides=(2, 1), kernel_size=3)
    arguments = {
        "resolution": RESOLUTION,
        "num_slots": 4,
        "num_iterations": 2,
        "slot_size": 16,
        "mlp_hidden_size": 16,
        "encoder": encoder,
        "seed": 0,
    }
    return SlotAttentionClassifier(**{**arguments, **kwargs})


def images(rng, batch_size=3, channels=3):
    return rng.uniform(-1, 1, [batch_size, *RESOLUTION, channels]).astype("float32")


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def test_has_the_weights_of_the_reference_release():
    model = SlotAttentionClassifier((128, 128), num_slots=10, num_iterations=3)
    assert model.encoder.feature_resolution == (32, 32)
    shapes = sorted(tuple(weight.shape) for weight in model.trainable_variables)
    c, d, h = 64, 64, 128
    expected = [(5, 5, 3, c), *[(5, 5, c, c)] * 3, *[(c,)] * 4]
    expected += [(4, c), (c,), (c,), (c,), (c, c), (c,), (c, c), (c,)]
    expected += [(1, 1, d)] * 2 + [(d, d)] * 3 + [(d,)] * 6
    expected += [(d, 3 * d), (d, 3 * d), (2, 3 * d), (d, h), (h,), (h, d), (d,)]
    expected += [(d, 64), (64,), (64, 19), (19,)]
    assert shapes == sorted(expected)


def test_predictions_are_a_set_of_properties(rng):
    model = small_classifier()
    predictions = array(model(images(rng)))
    assert predictions.shape == (3, 4, 19)
    assert predictions.min() > 0 and predictions.max() < 1
    assert predictions.std(axis=1).max() > 1e-4, "all slots alike"


def test_head_is_an_mlp_with_sigmoid(rng):
    model = small_classifier()
    batch = images(rng)
    initial = rng.normal(size=[3, 4, 16]).astype("float32")
    slots = array(model.slot_attention(model.encoder(batch), initial_slots=initial))
    hidden = np.maximum(slots @ array(model.head_hidden.kernel), 0)
    logits = hidden @ array(model.head_output.kernel)
    np.testing.assert_allclose(
        array(model(batch, initial_slots=initial)), 1 / (1 + np.exp(-logits)), atol=1e-5
    )


def test_options_at_call_time(rng):
    model = small_classifier()
    batch = images(rng, batch_size=2)
    predictions, attention = model(
        batch, num_slots=7, num_iterations=5, return_attention=True
    )
    assert predictions.shape == (2, 7, 19)
    assert attention.shape == (2, 5, 8 * 10, 7)
    np.testing.assert_allclose(array(attention).sum(axis=-1), 1, atol=1e-5)


def test_order_of_slots_is_the_order_of_the_start(rng):
    model = small_classifier()
    batch = images(rng)
    initial = rng.normal(size=[3, 4, 16]).astype("float32")
    order = [2, 0, 3, 1]
    straight = array(model(batch, initial_slots=initial))
    permuted = array(model(batch, initial_slots=initial[:, order]))
    np.testing.assert_allclose(permuted, straight[:, order], atol=1e-5)
    assert np.abs(permuted - straight).max() > 1e-4


@pytest.mark.slow
def test_every_weight_learns_by_fit(rng):
    model = small_classifier()
    before = [array(weight) for weight in model.trainable_variables]
    targets = np.zeros([8, 4, 19], "float32")
    targets[:, :2, [4, 6, 8, 12, 18]] = 1
    model.compile(keras.optimizers.Adam(3e-3))
    history = model.fit(
        images(rng, batch_size=8), targets, batch_size=8, epochs=30, verbose=0
    )
    losses = history.history["loss"]
    assert losses[-1] < 0.5 * losses[0]
    for weight, old in zip(model.trainable_variables, before, strict=True):
        assert np.abs(array(weight) - old).max() > 0, weight.path


def test_fit_refuses_more_objects_than_slots(rng):
    model = small_classifier()
    model.compile()
    with pytest.raises(ValueError, match=r"num_slots=5.*Received"):
        model.fit(images(rng), np.zeros([3, 5, 19], "float32"), verbose=0)


def test_save_and_load(rng, tmp_path):
    model = small_classifier(num_properties=7, head_hidden_size=5, num_channels=1)
    batch = images(rng, channels=1)
    initial = rng.normal(size=[3, 4, 16]).astype("float32")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert (loaded.num_properties, loaded.head_hidden_size) == (7, 5)
    np.testing.assert_array_equal(
        array(loaded(batch, initial_slots=initial)),
        array(model(batch, initial_slots=initial)),
    )


def test_mixed_precision_predicts_in_float32(rng):
    keras.config.set_dtype_policy("mixed_float16")
    predictions = array(small_classifier()(images(rng)))
    assert predictions.dtype == np.float32
    assert np.isfinite(predictions).all()


@pytest.mark.slow
def test_same_predictions_on_jax(rng, tmp_path, run_python):
    pytest.importorskip("jax")
    model = small_classifier()
    batch, initial = images(rng), rng.normal(size=[3, 4, 16]).astype("float32")
    model.save(tmp_path / "model.keras")
    expected = array(model(batch, initial_slots=initial))
    np.savez(tmp_path / "data.npz", batch=batch, initial=initial, expected=expected)
    run_python(
        f"""
import jax, keras, numpy as np
from slot_attention_tf.models.classifier import SlotAttentionClassifier
data = np.load({str(tmp_path / "data.npz")!r})
model = keras.models.load_model({str(tmp_path / "model.keras")!r})
predict = jax.jit(lambda images, start: model(images, initial_slots=start))
predictions = predict(data["batch"], data["initial"])
np.testing.assert_allclose(predictions, data["expected"], atol=1e-5)
""",
        KERAS_BACKEND="jax",
    )


@pytest.mark.slow
def test_fit_on_jax(run_python):
    pytest.importorskip("jax")
    run_python(
        """
import keras, numpy as np
from slot_attention_tf.layers import ConvEncoder
from slot_attention_tf.models.classifier import SlotAttentionClassifier
encoder = ConvEncoder((8, 8), filters=(8,))
model = SlotAttentionClassifier((8, 8), 4, 2, slot_size=8, encoder=encoder)
images = np.random.default_rng(0).uniform(-1, 1, [3, 8, 8, 3]).astype("float32")
targets = np.zeros([3, 4, 19], "float32")
model.compile(keras.optimizers.Adam(1e-2))
losses = model.fit(images, targets, epochs=5, verbose=0).history["loss"]
assert losses[-1] < losses[0], losses
""",
        KERAS_BACKEND="jax",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"resolution": 16}, r"`resolution` must be a pair.*resolution=16"),
        ({"num_slots": 0}, r"`num_slots`.*num_slots=0"),
        ({"num_iterations": 0}, r"`num_iterations`.*num_iterations=0"),
        ({"num_channels": 0}, r"`num_channels`.*num_channels=0"),
        ({"num_properties": 0}, r"`num_properties`.*num_properties=0"),
        ({"head_hidden_size": -1}, r"`head_hidden_size`.*head_hidden_size=-1"),
    ],
)
def test_constructor_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        small_classifier(**arguments)


@pytest.mark.parametrize("shape", [(2, 16, 16, 3), (2, 16, 20, 1), (16, 20, 3)])
def test_images_of_another_size_are_an_error(shape):
    with pytest.raises(ValueError, match=r"\(16, 20, 3\).*Received: images.shape="):
        small_classifier()(np.zeros(shape, "float32"))
