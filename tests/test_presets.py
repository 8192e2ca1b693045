"""Every preset of every model builds, trains and says what it costs."""

import dataclasses

import keras
import numpy as np
import pytest

import slot_attention_tf as sa
from slot_attention_tf import presets
from slot_attention_tf.models import find_model, model_names

ALL = [
    (task, model, preset)
    for task in ("discovery", "set_prediction")
    for model in model_names(task)
    for preset in find_model(task, model).presets
]


@pytest.mark.parametrize(
    ("task", "model", "name"),
    ALL,
)
def test_every_preset_builds_and_takes_a_step_at_a_reduced_size(task, model, name, rng):
    entry = find_model(task, model)
    preset = entry.presets[name]
    # Strided decoders and patches need sides that their strides divide.
    side = 32 if task == "discovery" and min(preset.resolution) >= 64 else 35
    fewer = {"num_iterations": 2}
    if task == "discovery":
        fewer["num_slots"] = 2
    known = {field.name for field in dataclasses.fields(preset)}
    fewer = {name: value for name, value in fewer.items() if name in known}
    small = dataclasses.replace(preset, resolution=(side, side), **fewer)
    instance = entry.model_class(**small.model_arguments())
    optimizer = small.make_optimizer(1e-3)
    instance.compile(optimizer, run_eagerly=True)  # To trace a graph takes longer.
    before = [np.array(weight) for weight in instance.trainable_variables]
    data = [
        rng.uniform(-1, 1, size=(2, side, side, preset.num_channels)).astype("float32")
    ]
    if task == "set_prediction":
        data.append(np.zeros([2, preset.max_num_objects, 19], "float32"))
    assert np.isfinite(instance.train_on_batch(*data))
    changed = [
        np.abs(np.array(after) - old).max() > 0
        for after, old in zip(instance.trainable_variables, before, strict=True)
    ]
    assert np.mean(changed) > 0.5


@pytest.mark.parametrize(("task", "model", "name"), ALL)
def test_a_name_means_the_same_data_for_every_model(task, model, name):
    preset = find_model(task, model).presets[name]
    for field, value in presets.DATA[name].items():
        assert getattr(preset, field) == value, field
    assert preset.description


def test_presets_are_a_property_of_the_class():
    assert "tetrominoes_cpu" in sa.SlotAttentionAutoEncoder.presets
    assert list(sa.SlotAttentionClassifier.presets)[:2] == [
        "clevr10",
        "clevr6_properties",
    ]


def test_from_preset_takes_the_preset_and_what_replaces_it():
    model = sa.SlotAttentionClassifier.from_preset(
        "clevr6_properties", load_weights=False, num_iterations=5, seed=3
    )
    assert (model.num_slots, model.num_iterations, model.seed) == (6, 5, 3)
    assert model.resolution == (128, 128)
    assert model.encoder.strides == (1, 2, 2, 1)


def test_from_preset_gives_all_parts_the_dtype():
    model = sa.SlotAttentionAutoEncoder.from_preset(
        "tetrominoes_cpu", dtype="mixed_float16"
    )
    parts = (
        model.encoder,
        model.slot_attention,
        model.decoder,
        model.decoder.hidden[0],
    )
    assert {part.compute_dtype for part in parts} == {"float16"}


def test_unknown_presets_name_the_known_ones():
    with pytest.raises(ValueError, match=r"clevr10, clevr6_properties.*'clevr7'"):
        sa.SlotAttentionClassifier.from_preset("clevr7")


def test_position_weights_of_the_loss():
    preset = sa.SlotAttentionClassifier.presets["clevr10"]
    assert "property_weights" not in preset.model_arguments()
    weighted = dataclasses.replace(preset, coords_weight=5.0)
    weights = weighted.model_arguments()["property_weights"]
    assert weights == [5.0] * 3 + [1.0] * 16


def test_presets_of_the_paper_have_its_sizes():
    models = {
        name: sa.SlotAttentionAutoEncoder.from_preset(name, load_weights=False)
        for name in ("tetrominoes", "multi_dsprites", "clevr6")
    }
    for name, width in (("tetrominoes", 32), ("multi_dsprites", 32), ("clevr6", 64)):
        encoder = models[name].encoder
        units = (encoder.mlp_hidden.units, encoder.mlp_output.units)
        assert units == (width, width) and encoder.filters == (width,) * 4
    release = sa.SlotAttentionAutoEncoder((128, 128), 7, 3)
    shapes = [weight.shape for weight in release.trainable_variables]
    assert shapes == [w.shape for w in models["clevr6"].trainable_variables]
    assert isinstance(
        sa.SlotAttentionAutoEncoder.presets["clevr6"].make_optimizer(1e-3),
        keras.optimizers.Adam,
    )


@pytest.mark.parametrize(
    ("settings", "grid"),
    [
        ({"decoder_filters": (4, 4), "decoder_strides": (2,)}, (16, 16)),
        ({"decoder_filters": (4, 4), "decoder_strides": (1, 2)}, (32, 32)),
        (
            {"decoder_filters": (4,), "decoder_strides": (2,), "patch_size": 4},
            (8, 8),
        ),
    ],
)
def test_strides_and_patches_of_a_decoder_lead_to_the_size_of_the_image(settings, grid):
    preset = find_model("discovery", "slot_attention").presets["clevr6_cpu"]
    settings = {"decoder_kernel_size": (3,), "patch_size": 1, **settings}
    decoder = dataclasses.replace(preset, **settings).make_decoder()
    assert decoder.broadcast_resolution == grid
    assert decoder(np.zeros((1, 2, 8))).shape == (1, 2, *preset.resolution, 4)


def test_colors_are_appended_where_a_preset_says_so():
    preset = find_model("discovery", "slot_attention").presets["multi_dsprites_cpu"]
    images = np.zeros((1, *preset.resolution, 3))
    sizes = []
    for append_colors in (False, True):
        changed = dataclasses.replace(preset, append_colors=append_colors)
        sizes.append(changed.make_encoder()(images).shape[-1])
    assert sizes == [64, 67]
