"""Measures how fast data comes: drawing scenes, and reading stored ones.

python benchmarks/data_throughput.py
python benchmarks/data_throughput.py --datasets clevr multi_dsprites --seconds=30
python benchmarks/data_throughput.py --part=pipeline

Generators draw on all cores this process may use. The pipeline reads the same CLEVR
scenes three times in one run: decoded, from the files that the first use makes; as the
dataset stores them; and from records in the layout of the public file. Rates per second
of CPU time mean something on a busy machine too.
"""

import argparse
import os
import pathlib
import tempfile
import time
from unittest import mock

import numpy as np

from slot_attention_tf.data.generators import clevr, scenes
from slot_attention_tf.data.preview import GENERATORS

DATASETS = (
    *("tetrominoes", "multi_dsprites/binarized", "multi_dsprites/colored_on_grayscale"),
    *("multi_dsprites/colored_on_colored", "objects_room", "clevr", "clevr_with_masks"),
)
_RESOLUTION = (128, 128)


class Stopwatch:
    """Seconds by the clock and of CPU time, ended worker processes included."""

    def __init__(self):
        self._start, self._cpu = time.perf_counter(), self._cpu_time()

    def read(self):
        return time.perf_counter() - self._start, self._cpu_time() - self._cpu

    def _cpu_time(self):
        return sum(os.times()[:4])


def measure_generator(name, seconds, processes=None):
    """Draws scenes of a dataset for about some seconds.

    A trial sets the number of scenes. The start of the worker processes counts: it is
    part of making a dataset.

    Args:
        name: String, a key of `preview.GENERATORS`.
        seconds: Float, how long to draw.
        processes: Integer, how many processes draw; `None` means one per core.

    Returns:
        A tuple of the number of scenes, and the seconds and CPU seconds they took.
    """
    draw_scene, options = GENERATORS[name]
    workers = processes or scenes.available_cores()
    start, trial = time.perf_counter(), 0
    while time.perf_counter() - start < 0.05 * seconds:
        draw_scene(scenes.scene_rng(0, trial), **options)
        trial += 1
    rate = trial / (time.perf_counter() - start)
    number = max(2 * workers, int(rate * workers * seconds))
    watch = Stopwatch()
    for _ in scenes.iterate_scenes(
        draw_scene, number, seed=1, processes=processes, progress=True, **options
    ):
        pass
    return number, *watch.read()


def report_generators(names, seconds, processes=None):
    """Prints a line for each generator."""
    workers = processes or scenes.available_cores()
    print(f"Generators, {workers} processes:")
    for name in names:
        draw_scene, options = GENERATORS[name]
        height, width = draw_scene(scenes.scene_rng(0, 0), **options)["image"].shape[:2]
        number, took, cpu = measure_generator(name, seconds, processes)
        print(
            f"{name:36s} {height:3d}x{width:<3d} {number / took:9.1f} scenes/s, "
            f"{number / cpu:9.1f} per CPU second ({number} scenes in {took:.1f} s)",
            flush=True,
        )


def report_pipeline(num_scenes, seconds):
    """Prints how fast CLEVR images are read, from both forms, and the ratio."""
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory)
        decoded, stored = _read_stored(directory, num_scenes, seconds)
        public = _read_public(directory, num_scenes, seconds)
    print(f"CLEVR images 240x320, cropped and resized to {_RESOLUTION[0]}:")
    rates = {}
    for title, (number, took, cpu) in (
        ("decoded", decoded),
        ("stored", stored),
        ("public", public),
    ):
        rates[title] = number / cpu
        print(
            f"{title:36s} {number / took:9.1f} images/s, "
            f"{number / cpu:9.1f} per CPU second"
        )
    print(
        "Per CPU second, the stored form is "
        f"{rates['stored'] / rates['public']:.1f} times as fast as the public one, and "
        f"the decoded form {rates['decoded'] / rates['stored']:.1f} times as fast as "
        "the stored one."
    )


def _read_stored(directory, num_scenes, seconds):
    """Reads with and without the decoded files, in turn."""
    from slot_attention_tf.data import batching, pipelines
    from slot_attention_tf.data.prepare import prepare

    name = "clevr_with_masks/benchmark"
    prepare(name, directory, num_train=num_scenes, num_test=1)

    def read():
        batches = pipelines.discovery_dataset(
            *(name, "train", 16),
            resolution=_RESOLUTION,
            crop=clevr.CROP,
            data_dir=directory,
            repeat=True,
            labels=False,
            # So few scenes would be kept in memory; the whole dataset might not.
            cache_limit_bytes=0,
        )
        return np.array(_consume((len(b["image"]) for b in batches), seconds / 2))

    decoded = stored = 0
    for _ in range(2):
        decoded = decoded + read()
        with mock.patch.object(batching, "open_decoded", return_value=None):
            stored = stored + read()
    return decoded, stored


def _read_public(directory, num_scenes, seconds):
    """Parses the public layout as its own reader does: one string for each byte."""
    import tensorflow as tf

    entities = clevr.MAX_NUM_ENTITIES
    shapes = {"image": (240, 320, 3), "mask": (entities, 240, 320, 1)}
    path = str(directory / "public.tfrecords")
    with tf.io.TFRecordWriter(path, "GZIP") as writer:
        for scene in scenes.iterate_scenes(
            clevr.draw_scene, num_scenes, 0, crop=None, resolution=(240, 320)
        ):
            labels = scene["segmentation"][None]
            masks = labels == np.arange(entities).reshape(-1, 1, 1, 1)
            writer.write(_serialize(image=scene["image"], mask=np.uint8(255 * masks)))

    def parse(serialized):
        specs = {k: tf.io.FixedLenFeature(s, tf.string) for k, s in shapes.items()}
        example = tf.io.parse_single_example(serialized, specs)
        pixels = {k: tf.io.decode_raw(v, tf.uint8)[..., 0] for k, v in example.items()}
        top, bottom, left, right = clevr.CROP
        image = pixels["image"][top:bottom, left:right]
        labels = tf.argmax(pixels["mask"], axis=0, output_type=tf.int32)
        labels = tf.image.resize(
            labels[top:bottom, left:right], _RESOLUTION, method="nearest"
        )
        return tf.image.resize(image, _RESOLUTION) / 127.5 - 1, labels

    records = tf.data.TFRecordDataset(path, "GZIP").repeat()
    batches = records.map(parse, tf.data.AUTOTUNE).batch(16).prefetch(tf.data.AUTOTUNE)
    return _consume((len(image) for image, _ in batches), seconds)


def _serialize(**arrays):
    import tensorflow as tf

    def feature(array):
        values = [bytes([value]) for value in array.reshape(-1).tolist()]
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))

    features = {name: feature(array) for name, array in arrays.items()}
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString()


def _consume(sizes, seconds):
    """Adds up batch sizes for some seconds, after a first batch that warms up."""
    next(sizes)
    watch, number = Stopwatch(), 0
    while watch.read()[0] < seconds:
        number += next(sizes)
    return number, *watch.read()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--part", choices=("all", "generators", "pipeline"), default="all"
    )
    parser.add_argument(
        "--datasets", nargs="*", default=DATASETS, choices=sorted(GENERATORS)
    )
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--processes", type=int, help="by default one per core")
    parser.add_argument("--num_scenes", type=int, default=48, help="stored for reading")
    flags = parser.parse_args()
    if flags.part != "pipeline":
        report_generators(flags.datasets, flags.seconds, flags.processes)
    if flags.part != "generators":
        report_pipeline(flags.num_scenes, flags.seconds)


if __name__ == "__main__":
    main()
