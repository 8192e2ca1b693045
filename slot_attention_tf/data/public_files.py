"""Finds the public multi-object files in the user's directory, or downloads them."""

import json
import pathlib
import urllib.error
import urllib.request

from slot_attention_tf.data import records

_TIMEOUT_SECONDS = 10


def locate_public_file(dl_manager, name, manual_dir=None):
    """Returns the path of a public file, and downloads it if need be.

    Args:
        dl_manager: TFDS's `DownloadManager`.
        name: String, the path of the file in the public bucket, like
            `"tetrominoes/tetrominoes_train.tfrecords"`.
        manual_dir: Path of the directory that holds the file, directly or as in the
            public bucket; nothing is downloaded then. `None` looks in TFDS's own
            directory for files put there by hand, and downloads what it does not find.

    Returns:
        The path of the file.

    Raises:
        FileNotFoundError: The file is not in `manual_dir`.
        ConnectionError: The file cannot be downloaded.
    """
    directory = manual_dir or dl_manager.download_dir / "manual"
    places = _places(directory, name)
    for place in places:
        if place.is_file():
            return place
    if manual_dir is not None:
        looked_at = "\n".join(f"    {place}" for place in places)
        raise FileNotFoundError(
            f"`manual_dir` has no file {places[0].name!r}. These places were looked "
            f"at:\n{looked_at}\nPut a copy of {records.BASE_URL}{name} in one of them, "
            "or leave `manual_dir` out to download it. "
            f"Received: manual_dir={str(manual_dir)!r}"
        )
    url = records.BASE_URL + name
    problem = _connection_problem(url)
    if problem and not _was_downloaded(dl_manager, url):
        raise ConnectionError(
            f"Cannot download {url}: {problem}. To continue without a connection, "
            "download this file on another machine, put it in a directory DIR at\n"
            + " or\n".join(f"    {place}" for place in _places("DIR", name))
            + "\nand run again with --manual_dir=DIR (in Python, manual_dir='DIR')."
        )
    return dl_manager.download(url)


def _places(directory, name):
    """Returns where a public file may be in a directory that a user filled."""
    directory = pathlib.Path(directory).expanduser()
    return [directory / name.rsplit("/", 1)[-1], directory / name]


def _connection_problem(url):
    """Asks for the file without reading it; returns what fails, or `None`."""
    # The downloader of TFDS tries for minutes, and says nothing meanwhile.
    request = urllib.request.Request(url, method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS).close()
    except urllib.error.URLError as error:
        return str(error if isinstance(error, urllib.error.HTTPError) else error.reason)
    except OSError as error:  # Among them a timeout after the connection was made.
        return str(error)
    return None


def _was_downloaded(dl_manager, url):
    """Tells whether TFDS has downloaded the file before: it notes what it has."""
    notes = pathlib.Path(dl_manager.download_dir).rglob("*.INFO*")
    return any(url in json.loads(note.read_text())["urls"] for note in notes)
