"""Reader of the public multi-object TFRecord files (Kabra et al., 2019).

In these files an image is a list of one-byte strings, one per value, and so are the
masks. Parsing such a list string by string takes most of the reading time. This reader
knows the wire format and takes the list as one array.
"""

import dataclasses
import os

import numpy as np

BASE_URL = "https://storage.googleapis.com/multi-object-datasets/"

_GZIP_MAGIC = b"\x1f\x8b"
# A frame of a TFRecord: length (8 bytes) and its checksum (4) before the data, the
# checksum of the data (4) after it.
_FRAME_BYTES = 16
_LENGTH_DELIMITED = 2


class RecordError(ValueError):
    """A public file is broken, short, or not of the expected format."""


@dataclasses.dataclass(frozen=True)
class RecordFormat:
    """The features of a public file.

    Args:
        bytes_features: Dict from name to shape on disk, of features stored as one
            one-byte string per element. `image` and `mask` are always among them.
        float_features: Dict from name to shape, of features stored as floats.
        entity_axis: Integer, the axis of the entities in `mask` on disk. The rest of
            its shape is `[height, width, 1]`.
    """

    bytes_features: dict
    float_features: dict
    entity_axis: int = 0


def read_records(path, record_format, num_records):
    """Reads the first records of a public file.

    Args:
        path: Path of the file, GZIP-compressed as published or not compressed.
        record_format: A `RecordFormat`.
        num_records: Integer, how many records to read.

    Returns:
        An iterator over dicts of arrays: `image` uint8 `[height, width, channels]`;
        `segmentation` uint8 `[height, width, 1]`, the entity of each pixel, made of
        the masks; `visibility` float32 `[entities]`, taken from the masks if the
        file has none; the other features with their shapes.

    Raises:
        FileNotFoundError: There is no such file.
        RecordError: The file is broken, has fewer records, lacks a feature, or its
            masks are not a partition of the image. Names the record and its byte.
    """
    for index, offset, serialized in _read_frames(os.fspath(path), num_records):
        try:
            record = parse_record(serialized, record_format)
        except RecordError as error:
            raise _error(path, index, offset, error) from None
        yield record


def parse_record(serialized, record_format):
    """Parses one serialized `tf.train.Example`; see `read_records`."""
    stored = _parse_example(serialized)
    record = {}
    for name, shape in record_format.bytes_features.items():
        values = _one_byte_strings(_find(stored, name, 1), name)
        record[name] = _reshape(values, shape, name)
    for name, shape in record_format.float_features.items():
        values = _floats(_find(stored, name, 2))
        record[name] = _reshape(values, shape, name)
    masks = np.moveaxis(record.pop("mask"), record_format.entity_axis, 0)
    record["segmentation"] = masks_to_labels(masks)
    if "visibility" not in record:
        record["visibility"] = masks.any(axis=(1, 2, 3)).astype(np.float32)
    return record


def masks_to_labels(masks):
    """Makes one label map of the masks of all entities.

    Args:
        masks: uint8 array `[entities, height, width, 1]`, 0 or 255, with exactly one
            entity at every pixel.

    Returns:
        uint8 array `[height, width, 1]` of entity indices.

    Raises:
        RecordError: The masks overlap, leave a pixel out, or have other values.
    """
    inside = masks == 255
    if not (inside | (masks == 0)).all():
        bad = masks[~(inside | (masks == 0))]
        raise RecordError(
            f"masks must be 0 or 255 everywhere. Received: the value {bad.flat[0]} "
            f"at {bad.size} places"
        )
    owners = inside.sum(axis=0, dtype=np.uint8)
    for wrong, what in ((owners > 1, "masks overlap"), (owners < 1, "no mask covers")):
        if wrong.any():
            row, column, _ = np.argwhere(wrong)[0]
            raise RecordError(
                f"every pixel must belong to exactly one entity. Received: {what} at "
                f"{wrong.sum()} pixels, the first in row {row}, column {column}"
            )
    return inside.argmax(axis=0).astype(np.uint8)


