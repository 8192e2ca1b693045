"""What `prepare` prints when it generates: what it does, and nothing else."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT


@pytest.mark.slow
def test_generating_says_nothing_of_downloads_or_of_tensorflow(tmp_path):
    command = [sys.executable, "-m", "slot_attention_tf.data.prepare"]
    options = ["tetrominoes/tiny", "--num_train=5", "--num_test=5"]
    process = subprocess.run(
        [*command, *options, f"--data_dir={tmp_path}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    (line,) = process.stdout.splitlines()
    assert line.startswith("tetrominoes/tiny/1.0.0 is in ") and "'train': 5" in line
    for word in ("ownload", "oneDNN", "cuda"):
        assert word not in process.stderr
