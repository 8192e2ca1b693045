"""Tests of the `tetrominoes` builder, on generated and on written public records."""

import public_records
import pytest
import tensorflow_datasets as tfds
from public_records import assert_same_scenes, load, serialize_scene

from slot_attention_tf.data import records
from slot_attention_tf.data.builders import TetrominoesConfig
from slot_attention_tf.data.generators import scenes, tetrominoes
from slot_attention_tf.data.prepare import open_prepared, prepare

FILE = "tetrominoes_train.tfrecords"


def write_public_file(directory, num_scenes):
    drawn = list(scenes.iterate_scenes(tetrominoes.draw_scene, num_scenes, 99))
    public_records.write(
        directory / FILE, [serialize_scene(scene, 4) for scene in drawn]
    )
    return drawn


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


def test_a_broken_file_leaves_nothing_behind(tmp_path):
    write_public_file(tmp_path, 4)
    options = {"source": "real", "num_train": 5, "num_test": 3}
    with pytest.raises(records.RecordError, match="Record 4 .*8 records were asked"):
        prepare("tetrominoes/few", tmp_path / "data", tmp_path, **options)
    assert not list((tmp_path / "data").rglob("*.tfrecord*"))
    with pytest.raises(FileNotFoundError):
        open_prepared("tetrominoes/few", tmp_path / "data")


@pytest.mark.parametrize("shuffle_files", [False, True])
def test_tfds_load(tmp_path, monkeypatch, shuffle_files):
    config = tfds.builder_cls("tetrominoes").builder_configs["synthetic"]
    monkeypatch.setattr(config, "num_train", 4)
    monkeypatch.setattr(config, "num_test", 1)
    dataset = tfds.load(
        "tetrominoes/synthetic",
        split="train",
        data_dir=tmp_path,
        shuffle_files=shuffle_files,
    )
    drawn = list(scenes.iterate_scenes(tetrominoes.draw_scene, 4, seed=0))
    assert_same_scenes(list(tfds.as_numpy(dataset)), drawn)


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
