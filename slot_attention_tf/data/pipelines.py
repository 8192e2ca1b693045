"""Input pipelines over prepared datasets."""

import warnings

import numpy as np

from slot_attention_tf.clevr_properties import CROP, MAX_NUM_OBJECTS
from slot_attention_tf.data import batching, clevr, decoded, decoding
from slot_attention_tf.data.prepare import open_prepared, prepare

__all__ = ["discovery_dataset", "prepare", "set_prediction_dataset"]


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
    labels=True,
    num_shards=1,
    shard_index=0,
    cache_limit_bytes=None,
):
    """Batches of images and label maps for object discovery.

    Works with every prepared TFDS dataset that has uint8 images as the feature `image`
    and a label map as `segmentation`, `segmentations` or `mask`: integers `[H, W]` or
    `[H, W, 1]`, 0 for the background.

    The order of the scenes depends only on `seed` and the epoch. With `repeat`, all
    batches are full: one may hold the end of an epoch and the start of the next.
    `start_batch=n` continues where a run stopped after `n` batches, and reads none of
    them.

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
        grayscale: Boolean, whether to convert the images to grey.
        num_scenes: Integer >= 1, how many scenes to use, from the start of the split
            and after `max_num_objects`. Warns if fewer are left. `None` means all.
        shuffle: Boolean, whether to shuffle, anew in every epoch.
        seed: Integer, the seed of the shuffling.
        repeat: Boolean, whether to start again at the end.
        start_batch: Integer >= 0, how many batches to skip.
        drop_remainder: Boolean, whether to drop a last, smaller batch.
        labels: Boolean, whether to decode the label maps. Training does not use them.
        num_shards: Integer, how many workers share each batch. It must divide
            `batch_size`, which stays the size of the whole batch.
        shard_index: Integer, which worker this is: it gets the scenes `shard_index`,
            `shard_index + num_shards`, ... of each batch. It decodes no others,
            unless all scenes are kept in memory.
        cache_limit_bytes: Integer; decoded scenes that take at most so much are kept
            in memory. `None` means a quarter of what is free. More scenes, if a crop
            or `resolution` makes them smaller, are decoded once into files in the
            folder `decoded` of the dataset, which may be deleted at any time: 7.7 GB
            for the 70,000 scenes of CLEVR in the crop of the papers. Where there is
            no room, a warning says so. The batches are the same in all cases.

    Returns:
        A `tf.data.Dataset` of dicts: `image` float32 `[B, H, W, C]` in `[-1, 1]`, and
        with labels `segmentation` uint8 `[B, H, W]`, 0 for the background (int32 for
        datasets that are not of this package and store other integers).

    Raises:
        FileNotFoundError: The dataset was not prepared; names the command to run.
        ValueError: An argument is out of range or does not fit the data.
    """
    import tensorflow as tf

    settings = batching.Batching(
        batch_size,
        shuffle,
        seed,
        repeat,
        start_batch,
        drop_remainder,
        num_shards,
        shard_index,
        cache_limit_bytes,
    )
    builder = open_prepared(name, data_dir)
    shape = decoding.image_shape(builder, resolution, crop)
    _check_image(shape, resolution, crop)
    _check_channels(shape, num_channels, grayscale)
    shards = batching.open_split(builder, split)
    selected = batching.select_scenes(
        builder, split, shards, max_num_objects, num_scenes
    )
    if num_scenes is not None and len(selected) < num_scenes:
        warnings.warn(
            f"Only {len(selected)} scenes are used: {builder.info.full_name}, split "
            f"{split!r}, has no more that fit. "
            f"Received: num_scenes={num_scenes}, max_num_objects={max_num_objects}",
            stacklevel=2,
        )

    decode = decoding.scene_decoder(
        builder, labels=labels, crop=crop, resolution=resolution
    )

    def finish(batch):
        images = _to_model_input(batch["image"], resolution, num_channels, grayscale)
        if not labels:
            return {"image": images}
        segmentation = _resize_nearest(batch["segmentation"], resolution)
        return {"image": images, "segmentation": segmentation}

    folder = None
    if _shrinks(shape, resolution, crop):
        how = {"crop": crop, "labels": labels}
        folder = decoded.decoded_folder(builder, shards, selected, how)
    batches = batching.make_batches(
        shards, selected, decode, settings, builder.info.full_name, folder
    )
    batches = batching.map_batches(batches, finish)
    return batches.prefetch(tf.data.AUTOTUNE)


