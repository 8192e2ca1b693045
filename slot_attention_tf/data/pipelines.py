"""Input pipelines over prepared datasets."""

import numpy as np

from slot_attention_tf.data.prepare import open_prepared, prepare
from slot_attention_tf.data.shards import RecordShards

__all__ = ["CACHE_LIMIT_BYTES", "discovery_dataset", "prepare"]

# Scenes that take less, decoded to uint8, are kept in memory. The batches are the
# same either way.
CACHE_LIMIT_BYTES = 2**30

_READ_AHEAD = 256


def discovery_dataset(
    name,
    split,
    batch_size,
    *,
    resolution=None,
    num_channels=3,
    data_dir=None,
    crop=None,
    max_num_objects=None,
    grayscale=False,
    num_scenes=None,
    shuffle=False,
    seed=0,
    repeat=False,
    start_batch=0,
    drop_remainder=False,
):
    """Batches of images and label maps for object discovery.

    The order of the scenes depends on `seed` and the number of the epoch only. With
    `repeat`, batches run across the ends of epochs and are all full; `start_batch=n`
    continues exactly where a run that took `n` batches stopped, at no cost.

    Args:
        name: String, a prepared dataset, like `"tetrominoes/synthetic"`.
        split: String, `"train"`, `"test"` or a part like `"train[:1000]"`.
        batch_size: Integer >= 1.
        resolution: Tuple of integers, height and width to resize to: images
            bilinearly, label maps to the nearest neighbour. `None` keeps the size.
        num_channels: Integer, 1 or 3. Grey images are repeated to 3.
        data_dir: Path of the directory of all datasets; `None` means that of TFDS.
        crop: Tuple of integers `(top, bottom, left, right)`, rows and columns to keep
            before resizing, or `None`.
        max_num_objects: Integer; scenes with more objects are left out. `None` keeps
            all.
        grayscale: Boolean, whether to take the colours out of the images.
        num_scenes: Integer, how many scenes to use, from the start of the split and
            after `max_num_objects`. `None` means all.
        shuffle: Boolean, whether to shuffle, anew in every epoch.
        seed: Integer, the seed of the shuffling.
        repeat: Boolean, whether to start again at the end.
        start_batch: Integer >= 0, how many batches to leave out at the start.
        drop_remainder: Boolean, whether to leave out a last, smaller batch.

    Returns:
        A `tf.data.Dataset` of dicts: `image` float32 `[B, H, W, C]` in `[-1, 1]`;
        `segmentation` uint8 `[B, H, W]`, 0 for the background.

    Raises:
        FileNotFoundError: The data is not there; says the command that makes it.
        ValueError: An argument is out of range or does not fit the data.
    """
    import tensorflow as tf

    builder = open_prepared(name, data_dir)
    shards = _open_split(builder, split)
    selected = _select_scenes(builder, split, shards, max_num_objects, num_scenes)
    shape = builder.info.features["image"].shape
    height, width = _cropped_size(shape, crop)
    _check_arguments(batch_size, start_batch, resolution)
    _check_channels(shape, num_channels, grayscale)

    def fetch(indices):
        return _read_scenes(shards, indices, shape[-1], crop)

    if len(selected) * height * width * (shape[-1] + 1) <= CACHE_LIMIT_BYTES:
        size = (height, width, shape[-1])
        fetch = _hold_in_memory(fetch, selected, size, builder.info.full_name)
        selected = np.arange(len(selected))

    def load(indices):
        return _to_model_input(fetch(indices), resolution, num_channels, grayscale)

    batches = _index_batches(
        selected, batch_size, shuffle, seed, repeat, start_batch, drop_remainder
    )
    batches = batches.map(load, tf.data.AUTOTUNE, deterministic=True)
    return batches.prefetch(tf.data.AUTOTUNE)


def _check_arguments(batch_size, start_batch, resolution):
    if batch_size < 1 or start_batch < 0:
        raise ValueError(
            "`batch_size` must be at least 1 and `start_batch` at least 0. "
            f"Received: batch_size={batch_size}, start_batch={start_batch}"
        )
    if resolution is not None and (len(resolution) != 2 or min(resolution) < 1):
        raise ValueError(
            "`resolution` must be (height, width), at least 1 each. "
            f"Received: resolution={resolution}"
        )


def _check_channels(shape, num_channels, grayscale):
    stored = 1 if grayscale else shape[-1]
    if num_channels not in (stored, 3):
        raise ValueError(
            f"`num_channels` must be {sorted({stored, 3})} for images of shape {shape} "
            f"and grayscale={grayscale}. Received: num_channels={num_channels}"
        )


def _cropped_size(shape, crop):
    if crop is None:
        return shape[0], shape[1]
    top, bottom, left, right = crop
    if not (0 <= top < bottom <= shape[0] and 0 <= left < right <= shape[1]):
        raise ValueError(
            "`crop` must be (top, bottom, left, right) inside the image of shape "
            f"{shape}. Received: crop={crop}"
        )
    return bottom - top, right - left


def _open_split(builder, split):
    try:
        instructions = builder.info.splits[split].file_instructions
    except (KeyError, ValueError):
        raise ValueError(
            f"{builder.info.full_name} has the splits {sorted(builder.info.splits)}, "
            f"and parts of them like 'train[:100]'. Received: split={split!r}"
        ) from None
    return RecordShards(instructions)


