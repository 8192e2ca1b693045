"""Tests of the input pipelines."""

import os

import numpy as np
import pytest
import tensorflow as tf

from slot_attention_tf.data import batching, pipelines
from slot_attention_tf.data.generators import scenes, tetrominoes
from slot_attention_tf.data.prepare import open_prepared, prepare

NAME = "tetrominoes/tiny"


@pytest.fixture(scope="module")
def drawn():
    return scenes.generate_scenes(tetrominoes.draw_scene, 45, seed=0, processes=1)


@pytest.fixture(params=["memory", "disk"])
def source(request, monkeypatch):
    if request.param == "disk":
        monkeypatch.setattr(batching, "free_memory", lambda: 0)
    return request.param


def batches(data_dir, split="train", batch_size=10, take=None, **options):
    dataset = pipelines.discovery_dataset(
        NAME, split, batch_size, data_dir=data_dir, **options
    )
    return list(dataset.take(-1 if take is None else take).as_numpy_iterator())


def images_of(result):
    return np.concatenate([batch["image"] for batch in result])


def identify(result, drawn):
    """Returns for every image the index of the scene that it shows."""
    truth = {image.tobytes(): i for i, image in enumerate(drawn["image"])}
    images = np.round((images_of(result) + 1) * 127.5).astype(np.uint8)
    return [truth[image.tobytes()] for image in images]


def test_scenes_come_in_order_with_their_label_maps(data_dir, drawn, source):
    result = batches(data_dir)
    assert [len(batch["image"]) for batch in result] == [10, 10, 10, 10, 5]
    assert result[0]["image"].dtype == np.float32
    assert result[0]["segmentation"].dtype == np.uint8
    truth = drawn["image"] / 127.5 - 1
    np.testing.assert_allclose(images_of(result), truth, atol=1e-6)
    labels = np.concatenate([batch["segmentation"] for batch in result])
    np.testing.assert_array_equal(labels, drawn["segmentation"][..., 0])


def test_images_fill_the_range(data_dir):
    images = images_of(batches(data_dir))
    assert images.min() == -1.0
    assert images.max() == 1.0


def test_shapes_are_known_before_reading(data_dir, source):
    dataset = pipelines.discovery_dataset(
        NAME, "train", 7, data_dir=data_dir, repeat=True, resolution=(20, 30)
    )
    assert dataset.element_spec["image"] == tf.TensorSpec([7, 20, 30, 3], tf.float32)
    assert dataset.element_spec["segmentation"] == tf.TensorSpec([7, 20, 30], tf.uint8)


def test_memory_and_disk_give_the_same_batches(data_dir):
    options = dict(shuffle=True, seed=5, repeat=True, take=12, crop=(3, 30, 2, 34))
    in_memory = batches(data_dir, **options)
    from_disk = batches(data_dir, cache_limit_bytes=0, **options)
    for one, other in zip(in_memory, from_disk, strict=True):
        np.testing.assert_array_equal(one["image"], other["image"])
        np.testing.assert_array_equal(one["segmentation"], other["segmentation"])


def test_every_epoch_has_every_scene_once_in_another_order(data_dir, drawn):
    result = batches(data_dir, shuffle=True, repeat=True, batch_size=9, take=15)
    order = np.reshape(identify(result, drawn), (3, 45))
    for epoch in order:
        assert sorted(epoch) == list(range(45))
    assert len({tuple(epoch) for epoch in order}) == 3
    assert list(order[0]) != list(range(45))


def test_the_order_depends_on_the_seed_only(data_dir, drawn):
    options = dict(shuffle=True, repeat=True, take=9)
    first = identify(batches(data_dir, seed=1, **options), drawn)
    assert identify(batches(data_dir, seed=1, **options), drawn) == first
    assert identify(batches(data_dir, seed=2, **options), drawn) != first


@pytest.mark.parametrize("start", [1, 4, 5, 11, 23])
def test_a_run_continues_at_any_batch(data_dir, drawn, source, start):
    # 45 scenes in batches of 10: every other epoch ends in the middle of a batch.
    options = dict(shuffle=True, seed=3, repeat=True)
    whole = identify(batches(data_dir, take=start + 3, **options), drawn)
    rest = batches(data_dir, take=3, start_batch=start, **options)
    assert identify(rest, drawn) == whole[start * 10 :]


@pytest.fixture
def number_read(monkeypatch):
    """Counts the scenes that are read from disk."""
    read = []
    original = batching.RecordShards.read

    def spy(self, indices):
        read.append(len(indices))
        return original(self, indices)

    monkeypatch.setattr(batching.RecordShards, "read", spy)
    return lambda: sum(read)


