"""SavedModels: what their signatures promise, and that nothing of us is needed."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import slot_attention_tf as sa
from slot_attention_tf.clevr_properties import group_slices
from slot_attention_tf.export import export_saved_model, load_saved_model
from slot_attention_tf.models.classifier import SlotAttentionClassifier

DECODERS = {
    "strided": lambda: sa.SpatialBroadcastDecoder(
        (8, 6), 3, (4, 3), filters=(4,), strides=2
    ),
    "full_size": lambda: sa.SpatialBroadcastDecoder(
        (8, 6), 3, (8, 6), filters=(4,), strides=1
    ),
    "pixel_mlp": lambda: sa.PixelMLPDecoder((8, 6), hidden_sizes=(8,)),
}


def autoencoder(decoder="pixel_mlp", **kwargs):
    encoder = sa.ConvEncoder((8, 6), filters=(4, 4), strides=(2, 1))
    arguments = {"encoder": encoder, "decoder": DECODERS[decoder](), "slot_size": 8}
    return sa.SlotAttentionAutoEncoder((8, 6), 3, 2, **{**arguments, **kwargs})


def classifier(**kwargs):
    encoder = sa.ConvEncoder((8, 6), filters=(4, 4), strides=(2, 1))
    return SlotAttentionClassifier((8, 6), 3, 2, encoder=encoder, slot_size=8, **kwargs)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A model and the folder of its SavedModel."""
    model, path = autoencoder(), tmp_path_factory.mktemp("saved_model")
    export_saved_model(model, path)
    return model, path


def images_and_slots(rng, batch_size=4, num_slots=5):
    images = rng.uniform(-1, 1, size=(batch_size, 8, 6, 3)).astype("float32")
    slots = rng.normal(size=(batch_size, num_slots, 8)).astype("float32")
    return images, slots


def expected_outputs(outputs):
    reconstruction, slot_images, masks, slots, attention = map(np.asarray, outputs)
    return {
        "reconstruction": reconstruction,
        "slot_images": slot_images,
        "masks": masks,
        "segmentation": masks[..., 0].argmax(axis=1),
        "slots": slots,
        "attention": attention,
    }


def assert_same(outputs, expected):
    assert outputs.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(outputs[name], value, atol=1e-5, err_msg=name)


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
    export_saved_model(model, tmp_path)
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


BASELINES = {
    "slot_mlp": lambda: sa.SlotAttentionAutoEncoder(
        (8, 6),
        encoder=sa.ConvEncoder((8, 6), filters=(4,)),
        decoder=DECODERS["pixel_mlp"](),
        slot_attention=sa.SlotMLP(3, 8, (8, 6), (4, 4), (8,)),
    ),
    "monet": lambda: sa.MONet(
        (8, 6),
        3,
        latent_size=4,
        attention_filters=(4, 4),
        encoder_filters=(4,),
        decoder_filters=(4,),
    ),
    "iodine": lambda: sa.IODINE(
        (8, 6),
        3,
        1,
        slot_size=4,
        decoder_filters=(4,),
        encoder_filters=(4,),
        mlp_sizes=(8,),
    ),
    "dspn": lambda: sa.DSPN(
        (8, 6),
        3,
        num_iterations=2,
        latent_size=8,
        set_encoder_size=8,
        encoder=sa.ConvEncoder((8, 6), filters=(4,)),
    ),
}


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