def _select_scenes(builder, split, shards, max_num_objects, num_scenes):
    """Returns the indices of the scenes to use, int64 `[n]`."""
    selected = np.arange(len(shards))
    if max_num_objects is not None:
        counts = _count_objects(builder, split, shards)
        selected = np.flatnonzero(counts <= max_num_objects)
    if num_scenes is not None and num_scenes > len(selected):
        raise ValueError(
            f"{builder.info.full_name}, split {split!r}, has {len(selected)} scenes "
            f"(max_num_objects={max_num_objects}). Received: num_scenes={num_scenes}"
        )
    selected = selected[:num_scenes]
    if not len(selected):
        raise ValueError(
            f"No scene of {builder.info.full_name}, split {split!r}, is left. "
            f"Received: max_num_objects={max_num_objects}, num_scenes={num_scenes}"
        )
    return selected


def _count_objects(builder, split, shards):
    """Returns the number of objects of every scene of a split, `[n]`."""
    noted = (builder.info.metadata or {}).get("num_objects", {})
    if split in noted:
        return np.array(noted[split])
    if "visibility" not in builder.info.features:
        raise ValueError(
            f"{builder.info.full_name} has no feature 'visibility' to choose scenes "
            "by. Received: max_num_objects that is not None"
        )
    import tensorflow as tf

    entities = builder.info.features["visibility"].shape
    spec = {"visibility": tf.io.FixedLenFeature(entities, tf.float32)}
    counts = []
    for start in range(0, len(shards), _READ_AHEAD):
        indices = np.arange(start, min(start + _READ_AHEAD, len(shards)))
        visibility = tf.io.parse_example(shards.read(indices), spec)["visibility"]
        counts.append(visibility.numpy()[:, 1:].sum(axis=1))
    return np.concatenate(counts)


def _index_batches(
    selected, batch_size, shuffle, seed, repeat, start_batch, drop_remainder
):
    import tensorflow as tf

    skipped = start_batch * batch_size
    epochs = tf.data.Dataset.range(1)
    if repeat:
        first_epoch, skipped = divmod(skipped, len(selected))
        epochs = tf.data.Dataset.range(first_epoch, tf.int64.max)

    def order(epoch):
        indices = tf.constant(selected)
        if shuffle:
            key = tf.stack([tf.cast(seed, tf.int64), epoch])
            indices = tf.random.experimental.stateless_shuffle(indices, key)
        return tf.data.Dataset.from_tensor_slices(indices)

    indices = epochs.flat_map(order).skip(skipped)
    return indices.batch(batch_size, drop_remainder=drop_remainder or repeat)


def _read_scenes(shards, indices, channels, crop):
    """Reads and decodes a batch of scenes, uint8 `[B, h, w, C]` and `[B, h, w]`."""
    import tensorflow as tf

    serialized = tf.numpy_function(shards.read, [indices], tf.string, stateful=False)
    serialized = tf.ensure_shape(serialized, indices.shape)
    spec = {
        "image": tf.io.FixedLenFeature([], tf.string),
        "segmentation": tf.io.FixedLenFeature([], tf.string),
    }
    parsed = tf.io.parse_example(serialized, spec)

    def decode(scene):
        image = tf.io.decode_png(scene["image"], channels)
        labels = tf.io.decode_png(scene["segmentation"], 1)
        if crop is not None:
            top, bottom, left, right = crop
            image, labels = (x[top:bottom, left:right] for x in (image, labels))
        return {"image": image, "segmentation": labels[..., 0]}

    return tf.map_fn(
        decode,
        parsed,
        fn_output_signature={
            "image": tf.TensorSpec([None, None, channels], tf.uint8),
            "segmentation": tf.TensorSpec([None, None], tf.uint8),
        },
    )


def _hold_in_memory(fetch, selected, shape, title):
    """Reads all scenes once; returns a function as `fetch`, by position."""
    import tensorflow as tf

    images = np.empty((len(selected), *shape), np.uint8)
    labels = np.empty((len(selected), *shape[:2]), np.uint8)
    batches = tf.data.Dataset.from_tensor_slices(selected).batch(_READ_AHEAD)
    batches = batches.map(fetch, tf.data.AUTOTUNE, deterministic=True)
    start = 0
    try:
        for batch in batches.as_numpy_iterator():
            end = start + len(batch["image"])
            images[start:end] = batch["image"]
            labels[start:end] = batch["segmentation"]
            start = end
    except tf.errors.InvalidArgumentError as error:
        raise ValueError(
            f"{title}: a record between {start} and {start + _READ_AHEAD} cannot be "
            "decoded. Delete the directory of the dataset and prepare it again. "
            f"Received: {error.message}"
        ) from None
    with tf.device("/CPU:0"):
        images, labels = tf.constant(images), tf.constant(labels)

    def take(indices):
        return {
            "image": tf.gather(images, indices),
            "segmentation": tf.gather(labels, indices),
        }

    return take


def _to_model_input(scenes, resolution, num_channels, grayscale):
    import tensorflow as tf

    images, labels = scenes["image"], scenes["segmentation"]
    images = tf.cast(images, tf.float32) * (2.0 / 255.0) - 1.0  # [B, h, w, C]
    if grayscale and images.shape[-1] == 3:
        images = tf.image.rgb_to_grayscale(images)
    if resolution is not None:
        images = tf.image.resize(images, resolution, "bilinear")
        labels = tf.image.resize(labels[..., None], resolution, "nearest")[..., 0]
    if images.shape[-1] != num_channels:
        images = tf.repeat(images, num_channels, axis=-1)
    return {"image": images, "segmentation": labels}