def test_a_continued_run_does_not_read_what_it_skips(data_dir, number_read):
    batches(data_dir, batch_size=5, start_batch=7, cache_limit_bytes=0)
    assert number_read() == 45 - 7 * 5


@pytest.mark.parametrize("repeat", [True, False])
def test_shards_share_each_batch(data_dir, source, repeat):
    options = dict(shuffle=True, seed=3, repeat=repeat, start_batch=1, take=4)
    whole = batches(data_dir, batch_size=12, **options)
    shards = [
        batches(data_dir, batch_size=12, num_shards=3, shard_index=i, **options)
        for i in range(3)
    ]
    for batch, *shares in zip(whole, *shards, strict=True):
        for i, share in enumerate(shares):
            for key, values in batch.items():
                np.testing.assert_array_equal(share[key], values[i::3])


def test_a_shard_reads_its_own_share_only(data_dir, number_read):
    # Four batches of ten scenes, and one of five.
    batches(data_dir, num_shards=2, shard_index=1, cache_limit_bytes=0)
    assert number_read() == 4 * 5 + 2


def test_the_size_of_a_share_is_known_before_reading(data_dir):
    dataset = pipelines.discovery_dataset(
        NAME, "train", 8, data_dir=data_dir, repeat=True, num_shards=2, shard_index=1
    )
    assert dataset.element_spec["image"] == tf.TensorSpec([4, 35, 35, 3], tf.float32)


def test_a_container_may_use_what_its_limit_leaves(tmp_path, monkeypatch):
    limit, used = tmp_path / "max", tmp_path / "current"
    monkeypatch.setattr(batching, "_CGROUP_FILES", [(limit, used)])
    assert batching.free_memory() > 2**20
    used.write_text("5000\n")
    for text, expected in (("6000\n", 1000), ("4000\n", 0)):
        limit.write_text(text)
        assert batching.free_memory() == expected
    limit.write_text("max\n")
    assert batching.free_memory() > 2**20


def test_epochs_are_skipped_by_arithmetic(data_dir, drawn):
    # 45 batches of 10 are 10 epochs; walking there would take days.
    options = dict(repeat=True, take=2)
    result = batches(data_dir, start_batch=45 * 10**12 + 3, **options)
    assert identify(result, drawn) == [*range(30, 45), *range(5)]


def test_start_batch_without_repeat_skips_batches(data_dir, drawn):
    result = batches(data_dir, start_batch=3)
    assert identify(result, drawn) == list(range(30, 45))
    assert batches(data_dir, start_batch=5) == []


def test_drop_remainder_leaves_the_last_batch_out(data_dir):
    assert len(batches(data_dir, drop_remainder=True)) == 4


def test_parts_of_a_split(data_dir, drawn):
    result = batches(data_dir, split="train[10:25]")
    assert identify(result, drawn) == list(range(10, 25))
    result = batches(data_dir, num_scenes=12)
    assert identify(result, drawn) == list(range(12))


