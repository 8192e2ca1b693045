"""SavedModels: what their signatures promise, and that nothing of us is needed."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from slot_attention_tf.clevr_properties import group_slices
from slot_attention_tf.export import export_saved_model, load_saved_model
from tests.export.small import (
    BASELINES,
    DECODERS,
    assert_same,
    autoencoder,
    classifier,
    expected_outputs,
    images_and_slots,
)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A model and the folder of its SavedModel."""
    model, path = autoencoder(), tmp_path_factory.mktemp("saved_model")
    export_saved_model(model, path)
    return model, path


@pytest.mark.parametrize("decoder", DECODERS)
def test_given_slots_of_any_number_give_what_the_model_gives(rng, tmp_path, decoder):
    model = autoencoder(decoder)
    export_saved_model(model, tmp_path)
    signature = tf.saved_model.load(tmp_path).signatures["with_initial_slots"]
    for batch_size, num_slots in ((1, 3), (4, 5)):
        images, slots = images_and_slots(rng, batch_size, num_slots)
        outputs = signature(images=tf.constant(images), initial_slots=slots)
        expected = model(images, initial_slots=slots, return_attention=True)
        assert_same(outputs, expected_outputs(expected))


@pytest.mark.slow
def test_a_process_without_the_package_runs_the_signatures(
    rng, tmp_path, run_python, exported
):
    model, path = exported
    images, slots = images_and_slots(rng)
    np.savez(tmp_path / "inputs.npz", images=images, slots=slots)
    run_python(
        f"""
import sys
sys.modules["slot_attention_tf"] = None  # Makes its import fail.
sys.modules["keras"] = None
import numpy as np, tensorflow as tf
loaded = tf.saved_model.load({str(path)!r})
data = np.load({str(tmp_path / "inputs.npz")!r})
given = loaded.signatures["with_initial_slots"](
    images=tf.constant(data["images"]), initial_slots=tf.constant(data["slots"])
)
np.savez({str(tmp_path / "outputs.npz")!r}, **given)
sample = loaded.signatures["serving_default"]
for batch_size in (1, 4):
    images = tf.constant(data["images"][:batch_size])
    first, second = sample(images=images), sample(images=images)
    assert first["slots"].shape == (batch_size, 3, 8), first["slots"].shape
    assert np.abs(first["slots"] - second["slots"]).max() > 1e-3
    assert first["segmentation"].dtype == tf.int32
"""
    )
    expected = model(images, initial_slots=slots, return_attention=True)
    with np.load(tmp_path / "outputs.npz") as outputs:
        assert_same(dict(outputs), expected_outputs(expected))


def test_given_noise_gives_what_the_model_gives(rng, exported):
    model, path = exported
    images, _ = images_and_slots(rng)
    noise = rng.normal(size=(4, *model.noise_shape())).astype("float32")
    loaded = load_saved_model(path)
    assert loaded.noise_shape() == model.noise_shape() == (3, 8)
    assert loaded.encoder.feature_resolution == (4, 3)
    expected = model(images, noise=noise, return_attention=True)
    outputs = loaded.named_outputs(images, noise=noise)
    assert_same(outputs, expected_outputs(expected))


def test_a_seed_gives_the_same_start_every_time(rng, exported):
    model, path = exported
    images, _ = images_and_slots(rng)
    signature = tf.saved_model.load(path).signatures["with_seed"]

    def call(*seed):
        return signature(images=tf.constant(images), seed=tf.constant(seed))

    noise = tf.random.stateless_normal((4, 3, 8), (3, 1))
    expected = model(images, noise=noise, return_attention=True)
    assert_same(call(3, 1), expected_outputs(expected))
    assert np.abs(call(3, 1)["slots"] - call(3, 2)["slots"]).max() > 1e-3


