"""Decoded scenes in files beside a prepared dataset, made on first use.

To decode a large PNG image costs more than all that follows. Scenes that do not fit in
memory are therefore decoded once, cropped, and kept as arrays of the same 8-bit pixels,
so that batches have the same bits with and without these files. They are not resized,
which would round the pixels once more.
"""

import contextlib
import hashlib
import os
import pathlib
import shutil
import warnings

import numpy as np
from tqdm import tqdm

from slot_attention_tf.data.folders import make_folder

# The files are made if they take at most this share of what is free on the disk.
_DISK_SHARE = 0.5


def decoded_folder(builder, shards, selected, decoding):
    """Returns the folder of the decoded scenes of a dataset.

    Args:
        builder: TFDS builder of the prepared dataset.
        shards: The `RecordShards` of a split.
        selected: int64 array, the indices of the scenes to use.
        decoding: Value with a `repr` that says how the scenes are decoded.

    Returns:
        A `pathlib.Path`, another one for other scenes.
    """
    digest = hashlib.sha256(repr((builder.info.full_name, decoding)).encode())
    # Two datasets of other content hardly have records of the same lengths.
    digest.update(shards.locations[selected].tobytes())
    digest.update(selected.tobytes())
    return pathlib.Path(builder.data_path) / "decoded" / digest.hexdigest()[:16]


def open_decoded(folder, spec, number, decode_all):
    """Opens decoded scenes, and makes them if they are not there.

    Args:
        folder: The `pathlib.Path` of `decoded_folder`.
        spec: Dict from the name of a feature to its `tf.TensorSpec`.
        number: Integer, the number of scenes.
        decode_all: Function that yields dicts of arrays `[b, ...]`: all scenes.

    Returns:
        A dict from the name of a feature to a memory-mapped array `[number, ...]`, or
        `None`, with a warning, if the files cannot be made.
    """
    try:
        _make(folder, spec, number, decode_all)
        return {key: np.load(folder / f"{key}.npy", mmap_mode="r") for key in spec}
    except OSError as error:
        warnings.warn(
            f"The decoded scenes cannot be kept in {folder} ({error}). Every epoch "
            "decodes them again, which is slower.",
            stacklevel=4,
        )
        return None


def _make(folder, spec, number, decode_all):
    def fill(unfinished):
        _check_space(unfinished, spec, number)
        _write(unfinished, spec, number, decode_all)

    make_folder(folder, fill)


def _check_space(directory, spec, number):
    size = number * sum(s.dtype.size * s.shape.num_elements() for s in spec.values())
    free = shutil.disk_usage(directory).free
    if size > _DISK_SHARE * free:
        raise OSError(
            f"they take {size / 2**30:.1f} GiB, more than half of the "
            f"{free / 2**30:.1f} GiB that are free"
        )


def _write(folder, spec, number, decode_all):
    with contextlib.ExitStack() as stack:
        files = {}
        for key, s in spec.items():
            files[key] = stack.enter_context(open(folder / f"{key}.npy", "wb"))
            header = {
                "descr": np.lib.format.dtype_to_descr(np.dtype(s.dtype.as_numpy_dtype)),
                "fortran_order": False,
                "shape": (number, *s.shape),
            }
            np.lib.format.write_array_header_1_0(files[key], header)
        bar = stack.enter_context(
            tqdm(total=number, desc="decoding, once", unit=" scenes")
        )
        for batch in decode_all():
            for key, values in batch.items():
                files[key].write(values.tobytes())
            bar.update(len(values))
        for file in files.values():
            file.flush()
            os.fsync(file.fileno())
