"""Tests of the `objects_room` builder."""

import numpy as np
import public_records
import pytest
import tensorflow_datasets as tfds
from public_records import assert_same_scenes, load, serialize_scene

from slot_attention_tf.data.generators import objects_room, scenes
from slot_attention_tf.data.pipelines import discovery_dataset
from slot_attention_tf.data.prepare import prepare

TEST_SETS = ("empty_room", "six_objects", "identical_color")
OPTIONS = {"num_train": 3, "num_test": 2, "num_test_set": 2}


def draw(num_scenes, seed, first=0, variant="train"):
    """Draws scenes; `visibility` has ten entries in all splits."""
    drawn = list(
        scenes.iterate_scenes(
            objects_room.draw_scene, num_scenes, seed, first, 1, variant=variant
        )
    )
    for scene in drawn:
        missing = 10 - len(scene["visibility"])
        scene["visibility"] = np.pad(scene["visibility"], (0, missing))
    return drawn


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    path = tmp_path_factory.mktemp("data")
    return prepare("objects_room/own", path, **OPTIONS), path


def test_synthetic_holds_the_generated_scenes(synthetic):
    builder, _ = synthetic
    held_out = scenes.held_out_seed(0)
    assert_same_scenes(load(builder, "train"), draw(3, 0))
    assert_same_scenes(load(builder, "test"), draw(2, held_out))
    for i, test_set in enumerate(TEST_SETS, 1):
        drawn = draw(2, held_out, i * 2**29, test_set)
        assert_same_scenes(load(builder, test_set), drawn)


def test_background_does_not_count_as_objects(synthetic):
    noted = synthetic[0].info.metadata["num_objects"]
    assert noted["empty_room"] == [0, 0]
    assert noted["six_objects"] == [6, 6]
    assert all(1 <= count <= 3 for count in noted["train"])


def test_the_pipeline_makes_all_background_one(synthetic):
    builder, path = synthetic
    for split, most in (("six_objects", 6), ("empty_room", 0)):
        dataset = discovery_dataset("objects_room/own", split, 2, data_dir=path)
        (batch,) = dataset.as_numpy_iterator()
        stored = np.stack([e["segmentation"][..., 0] for e in load(builder, split)])
        np.testing.assert_array_equal(batch["segmentation"] == 0, stored < 4)
        objects = stored >= 4
        np.testing.assert_array_equal(
            batch["segmentation"][objects], stored[objects] - 3
        )
        assert batch["segmentation"].max() == most


def test_max_num_objects_counts_no_background(synthetic):
    _, path = synthetic
    for split in ("empty_room", "empty_room[:1]"):
        discovery_dataset(
            "objects_room/own", split, 2, data_dir=path, max_num_objects=0
        )


def test_real_is_converted_from_four_files(tmp_path):
    drawn = {name: draw(5, 7, variant=name) for name in ("train", *TEST_SETS)}
    for name, entities in zip(drawn, (7, 4, 10, 10), strict=True):
        suffix = name if name == "train" else f"test_{name}"
        # The public files hold nothing but images and masks.
        bare = [{k: s[k] for k in ("image", "segmentation")} for s in drawn[name]]
        serialized = [serialize_scene(scene, entities) for scene in bare]
        file = tmp_path / f"objects_room_{suffix}.tfrecords"
        public_records.write(file, serialized)
    options = {"source": "real", **OPTIONS}
    builder = prepare("objects_room/own", tmp_path / "data", tmp_path, **options)
    assert_same_scenes(load(builder, "train"), drawn["train"][:3])
    assert_same_scenes(load(builder, "test"), drawn["train"][3:])
    for name in TEST_SETS:
        assert_same_scenes(load(builder, name), drawn[name][:2])


def test_published_configurations():
    configs = tfds.builder_cls("objects_room").builder_configs
    assert {configs[name].num_test_set for name in ("real", "synthetic")} == {922}


def test_a_test_set_needs_a_scene(tmp_path):
    with pytest.raises(ValueError, match="Received: num_test_set=0"):
        prepare("objects_room/own", tmp_path, num_test_set=0)
