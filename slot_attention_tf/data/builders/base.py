"""What all builders of multi-object scenes share.

A new dataset is a subclass of `SceneBuilder` with its features, and either a function
that draws a scene, or the format of its public file, or both: copy `tetrominoes.py`.
"""

import abc
import contextlib
import dataclasses
import io
import os
import sys

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from slot_attention_tf.clevr_properties import CATEGORIES, MAX_NUM_OBJECTS
from slot_attention_tf.data import public_files, records
from slot_attention_tf.data.generators import scenes
from slot_attention_tf.data.png import encode_png
from slot_attention_tf.data.shards import RecordShards

REAL = "real"
SYNTHETIC = "synthetic"


@dataclasses.dataclass(eq=False)
class SceneConfig(tfds.core.BuilderConfig):
    """Configuration of a dataset of multi-object scenes.

    Args:
        name: String, the name of the configuration; `tfds` calls the dataset
            `<dataset>/<name>`.
        source: `"real"`, converted from the public file, or `"synthetic"`, drawn by
            the generator of this package.
        num_train: Integer >= 1, the number of training scenes. `real` takes them
            from the start of the public file.
        num_test: Integer >= 1, the number of test scenes. `real` takes the records
            that follow those for training; `synthetic` draws them from another
            stream of random numbers.
        seed: Integer in `[0, 2**31)`, the seed of `synthetic`.
    """

    source: str = SYNTHETIC
    num_train: int = 1
    num_test: int = 1
    seed: int = 0

    def __post_init__(self):
        if self.source not in (REAL, SYNTHETIC):
            raise ValueError(
                f"`source` must be '{REAL}' or '{SYNTHETIC}'. "
                f"Received: source={self.source!r}"
            )
        for field in ("num_train", "num_test"):
            if getattr(self, field) < 1:
                raise ValueError(
                    f"`{field}` must be at least 1. "
                    f"Received: {field}={getattr(self, field)}"
                )
        scenes.held_out_seed(self.seed)


class SceneBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Base class of the builders: configs, splits, and writing of scenes.

    The examples keep their order: `train[:100]` is the first 100 records of the
    public file, or the first 100 scenes of the generator. The number of objects of
    each scene is kept in `info.metadata["num_objects"][split]`, so that scenes can be
    selected by it without reading them. `info.metadata["num_background"]` is how many
    labels are background, and `info.metadata["config"]` has the configuration.
    """

    HOMEPAGE = "https://github.com/google-deepmind/multi_object_datasets"
    CITATION = """@misc{kabra2019multi,
  title={Multi-Object Datasets},
  author={Kabra, Rishabh and Burgess, Chris and Matthey, Loic and Kaufman, Raphael Lopez
    and Greff, Klaus and Reynolds, Malcolm and Lerchner, Alexander},
  howpublished={https://github.com/google-deepmind/multi_object_datasets},
  year={2019}
}"""
    DESCRIPTION = ""
    # How many labels, from 0 on, are background.
    NUM_BACKGROUND = 1
    # Where the user put public files, given with `download_and_prepare`.
    _manual_dir = None

    @abc.abstractmethod
    def _features(self):
        """Returns the features of a scene, a dict for `tfds.features.FeaturesDict`."""

    @abc.abstractmethod
    def _draw_scene(self):
        """Returns the function that draws a scene, and its options."""

    def _synthetic_splits(self):
        """Returns a dict from split to the arguments of `iterate_scenes`."""
        config = self.builder_config
        test_seed = scenes.held_out_seed(config.seed)
        return {
            "train": {"num_scenes": config.num_train, "seed": config.seed},
            "test": {"num_scenes": config.num_test, "seed": test_seed},
        }

    def _public_file(self):
        """Returns the name of the public file below `records.BASE_URL`."""
        raise NotImplementedError(f"{self.name} has no public file.")

    def _real_splits(self):
        """Returns a dict from public file to a dict from split to records taken."""
        config = self.builder_config
        counts = {"train": config.num_train, "test": config.num_test}
        return {self._public_file(): counts}

    def _record_format(self, file):
        """Returns the `records.RecordFormat` of a public file."""
        raise NotImplementedError(f"{self.name} has no public file.")

    def _convert_record(self, record):
        """Turns a record of a public file, which may be changed, into an example."""
        return record

    def _convert_drawn(self, scene):
        """Turns a drawn scene, which may be changed, into an example."""
        return scene

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.DESCRIPTION,
            features=tfds.features.FeaturesDict(self._features()),
            homepage=self.HOMEPAGE,
            citation=self.CITATION,
            metadata=tfds.core.MetadataDict(
                num_objects={},
                num_background=self.NUM_BACKGROUND,
                config=_own_fields(self.builder_config),
            ),
            disable_shuffling=True,
        )

    def download_and_prepare(self, *, download_config=None, **kwargs):
        """Makes the dataset, unless it is there; see TFDS."""
        # What the download manager knows as its manual directory is never `None`.
        self._manual_dir = getattr(download_config, "manual_dir", None)
        generated = self.builder_config.source == SYNTHETIC
        try:
            # TFDS announces a download, of which there is none.
            with contextlib.redirect_stdout(io.StringIO() if generated else sys.stdout):
                super().download_and_prepare(download_config=download_config, **kwargs)
        finally:
            tfds.enable_progress_bar()
        self._write_indices()

    def _write_indices(self):
        """Writes where the records are while the files are still in memory."""
        local = os.path.isdir(self.data_path)
        if local and self.info.file_format == tfds.core.FileFormat.TFRECORD:
            for split in self.info.splits.values():
                RecordShards(split.file_instructions)

    def as_dataset(
        self, split=None, *, shuffle_files=False, read_config=None, **kwargs
    ):
        """Makes a `tf.data.Dataset`; see TFDS."""
        # TFDS refuses to shuffle the files of a dataset that was written in order.
        if shuffle_files:
            read_config = dataclasses.replace(
                read_config or tfds.ReadConfig(), enable_ordering_guard=False
            )
        return super().as_dataset(
            split, shuffle_files=shuffle_files, read_config=read_config, **kwargs
        )

    def _split_generators(self, dl_manager):
        splits = self._make_splits(dl_manager)
        # Downloads are done; the bars to come do not know the totals, and ours do.
        tfds.disable_progress_bar()
        return splits

    def _make_splits(self, dl_manager):
        if self.builder_config.source == SYNTHETIC:
            return {
                split: self._generate_examples(
                    split, arguments["num_scenes"], self._draw(**arguments)
                )
                for split, arguments in self._synthetic_splits().items()
            }
        splits = {}
        for file, counts in self._real_splits().items():
            path = public_files.locate_public_file(dl_manager, file, self._manual_dir)
            # One pass: each split starts where the one before it stopped.
            examples = self._read(path, file, sum(counts.values()))
            for split, count in counts.items():
                splits[split] = self._generate_examples(split, count, examples)
        return splits

    def _draw(self, **arguments):
        draw_scene, options = self._draw_scene()
        # A generator, so that the workers start when this split's turn has come.
        for scene in scenes.iterate_scenes(draw_scene, **{**options, **arguments}):
            yield self._convert_drawn(scene)

    def _read(self, path, file, num_records):
        record_format = self._record_format(file)
        read = records.read_records(path, record_format, num_records)
        for index, record in enumerate(read):
            try:
                yield self._convert_record(record)
            except records.RecordError as error:
                raise records.RecordError(
                    f"Record {index} (counted from 0) of {str(path)!r}: {error}"
                ) from None

    def _generate_examples(self, split, num_examples, examples):
        num_objects = self.info.metadata["num_objects"][split] = []
        # Beyond 1 GB TFDS sorts examples in temporary files, each a range of the
        # 128-bit keys, and reads such a file as a whole: spread the keys over 100.
        step = 2**128 // 1000 // -(-num_examples // 100)
        for i in tqdm(range(num_examples), desc=split, unit=" scenes"):
            example = next(examples)
            num_objects.append(self._count_objects(example))
            for key in ("image", "segmentation"):
                example[key] = encode_png(example[key])
            yield i * step, example

    def _count_objects(self, example):
        return int(example["visibility"][self.NUM_BACKGROUND :].sum())


def _own_fields(config):
    inherited = {field.name for field in dataclasses.fields(tfds.core.BuilderConfig)}
    fields = dataclasses.asdict(config)
    return {name: value for name, value in fields.items() if name not in inherited}


def entity_features(resolution, channels, factors):
    """Returns the features that all datasets of scenes share, and their factors.

    Args:
        resolution: Tuple of integers, height and width.
        channels: Integer, the number of channels of the images.
        factors: Dict from the name of a factor to its shape, entities first.

    Returns:
        A dict for `tfds.features.FeaturesDict`.
    """
    return {
        "image": tfds.features.Image(
            shape=(*resolution, channels), encoding_format="png"
        ),
        "segmentation": tfds.features.Image(
            shape=(*resolution, 1), encoding_format="png", use_colormap=True
        ),
        **{
            name: tfds.features.Tensor(shape=shape, dtype=np.float32)
            for name, shape in factors.items()
        },
    }


def clevr_features(resolution):
    """Returns the features of CLEVR scenes with properties and label maps.

    Args:
        resolution: Pair `(height, width)` of the images.
    """
    features = entity_features(resolution, 3, {"visibility": (MAX_NUM_OBJECTS + 1,)})
    labels = {
        name: tfds.features.ClassLabel(names=values)
        for name, values in CATEGORIES.items()
    }
    objects = {
        **labels,
        "rotation": tfds.features.Tensor(shape=(), dtype=np.float32),
        "3d_coords": tfds.features.Tensor(shape=(3,), dtype=np.float32),
        "pixel_coords": tfds.features.Tensor(shape=(3,), dtype=np.float32),
    }
    return {
        **features,
        "file_name": tfds.features.Text(),
        "objects": tfds.features.Sequence(objects),
    }
