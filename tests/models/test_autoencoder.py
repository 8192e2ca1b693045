"""The autoencoder: outputs, call-time options, training by fit, saving, presets."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import slot_attention_tf as sa


def tiny_model(**kwargs):
    arguments = {
        "resolution": (8, 6),
        "num_slots": 3,
        "num_iterations": 2,
        "slot_size": 8,
        "mlp_hidden_size": 8,
        "encoder": sa.ConvEncoder((8, 6), filters=(4, 4), strides=(2, 1)),
        "decoder": sa.SpatialBroadcastDecoder(
            (8, 6), 3, (4, 3), filters=(4,), strides=2
        ),
    }
    return sa.SlotAttentionAutoEncoder(**{**arguments, **kwargs})


@pytest.fixture
def images(rng):
    return rng.uniform(-1, 1, size=(4, 8, 6, 3)).astype("float32")


def test_outputs_are_a_mixture_of_slots(images):
    recon_combined, recons, masks, slots = tiny_model()(images)
    assert recon_combined.shape == (4, 8, 6, 3)
    assert recons.shape == (4, 3, 8, 6, 3)
    assert masks.shape == (4, 3, 8, 6, 1)
    assert slots.shape == (4, 3, 8)
    np.testing.assert_allclose(np.sum(masks, axis=1), 1.0, atol=1e-6)
    np.testing.assert_allclose(
        recon_combined, np.sum(np.array(recons) * masks, axis=1), atol=1e-6
    )


@pytest.mark.parametrize("batch_size", [1, 3])
def test_slots_and_iterations_of_a_call(images, batch_size):
    outputs = tiny_model()(
        images[:batch_size], num_slots=5, num_iterations=4, return_attention=True
    )
    assert outputs[2].shape == (batch_size, 5, 8, 6, 1)
    assert outputs[4].shape == (batch_size, 4, 12, 5)


def test_initial_slots_make_it_deterministic(images, rng):
    model = tiny_model()
    initial = rng.normal(size=(4, 3, 8)).astype("float32")
    first, second = (model(images, initial_slots=initial)[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert np.abs(model(images)[0] - model(images)[0]).max() > 0


def test_fit_on_images_alone_lowers_the_reconstruction_error(images):
    model = tiny_model()
    model.compile(optimizer=keras.optimizers.Adam(1e-2))
    before = model.evaluate(images, verbose=0)
    recon_combined = model.predict(images, verbose=0)[0]
    assert before == pytest.approx(((recon_combined - images) ** 2).mean(), rel=0.05)
    model.fit(images, epochs=20, verbose=0)
    assert model.evaluate(images, verbose=0) < 0.8 * before


def test_saving_keeps_the_outputs(images, rng, tmp_path):
    model = tiny_model(seed=3)
    initial = rng.normal(size=(4, 3, 8)).astype("float32")
    expected = model(images, initial_slots=initial)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for output, want in zip(
        loaded(images, initial_slots=initial), expected, strict=True
    ):
        np.testing.assert_array_equal(output, want)
    assert loaded.seed == 3


def test_config_survives_json(images):
    model = tiny_model()
    config = json.loads(json.dumps(model.get_config()))
    copy = sa.SlotAttentionAutoEncoder.from_config(config)
    copy.set_weights(model.get_weights())
    initial = np.zeros((4, 3, 8), "float32")
    np.testing.assert_array_equal(
        copy(images, initial_slots=initial)[0], model(images, initial_slots=initial)[0]
    )


def test_default_model_is_the_reference_release():
    model = sa.SlotAttentionAutoEncoder((128, 128), 7, 3)
    preset = sa.SlotAttentionAutoEncoder.from_preset("clevr6", load_weights=False)
    shapes = [variable.shape for variable in model.trainable_variables]
    assert shapes == [variable.shape for variable in preset.trainable_variables]
    # The table of the release's checkpoint, added up.
    encoder = 5 * 5 * 3 * 64 + 64 + 3 * (5 * 5 * 64 * 64 + 64) + 4 * 64 + 64
    features = 2 * 64 + 2 * (64 * 64 + 64)
    attention = 2 * 64 + 3 * 64 * 64 + 3 * 2 * 64 + 2 * 64 * 192 + 2 * 192
    attention += 64 * 128 + 128 + 128 * 64 + 64
    decoder = 4 * 64 + 64 + 5 * (5 * 5 * 64 * 64 + 64) + 3 * 3 * 4 * 64 + 4
    assert model.count_params() == encoder + features + attention + decoder


def test_mixed_precision_mixes_in_single(images):
    keras.config.set_dtype_policy("mixed_float16")
    recon_combined, _, masks, slots = tiny_model()(images)
    assert recon_combined.dtype == masks.dtype == "float32"
    assert slots.dtype == "float16"


@pytest.mark.parametrize(
    "shape", [(1, 8, 7, 3), (1, 8, 6, 1), (8, 6, 3), (1, 1, 8, 6, 3)]
)
def test_images_of_another_size_are_named(shape):
    with pytest.raises(ValueError, match=r"(?s)\(8, 6, 3\).*Received: images.shape"):
        tiny_model()(np.zeros(shape, "float32"))


def test_unknown_preset_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"clevr6.*tetrominoes_cpu.*'clevr7'"):
        sa.SlotAttentionAutoEncoder.from_preset("clevr7")


def test_wrong_arguments():
    with pytest.raises(ValueError, match="Received: num_slots=0"):
        tiny_model(num_slots=0)
    with pytest.raises(ValueError, match="Received: num_channels=0"):
        tiny_model(num_channels=0)
    with pytest.raises(ValueError, match=r"\(8, 6, 2\).*\(8, 6, 4\)"):
        tiny_model(num_channels=1)
    with pytest.raises(ValueError, match="Received: loss='mse'"):
        tiny_model().compile(loss="mse")


@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", [False, True])
def test_recomputing_the_decoder_changes_neither_values_nor_gradients(rng, jit_compile):
    models = [
        sa.SlotAttentionAutoEncoder(
            (8, 8),
            num_slots=3,
            num_iterations=2,
            encoder=sa.ConvEncoder((8, 8), filters=(8,)),
            recompute_decoder=recompute,
        )
        for recompute in (False, True)
    ]
    models[1].set_weights(models[0].get_weights())
    images = rng.uniform(-1, 1, (2, 8, 8, 3)).astype("float32")
    slots = rng.normal(size=(2, 3, 64)).astype("float32")

    @tf.function(jit_compile=jit_compile)
    def loss_and_gradients(model):
        with tf.GradientTape() as tape:
            outputs = model(images, initial_slots=slots)
            loss = tf.reduce_mean(tf.square(outputs[0] - images))
        return [loss, *outputs, *tape.gradient(loss, model.trainable_variables)]

    found, expected = loss_and_gradients(models[1]), loss_and_gradients(models[0])
    compared = [(a, b) for a, b in zip(found, expected, strict=True) if b is not None]
    assert len(compared) > 5 + 10
    for a, b in compared:
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    copy = sa.SlotAttentionAutoEncoder.from_config(models[1].get_config())
    assert copy.recompute_decoder
