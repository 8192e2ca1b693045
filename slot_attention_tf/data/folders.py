"""Folders that are there whole or not at all."""

import contextlib
import shutil


def make_folder(folder, fill):
    """Makes a folder once, however many processes ask for it.

    Args:
        folder: The `pathlib.Path`. Nothing is done if it exists.
        fill: Function of the folder to write to, which gets its name when it is whole.

    Raises:
        OSError: If the folder cannot be written, or what `fill` raises.
    """
    if folder.exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder.with_suffix(".lock")):
        if folder.exists():
            return  # Another process made it while this one waited.
        unfinished = folder.with_suffix(".tmp")
        if unfinished.exists():
            shutil.rmtree(unfinished)  # The process that wrote it was killed.
        unfinished.mkdir()
        try:
            fill(unfinished)
            unfinished.rename(folder)
        except BaseException:
            shutil.rmtree(unfinished)
            raise


@contextlib.contextmanager
def _locked(path):
    """Inside, no other process has the lock; one that is killed gives it back."""
    try:
        import fcntl
    except ImportError as error:  # On Windows.
        raise OSError("this system cannot lock files") from error
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
