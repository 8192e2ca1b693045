"""CLEVR for set prediction: TFDS's `clevr:3.1.0` and our `synthetic_clevr`."""

from slot_attention_tf.clevr_properties import CATEGORIES, encode_coords
from slot_attention_tf.data.images import to_model_range

_OFFICIAL_IMAGE_SHAPE = (320, 480, 3)


def to_float(images):
    """Turns pixels in `[0, 255]`, of any type, into float32 in `[-1, 1]`."""
    import tensorflow as tf

    return to_model_range(tf.cast(images, tf.float32))


def resize(images, resolution):
    """Resizes images in `[-1, 1]` bilinearly; `None` leaves them as they are."""
    import tensorflow as tf

    if resolution is None:
        return images
    images = tf.image.resize(images, resolution, tf.image.ResizeMethod.BILINEAR)
    return tf.clip_by_value(images, -1.0, 1.0)  # Rounding may leave the range.


def set_targets(objects, max_n_objects):
    """Returns the set to predict.

    Args:
        objects: Dict of `3d_coords` float32 `[n, 3]` and the class labels `size`,
            `material`, `shape` and `color`, `[n]` each, in the order of TFDS.
        max_n_objects: Integer >= n, the number of rows.

    Returns:
        float32 `[max_n_objects, 19]`: coordinates as (xyz + 3) / 6, one-hot size (2),
        material (2), shape (3) and colour (8), and 1; rows without an object are zero.
    """
    import tensorflow as tf

    coords = encode_coords(objects["3d_coords"])  # [n, 3]
    one_hot = [
        tf.one_hot(objects[name], len(values)) for name, values in CATEGORIES.items()
    ]
    num_objects = tf.shape(coords)[0]
    flags = tf.ones([num_objects, 1])
    rows = tf.concat([coords, *one_hot, flags], axis=1)
    targets = tf.pad(rows, [[0, max_n_objects - num_objects], [0, 0]])
    return tf.ensure_shape(targets, [max_n_objects, rows.shape[1]])


def parser(builder):
    """Returns a function from a serialized example to `image` and `objects`."""
    import tensorflow_datasets as tfds

    features = builder.info.features
    if "objects" not in features:
        raise ValueError(
            f"{builder.info.full_name} has no properties of objects to predict: its "
            f"features are {sorted(features)}. Take 'synthetic_clevr' or 'clevr'"
        )
    names = ("3d_coords", *CATEGORIES)
    objects = {name: features["objects"][name] for name in names}
    chosen = {"image": features["image"], "objects": tfds.features.Sequence(objects)}
    return tfds.features.FeaturesDict(chosen).deserialize_example


def image_shape(builder):
    """Returns the shape of the images, which TFDS's CLEVR does not declare."""
    shape = builder.info.features["image"].shape
    return _OFFICIAL_IMAGE_SHAPE if None in shape else shape
