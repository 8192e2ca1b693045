"""Runs and datasets in a bucket, `gs://bucket/folder`.

What is read through a memory map, appended to or replaced in one move needs a disk. So
a process works on a local copy: a dataset is copied once, and a run is copied when it
is opened, and back after each checkpoint. etils.epath does the copying, for every kind
of bucket that it knows.
"""

import atexit
import contextlib
import hashlib
import os
import pathlib
import shutil
import tempfile

# TensorFlow's list of the checkpoints that are there.
_LAST_OF_ALL = "checkpoint"


class BucketError(OSError):
    """A bucket cannot be read or written."""


def is_remote(path):
    """Whether a path names a place in a bucket, as `gs://...` does."""
    return "://" in str(path)


class RemoteRun:
    """A run's folder in a bucket, and the temporary local folder that stands for it.

    The local folder is deleted at the end of the process, unless it holds files that
    could not be brought to the bucket.

    Args:
        address: String, such as `"gs://bucket/runs/first"`. It need not exist.

    Attributes:
        local: `pathlib.Path` of the local folder, with what the bucket holds.
    """

    def __init__(self, address):
        from etils import epath

        self.address = str(address)
        self._remote = epath.Path(address)
        self._temporary = tempfile.mkdtemp(prefix="slot_attention_tf_")
        # In a folder of its own: no other run is beside it.
        self.local = pathlib.Path(self._temporary) / "run"
        self.local.mkdir()
        try:
            with _in_words("read", self.address):
                _check_bucket(self._remote)
                _copy_folder(self._remote, epath.Path(self.local))
        except BucketError:
            shutil.rmtree(self._temporary)
            raise
        self._in_bucket = self._versions()
        atexit.register(self._delete)

    def push(self):
        """Brings what changed to the bucket.

        Its list of checkpoints comes after the checkpoints, and before the deletion of
        older ones: a run that is killed on the way can be continued.

        Raises:
            BucketError: If the bucket cannot be written.
        """
        with _in_words("written", self.address):
            self._push()

    def _push(self):
        versions = self._versions()
        changed = versions.items() - self._in_bucket.items()
        names = [name for name, _ in changed]
        for name in sorted(names, key=lambda name: (_is_last(name), name)):
            target = self._remote / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((self.local / name).read_bytes())
            self._in_bucket[name] = versions[name]
        for name in self._in_bucket.keys() - versions.keys():
            (self._remote / name).unlink(missing_ok=True)
            del self._in_bucket[name]

    def _versions(self):
        """What changes with a file, by its name: its size and the time of writing."""
        files = [path for path in self.local.rglob("*") if path.is_file()]
        return {
            path.relative_to(self.local).as_posix(): _version(path) for path in files
        }

    def _delete(self):
        if self._versions().items() <= self._in_bucket.items():
            shutil.rmtree(self._temporary, ignore_errors=True)
        else:
            print(f"Not all of it is in {self.address}: see {self.local}.")


@contextlib.contextmanager
def _in_words(verb, address):
    """Says which address failed, whichever client of which bucket raised."""
    try:
        yield
    except Exception as error:
        first_line = str(error).partition("\n")[0]
        raise BucketError(
            f"{address} cannot be {verb}: check the name of the bucket, the network, "
            "and who you are there (for Google: gcloud auth application-default "
            f"login). Received: {type(error).__name__}: {first_line}"
        ) from error


def _check_bucket(path):
    """Clients may try for minutes to write to a bucket that does not exist."""
    scheme, _, rest = str(path).partition("://")
    bucket = type(path)(f"{scheme}://{rest.partition('/')[0]}")
    if not bucket.exists():
        raise FileNotFoundError(f"there is no {bucket}")


def _version(path):
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _is_last(name):
    return name.rpartition("/")[2] == _LAST_OF_ALL


def local_dataset(path):
    """Returns the folder of a prepared dataset on this machine; copies it once.

    Copies are kept in `$XDG_CACHE_HOME/slot_attention_tf`, by default
    `~/.cache/slot_attention_tf`.

    Args:
        path: `epath.Path` of the folder that holds its `dataset_info.json`.

    Raises:
        BucketError: If the bucket cannot be read.
    """
    if not is_remote(path):
        return path
    from etils import epath

    from slot_attention_tf.data.folders import make_folder

    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    # Names the sizes of all shards: of another content, it is another dataset.
    content = (path / "dataset_info.json").read_bytes()
    digest = hashlib.sha256(str(path).encode() + content).hexdigest()[:16]
    folder = cache / "slot_attention_tf" / digest
    if not folder.exists():
        print(f"Copying {path} to {folder}, once.", flush=True)
        with _in_words("read", path):
            make_folder(folder, lambda unfinished: _copy_folder(path, unfinished))
    return epath.Path(folder)


def _copy_folder(source, target):
    """Copies all files of a folder, if it exists, into another folder."""
    if not source.exists():
        return
    for entry in source.iterdir():
        if entry.is_dir():
            (target / entry.name).mkdir(exist_ok=True)
            _copy_folder(entry, target / entry.name)
        else:
            entry.copy(target / entry.name, overwrite=True)
