"""Batches of prepared scenes in a known order, for all input pipelines.

The order is computed from the indices of scenes, before anything is read. It is the
same for scenes in memory and on disk, and a stopped run continues at any batch without
reading the batches before it.
"""

import contextlib
import dataclasses
import functools
import pathlib

import numpy as np

from slot_attention_tf.data.decoded import open_decoded
from slot_attention_tf.data.shards import RecordShards

# Decoded scenes that take at most this share of the free memory are kept there.
_CACHE_SHARE = 0.25
_READ_AHEAD = 256
# Limit and use of the memory of a container, under both versions of Linux's cgroups.
_CGROUP_FILES = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)


@dataclasses.dataclass(frozen=True)
class Batching:
    """How scenes become batches; see `discovery_dataset` for the fields."""

    batch_size: int
    shuffle: bool = False
    seed: int = 0
    repeat: bool = False
    start_batch: int = 0
    drop_remainder: bool = False
    num_shards: int = 1
    shard_index: int = 0
    cache_limit_bytes: int | None = None

    def __post_init__(self):
        if not 0 <= self.shard_index < self.num_shards:
            raise ValueError(
                "`shard_index` must be in [0, num_shards). Received: "
                f"shard_index={self.shard_index}, num_shards={self.num_shards}"
            )
        if self.batch_size % self.num_shards:
            raise ValueError(
                "`batch_size` is that of all shards together and must be a multiple of "
                f"`num_shards`. Received: batch_size={self.batch_size}, "
                f"num_shards={self.num_shards}"
            )
        if self.batch_size < 1 or self.start_batch < 0:
            raise ValueError(
                "`batch_size` must be at least 1 and `start_batch` at least 0. "
                f"Received: batch_size={self.batch_size}, "
                f"start_batch={self.start_batch}"
            )


def open_split(builder, split):
    """Returns the `RecordShards` of a split of a prepared dataset."""
    import tensorflow_datasets as tfds

    if builder.info.file_format != tfds.core.FileFormat.TFRECORD:
        raise ValueError(
            f"{builder.info.full_name} must be stored as TFRecord files. Prepare it "
            "again with `file_format='tfrecord'`. "
            f"Received: file_format={builder.info.file_format.value!r}"
        )
    try:
        instructions = builder.info.splits[split].file_instructions
    except (KeyError, ValueError):
        raise ValueError(
            f"{builder.info.full_name} has the splits {sorted(builder.info.splits)}, "
            f"and parts of them like 'train[:100]'. Received: split={split!r}"
        ) from None
    if not instructions:
        raise ValueError(
            f"This part of {builder.info.full_name} holds no scene: prepare a dataset "
            f"of more scenes. Received: split={split!r}"
        )
    return RecordShards(instructions)


def select_scenes(builder, split, shards, max_num_objects=None, num_scenes=None):
    """Chooses scenes of a split by their number of objects.

    Args:
        builder: TFDS builder of the prepared dataset.
        split: String, the split.
        shards: The `RecordShards` of the split.
        max_num_objects: Integer, leaves out scenes with more objects, or `None`.
        num_scenes: Integer, takes at most so many of the rest, or `None`.

    Returns:
        int64 array of indices into `shards`, not empty.

    Raises:
        ValueError: No scene is left.
    """
    selected = np.arange(len(shards))
    if max_num_objects is not None:
        counts = _count_objects(builder, split, shards)
        selected = np.flatnonzero(counts <= max_num_objects)
    selected = selected[: None if num_scenes is None else max(num_scenes, 0)]
    if not len(selected):
        raise ValueError(
            f"No scene of {builder.info.full_name}, split {split!r}, is left. "
            f"Received: max_num_objects={max_num_objects}, num_scenes={num_scenes}"
        )
    return selected


def num_background(builder):
    """Returns how many labels, from 0 on, are background in a dataset."""
    return (builder.info.metadata or {}).get("num_background", 1)


def make_batches(shards, selected, decode, batching, dataset_name, folder=None):
    """Makes a `tf.data.Dataset` of batches of decoded scenes.

    Args:
        shards: `RecordShards`, the scenes.
        selected: int64 array, the indices of the scenes to use.
        decode: Function from a serialized scene, a string tensor, to a dict of
            tensors of static shape.
        batching: `Batching`.
        dataset_name: String, for error messages.
        folder: Path, where decoded scenes are kept that do not fit in memory, or
            `None` to decode them in every epoch.

    Returns:
        A `tf.data.Dataset` of dicts as `decode` returns, with a batch axis.
    """
    import tensorflow as tf

    spec = map_batches(tf.data.Dataset.from_tensors(""), decode).element_spec
    size = sum(s.dtype.size * s.shape.num_elements() for s in spec.values())

    def fetch(indices):
        serialized = tf.numpy_function(
            shards.read, [indices], tf.string, stateful=False
        )
        serialized = tf.ensure_shape(serialized, indices.shape)
        return tf.map_fn(decode, serialized, fn_output_signature=spec)

    limit = batching.cache_limit_bytes
    if limit is None:
        limit = _CACHE_SHARE * free_memory()
    number = len(selected)
    decode_all = functools.partial(_decode_all, fetch, selected, dataset_name)
    if number * size <= limit:
        fetch = _hold_in_memory(spec, number, decode_all)
        selected = np.arange(number)
    elif folder is not None:
        arrays = open_decoded(folder, spec, number, decode_all)
        if arrays is not None:
            fetch = _reader(arrays, spec)
            selected = np.arange(number)
    batches = _index_batches(selected, batching)
    return map_batches(batches, fetch)


