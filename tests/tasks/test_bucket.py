"""Data and runs in a bucket, through TensorFlow's own client of Google's."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

import slot_attention_tf as sa
from slot_attention_tf.tasks import find_task
from slot_attention_tf.tasks.runs import load_run
from slot_attention_tf.training.run_directory import RunDirectory
from tests.conftest import ROOT
from tests.fake_gcs import download, upload
from tests.tasks import tiny

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("openssl") is None,
        reason="openssl makes the certificate of the bucket",
    ),
]


@pytest.fixture
def with_bucket(tmp_path):
    """Runs a command that has a bucket; returns what it prints."""
    bucket = tmp_path / "buckets" / "bucket"
    bucket.mkdir(parents=True)

    def run(*command, status=0):
        process = subprocess.run(
            [sys.executable, "-m", "tests.fake_gcs", bucket.parent, sys.executable]
            + [str(word) for word in command],
            cwd=ROOT,
            env={
                **os.environ,
                "XDG_CACHE_HOME": str(tmp_path / "cache"),
                "TMPDIR": str(tmp_path),
            },
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert process.returncode == status, process.stdout + process.stderr[-4000:]
        return process.stdout + process.stderr

    run.folder = bucket
    return run


def as_flags(options):
    return [f"--{name}={value}" for name, value in options.items()]


def test_a_run_in_a_bucket_is_the_run_on_a_disk(with_bucket, discovery_data, tmp_path):
    options = {**tiny.DISCOVERY, "model_dir": "gs://bucket/runs/one"}
    upload(discovery_data, with_bucket.folder, "data")
    flags = as_flags({**options, "data_dir": "gs://bucket/data"})
    first = with_bucket("train_discovery.py", *flags, "--num_train_steps=2")
    assert "Training gs://bucket/runs/one from step 0." in first
    assert first.count("Copying gs://bucket/data") == 1
    again = with_bucket("train_discovery.py", *flags)
    assert "Training gs://bucket/runs/one from step 2." in again
    assert "Copying" not in again
    score = ["--model_dir=gs://bucket/runs/one", "--data_dir=gs://bucket/data"]
    text = with_bucket("eval/discovery.py", *score, "--num_pictures=2")
    assert "FG-ARI" in text and "gs://bucket/runs/one/pictures/slots.png" in text

    local = tmp_path / "local"
    arguments = tiny.as_arguments(tiny.DISCOVERY, discovery_data)
    sa.train("discovery", model_dir=str(local), **arguments)
    in_bucket = tmp_path / "downloaded"
    download(with_bucket.folder, "runs/one", in_bucket)
    run = RunDirectory(in_bucket)
    losses = [
        [row["loss"] for row in RunDirectory(f).read_metrics() if "loss" in row]
        for f in (local, in_bucket)
    ]
    np.testing.assert_allclose(*losses, rtol=1e-6)
    assert [row["step"] for row in run.read_evaluations()] == [2, 4, 4]
    # What is in the bucket is a whole run: it can be copied, and loaded.
    assert load_run(in_bucket, find_task).step == 4
    assert (in_bucket / "pictures" / "slots.png").stat().st_size
    checkpoints = {f.stem for f in run.checkpoints.glob("*.index")}
    assert checkpoints == {f.stem for f in (local / "checkpoints").glob("*.index")}
    # Nothing is left behind but the copy of the data.
    assert not list(tmp_path.glob("slot_attention_tf_*"))


STOPPED = """
import os, signal, keras
import slot_attention_tf as sa
stop = keras.callbacks.LambdaCallback(
    on_epoch_end=lambda epoch, logs: os.kill(os.getpid(), signal.SIGTERM)
)
sa.train("discovery", model_dir="gs://bucket/run", callbacks=[stop], **{arguments})
"""


def test_a_stopped_run_is_in_the_bucket_whole(with_bucket, discovery_data, tmp_path):
    arguments = tiny.as_arguments(tiny.DISCOVERY, discovery_data)
    text = with_bucket("-c", STOPPED.format(arguments=arguments))
    assert "Stopped at step 2" in text and "Not all of it" not in text
    download(with_bucket.folder, "run", tmp_path / "downloaded")
    assert load_run(tmp_path / "downloaded", find_task).step == 2
    # A signal after the checkpoint, in the evaluation, loses nothing either.
    assert "fg_ari" in RunDirectory(tmp_path / "downloaded").read_metrics()[-1]
    assert not list(tmp_path.glob("slot_attention_tf_*"))


def test_data_are_prepared_in_a_bucket(with_bucket):
    options = ["--num_train=20", "--num_test=4", "--data_dir=gs://bucket/data"]
    command = ["-m", "slot_attention_tf.data.prepare", "tetrominoes/few", *options]
    with_bucket(*command)
    look = "print(open_prepared('tetrominoes/few', 'gs://bucket/data').info.splits)"
    code = f"from slot_attention_tf.data.prepare import open_prepared; {look}"
    assert "num_examples=20" in with_bucket("-c", code)


def test_a_bucket_that_is_not_there_is_an_error_in_words(with_bucket, discovery_data):
    with_bucket.folder.rmdir()
    options = {"model_dir": "gs://bucket/run", "data_dir": discovery_data}
    text = with_bucket(
        "train_discovery.py", *as_flags({**tiny.DISCOVERY, **options}), status=1
    )
    assert "gs://bucket/run cannot be read: check the name" in text
    assert "Traceback" not in text and "loss" not in text