def set_prediction_dataset(
    name,
    split,
    batch_size,
    *,
    resolution=None,
    data_dir=None,
    apply_crop=False,
    max_num_objects=10,
    num_scenes=None,
    shuffle=False,
    seed=0,
    repeat=False,
    start_batch=0,
    drop_remainder=False,
    labels=False,
    num_shards=1,
    shard_index=0,
    cache_limit_bytes=None,
):
    """Batches of images and sets of object properties; order as `discovery_dataset`.

    Args:
        name: String, a prepared dataset with the feature `objects` of CLEVR:
            `"synthetic_clevr/<config>"`, or TFDS's `"clevr"`.
        split: String, `"train"`, `"validation"`, `"test"` or a part of them.
        batch_size: Integer >= 1.
        resolution: Tuple of integers, height and width to resize to, bilinearly;
            `None` keeps the size.
        data_dir: Path of the directory of all datasets; `None` means that of TFDS.
        apply_crop: Boolean, whether to cut out rows 29 to 221 and columns 64 to 256.
        max_num_objects: Integer, the size of the sets; scenes with more objects are
            left out.
        num_scenes: Integer, how many scenes to use at most; `None` means all.
        shuffle: Boolean, whether to shuffle, anew in every epoch.
        seed: Integer, the seed of the shuffling.
        repeat: Boolean, whether to start again at the end.
        start_batch: Integer >= 0, how many batches to skip.
        drop_remainder: Boolean, whether to drop a last, smaller batch.
        labels: Boolean, whether to give the label maps too, of datasets that have them.
        num_shards: Integer, how many workers share each batch.
        shard_index: Integer, which worker this is.
        cache_limit_bytes: Integer, what decoded scenes may take in memory.

    Returns:
        A `tf.data.Dataset` of dicts: `image` float32 `[B, H, W, 3]` in `[-1, 1]`;
        `target` float32 `[B, max_num_objects, 19]`, see `clevr.set_targets`; with
        labels `segmentation` uint8 `[B, H, W]`, 0 for the background.
    """
    import tensorflow as tf

    settings = batching.Batching(
        batch_size,
        shuffle,
        seed,
        repeat,
        start_batch,
        drop_remainder,
        num_shards,
        shard_index,
        cache_limit_bytes,
    )
    builder = open_prepared(name, data_dir)
    shape = clevr.image_shape(builder)
    crop = CROP if apply_crop else None
    _check_image(shape, resolution, crop)
    shards = batching.open_split(builder, split)
    if max_num_objects < 1:
        raise ValueError(
            "`max_num_objects` must be at least 1. "
            f"Received: max_num_objects={max_num_objects}"
        )
    # CLEVR has no scene of more than ten objects: nothing to count.
    limit = max_num_objects if max_num_objects < MAX_NUM_OBJECTS else None
    selected = batching.select_scenes(builder, split, shards, limit, num_scenes)
    parse = clevr.parser(builder)
    labels = labels and decoding.has_label_map(builder)
    parse_scene = decoding.scene_decoder(builder, crop=crop) if labels else None

    def decode(serialized):
        features = parse(serialized)
        target = clevr.set_targets(features["objects"], max_num_objects)
        if labels:
            return {**parse_scene(serialized), "target": target}
        image = tf.ensure_shape(features["image"], shape)
        return {"image": decoding.cut(image, crop), "target": target}

    def finish(batch):
        images = _to_model_input(batch["image"], resolution, num_channels=3)
        finished = {**batch, "image": images}
        if labels:
            segmentation = _resize_nearest(batch["segmentation"], resolution)
            finished["segmentation"] = segmentation
        return finished

    folder = None
    if _shrinks(shape, resolution, crop):
        how = {"crop": crop, "max_num_objects": max_num_objects, "labels": labels}
        folder = decoded.decoded_folder(builder, shards, selected, how)
    batches = batching.make_batches(
        shards, selected, decode, settings, builder.info.full_name, folder
    )
    batches = batching.map_batches(batches, finish)
    return batches.prefetch(tf.data.AUTOTUNE)


def _shrinks(shape, resolution, crop):
    """Whether images of one size are made smaller: much to decode, little to use."""
    if None in shape:
        return False
    if resolution is None:
        top, bottom, left, right = crop or (0, shape[0], 0, shape[1])
        resolution = (bottom - top, right - left)
    return resolution[0] * resolution[1] < shape[0] * shape[1]


def _check_image(shape, resolution, crop):
    if resolution is not None and (len(resolution) != 2 or min(resolution) < 1):
        raise ValueError(
            "`resolution` must be (height, width), at least 1 each. "
            f"Received: resolution={resolution}"
        )
    if crop is not None:
        top, bottom, left, right = crop
        if not (0 <= top < bottom <= shape[0] and 0 <= left < right <= shape[1]):
            raise ValueError(
                "The crop must be (top, bottom, left, right) inside the image of "
                f"shape {shape}. Received: crop={crop}"
            )


def _check_channels(shape, num_channels, grayscale):
    stored = 1 if grayscale else shape[-1]
    if num_channels not in (stored, 3):
        raise ValueError(
            f"`num_channels` must be one of {sorted({stored, 3})} for images of shape "
            f"{shape} and grayscale={grayscale}. Received: num_channels={num_channels}"
        )


def _to_model_input(image, resolution, num_channels, grayscale=False):
    import tensorflow as tf

    if resolution is not None:
        # Before the scaling to [-1, 1], as there are fewer pixels to scale after it.
        image = tf.image.resize(image, resolution, tf.image.ResizeMethod.BILINEAR)
    image = clevr.to_float(image)  # [B, H, W, C]
    if grayscale and image.shape[-1] == 3:
        image = tf.image.rgb_to_grayscale(image)
    if image.shape[-1] != num_channels:
        image = tf.repeat(image, num_channels, axis=-1)
    return tf.clip_by_value(image, -1.0, 1.0)  # Rounding may leave the range.


def _resize_nearest(labels, resolution):
    """Resizes label maps `[B, h, w]` as `tf.image.resize` does, in half its time."""
    import tensorflow as tf

    for size in resolution or ():
        old = labels.shape[1]
        nearest = np.floor((np.arange(size) + 0.5) * old / size).astype(np.int32)
        # Twice along axis 1, where whole rows are copied and not single bytes.
        labels = tf.transpose(tf.gather(labels, nearest, axis=1), [0, 2, 1])
    return labels
