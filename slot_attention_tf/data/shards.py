"""Random access to the records of a prepared split.

Any order of scenes can be read without a shuffle buffer, and a stopped run goes on at
any batch without reading what came before.
"""

import mmap
import struct

import numpy as np

_LENGTH_BYTES = 8
_CHECKSUM_BYTES = 4
_HEADER_BYTES = _LENGTH_BYTES + _CHECKSUM_BYTES


class RecordShards:
    """The serialized records of a split, by index.

    Args:
        instructions: List of TFDS file instructions, `info.splits[...]
            .file_instructions`: which records of which uncompressed TFRecord files.

    Raises:
        ValueError: A file is truncated or has another number of records than TFDS
            noted when it was written.
    """

    def __init__(self, instructions):
        self._files = []
        locations = []
        for number, instruction in enumerate(instructions):
            file = _map_file(instruction.filename)
            self._files.append(file)
            spans = _find_records(file, instruction)
            spans = spans[instruction.skip : instruction.skip + instruction.take]
            locations.append(np.insert(spans, 0, number, axis=1))
        self._locations = np.concatenate(locations)  # [n, (file, start, end)]

    def __len__(self):
        return len(self._locations)

    def read(self, indices):
        """Returns the serialized records at `indices`, an object array of bytes."""
        records = np.empty(len(indices), object)
        for i, (number, start, end) in enumerate(self._locations[indices].tolist()):
            records[i] = self._files[number][start:end]
        return records


def _map_file(filename):
    with open(filename, "rb") as file:
        if not file.read(1):
            return b""  # An empty file cannot be mapped.
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _find_records(file, instruction):
    """Returns where each record of a file starts and ends, `[n, 2]`."""
    spans = []
    position = 0
    while position + _HEADER_BYTES <= len(file):
        (length,) = struct.unpack_from("<Q", file, position)
        start = position + _HEADER_BYTES
        spans.append((start, start + length))
        position = start + length + _CHECKSUM_BYTES
    if position != len(file) or len(spans) != instruction.examples_in_shard:
        raise ValueError(
            f"The file {instruction.filename!r} is broken: it should hold "
            f"{instruction.examples_in_shard} records. Received: {len(spans)} records, "
            f"the last ending at byte {position} of {len(file)}. Delete its directory "
            "and prepare the dataset again."
        )
    return np.array(spans, np.int64).reshape(-1, 2)
