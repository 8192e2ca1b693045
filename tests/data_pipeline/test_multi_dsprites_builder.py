"""Tests of the `multi_dsprites` builder."""

import json
from pathlib import Path

import public_records
import pytest
import tensorflow_datasets as tfds
from public_records import assert_same_scenes, load, serialize_scene

from slot_attention_tf.data.generators import multi_dsprites, scenes
from slot_attention_tf.data.pipelines import discovery_dataset
from slot_attention_tf.data.prepare import prepare

VARIANTS = sorted(multi_dsprites.VARIANTS)


def draw(variant, num_scenes, seed=0):
    return list(
        scenes.iterate_scenes(
            multi_dsprites.draw_scene, num_scenes, seed, processes=1, variant=variant
        )
    )


@pytest.mark.parametrize("variant", VARIANTS)
def test_synthetic_holds_the_generated_scenes(tmp_path, variant):
    options = {"num_train": 4, "num_test": 2, "seed": 3, "variant": variant}
    builder = prepare("multi_dsprites/own", tmp_path, **options)
    assert_same_scenes(load(builder, "train"), draw(variant, 4, 3))
    test = draw(variant, 2, scenes.held_out_seed(3))
    assert_same_scenes(load(builder, "test"), test)
    counts = [int(scene["visibility"][1:].sum()) for scene in test]
    assert builder.info.metadata["num_objects"]["test"] == counts


@pytest.mark.parametrize("variant", VARIANTS)
def test_real_is_converted_from_the_layout_of_its_file(tmp_path, variant):
    # The third axis of the masks on disk is that of the entities.
    drawn = draw(variant, 5, seed=8)
    entities = multi_dsprites.VARIANTS[variant].max_num_entities
    serialized = [serialize_scene(s, entities, entity_axis=2) for s in drawn]
    file = f"multi_dsprites_{variant}.tfrecords"
    public_records.write(tmp_path / file, serialized)
    options = {"source": "real", "num_train": 3, "num_test": 2, "variant": variant}
    builder = prepare("multi_dsprites/own", tmp_path / "data", tmp_path, **options)
    assert_same_scenes(load(builder, "train"), drawn[:3])
    assert_same_scenes(load(builder, "test"), drawn[3:])


def test_published_configurations():
    configs = tfds.builder_cls("multi_dsprites").builder_configs
    assert len(configs) == 8
    for name in ("real", "synthetic"):
        assert configs[name].variant == "colored_on_grayscale"
        assert (configs[name].num_train, configs[name].num_test) == (60_000, 320)
        for variant in VARIANTS:
            config = configs[f"{variant}_{name}"]
            assert (config.source, config.variant) == (name, variant)


def test_an_unknown_variant_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"binarized.*Received: variant='grey'"):
        prepare("multi_dsprites/own", tmp_path, variant="grey")


@pytest.mark.parametrize("num_channels", [1, 3])
def test_white_sprites_have_one_channel_or_three(tmp_path, num_channels):
    options = {"num_train": 3, "num_test": 1, "variant": "binarized"}
    prepare("multi_dsprites/own", tmp_path, **options)
    dataset = discovery_dataset(
        "multi_dsprites/own",
        "train",
        3,
        data_dir=tmp_path,
        num_channels=num_channels,
    )
    (batch,) = dataset.as_numpy_iterator()
    assert batch["image"].shape == (3, 64, 64, num_channels)
    assert set(batch["image"].ravel()) == {-1.0, 1.0}
    assert ((batch["image"][..., 0] > 0) == (batch["segmentation"] > 0)).all()


def test_max_num_objects_leaves_scenes_out(tmp_path):
    options = {"num_train": 40, "num_test": 1}
    builder = prepare("multi_dsprites/own", tmp_path, **options)
    counts = builder.info.metadata["num_objects"]["train"]
    file = Path(builder.data_path) / "metadata.json"
    for notes in ("kept", "lost"):  # Then the scenes are counted.
        if notes == "lost":
            metadata = json.loads(file.read_text())
            file.write_text(json.dumps({**metadata, "num_objects": {}}))
        dataset = discovery_dataset(
            "multi_dsprites/own", "train", 100, data_dir=tmp_path, max_num_objects=3
        )
        (batch,) = dataset.as_numpy_iterator()
        assert batch["segmentation"].max() == 3
        assert len(batch["image"]) == sum(count <= 3 for count in counts) < 40
