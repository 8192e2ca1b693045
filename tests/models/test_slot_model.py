"""What both models share: loading compiled models, files of weights."""

import keras
import numpy as np
import pytest

import slot_attention_tf as sa
from slot_attention_tf.training.randomness import fixed_randomness

PRESETS = {
    "autoencoder": (sa.SlotAttentionAutoEncoder, "tetrominoes_cpu"),
    "classifier": (sa.SlotAttentionClassifier, "clevr_cpu"),
}


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


@pytest.mark.parametrize("name", PRESETS)
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


@pytest.mark.parametrize("name", PRESETS)
def test_a_frozen_encoder_stays_frozen_after_loading(name, tmp_path):
    model = small_model(name)
    model.encoder.trainable = False
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    trainable = [variable.shape for variable in model.trainable_variables]
    assert [variable.shape for variable in loaded.trainable_variables] == trainable
    assert not loaded.encoder.trainable_variables


@pytest.mark.parametrize("ending", ["weights.h5", "keras"])
@pytest.mark.parametrize("name", PRESETS)
def test_from_preset_loads_a_file(name, ending, tmp_path):
    model_class, preset = PRESETS[name]
    model = model_class.from_preset(preset)
    path = tmp_path / f"model.{ending}"
    (model.save if ending == "keras" else model.save_weights)(path)
    # Weights know neither slots nor iterations.
    loaded = model_class.from_preset(preset, weights=path, num_slots=9)
    for a, b in zip(model.trainable_variables, loaded.trainable_variables, strict=True):
        np.testing.assert_array_equal(a, b)
