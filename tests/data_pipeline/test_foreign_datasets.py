"""Tests of object discovery on prepared TFDS datasets that are not ours."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from slot_attention_tf.commands import extract
from slot_attention_tf.data.pipelines import discovery_dataset

LABEL_MAPS = {
    "segmentation": tfds.features.Image(shape=(6, 8, 1), encoding_format="png"),
    "segmentations": tfds.features.Image(
        shape=(6, 8, 1), dtype=np.uint16, encoding_format="png"
    ),
    "mask": tfds.features.Tensor(shape=(6, 8), dtype=np.int64),
}
IMAGE = tfds.features.Image(shape=(6, 8, 3), encoding_format="png")


def make_scenes(height=6, width=8, number=5, largest=3):
    rng = np.random.default_rng(0)
    return [
        {
            "image": rng.integers(256, size=(height, width, 3)).astype(np.uint8),
            "labels": rng.integers(largest + 1, size=(height, width, 1)),
        }
        for _ in range(number)
    ]


def write(path, features, scenes, label_map=None, splits=("train",), **options):
    """Prepares a dataset `foreign` with a builder that is forgotten afterwards."""
    with tfds.core.registered.skip_registration():

        class Foreign(tfds.core.GeneratorBasedBuilder):
            VERSION = tfds.core.Version("2.3.0")

            def _info(self):
                return tfds.core.DatasetInfo(
                    builder=self,
                    features=tfds.features.FeaturesDict(features),
                    disable_shuffling=True,
                )

            def _split_generators(self, dl_manager):
                return {name: self._generate_examples() for name in splits}

            def _generate_examples(self):
                for i, scene in enumerate(scenes):
                    scene, labels = dict(scene), scene["labels"]
                    del scene["labels"]
                    if label_map is not None:
                        feature = features[label_map]
                        labels = labels.astype(feature.np_dtype)
                        flat = len(feature.shape) == 2
                        scene[label_map] = labels[..., 0] if flat else labels
                    yield i, {name: scene[name] for name in features}

    Foreign(data_dir=path, **options).download_and_prepare()


def read(path, batch_size=5, **options):
    dataset = discovery_dataset(
        "foreign", "train", batch_size, data_dir=path, **options
    )
    (batch,) = dataset.as_numpy_iterator()
    return batch


@pytest.mark.parametrize("label_map", LABEL_MAPS)
def test_a_label_map_may_have_several_names_and_types(tmp_path, label_map):
    largest = 3 if label_map == "segmentation" else 1000
    scenes = make_scenes(largest=largest)
    features = {"image": IMAGE, label_map: LABEL_MAPS[label_map]}
    write(tmp_path, features, scenes, label_map)
    batch = read(tmp_path, crop=(1, 5, 0, 8))
    for i, scene in enumerate(scenes):
        np.testing.assert_allclose(
            batch["image"][i], scene["image"][1:5] / 127.5 - 1, atol=1e-6
        )
        np.testing.assert_array_equal(
            batch["segmentation"][i], scene["labels"][1:5, :, 0]
        )
    dtype = np.uint8 if largest == 3 else np.int32
    assert batch["segmentation"].dtype == dtype


def test_images_of_various_sizes_are_resized_one_by_one(tmp_path):
    scenes = make_scenes(12, 10, 2) + make_scenes(7, 9, 3)
    features = {
        "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
        "mask": tfds.features.Image(shape=(None, None, 1), encoding_format="png"),
    }
    write(tmp_path, features, scenes, "mask")
    batch = read(tmp_path, resolution=(6, 5))
    for i, scene in enumerate(scenes):
        image = tf.image.resize(scene["image"].astype(np.float32), (6, 5))
        # Rounded to one of 255 steps on the way.
        assert (
            np.abs(batch["image"][i] - (image / 127.5 - 1)).max() <= 0.5 / 127.5 + 1e-6
        )
        labels = tf.image.resize(scene["labels"], (6, 5), "nearest")
        np.testing.assert_array_equal(batch["segmentation"][i], labels[..., 0])
    for options in ({}, {"resolution": (6, 5), "crop": (0, 4, 0, 4)}):
        with pytest.raises(ValueError, match=r"various sizes.*Received: resolution="):
            read(tmp_path, **options)


def test_images_alone_are_enough_without_labels(tmp_path):
    scenes = make_scenes()
    write(tmp_path, {"image": IMAGE}, scenes)
    with pytest.raises(ValueError, match=r"no label map.*labels=False.*'image'"):
        read(tmp_path)
    batch = read(tmp_path, labels=False)
    assert set(batch) == {"image"}
    np.testing.assert_allclose(
        batch["image"], [s["image"] / 127.5 - 1 for s in scenes], atol=1e-6
    )


@pytest.mark.parametrize(
    ("name", "dtype", "channels"),
    [("picture", np.uint8, 3), ("image", np.float32, 3), ("image", np.uint8, 2)],
)
def test_a_dataset_without_images_is_an_error(tmp_path, name, dtype, channels):
    feature = tfds.features.Tensor(shape=(6, 8, channels), dtype=dtype)
    scenes = [
        {name: np.zeros((6, 8, channels), dtype), "labels": scene["labels"]}
        for scene in make_scenes()
    ]
    write(tmp_path, {name: feature}, scenes)
    with pytest.raises(ValueError, match=rf"no feature 'image'.*\{{ '{name}': Tensor"):
        read(tmp_path)


def test_unknown_counts_of_objects_are_an_error(tmp_path):
    features = {"image": IMAGE, "mask": LABEL_MAPS["mask"]}
    write(tmp_path, features, make_scenes(), "mask")
    with pytest.raises(ValueError, match="neither of the features 'visibility' and"):
        read(tmp_path, max_num_objects=3)


def test_another_file_format_is_an_error(tmp_path):
    features = {"image": IMAGE, "mask": LABEL_MAPS["mask"]}
    write(tmp_path, features, make_scenes(), "mask", file_format="parquet")
    with pytest.raises(ValueError, match="Received: file_format='parquet'"):
        read(tmp_path)


@pytest.mark.slow
def test_the_scripts_train_on_it_and_score_it(
    run_script, run_installed, tmp_path, capsys
):
    """The command of "Your own data" in docs/data.md, with a small model."""
    features = {"image": IMAGE, "mask": LABEL_MAPS["mask"]}
    write(tmp_path, features, make_scenes(number=320), "mask", ("train", "test"))
    small = {"encoder_filters": 4, "encoder_strides": 4, "decoder_filters": 4}
    small |= {"batch_size": 4, "num_train_steps": 2, "warmup_steps": 1}
    folders = {"data_dir": tmp_path, "model_dir": tmp_path / "run"}
    given = {"preset": "multi_dsprites", "dataset": "foreign", "num_slots": 7}
    assert not run_script("train_discovery.py", **given, **small, **folders)
    assert not run_script("eval/discovery.py", **folders, crop="0,6,1,7")
    assert not run_script("eval/discovery.py", **folders, crop="none")
    assert "320 images" in capsys.readouterr().out
    write(tmp_path / "bare", {"image": IMAGE}, make_scenes(), splits=("test",))
    flags = {"model": tmp_path / "run", "data_dir": tmp_path / "bare"}
    assert not run_installed(extract.main, **flags, out=tmp_path / "slots.npz")
    with np.load(tmp_path / "slots.npz") as arrays:
        assert arrays["slots"].shape == (5, 7, 64) and "fg_ari" not in arrays
