"""Tests of the `clevr_with_masks` builder."""

import numpy as np
import public_records
import pytest
import tensorflow_datasets as tfds
from public_records import assert_same_scenes, load

from slot_attention_tf.data import prepare as prepare_module
from slot_attention_tf.data import records
from slot_attention_tf.data.builders import clevr_with_masks
from slot_attention_tf.data.generators import clevr, scenes
from slot_attention_tf.data.pipelines import discovery_dataset
from slot_attention_tf.data.prepare import prepare

FILE = "clevr_with_masks_train.tfrecords"
CODES = ("size", "material", "shape", "color")


def make_record(seed, num_objects=2, **changes):
    """A record of the public file: boxes for objects, random factors."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((240, 320), int)
    for i in range(1, num_objects + 1):
        labels[40 * i : 40 * i + 30, 50 : 50 + 40 * i] = i
    present = np.arange(11) <= num_objects
    floats = {name: rng.normal(size=11) * present for name in ("x", "y", "z")}
    floats["rotation"] = 360 * rng.random(11) * present
    floats["pixel_coords"] = rng.random((11, 3)) * present[:, None]
    floats["visibility"] = present
    floats = {name: np.float32(values) for name, values in floats.items()}
    codes = dict.fromkeys(CODES, np.zeros(11, np.uint8))
    for name, first in (("size", [2, 1]), ("material", [1, 2]), ("shape", [3, 1])):
        codes[name] = np.array([0, *first] + [0] * 8, np.uint8)
    codes["color"] = np.array([0, 8, 4] + [0] * 8, np.uint8)
    image = rng.integers(256, size=(240, 320, 3)).astype(np.uint8)
    return {
        "image": image,
        "mask": public_records.masks_of(labels, 11),
        **codes,
        **changes,
    }, floats


def write_public_file(directory, num_records, **changes):
    made = [make_record(i, **changes) for i in range(num_records)]
    serialized = [public_records.serialize(*record) for record in made]
    public_records.write(directory / FILE, serialized)
    return made


def test_real_is_converted_with_names_for_codes(tmp_path):
    made = write_public_file(tmp_path, 3)
    options = {"source": "real", "num_train": 2, "num_test": 1}
    builder = prepare("clevr_with_masks/own", tmp_path / "data", tmp_path, **options)
    examples = load(builder, "train") + load(builder, "test")
    for example, (stored, floats) in zip(examples, made, strict=True):
        np.testing.assert_array_equal(example["image"], stored["image"])
        labels = stored["mask"].argmax(axis=0)
        np.testing.assert_array_equal(example["segmentation"], labels)
        for name, values in floats.items():
            np.testing.assert_array_equal(example[name], values)
        for name, expected in (
            ("size", ("none", "small", "large", "none")),
            ("material", ("none", "rubber", "metal", "none")),
            ("shape", ("none", "cylinder", "cube", "none")),
            ("color", ("none", "yellow", "green", "none")),
        ):
            to_name = builder.info.features[name].feature.int2str
            assert tuple(map(to_name, example[name][:4])) == expected
            assert len(example[name]) == 11


def test_another_table_of_codes(tmp_path):
    write_public_file(tmp_path, 2)
    table = {"shape": {1: "sphere", 2: "cylinder", 3: "cube"}}
    options = {"source": "real", "num_train": 1, "num_test": 1, "code_names": table}
    builder = prepare("clevr_with_masks/own", tmp_path / "data", tmp_path, **options)
    (example,) = load(builder, "train")
    to_name = builder.info.features["shape"].feature.int2str
    assert [to_name(i) for i in example["shape"][1:3]] == ["cube", "sphere"]


@pytest.mark.parametrize(
    "table", [{"shape": {1: "cone"}}, {"form": {1: "cube"}}, {"size": {1: "small"}}]
)
def test_a_wrong_table_of_codes_is_an_error(tmp_path, table):
    with pytest.raises(ValueError, match="Received: '(shape|form|size)': {1: "):
        prepare("clevr_with_masks/own", tmp_path, code_names=table)


def test_an_unknown_code_is_an_error_that_names_the_record(tmp_path):
    write_public_file(tmp_path, 1, color=np.array([0, 9, 1] + [0] * 8))
    options = {"source": "real", "num_train": 1, "num_test": 1}
    with pytest.raises(records.RecordError, match=r"Record 0 .*'color' .*\[0, 9, 1, "):
        prepare("clevr_with_masks/own", tmp_path / "data", tmp_path, **options)


def test_the_table_has_all_names():
    for name, values in clevr_with_masks.CATEGORIES.items():
        assert set(clevr_with_masks.CODE_NAMES[name].values()) == set(values)
        codes = list(clevr_with_masks.CODE_NAMES[name])
        assert codes == list(range(1, len(values) + 1))


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    path = tmp_path_factory.mktemp("data")
    options = {"num_train": 2, "num_test": 1, "max_objects": 4}
    return prepare("clevr_with_masks/own", path, **options), path


def test_synthetic_holds_the_generated_scenes(synthetic):
    builder, _ = synthetic
    options = {"resolution": (240, 320), "crop": None, "max_objects": 4}
    drawn = scenes.iterate_scenes(clevr.draw_scene, 2, 0, processes=1, **options)
    expected = []
    for scene in drawn:
        coordinates = scene.pop("3d_coords")
        for i, axis in enumerate("xyz"):
            scene[axis] = coordinates[:, i]
        present = np.flatnonzero(scene["visibility"])[1:]
        for name in CODES:
            codes = np.zeros(11, np.int64)
            codes[present] = scene[name][present] + 1
            scene[name] = codes
        expected.append(scene)
    assert_same_scenes(load(builder, "train"), expected)


def test_scenes_can_be_drawn_small_and_cropped(tmp_path):
    command = ["clevr_with_masks/small", f"--data_dir={tmp_path}", "--cropped"]
    options = ["--num_train=3", "--num_test=1", "--height=40", "--width=48"]
    prepare_module.main([*command, *options, "--max_objects=3"])
    (batch,) = discovery_dataset(
        "clevr_with_masks/small", "train", 3, data_dir=tmp_path
    ).as_numpy_iterator()
    options = {"resolution": (40, 48), "crop": clevr.CROP, "max_objects": 3}
    drawn = scenes.generate_scenes(clevr.draw_scene, 3, 0, processes=1, **options)
    np.testing.assert_allclose(batch["image"], drawn["image"] / 127.5 - 1, atol=1e-6)
    np.testing.assert_array_equal(batch["segmentation"], drawn["segmentation"][..., 0])


def test_real_scenes_have_one_form(tmp_path):
    options = {"source": "real", "height": 64}
    with pytest.raises(ValueError, match="Received: height=64, width=320, cropped=Fa"):
        prepare("clevr_with_masks/own", tmp_path, **options)


def test_real_and_synthetic_have_the_same_features(tmp_path, synthetic):
    write_public_file(tmp_path, 2)
    options = {"source": "real", "num_train": 1, "num_test": 1}
    real = prepare("clevr_with_masks/own", tmp_path / "data", tmp_path, **options)
    assert real.info.features.to_json() == synthetic[0].info.features.to_json()


def test_the_pipeline_of_the_paper(synthetic):
    builder, path = synthetic
    dataset = discovery_dataset(
        "clevr_with_masks/own",
        "train",
        2,
        data_dir=path,
        crop=(29, 221, 64, 256),
        resolution=(128, 128),
        max_num_objects=6,
    )
    (batch,) = dataset.as_numpy_iterator()
    assert batch["image"].shape == (2, 128, 128, 3)
    # Bilinear resizing by 2/3: output pixel 64 samples between input 95 and 97.
    image = load(builder, "train")[0]["image"].astype(float) / 127.5 - 1
    block = image[29 + 96 : 29 + 98, 64 + 96 : 64 + 98]
    np.testing.assert_allclose(
        batch["image"][0, 64, 64],
        np.einsum("i,j,ijc->c", [0.75, 0.25], [0.75, 0.25], block),
        atol=1e-5,
    )


def test_published_configurations():
    configs = tfds.builder_cls("clevr_with_masks").builder_configs
    for name in ("real", "synthetic"):
        assert (configs[name].num_train, configs[name].num_test) == (70_000, 1_000)
    small = configs["laptop"]
    assert (small.num_train, small.num_test) == (10_000, 320)
    assert (small.height, small.width, small.cropped) == (64, 64, True)
    assert (small.min_objects, small.max_objects) == (3, 6)


def test_the_published_test_scenes_suffice_for_clevr6():
    # The number of objects is the first draw after the camera's and the lamps'.
    config = tfds.builder_cls("clevr_with_masks").builder_configs["synthetic"]
    seed, few = scenes.held_out_seed(config.seed), 0
    for i in range(config.num_test):
        rng = scenes.scene_rng(seed, i)
        rng.random(12)
        few += rng.integers(config.min_objects, config.max_objects + 1) <= 6
    assert few >= 320
