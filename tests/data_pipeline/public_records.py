"""Writes files as the public multi-object datasets are, byte for byte.

Every value of an image or a mask is a string of its own, of one byte. The files are
written by TensorFlow's own writer and protocol buffers, independently of the reader.
"""

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds


def one_byte_strings(array):
    values = [bytes([v]) for v in np.asarray(array, np.uint8).reshape(-1).tolist()]
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def floats(array):
    values = np.asarray(array, np.float32).reshape(-1).tolist()
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))


def serialize(bytes_features, float_features=None):
    """Serializes a record of arrays, uint8 and float32."""
    feature = {k: one_byte_strings(v) for k, v in bytes_features.items()}
    feature.update({k: floats(v) for k, v in (float_features or {}).items()})
    example = tf.train.Example(features=tf.train.Features(feature=feature))
    return example.SerializeToString()


def write(path, serialized, compression="GZIP"):
    """Writes serialized records to a TFRecord file; returns its path."""
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for record in serialized:
            writer.write(record)
    return path


def masks_of(labels, num_entities):
    """Returns masks `[entities, height, width, 1]`, 0 or 255, of a label map."""
    entities = np.arange(num_entities).reshape(-1, 1, 1)
    return (255 * (labels[None] == entities)).astype(np.uint8)[..., None]


def serialize_scene(scene, num_entities, entity_axis=0, bytes_factors=()):
    """Serializes a drawn scene; all but image and label map become factors."""
    factors = {k: v for k, v in scene.items() if k not in ("image", "segmentation")}
    masks = masks_of(scene["segmentation"][..., 0], num_entities)
    stored = {"image": scene["image"], "mask": np.moveaxis(masks, 0, entity_axis)}
    for name in bytes_factors:
        stored[name] = factors.pop(name)
    return serialize(stored, factors)


def load(builder, split):
    """Reads all examples of a split through TFDS."""
    return list(tfds.as_numpy(builder.as_dataset(split=split)))


def assert_same_scenes(loaded, expected):
    """Compares examples with dicts of arrays, types included."""
    assert len(loaded) == len(expected)
    for one, other in zip(loaded, expected, strict=True):
        assert set(one) == set(other)
        for key in one:
            np.testing.assert_array_equal(one[key], other[key], err_msg=key)
            assert one[key].dtype == other[key].dtype, key
