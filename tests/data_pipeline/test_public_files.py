"""Tests of how a public file is found, run as a user runs them."""

import functools
import hashlib
import http.server
import os
import subprocess
import sys
import threading
import time

import public_records
import pytest
import tensorflow_datasets as tfds
from public_records import assert_same_scenes, load, serialize_scene

from slot_attention_tf.data import records
from slot_attention_tf.data.builders import (
    MultiDSprites,
    MultiDSpritesConfig,
    SceneBuilder,
)
from slot_attention_tf.data.generators import multi_dsprites, scenes
from slot_attention_tf.data.prepare import open_prepared, prepare

NAME = "multi_dsprites/few"
FILE = "multi_dsprites_colored_on_grayscale.tfrecords"
OPTIONS = {"source": "real", "num_train": 2, "num_test": 1}


def write_public_file(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = list(scenes.iterate_scenes(multi_dsprites.draw_scene, 3, 99))
    public_records.write(path, [serialize_scene(scene, 6, 2) for scene in drawn])
    return drawn


@pytest.fixture
def run_command(tmp_path):
    """Runs the command without a network: a refused address is its proxy."""

    def run(*arguments):
        command = [sys.executable, "-m", "slot_attention_tf.data.prepare", NAME]
        options = [f"--{name}={value}" for name, value in OPTIONS.items()]
        proxies = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
        start = time.monotonic()
        process = subprocess.run(
            [*command, *options, f"--data_dir={tmp_path / 'data'}", *arguments],
            env={**os.environ, **proxies},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert time.monotonic() - start < 60
        return process

    return run


@pytest.mark.slow
def test_without_a_network_the_command_says_what_to_do(run_command):
    process = run_command()
    assert process.returncode == 1
    message = " ".join(process.stderr.split())
    url = f"{records.BASE_URL}multi_dsprites/{FILE}"
    assert f"Cannot download {url}: [Errno 111] Connection refused." in message
    assert f" DIR/{FILE} or DIR/multi_dsprites/{FILE} and run again with" in message
    assert "--manual_dir=DIR" in message
    assert "Traceback" not in message


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["", "multi_dsprites/"])
def test_manual_dir_holds_the_file_directly_or_as_in_the_bucket(
    run_command, tmp_path, folder
):
    drawn = write_public_file(tmp_path / "manual" / (folder + FILE))
    process = run_command(f"--manual_dir={tmp_path / 'manual'}")
    assert process.returncode == 0, process.stderr
    builder = open_prepared(NAME, tmp_path / "data")
    assert_same_scenes(load(builder, "train"), drawn[:2])


@pytest.mark.slow
def test_a_manual_dir_without_the_file_is_an_error_that_names_the_places(
    run_command, tmp_path
):
    process = run_command(f"--manual_dir={tmp_path}")
    assert process.returncode == 1
    assert f"\n    {tmp_path}/{FILE}\n" in process.stderr
    assert f"\n    {tmp_path}/multi_dsprites/{FILE}\n" in process.stderr
    assert f"Received: manual_dir='{tmp_path}'" in process.stderr
    assert "Traceback" not in process.stderr


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    """A local server of a copy of the public bucket; yields its folder."""
    handler = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {})
    handler.log_message = lambda *args: None
    handler = functools.partial(handler, directory=str(tmp_path / "bucket"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        address = f"http://127.0.0.1:{server.server_port}/"
        monkeypatch.setattr(records, "BASE_URL", address)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield tmp_path / "bucket"
        server.shutdown()
        thread.join()


def test_a_file_is_downloaded_once(tmp_path, bucket):
    path = bucket / "multi_dsprites" / FILE
    drawn = write_public_file(path)
    builder = prepare(NAME, tmp_path / "data", **OPTIONS)
    assert_same_scenes(load(builder, "test"), drawn[2:])
    # Another configuration of the same file needs no network.
    path.unlink()
    builder = prepare(f"{NAME}er", tmp_path / "data", **{**OPTIONS, "num_train": 1})
    assert_same_scenes(load(builder, "train"), drawn[:1])


def test_a_file_that_the_server_does_not_have_is_an_error(tmp_path, bucket):
    bucket.mkdir()
    with pytest.raises(ConnectionError, match=r"_grayscale.tfrecords: HTTP Error 404"):
        prepare(NAME, tmp_path / "data", **OPTIONS)


def test_every_public_file_is_named_in_the_list_of_checksums():
    listed = MultiDSprites._checksums_path.read_text().splitlines()
    listed = {line.split("\t")[0].removeprefix("# ") for line in listed}
    real = [
        (cls, config)
        for cls in SceneBuilder.__subclasses__()
        for config in cls.BUILDER_CONFIGS
        if config.source == "real"
    ]
    for cls, config in real:
        for file in cls(config=config)._real_splits():
            assert records.BASE_URL + file in listed
    assert len(real) >= 4


def test_checksums_are_noted_and_compared(tmp_path, bucket, monkeypatch):
    path = bucket / "multi_dsprites" / FILE
    write_public_file(path)
    noted = tmp_path / "checksums.tsv"
    noted.write_text("# As in the package.\n")
    monkeypatch.setattr(MultiDSprites, "_checksums_path", noted)
    config = MultiDSpritesConfig(name="few", **OPTIONS)
    builder = MultiDSprites(config=config, data_dir=tmp_path / "data")
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(register_checksums=True)
    )
    url, size, sha256, *_ = noted.read_text().split("\t")
    assert url == records.BASE_URL + f"multi_dsprites/{FILE}"
    content = path.read_bytes()
    assert (int(size), sha256) == (len(content), hashlib.sha256(content).hexdigest())
    # Another file at the same address.
    path.write_bytes(content + b"more")
    known = tfds.core.download.checksums.load_url_infos(noted)
    monkeypatch.setattr(MultiDSprites, "url_infos", known)
    builder = MultiDSprites(config=config, data_dir=tmp_path / "other")
    with pytest.raises(Exception, match="has wrong checksum"):
        builder.download_and_prepare()


@pytest.mark.parametrize("cls", SceneBuilder.__subclasses__())
def test_every_builder_cites_its_source(cls, tmp_path):
    info = cls(data_dir=tmp_path).info
    assert info.citation.startswith("@") and "year={20" in info.citation
    assert info.homepage.startswith("https://") and info.description
