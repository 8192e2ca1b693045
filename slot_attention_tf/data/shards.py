"""Random access to the records of a prepared split.

Scenes can be read in any order without a shuffle buffer, and a stopped run continues
at any batch without reading what came before.

The position of each record is found once, by reading the header of every record. The
lengths of the records are then kept in `<file>.index.npy`, beside the file.
"""

import contextlib
import mmap
import os
import struct
import tempfile

import numpy as np

_LENGTH_BYTES = 8
_CHECKSUM_BYTES = 4
_HEADER_BYTES = _LENGTH_BYTES + _CHECKSUM_BYTES
_FRAME_BYTES = _HEADER_BYTES + _CHECKSUM_BYTES


class RecordShards:
    """The serialized records of a split, by index.

    Args:
        instructions: List of TFDS file instructions, `info.splits[...]
            .file_instructions`: which records of which uncompressed TFRecord files.

    Attributes:
        locations: int64 `[n, 3]`: the file, first and last (exclusive) byte of each
            record.

    Raises:
        ValueError: A file is truncated or has another number of records than TFDS
            noted when it was written.
    """

    def __init__(self, instructions):
        self._files = []
        locations = []
        for number, instruction in enumerate(instructions):
            lengths = _record_lengths(instruction)
            self._files.append(_map_file(instruction.filename))
            ends = np.cumsum(lengths + _FRAME_BYTES) - _CHECKSUM_BYTES
            spans = np.stack([np.full_like(ends, number), ends - lengths, ends], axis=1)
            start = instruction.skip
            locations.append(spans[start : start + instruction.take])
        self.locations = np.concatenate(locations)  # [n, (file, start, end)]

    def __len__(self):
        return len(self.locations)

    def read(self, indices):
        """Returns the serialized records at `indices`, an object array of bytes.

        Raises:
            ValueError: A file was changed after its index was written.
        """
        records = np.empty(len(indices), object)
        for i, (number, start, end) in enumerate(self.locations[indices].tolist()):
            file = self._files[number]
            (length,) = struct.unpack_from("<Q", file, start - _HEADER_BYTES)
            if length != end - start:
                raise ValueError(
                    "A file of the dataset is not the one that its index was made for. "
                    "Delete the files *.index.npy beside it. "
                    f"Received: a record of {length} bytes, not {end - start}"
                )
            records[i] = file[start:end]
        return records


def _map_file(filename):
    with open(filename, "rb") as file:
        if not file.read(1):
            return b""  # An empty file cannot be mapped.
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _record_lengths(instruction):
    """Returns the length of each record of a file, int64 `[n]`."""
    size = os.path.getsize(instruction.filename)
    number = instruction.examples_in_shard
    path = f"{instruction.filename}.index.npy"
    with contextlib.suppress(OSError, ValueError, EOFError):
        lengths = np.load(path)
        if len(lengths) == number and lengths.sum() + _FRAME_BYTES * number == size:
            return lengths
    lengths = _walk(instruction.filename, size)
    end = sum(lengths) + _FRAME_BYTES * len(lengths)
    if end != size or len(lengths) != number:
        raise ValueError(
            f"The file {instruction.filename!r} is broken: it should hold {number} "
            f"records. Received: {len(lengths)} records, the last ending at byte {end} "
            f"of {size}. Delete its directory and prepare the dataset again."
        )
    lengths = np.array(lengths, np.int64)
    with contextlib.suppress(OSError):  # A directory may be for reading only.
        _save_atomically(path, lengths)
    return lengths


def _walk(filename, size):
    """Reads the length of each record from its header, and nothing else."""
    lengths = []
    position = 0
    # Not through the memory map, which reads ahead: as much as the whole file.
    with open(filename, "rb", buffering=0) as file:
        while position + _HEADER_BYTES <= size:
            file.seek(position)
            (length,) = struct.unpack("<Q", file.read(_LENGTH_BYTES))
            lengths.append(length)
            position += length + _FRAME_BYTES
    return lengths


def _save_atomically(path, array):
    """Writes an array so that no reader ever sees a part of it."""
    with tempfile.NamedTemporaryFile(
        dir=os.path.dirname(path), suffix=".tmp", delete=False
    ) as file:
        try:
            np.save(file, array)
            os.fchmod(file.fileno(), 0o644)
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