@pytest.mark.slow
def test_slots_and_iterations_of_the_export(rng, tmp_path):
    model = autoencoder()
    images, slots = images_and_slots(rng)
    export_saved_model(model, tmp_path, num_slots=6, num_iterations=4)
    loaded = load_saved_model(tmp_path)
    assert loaded.named_outputs(images)["slots"].shape == (4, 6, 8)
    outputs = loaded.named_outputs(images, initial_slots=slots)
    expected = model(
        images, initial_slots=slots, num_iterations=4, return_attention=True
    )
    np.testing.assert_allclose(outputs["attention"], expected[4], atol=1e-5)
    for wrong in ({"num_slots": 7}, {"num_iterations": 3}):
        ((name, value),) = wrong.items()
        with pytest.raises(ValueError, match=f"export it again.*{name}={value}"):
            loaded.named_outputs(images, **wrong)
    with pytest.raises(ValueError, match="Received: num_slots=0"):
        export_saved_model(model, tmp_path, num_slots=0)


def test_classifier_names_its_properties(rng, tmp_path):
    model = classifier()
    images, slots = images_and_slots(rng)
    model.export(tmp_path)
    signatures = tf.saved_model.load(tmp_path).signatures
    outputs = signatures["with_initial_slots"](
        images=tf.constant(images), initial_slots=slots
    )
    predictions, attention = model(images, initial_slots=slots, return_attention=True)
    predictions = np.asarray(predictions)
    expected = {name: predictions[..., s] for name, s in group_slices().items()}
    expected["coords"] = expected["coords"] * 6 - 3
    expected["confidence"] = expected.pop("real_object")[..., 0]
    assert_same(
        outputs, {**expected, "predictions": predictions, "attention": attention}
    )
    sampled = signatures["serving_default"](images=tf.constant(images[:1]))
    assert sampled["predictions"].shape == (1, 3, 19)
    loaded = load_saved_model(tmp_path).named_outputs(images, initial_slots=slots)
    np.testing.assert_allclose(loaded["predictions"], predictions, atol=1e-5)


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_export_with_any_batch_size(rng, tmp_path, name):
    model = BASELINES[name]()
    export_saved_model(model, tmp_path)
    loaded, shape = load_saved_model(tmp_path), model.noise_shape()
    assert loaded.noise_shape() == shape
    for batch_size in (1, 3):
        images, _ = images_and_slots(rng, batch_size)
        given = {}
        if shape is not None:
            given["noise"] = rng.normal(size=(batch_size, *shape)).astype("float32")
        outputs = loaded.named_outputs(images, **given)
        expected = model.named_outputs(images, **given)
        assert_same(outputs, {n: np.asarray(v) for n, v in expected.items()})
        assert loaded.named_outputs(images).keys() == expected.keys()


def test_other_properties_have_no_names(rng, tmp_path):
    export_saved_model(classifier(num_properties=5), tmp_path)
    signature = tf.saved_model.load(tmp_path).signatures["serving_default"]
    assert signature.structured_outputs.keys() == {"predictions", "attention"}


def test_mixed_precision_exports_single_precision(rng, tmp_path):
    keras.config.set_dtype_policy("mixed_float16")
    export_saved_model(autoencoder(), tmp_path)
    signature = tf.saved_model.load(tmp_path).signatures["serving_default"]
    dtypes = {name: o.dtype for name, o in signature.structured_outputs.items()}
    assert dtypes.pop("segmentation") == tf.int32
    assert set(dtypes.values()) == {tf.float32}


def test_description_holds_the_configuration(exported):
    model, path = exported
    file = path / "assets.extra" / "slot_attention.json"
    config = json.loads(file.read_text())["model"]
    copy = keras.saving.deserialize_keras_object(config)
    assert copy.count_params() == model.count_params()


def test_other_models_and_folders_are_refused(tmp_path):
    with pytest.raises(TypeError, match="model.export.*Received: Sequential"):
        export_saved_model(keras.Sequential([keras.layers.Dense(1)]), tmp_path)
    with pytest.raises(ValueError, match="no SavedModel of export_saved_model"):
        load_saved_model(tmp_path)
    file = tmp_path / "file"
    file.write_text("not a folder")
    with pytest.raises(ValueError, match="choose a path that is no file.*Received"):
        export_saved_model(autoencoder(), file)
    assert file.read_text() == "not a folder"
