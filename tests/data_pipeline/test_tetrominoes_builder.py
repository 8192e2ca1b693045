"""Tests of the `tetrominoes` builder, on generated and on written public records."""

import numpy as np
import public_records
import pytest
import tensorflow_datasets as tfds

from slot_attention_tf.data import records
from slot_attention_tf.data.builders import TetrominoesConfig
from slot_attention_tf.data.generators import scenes, tetrominoes
from slot_attention_tf.data.prepare import open_prepared, prepare

FILE = "tetrominoes_train.tfrecords"


def serialize(scene):
    labels = scene["segmentation"][..., 0]
    factors = ("visibility", "shape", "color", "x", "y")
    return public_records.serialize(
        {"image": scene["image"], "mask": public_records.masks_of(labels, 4)},
        {name: scene[name] for name in factors},
    )


def write_public_file(directory, num_scenes):
    drawn = list(scenes.iterate_scenes(tetrominoes.draw_scene, num_scenes, 99))
    public_records.write(directory / FILE, [serialize(scene) for scene in drawn])
    return drawn


def load(builder, split):
    return list(tfds.as_numpy(builder.as_dataset(split=split)))


def assert_same_scenes(loaded, drawn):
    assert len(loaded) == len(drawn)
    for one, other in zip(loaded, drawn, strict=True):
        assert set(one) == set(other)
        for key in one:
            np.testing.assert_array_equal(one[key], other[key], err_msg=key)
            assert one[key].dtype == other[key].dtype


def test_synthetic_holds_the_generated_scenes_in_order(data_dir):
    builder = open_prepared("tetrominoes/tiny", data_dir)
    drawn = list(scenes.iterate_scenes(tetrominoes.draw_scene, 45, seed=0))
    assert_same_scenes(load(builder, "train"), drawn)
    test_seed = scenes.held_out_seed(0)
    drawn = list(scenes.iterate_scenes(tetrominoes.draw_scene, 8, test_seed))
    assert_same_scenes(load(builder, "test"), drawn)


def test_real_is_converted_from_a_file_in_the_manual_directory(tmp_path):
    drawn = write_public_file(tmp_path, 9)
    options = {"source": "real", "num_train": 5, "num_test": 3}
    builder = prepare("tetrominoes/few", tmp_path / "data", tmp_path, **options)
    assert_same_scenes(load(builder, "train"), drawn[:5])
    # The papers' convention: the records that follow those for training.
    assert_same_scenes(load(builder, "test"), drawn[5:8])


def test_real_and_synthetic_have_the_same_features(tmp_path, data_dir):
    write_public_file(tmp_path, 2)
    options = {"source": "real", "num_train": 1, "num_test": 1}
    real = prepare("tetrominoes/few", tmp_path / "data", tmp_path, **options)
    synthetic = open_prepared("tetrominoes/tiny", data_dir)
    assert real.info.features.to_json() == synthetic.info.features.to_json()


def test_real_is_downloaded_from_the_public_address(tmp_path, monkeypatch):
    drawn = write_public_file(tmp_path, 2)
    asked = []

    def download(self, url):
        asked.append(url)
        return tmp_path / FILE

    monkeypatch.setattr(tfds.download.DownloadManager, "download", download)
    options = {"source": "real", "num_train": 1, "num_test": 1}
    builder = prepare("tetrominoes/few", tmp_path / "data", **options)
    assert asked == [
        "https://storage.googleapis.com/multi-object-datasets/tetrominoes/" + FILE
    ]
    assert_same_scenes(load(builder, "test"), drawn[1:])


def test_a_broken_file_leaves_nothing_behind(tmp_path):
    write_public_file(tmp_path, 4)
    options = {"source": "real", "num_train": 5, "num_test": 3}
    with pytest.raises(records.RecordError, match="Record 4 .*8 records were asked"):
        prepare("tetrominoes/few", tmp_path / "data", tmp_path, **options)
    assert not list((tmp_path / "data").rglob("*.tfrecord*"))
    with pytest.raises(FileNotFoundError):
        open_prepared("tetrominoes/few", tmp_path / "data")


def test_published_configurations():
    for name in ("real", "synthetic"):
        config = tfds.builder_cls("tetrominoes").builder_configs[name]
        assert (config.source, config.num_train, config.num_test) == (name, 60_000, 320)


def test_tfds_builds_a_configuration_of_ones_own(tmp_path):
    config = TetrominoesConfig(name="own", num_train=3, num_test=2, seed=7)
    builder = tfds.builder("tetrominoes", config=config, data_dir=tmp_path)
    builder.download_and_prepare()
    drawn = list(scenes.iterate_scenes(tetrominoes.draw_scene, 3, seed=7))
    assert_same_scenes(load(builder, "train"), drawn)
