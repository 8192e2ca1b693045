"""From a serialized scene to its image and label map, also of datasets not ours."""

import numpy as np

from slot_attention_tf.data.batching import num_background

# Names of a feature that holds a label map; ours is the first.
LABEL_MAPS = ("segmentation", "segmentations", "mask")


def image_shape(builder, resolution=None, crop=None):
    """Returns the shape of the images, and checks that they can be used.

    Args:
        builder: TFDS builder of the prepared dataset.
        resolution: Tuple of integers, height and width to resize to later, or `None`.
        crop: Tuple of integers `(top, bottom, left, right)` to cut out, or `None`.

    Returns:
        Tuple of integers `(height, width, channels)`; height and width are `None`
        where the images of the dataset have various sizes.
    """
    shape, dtype = _shape_and_dtype(builder, "image")
    if len(shape) != 3 or shape[-1] not in (1, 3) or dtype != "uint8":
        raise ValueError(
            f"{builder.info.full_name} has no feature 'image' of uint8 pixels [height, "
            "width, channels] with 1 or 3 channels. "
            f"Received: features={_in_one_line(builder.info.features)}"
        )
    if None in shape and (resolution is None or crop is not None):
        raise ValueError(
            f"The images of {builder.info.full_name} have various sizes: they need a "
            "`resolution` to be resized to, and cannot be cropped. "
            f"Received: resolution={resolution}, crop={crop}"
        )
    return shape


def scene_decoder(builder, *, labels=True, crop=None, resolution=None):
    """Returns a function that decodes one scene.

    Args:
        builder: TFDS builder of the prepared dataset.
        labels: Boolean, whether to decode the label map.
        crop: Tuple of integers `(top, bottom, left, right)` to cut out, or `None`.
        resolution: Tuple of integers, the height and width that images of various
            sizes are resized to, rounded to 8 bits. Others keep their size.

    Returns:
        A function from a string tensor to a dict of tensors: `image` uint8 `[h, w, C]`
        and, with labels, `segmentation` uint8 or int32 `[h, w]`, 0 for the background.
    """
    import tensorflow as tf
    import tensorflow_datasets as tfds

    features = builder.info.features
    shape = image_shape(builder, resolution, crop)
    varying = None in shape
    chosen = {"image": features["image"]}
    if labels:
        name = _label_map_name(builder)
        chosen[name] = features[name]
    parse = tfds.features.FeaturesDict(chosen).deserialize_example
    background = num_background(builder)

    def decode(serialized):
        parsed = parse(serialized)
        image = tf.ensure_shape(parsed["image"], shape)
        if varying:
            image = tf.cast(tf.round(tf.image.resize(image, resolution)), tf.uint8)
        scene = {"image": cut(image, crop)}
        if labels:
            segmentation = _merge_background(parsed[name], background)
            if varying:
                segmentation = tf.image.resize(segmentation, resolution, "nearest")
            else:
                segmentation = tf.ensure_shape(segmentation, (*shape[:2], 1))
            scene["segmentation"] = cut(segmentation[..., 0], crop)
        return scene

    return decode


def cut(image, crop):
    """Returns rows and columns `(top, bottom, left, right)` of an image."""
    if crop is None:
        return image
    top, bottom, left, right = crop
    return image[top:bottom, left:right]


def has_label_map(builder):
    """Whether the scenes of a dataset have a label map that can be used."""
    return _find_label_map(builder) is not None


def _find_label_map(builder):
    for name in LABEL_MAPS:
        shape, dtype = _shape_and_dtype(builder, name)
        flat = len(shape) == 2 or (len(shape) == 3 and shape[-1] == 1)
        if flat and "int" in dtype:
            return name
    return None


def _label_map_name(builder):
    if name := _find_label_map(builder):
        return name
    raise ValueError(
        f"{builder.info.full_name} has no label map, a feature of integers [height, "
        f"width] or [height, width, 1] with one of the names {', '.join(LABEL_MAPS)}. "
        f"Without it, pass labels=False. "
        f"Received: features={_in_one_line(builder.info.features)}"
    )


def _shape_and_dtype(builder, name):
    """Returns what a feature is declared to be; `()` and `""` if it is no array."""
    features = builder.info.features
    if name not in features or not isinstance(features[name].shape, tuple):
        return (), ""
    return features[name].shape, np.dtype(features[name].np_dtype).name


def _in_one_line(features):
    return " ".join(str(features).split())


def _merge_background(labels, background):
    """Makes 0 of all background labels, and 1 of the first object: `[h, w, 1]`."""
    import tensorflow as tf

    if labels.shape.rank == 2:
        labels = labels[..., None]
    if labels.dtype != tf.uint8:
        labels = tf.cast(labels, tf.int32)
    last = tf.constant(background - 1, labels.dtype)
    return tf.maximum(labels, last) - last
