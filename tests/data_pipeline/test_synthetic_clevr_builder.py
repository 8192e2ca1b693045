"""Tests of the `synthetic_clevr` builder."""

import numpy as np
import pytest
import tensorflow_datasets as tfds
from public_records import load

from slot_attention_tf.data.generators import clevr, scenes
from slot_attention_tf.data.pipelines import discovery_dataset
from slot_attention_tf.data.prepare import open_prepared, prepare

OPTIONS = {"resolution": (48, 64), "crop": None, "min_objects": 1, "max_objects": 3}


def assert_shows(example, scene, file_name):
    np.testing.assert_array_equal(example["image"], scene["image"])
    np.testing.assert_array_equal(example["segmentation"], scene["segmentation"])
    np.testing.assert_array_equal(example["visibility"], scene["visibility"])
    present = np.flatnonzero(scene["visibility"])[1:]
    for name, values in example["objects"].items():
        np.testing.assert_array_equal(values, scene[name][present], err_msg=name)
    assert example["file_name"].decode() == file_name


def test_every_split_has_scenes_of_its_own(synthetic_clevr_dir):
    builder = open_prepared("synthetic_clevr/tiny", synthetic_clevr_dir)
    held_out = scenes.held_out_seed(0)
    for split, number, seed, first in (
        ("train", 8, 0, 0),
        ("test", 3, held_out, 0),
        ("validation", 4, held_out, 2**31),
    ):
        drawn = list(
            scenes.iterate_scenes(clevr.draw_scene, number, seed, first, 1, **OPTIONS)
        )
        examples = load(builder, split)
        assert len(examples) == number
        for i, (example, scene) in enumerate(zip(examples, drawn, strict=True)):
            assert_shows(example, scene, f"CLEVR_{split}_{i:06d}.png")


def test_objects_are_described_as_in_the_official_dataset(synthetic_clevr_dir):
    ours = open_prepared("synthetic_clevr/tiny", synthetic_clevr_dir).info.features
    official = tfds.builder_cls("clevr")(data_dir=synthetic_clevr_dir).info.features
    assert set(ours["objects"].feature) == set(official["objects"].feature)
    for name, feature in official["objects"].feature.items():
        assert ours["objects"][name].np_dtype == feature.np_dtype
        assert ours["objects"][name].shape == feature.shape
        if isinstance(feature, tfds.features.ClassLabel):
            assert ours["objects"][name].names == feature.names


def test_the_same_scenes_serve_discovery(synthetic_clevr_dir):
    dataset = discovery_dataset(
        "synthetic_clevr/tiny", "train", 8, data_dir=synthetic_clevr_dir
    )
    (batch,) = dataset.as_numpy_iterator()
    builder = open_prepared("synthetic_clevr/tiny", synthetic_clevr_dir)
    counts = [len(e["objects"]["shape"]) for e in load(builder, "train")]
    # Every object is in the image, with its label.
    assert [len(np.unique(s)) - 1 for s in batch["segmentation"]] == counts


@pytest.mark.parametrize(
    ("options", "message"),
    [({"num_validation": 0}, "num_validation=0"), ({"source": "real"}, "'real'")],
)
def test_options_out_of_range_are_errors(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        prepare("synthetic_clevr/own", tmp_path, **options)


def test_published_configurations():
    configs = tfds.builder_cls("synthetic_clevr").builder_configs
    full, laptop = configs["synthetic"], configs["laptop"]
    assert (full.num_train, full.num_validation, full.num_test) == (
        *(70_000, 15_000, 15_000),
    )
    assert (full.min_objects, full.max_objects) == (3, 10)
    assert (laptop.height, laptop.width, laptop.max_objects) == (64, 64, 4)
