"""Tests of decoded scenes beside a dataset: the same batches, and all that may fail."""

import errno
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from slot_attention_tf.data import decoded, pipelines, shards
from slot_attention_tf.data.prepare import prepare

NAME = "synthetic_clevr/tiny"
OPTIONS = {"resolution": (24, 32), "shuffle": True, "seed": 3}


@pytest.fixture
def own_dir(synthetic_clevr_dir, tmp_path):
    """A copy of a dataset of 48x64 pixels, without what other tests made beside it."""
    ignored = shutil.ignore_patterns("decoded")
    return shutil.copytree(synthetic_clevr_dir, tmp_path / "data", ignore=ignored)


def discovery(data_dir, limit=0, **options):
    options = {**OPTIONS, **options, "data_dir": data_dir, "cache_limit_bytes": limit}
    dataset = pipelines.discovery_dataset(NAME, "train", 3, **options)
    return list(dataset.as_numpy_iterator())


def folders(data_dir):
    """All decoded scenes below a directory, finished or not."""
    return [path for path in data_dir.rglob("decoded/*") if path.is_dir()]


def assert_equal(found, expected):
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        for key in one:
            np.testing.assert_array_equal(one[key], other[key])


@pytest.mark.parametrize("labels", [True, False])
@pytest.mark.parametrize("crop", [None, (4, 40, 8, 60)])
def test_batches_are_those_of_scenes_in_memory(own_dir, labels, crop):
    options = {"labels": labels, "crop": crop}
    in_memory = discovery(own_dir, limit=2**30, **options)
    assert not folders(own_dir)
    assert_equal(discovery(own_dir, **options), in_memory)
    assert len(folders(own_dir)) == 1


def test_sets_are_those_of_scenes_in_memory(own_dir):
    options = {"resolution": (24, 32), "data_dir": own_dir, "max_num_objects": 3}

    def batches(limit):
        dataset = pipelines.set_prediction_dataset(
            NAME, "train", 4, cache_limit_bytes=limit, **options
        )
        return list(dataset.as_numpy_iterator())

    assert_equal(batches(0), batches(2**30))
    assert len(folders(own_dir)) == 1


def test_workers_share_the_batches(own_dir):
    whole = discovery(own_dir)
    halves = [
        list(
            pipelines.discovery_dataset(
                *(NAME, "train", 2),
                **{**OPTIONS, "data_dir": own_dir, "cache_limit_bytes": 0},
                num_shards=2,
                shard_index=index,
            ).as_numpy_iterator()
        )
        for index in range(2)
    ]
    images = [b["image"] for pair in zip(*halves, strict=True) for b in pair]
    expected = np.concatenate([batch["image"] for batch in whole])
    np.testing.assert_array_equal(np.concatenate(images), expected)


def test_scenes_are_decoded_once(own_dir, monkeypatch):
    first = discovery(own_dir)

    def fail(self, indices):
        raise AssertionError("read again")

    monkeypatch.setattr(shards.RecordShards, "read", fail)
    assert_equal(discovery(own_dir), first)


def test_other_scenes_get_files_of_their_own(own_dir):
    discovery(own_dir)
    crop = (4, 40, 8, 60)
    for number, options in enumerate(({"crop": crop}, {"num_scenes": 5}), 2):
        expected = discovery(own_dir, limit=2**30, **options)
        assert_equal(discovery(own_dir, **options), expected)
        assert len(folders(own_dir)) == number
    # The files hold scenes before they are resized.
    discovery(own_dir, resolution=(12, 16))
    assert len(folders(own_dir)) == 3


def test_scenes_drawn_anew_are_not_those_of_old_files(own_dir):
    builder = prepare(NAME, own_dir)
    discovery(own_dir)
    kept = folders(own_dir)[0].parent
    shutil.move(kept, own_dir.parent / "kept")
    shutil.rmtree(builder.data_path)
    sizes = {"num_train": 8, "num_validation": 4, "num_test": 3, "seed": 9}
    shape = {"height": 48, "width": 64, "min_objects": 1, "max_objects": 3}
    prepare(NAME, own_dir, **sizes, **shape)
    shutil.move(own_dir.parent / "kept", kept)
    assert_equal(discovery(own_dir), discovery(own_dir, limit=2**30))


def test_images_that_are_not_made_smaller_are_not_kept(own_dir):
    discovery(own_dir, resolution=None)
    discovery(own_dir, resolution=(48, 64))
    assert not folders(own_dir)


def test_a_full_disk_is_a_warning(own_dir, monkeypatch):
    expected = discovery(own_dir, limit=2**30)
    usage = shutil.disk_usage(own_dir)
    little = type(usage)(usage.total, usage.used, 30_000)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: little)
        with pytest.warns(UserWarning, match="more than half of the .* GiB that are"):
            assert_equal(discovery(own_dir), expected)

    def fill(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fill)
        with pytest.warns(UserWarning, match="No space left on device.*slower"):
            assert_equal(discovery(own_dir), expected)
    assert not folders(own_dir)


def test_a_folder_that_cannot_be_written_is_a_warning(own_dir):
    expected = discovery(own_dir, limit=2**30)
    # Permissions do not stop the superuser; a file in the place of the folder does.
    (prepare(NAME, own_dir).data_path / "decoded").write_text("")
    with pytest.warns(UserWarning, match="cannot be kept in .*slower"):
        assert_equal(discovery(own_dir), expected)


_KILLED = """
import sys, time, pathlib
from slot_attention_tf.data import decoded, pipelines
write = decoded._write
def write_and_wait(folder, *args):
    write(folder, *args)
    pathlib.Path(sys.argv[2]).touch()
    time.sleep(600)
decoded._write = write_and_wait
pipelines.discovery_dataset("synthetic_clevr/tiny", "train", 3, resolution=(24, 32),
    data_dir=sys.argv[1], cache_limit_bytes=0)
"""


def test_a_process_killed_while_writing_leaves_no_harm(own_dir, tmp_path):
    written = tmp_path / "written"
    root = pathlib.Path(decoded.__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(own_dir), str(written)],
        env={**os.environ, "PYTHONPATH": str(root), "CUDA_VISIBLE_DEVICES": "-1"},
        stderr=subprocess.DEVNULL,
    )
    while not written.exists():
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (left,) = folders(own_dir)
    assert left.suffix == ".tmp"
    assert_equal(discovery(own_dir), discovery(own_dir, limit=2**30))
    (made,) = folders(own_dir)
    assert made == left.with_suffix("")