def test_crop_and_resize(data_dir, drawn):
    (batch,) = batches(
        data_dir, batch_size=45, crop=(5, 29, 1, 33), resolution=(12, 16)
    )
    assert batch["image"].shape == (45, 12, 16, 3)
    crop = drawn["image"][:, 5:29, 1:33] / 127.5 - 1
    # Half the size: bilinear sampling at the common corner of 2x2 pixels.
    truth = crop.reshape(45, 12, 2, 16, 2, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(batch["image"], truth, atol=1e-6)
    labels = drawn["segmentation"][:, 5:29, 1:33, 0]
    blocks = labels.reshape(45, 12, 2, 16, 2)
    # A label of the block, never a number between two labels.
    same = (blocks == batch["segmentation"][:, :, None, :, None]).any(axis=(2, 4))
    assert same.all()


@pytest.mark.parametrize("resolution", [(12, 16), (50, 70), (35, 20)])
def test_label_maps_are_resized_to_the_nearest_neighbour(data_dir, drawn, resolution):
    (batch,) = batches(data_dir, batch_size=45, resolution=resolution)
    truth = tf.image.resize(drawn["segmentation"], resolution, "nearest")[..., 0]
    np.testing.assert_array_equal(batch["segmentation"], truth)


@pytest.mark.parametrize("num_channels", [1, 3])
def test_grayscale(data_dir, drawn, num_channels):
    (batch,) = batches(
        data_dir, batch_size=45, grayscale=True, num_channels=num_channels
    )
    truth = drawn["image"] @ np.array([0.299, 0.587, 0.114]) / 127.5 - 1
    assert batch["image"].shape == (45, 35, 35, num_channels)
    for channel in range(num_channels):
        np.testing.assert_allclose(batch["image"][..., channel], truth, atol=2e-3)


@pytest.mark.parametrize(("split", "number"), [("train", 45), ("train[5:]", 40)])
def test_max_num_objects_needs_no_reading_where_the_counts_are_noted(
    data_dir, monkeypatch, split, number
):
    monkeypatch.setattr(batching, "_object_counter", None)
    assert len(images_of(batches(data_dir, split, max_num_objects=3))) == number
    with pytest.raises(ValueError, match=r"No scene .* Received: max_num_objects=2"):
        batches(data_dir, split, max_num_objects=2)


def test_num_scenes_counts_after_the_filter(tmp_path):
    options = {"num_train": 1, "num_test": 40, "variant": "colored_on_grayscale"}
    builder = prepare("multi_dsprites/own", tmp_path, **options)
    counts = builder.info.metadata["num_objects"]["test"]
    few = sum(n <= 3 for n in counts)
    # In the order of the file, a filter after the cut would leave too few.
    assert few < 40 and sum(n <= 3 for n in counts[: few - 1]) < few - 1

    def number_of_images(num_scenes):
        dataset = pipelines.discovery_dataset(
            "multi_dsprites/own",
            "test",
            5,
            data_dir=tmp_path,
            num_scenes=num_scenes,
            max_num_objects=3,
        )
        return sum(len(batch["image"]) for batch in dataset)

    assert number_of_images(few - 1) == few - 1
    assert number_of_images(few) == few
    with pytest.warns(UserWarning, match=rf"Only {few} scenes.*num_scenes=40\b"):
        assert number_of_images(40) == few


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size=0"),
        ({"start_batch": -1}, "start_batch=-1"),
        ({"num_shards": 3}, "batch_size=10, num_shards=3"),
        ({"num_shards": 2, "shard_index": 2}, "shard_index=2, num_shards=2"),
        ({"num_shards": 0}, "shard_index=0, num_shards=0"),
        ({"split": "validation"}, r"\['test', 'train'\].*split='validation'"),
        ({"split": "train[:0]"}, r"holds no scene.*split='train\[:0\]'"),
        ({"num_scenes": 0}, "num_scenes=0"),
        ({"crop": (0, 36, 0, 35)}, r"crop=\(0, 36, 0, 35\)"),
        ({"crop": (9, 9, 0, 35)}, r"crop=\(9, 9, 0, 35\)"),
        ({"num_channels": 1}, "num_channels=1"),
        ({"num_channels": 4, "grayscale": True}, r"\[1, 3\].*num_channels=4"),
        ({"resolution": (0, 8)}, r"resolution=\(0, 8\)"),
    ],
)
def test_arguments_out_of_range_are_errors(data_dir, options, message):
    with pytest.raises(ValueError, match=message):
        batches(data_dir, **options)


def test_missing_data_names_the_command(tmp_path):
    with pytest.raises(FileNotFoundError, match="data.prepare tetrominoes/real"):
        pipelines.discovery_dataset("tetrominoes/real", "train", 2, data_dir=tmp_path)


def damage(tmp_path, change):
    """Prepares a dataset, and rewrites its training file with `change(content)`."""
    prepare("tetrominoes/own", tmp_path, num_train=6, num_test=1)
    builder = open_prepared("tetrominoes/own", tmp_path)
    (path,) = builder.info.splits["train"].filepaths
    content = path.read_bytes()
    os.remove(path)
    path.write_bytes(change(content))


def test_a_truncated_prepared_file_is_an_error(tmp_path):
    damage(tmp_path, lambda content: content[:-30])
    with pytest.raises(ValueError, match="is broken: it should hold 6 records"):
        pipelines.discovery_dataset("tetrominoes/own", "train", 2, data_dir=tmp_path)


def test_a_corrupt_prepared_file_is_an_error(tmp_path):
    def change(content):
        where = content.index(b"IDAT") + 20
        return content[:where] + bytes(8) + content[where + 8 :]

    damage(tmp_path, change)
    with pytest.raises(ValueError, match=r"tetrominoes/own.* cannot be decoded"):
        pipelines.discovery_dataset("tetrominoes/own", "train", 2, data_dir=tmp_path)
