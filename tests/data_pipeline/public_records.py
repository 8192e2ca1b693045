"""Writes files as the public multi-object datasets are, byte for byte.

Every value of an image or a mask is a string of its own, of one byte. The files are
written by TensorFlow's own writer and protocol buffers, independently of the reader.
"""

import numpy as np
import tensorflow as tf


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
