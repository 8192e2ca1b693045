"""A run that is killed fifty times ends with the bits of one that was not."""

import os
import random
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from slot_attention_tf.tasks import find_task
from slot_attention_tf.tasks.runs import load_run
from tests.conftest import ROOT
from tests.tasks import tiny

KILLS = 50
# Each line of its input is a process to start: the script's flags. It imports all and
# forks, so that a start costs no import of TensorFlow.
STARTER = """
import os, runpy, shlex, sys
from slot_attention_tf.environment import prepare_environment
prepare_environment()
import slot_attention_tf.tasks.running
for line in sys.stdin:
    process = os.fork()
    if not process:
        sys.argv = shlex.split(line)
        runpy.run_path(sys.argv[0], run_name="__main__")
        os._exit(0)
    print("started", process, flush=True)
    print("ended", os.waitpid(process, 0)[1], flush=True)
"""


class Starter:
    """Starts `train_discovery.py` again and again."""

    def __init__(self, options):
        flags = [f"--{name}={value}" for name, value in options.items()]
        self.command = " ".join([str(ROOT / "train_discovery.py"), *flags])
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-c", STARTER],
            env={**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "-1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self):
        self.process.stdin.write(self.command + "\n")
        self.process.stdin.flush()
        return int(re.search(r"started (\d+)", self.wait_for("started"))[1])

    def close(self):
        self.process.communicate()

    def end(self):
        """Waits for the end of the started process; returns how it ended."""
        # What it was printing when it was killed may stand before it.
        return int(re.search(r"ended (\d+)", self.wait_for("ended"))[1])

    def wait_for(self, word):
        for line in self.process.stdout:
            if word in line:
                return line
            if "ended" in line:
                break
        raise AssertionError(f"It ended without {word!r}.")


@pytest.mark.slow
def test_fifty_kills(discovery_data, tmp_path):
    options = {
        **tiny.DISCOVERY,
        "data_dir": discovery_data,
        "num_train_steps": 1_000,
        "log_interval": 2,
        "checkpoint_interval": 2,
        "eval_interval": 1_000,
    }
    whole = Starter({**options, "model_dir": tmp_path / "whole"})
    whole.start()
    parts = Starter({**options, "model_dir": tmp_path / "parts"})
    rng = random.Random(0)
    for _ in range(KILLS):
        process = parts.start()
        for _ in range(rng.randint(1, 6)):
            parts.wait_for("images/s")  # It saves after each such line.
        time.sleep(rng.uniform(0, 0.05))
        os.kill(process, signal.SIGKILL)
        assert parts.end() == signal.SIGKILL
    parts.start()
    for starter in (parts, whole):
        assert starter.end() == 0
        starter.close()
    runs = [load_run(tmp_path / name, find_task) for name in ("whole", "parts")]
    for a, b in zip(*(run.model.get_weights() for run in runs), strict=True):
        np.testing.assert_array_equal(a, b)
    whole, parts = (run.directory.read_metrics() for run in runs)
    assert [(row["step"], row.get("loss")) for row in parts] == [
        (row["step"], row.get("loss")) for row in whole
    ]