def map_batches(batches, function):
    """`batches.map(function)` in order and in parallel.

    AutoGraph, which rewrites Python's `if` and `for`, is off: it takes seconds.
    """
    import tensorflow as tf

    function = tf.autograph.experimental.do_not_convert(function)
    return batches.map(function, tf.data.AUTOTUNE, deterministic=True)


def _count_objects(builder, split, shards):
    """Returns the number of objects of every scene of a split, `[n]`."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    noted = (builder.info.metadata or {}).get("num_objects", {})
    # Such as `train[:98%]`: names of whole splits, each with a range.
    parts = tfds.core.ReadInstruction.from_spec(split).to_absolute(builder.info.splits)
    if all(part.splitname in noted for part in parts):
        found = [noted[part.splitname][part.from_ : part.to] for part in parts]
        return np.concatenate([np.array(each) for each in found])

    count = _object_counter(builder)
    counts = []
    for start in range(0, len(shards), _READ_AHEAD):
        indices = np.arange(start, min(start + _READ_AHEAD, len(shards)))
        serialized = tf.constant(shards.read(indices))
        counts.append(tf.map_fn(count, serialized, fn_output_signature=tf.int32))
    return np.concatenate(counts)


def _object_counter(builder):
    """Returns a function from a serialized scene to its number of objects."""
    import tensorflow as tf

    features = builder.info.features
    if "visibility" in features:
        background = num_background(builder)
        entities = tf.io.FixedLenFeature(features["visibility"].shape, tf.float32)
        parts = {"visibility": entities}

        def count(serialized):
            parsed = tf.io.parse_single_example(serialized, parts)
            present = parsed["visibility"][background:] > 0
            return tf.math.count_nonzero(present, dtype=tf.int32)

    elif "objects" in features:
        parts = {"objects/size": tf.io.VarLenFeature(tf.int64)}

        def count(serialized):
            parsed = tf.io.parse_single_example(serialized, parts)
            return tf.size(parsed["objects/size"].values)

    else:
        raise ValueError(
            f"{builder.info.full_name} has neither of the features 'visibility' and "
            "'objects' to choose scenes by. Received: max_num_objects not None"
        )
    return tf.function(count, autograph=False)


def _index_batches(selected, batching):
    import tensorflow as tf

    skipped = batching.start_batch * batching.batch_size
    epochs = tf.data.Dataset.range(1)
    if batching.repeat:
        first_epoch, skipped = divmod(skipped, len(selected))
        epochs = tf.data.Dataset.range(first_epoch, tf.int64.max)

    @tf.autograph.experimental.do_not_convert
    def order(epoch):
        indices = tf.constant(selected)
        if batching.shuffle:
            key = tf.stack([tf.cast(batching.seed, tf.int64), epoch])
            indices = tf.random.experimental.stateless_shuffle(indices, key)
        return tf.data.Dataset.from_tensor_slices(indices)

    indices = epochs.flat_map(order).skip(skipped)
    drop_remainder = batching.drop_remainder or batching.repeat
    batches = indices.batch(batching.batch_size, drop_remainder=drop_remainder)
    if batching.num_shards == 1:
        return batches
    size = batching.batch_size // batching.num_shards if drop_remainder else None

    def take_share(batch):
        share = batch[batching.shard_index :: batching.num_shards]
        return tf.ensure_shape(share, [size])

    return map_batches(batches, take_share)


def free_memory():
    """Returns how many bytes this process may still use, containers respected."""
    import psutil

    free = psutil.virtual_memory().available
    for paths in _CGROUP_FILES:
        # A machine has one of the two pairs, and a limit may be the word "max".
        with contextlib.suppress(OSError, ValueError):
            limit, used = (int(pathlib.Path(path).read_text()) for path in paths)
            free = min(free, max(limit - used, 0))
    return free


def _decode_all(fetch, selected, dataset_name):
    """Yields all scenes as dicts of arrays with a batch axis."""
    import tensorflow as tf

    batches = tf.data.Dataset.from_tensor_slices(selected).batch(_READ_AHEAD)
    batches = map_batches(batches, fetch)
    start = 0
    try:
        for batch in batches.as_numpy_iterator():
            yield batch
            start += len(batch["image"])
    except tf.errors.InvalidArgumentError as error:
        raise ValueError(
            f"{dataset_name}: a record between {start} and {start + _READ_AHEAD} "
            "cannot be decoded. Delete the directory of the dataset and prepare it "
            "again. "
            f"Received: {error.message}"
        ) from None


def _hold_in_memory(spec, number, decode_all):
    """Reads all scenes once; returns a function from positions to scenes."""
    import tensorflow as tf

    arrays = {
        key: np.empty((number, *s.shape), s.dtype.as_numpy_dtype)
        for key, s in spec.items()
    }
    start = 0
    for batch in decode_all():
        for key, values in batch.items():
            arrays[key][start : start + len(values)] = values
        start += len(values)
    with tf.device("/CPU:0"):
        tensors = {key: tf.constant(values) for key, values in arrays.items()}

    def take(indices):
        return {key: tf.gather(values, indices) for key, values in tensors.items()}

    return take


def _reader(arrays, spec):
    """Returns a function from positions to scenes of arrays that stay on disk."""
    import tensorflow as tf

    def read(indices):
        return [np.asarray(arrays[key][indices]) for key in spec]

    def take(indices):
        dtypes = [s.dtype for s in spec.values()]
        values = tf.numpy_function(read, [indices], dtypes, stateful=False)
        return {
            key: tf.ensure_shape(value, (*indices.shape, *s.shape))
            for (key, s), value in zip(spec.items(), values, strict=True)
        }

    return take
