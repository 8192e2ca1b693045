"""What the models share: one loss, checks of inputs, loading compiled models."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import slot_attention_tf as sa
from slot_attention_tf.training.randomness import fixed_randomness

NAMES = ("autoencoder", "classifier")


def small_model(name):
    encoder = sa.ConvEncoder((8, 6), filters=(4,))
    if name == "classifier":
        return sa.SlotAttentionClassifier((8, 6), 3, 2, slot_size=8, encoder=encoder)
    decoder = sa.PixelMLPDecoder((8, 6), hidden_sizes=(8,))
    return sa.SlotAttentionAutoEncoder(
        (8, 6), 3, 2, slot_size=8, encoder=encoder, decoder=decoder
    )


def training_data(name, rng):
    images = rng.uniform(-1, 1, size=(4, 8, 6, 3)).astype("float32")
    targets = rng.uniform(size=(4, 3, 19)).astype("float32")
    return (images, targets) if name == "classifier" else (images,)


def test_fit_traces_a_step_once(rng):
    model = small_model("autoencoder")
    loss, traces = model.loss_per_example, []

    def traced(*arguments, **options):
        traces.append(1)
        return loss(*arguments, **options)

    model.loss_per_example = traced
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(random_images(rng), epochs=2, verbose=0)
    assert len(traces) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_compiled_model_goes_on_training_after_loading(name, rng, tmp_path):
    data = training_data(name, rng)
    model = small_model(name)
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(*data, shuffle=False, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert int(loaded.optimizer.iterations) == 1
    for each in (model, loaded):
        with fixed_randomness(each):
            each.fit(*data, shuffle=False, verbose=0)
    for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", NAMES)
def test_a_frozen_encoder_stays_frozen_after_loading(name, tmp_path):
    model = small_model(name)
    model.encoder.trainable = False
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    trainable = [variable.shape for variable in model.trainable_variables]
    assert [variable.shape for variable in loaded.trainable_variables] == trainable
    assert not loaded.encoder.trainable_variables


def random_images(rng, *shape):
    return rng.uniform(-1, 1, size=shape or (4, 8, 6, 3)).astype("float32")


def test_fit_evaluate_and_the_loop_share_one_loss(rng):
    """Spare slots learn "no object" in all of them."""
    model = small_model("classifier")
    model.compile(keras.optimizers.SGD(0.0))
    images = random_images(rng)
    targets = rng.uniform(size=(4, 2, 19)).astype("float32")
    noise = np.zeros((4, 3, 8), "float32")
    model.slot_attention.slot_initializer.log_sigma.assign(np.full((1, 1, 8), -50.0))
    predictions = np.array(model(images, noise=noise))
    padded = np.concatenate([targets, np.zeros((4, 1, 19), "float32")], axis=1)
    expected = float(sa.hungarian_huber_loss(predictions, padded))
    batch = {"image": images, "target": targets}
    losses = np.array(model.loss_per_example(batch))
    assert losses.shape == (4,) and losses.mean() == pytest.approx(expected, rel=1e-4)
    assert model.evaluate(images, targets, verbose=0) == pytest.approx(expected, 1e-4)
    (loss,) = model.fit(images, targets, verbose=0).history["loss"]
    assert loss == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_sample_weights_and_regularizers_count(name, rng):
    images, *targets = training_data(name, rng)
    # An autoencoder takes its images as targets where Keras wants some.
    targets = targets or [images]
    encoder = sa.ConvEncoder((8, 6), filters=(4,))
    encoder.convs[0].kernel_regularizer = keras.regularizers.L2(100.0)
    model = small_model(name)
    weighted, plain = small_model(name), small_model(name)
    for each in (weighted, plain):
        each.set_weights(model.get_weights())
        each.compile(keras.optimizers.SGD(0.1))
    weights = np.array([0.0, 0.0, 0.0, 2.0])
    with fixed_randomness(weighted):
        (loss,) = weighted.fit(
            images, *targets, sample_weight=weights, shuffle=False, verbose=0
        ).history["loss"]
    with fixed_randomness(plain):
        batch = {"image": images, "target": targets[0]}
        losses = np.array(plain.loss_per_example(batch))
    assert loss == pytest.approx(2 * losses[3] / 4, rel=1e-3)

    arguments = {"slot_size": 8, "encoder": encoder}
    regular = type(model)((8, 6), 3, 2, **arguments)
    regular.compile(keras.optimizers.SGD(0.0))
    (loss,) = regular.fit(images, *targets, verbose=0).history["loss"]
    penalty = 100.0 * float(np.sum(np.square(encoder.convs[0].kernel)))
    assert penalty > 1 and loss == pytest.approx(penalty, rel=0.5) and loss > penalty


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_fit_takes_the_batches_of_the_pipelines(name, rng):
    images = random_images(rng)
    batch = {
        "image": images,
        "segmentation": np.zeros((4, 8, 6), "uint8"),
        "target": rng.uniform(size=(4, 2, 19)).astype("float32"),
    }
    dataset = tf.data.Dataset.from_tensors(batch)
    given = (images, batch["target"]) if name == "classifier" else (images,)
    losses = []
    for data in ((dataset,), given):
        model = small_model(name)
        model.set_weights([np.full_like(w, 0.01) for w in model.get_weights()])
        model.slot_attention.slot_initializer.log_sigma.assign(np.full((1, 1, 8), -50))
        model.compile(keras.optimizers.SGD(0.1))
        losses += model.fit(*data, epochs=2, shuffle=False, verbose=0).history["loss"]
        losses.append(model.evaluate(*data, verbose=0))
        outputs = model.predict(data[0], verbose=0)
        first = outputs if name == "classifier" else outputs[0]
        assert first.shape[0] == 4
    np.testing.assert_allclose(losses[:3], losses[3:], rtol=1e-5)
    assert losses[1] < losses[0]


def test_weights_that_keras_would_ignore_are_refused(rng):
    model = small_model("autoencoder")
    model.compile()
    images = random_images(rng)
    with pytest.raises(ValueError, match=r"fit\(images, images, sample_weight"):
        model.fit(images, sample_weight=np.ones(4))
    with pytest.raises(ValueError, match="no classes.*Received: class_weight="):
        model.fit(images, images, class_weight={0: 1.0})


def test_fit_takes_arguments_in_the_order_of_keras(rng):
    model = small_model("autoencoder")
    model.compile()
    history = model.fit(random_images(rng), None, 2, 3, 0)
    assert len(history.epoch) == 3 and history.params["steps"] == 2


def test_fit_without_targets_is_explained(rng):
    model = small_model("classifier")
    model.compile()
    with pytest.raises(
        ValueError, match=r"fit\(images, targets\).*Received: no targets"
    ):
        model.fit(random_images(rng), verbose=0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 8, 6, 3), "uint8"), "preprocess_images.*dtype uint8"),
        (np.zeros((0, 8, 6, 3), "float32"), r"at least one image.*\(0, 8, 6, 3\)"),
        (np.zeros((2, 8, 6), "float32"), r"\(8, 6, 3\).*Received: images.shape"),
    ],
)
def test_images_that_are_wrong_are_refused(name, images, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        small_model(name)(images)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("scale", "shift"), [(127.5, 127.5), (0.5, 0.5)])
def test_images_of_another_range_are_a_warning_once(name, scale, shift, rng):
    model = small_model(name)
    images = random_images(rng) * scale + shift
    with pytest.warns(UserWarning, match=r"\[-1, 1\].*range from .*preprocess_images"):
        model.predict(images, verbose=0)
    model.predict(images, verbose=0)  # Warnings are errors here: there is none.
    small_model(name).predict(random_images(rng), verbose=0)


@pytest.mark.parametrize("name", NAMES)
def test_quantization_is_refused_before_anything_changes(name):
    model = small_model(name)
    with pytest.raises(NotImplementedError, match="Received: mode='int8'"):
        model.quantize("int8")
    assert all(weight.dtype == "float32" for weight in model.weights)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore:Layer .* does not have a .quantize")
@pytest.mark.filterwarnings("ignore:Layers of slot_attention_tf stay in floating point")
def test_a_quantized_model_around_ours_is_saved(name, tmp_path):
    inner = small_model(name)
    inputs = keras.Input((8, 6, 3))
    outer = keras.Model(inputs, inner(keras.layers.Dense(3)(inputs)))
    before = inner.get_weights()
    outer.quantize("int8")
    outer.save(tmp_path / "model.keras")
    copy = keras.saving.load_model(tmp_path / "model.keras")
    for each in (inner, copy.get_layer(inner.name)):
        for weight, expected in zip(each.get_weights(), before, strict=True):
            np.testing.assert_array_equal(weight, expected)


def test_a_classifier_works_on_sequences(rng):
    model = small_model("classifier")
    inputs = keras.Input((5, 8, 6, 3))
    outputs = keras.layers.TimeDistributed(model)(inputs)
    assert outputs.shape == (None, 5, 3, 19)
    frames = random_images(rng, 2, 5, 8, 6, 3)
    predictions = keras.Model(inputs, outputs).predict(frames, verbose=0)
    assert predictions.shape == (2, 5, 3, 19)


@pytest.mark.parametrize("name", NAMES)
def test_checkpoints_of_tensorflow_hold_all_weights(name, tmp_path):
    model, other = small_model(name), small_model(name)
    path = tf.train.Checkpoint(network=model).save(tmp_path / "ckpt")
    status = tf.train.Checkpoint(network=other).restore(path)
    status.assert_existing_objects_matched()
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_numpy_integers_are_sizes():
    encoder = sa.ConvEncoder((8, 6), filters=(4,))
    model = sa.SlotAttentionClassifier(
        (np.int64(8), np.int32(6)), np.int64(3), np.int64(2), encoder=encoder
    )
    assert json.dumps(model.get_config()["num_slots"]) == "3"


MIRRORED = """
import json, sys, numpy as np, keras, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
devices = [device.name for device in tf.config.list_logical_devices("CPU")]
from tests.models.test_base import small_model, training_data

def fit(strategy, name):
    keras.utils.set_random_seed(0)
    data = training_data(name, np.random.default_rng(0))
    with strategy.scope():
        model = small_model(name)
        start = model.slot_attention.slot_initializer
        start.log_sigma.assign(np.full(start.log_sigma.shape, -50.0))  # No noise.
        model.compile(keras.optimizers.SGD(0.1), jit_compile=False)
    losses = model.fit(*data, batch_size=4, epochs=3, shuffle=False, verbose=0)
    return losses.history["loss"], [np.asarray(w).tolist() for w in model.weights]

one, two = tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(devices)
assert two.num_replicas_in_sync == 2
print(json.dumps({name: [fit(one, name), fit(two, name)]
                  for name in ("autoencoder", "classifier")}))
"""


@pytest.mark.slow
def test_fit_on_two_devices_is_fit_on_one(run_python):
    for one, two in json.loads(run_python(MIRRORED).splitlines()[-1]).values():
        np.testing.assert_allclose(two[0], one[0], rtol=1e-4)
        for a, b in zip(one[1], two[1], strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-3, atol=1e-5)