def _read_frames(path, num_records):
    """Yields `(index, offset, serialized)`; offsets count uncompressed bytes."""
    import tensorflow as tf

    if not os.path.isfile(path):
        raise FileNotFoundError(f"There is no file to read records from at {path!r}.")
    with open(path, "rb") as file:
        compressed = file.read(2) == _GZIP_MAGIC
    dataset = tf.data.TFRecordDataset(path, "GZIP" if compressed else "", 2**22)
    index = offset = 0
    try:
        for serialized in dataset.take(num_records).as_numpy_iterator():
            yield index, offset, serialized
            index += 1
            offset += _FRAME_BYTES + len(serialized)
    except tf.errors.OpError as error:
        what = "a GZIP-compressed" if compressed else "an uncompressed"
        message = f"the file cannot be read on as {what} TFRecord file: {error.message}"
        raise _error(path, index, offset, message) from None
    if index < num_records:
        message = f"the file ends here, and {num_records} records were asked for"
        raise _error(path, index, offset, message)


def _error(path, index, offset, message):
    return RecordError(
        f"Record {index} (counted from 0), at byte {offset} of the uncompressed data "
        f"of {os.fspath(path)!r}: {message}. If the file was downloaded, its download "
        "may be incomplete: compare its size, or download it again."
    )


def _find(stored, name, kind):
    if name not in stored:
        raise RecordError(f"no feature {name!r}; the record has {sorted(stored)}")
    received, values = stored[name]
    if received != kind:
        kinds = {None: "empty", 1: "bytes", 2: "float", 3: "int64"}
        raise RecordError(
            f"feature {name!r} must hold {kinds[kind]} values. "
            f"Received: {kinds.get(received, received)}"
        )
    return values


def _reshape(values, shape, name):
    if values.size != np.prod(shape, dtype=int):
        raise RecordError(
            f"feature {name!r} must have the shape {shape}. "
            f"Received: {values.size} values"
        )
    return values.reshape(shape)


# The wire format of `tf.train.Example`: Example {features = 1}, Features {feature = 1,
# a map of {key = 1, value = 2}}, Feature {bytes_list = 1 | float_list = 2 | ... = 3},
# and every list {value = 1}.


def _parse_example(serialized):
    """Returns a dict from name to `(kind, list)`, the list still serialized."""
    stored = {}
    for features in _values(memoryview(serialized)):
        for entry in _values(features):
            parts = dict(_fields(entry))
            name = bytes(parts.get(1, b"")).decode(errors="replace")
            stored[name] = _parse_feature(parts.get(2, b""))
    return stored


def _parse_feature(feature):
    lists = list(_fields(feature))
    return lists[-1] if lists else (None, b"")


def _values(message):
    return (content for number, content in _fields(message) if number == 1)


def _fields(message):
    """Yields `(number, content)` of the fields of a message, all length-delimited."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        length, position = _varint(message, position)
        if tag & 7 != _LENGTH_DELIMITED or position + length > len(message):
            raise RecordError("this is not a serialized tf.train.Example")
        yield tag >> 3, message[position : position + length]
        position += length


def _varint(message, position):
    value = 0
    for shift in range(0, 64, 7):
        if position >= len(message):
            break
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise RecordError("this is not a serialized tf.train.Example")


def _one_byte_strings(values, name):
    """Returns the bytes of a list of one-byte strings, each stored as tag, 1, byte."""
    raw = np.frombuffer(values, np.uint8)
    if raw.size % 3 or (raw[::3] != 0x0A).any() or (raw[1::3] != 1).any():
        raise RecordError(f"feature {name!r} must be a list of one-byte strings")
    return raw[2::3].copy()


def _floats(values):
    raw = np.frombuffer(values, np.uint8)
    # Packed: one block. Not packed, as old writers have it: a tag before every value.
    if raw.size % 5 == 0 and (raw[::5] == 0x0D).all():
        return raw.reshape(-1, 5)[:, 1:].copy().view("<f4")[:, 0].astype(np.float32)
    blocks = b"".join(bytes(content) for content in _values(values))
    if len(blocks) % 4:
        raise RecordError("this is not a serialized tf.train.Example")
    return np.frombuffer(blocks, "<f4").astype(np.float32)
