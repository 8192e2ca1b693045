"""Every preset of set prediction builds and takes a training step."""

import dataclasses

import keras
import numpy as np
import pytest

from slot_attention_tf.models.classifier import SlotAttentionClassifier
from slot_attention_tf.set_prediction_presets import SET_PREDICTION_PRESETS


@pytest.mark.parametrize("name", sorted(SET_PREDICTION_PRESETS))
def test_every_preset_builds_and_trains_at_a_reduced_size(name, rng):
    preset = SET_PREDICTION_PRESETS[name]
    small = dataclasses.replace(preset, resolution=(16, 16), num_iterations=1)
    model = SlotAttentionClassifier(**small.model_arguments())
    before = keras.ops.convert_to_numpy(model.head_output.kernel)
    images = rng.uniform(-1, 1, [2, 16, 16, 3]).astype("float32")
    targets = np.zeros([2, preset.max_num_objects, 19], "float32")
    model.compile(keras.optimizers.Adam(preset.learning_rate))
    assert np.isfinite(model.train_on_batch(images, targets))
    after = keras.ops.convert_to_numpy(model.head_output.kernel)
    assert np.abs(after - before).max() > 0


def test_from_preset_takes_the_preset_and_what_replaces_it():
    model = SlotAttentionClassifier.from_preset("clevr6_properties", num_iterations=5)
    assert (model.num_slots, model.num_iterations) == (6, 5)
    assert model.resolution == (128, 128)
    assert model.encoder.strides == (1, 2, 2, 1)


def test_unknown_preset_names_the_known_ones():
    with pytest.raises(ValueError, match=r"clevr10, clevr6_properties.*'clevr7'"):
        SlotAttentionClassifier.from_preset("clevr7")


def test_loss_weights():
    preset = SET_PREDICTION_PRESETS["clevr10"]
    assert preset.loss_weights() is None
    weighted = dataclasses.replace(preset, coords_weight=5.0)
    assert weighted.loss_weights() == [5.0] * 3 + [1.0] * 16
