"""Both scripts on two devices and by two workers, as a user starts them."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from slot_attention_tf.tasks import find_task
from slot_attention_tf.tasks.runs import load_run
from slot_attention_tf.training.run_directory import RunDirectory
from tests.conftest import ROOT
from tests.tasks import tiny

pytestmark = pytest.mark.slow


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def start(script, options, **environment):
    """Starts `python SCRIPT --name=value ...` in a process of its own."""
    given = [f"--{name}={value}" for name, value in options.items()]
    return subprocess.Popen(
        [sys.executable, str(ROOT / script), *given],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    output, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors[-4000:]
    return output


def start_two_workers(script, options):
    """Starts a script as two workers on this machine; returns the processes."""
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    workers = []
    for index in range(2):
        task = {"type": "worker", "index": index}
        config = json.dumps({"cluster": {"worker": addresses}, "task": task})
        given = {**options, "strategy": "multi_worker"}
        workers.append(start(script, given, TF_CONFIG=config))
    return workers


def two_workers(script, options):
    """Runs a script as two workers on this machine; returns what each printed."""
    return [finish(worker) for worker in start_two_workers(script, options)]


def two_tasks_of_slurm(script, options):
    """The same as `srun` on one machine would start them."""
    step = {
        "SLURM_JOB_ID": str(free_port()),
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_STEP_TASKS_PER_NODE": "2",
    }
    given = {**options, "strategy": "slurm"}
    workers = [start(script, given, **step, SLURM_PROCID=str(i)) for i in range(2)]
    return [finish(worker) for worker in workers]


# Slots start from Slot MLP's weights, not from noise, so that workers must agree with
# one device to the last digits.
CASES = {
    "train_discovery.py": ("discovery_data", {**tiny.DISCOVERY, "ema": 0.9}),
    "train_set_prediction.py": ("set_prediction_data", tiny.SET_PREDICTION),
}


@pytest.mark.parametrize("script", CASES)
def test_two_workers_train_as_one_and_one_of_them_writes(script, request, tmp_path):
    fixture, options = CASES[script]
    data = {"data_dir": request.getfixturevalue(fixture), "model": "slot_mlp"}
    options = {**options, **data}
    chief, other = two_workers(script, {**options, "model_dir": tmp_path / "two"})
    assert "images" in chief and "images" not in other
    finish(start(script, {**options, "model_dir": tmp_path / "one"}))
    runs = [load_run(tmp_path / name, find_task) for name in ("one", "two")]
    for a, b in zip(*(run.model.get_weights() for run in runs), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-3, atol=1e-5)
    rows = [
        [row["loss"] for row in run.directory.read_metrics() if "loss" in row]
        for run in runs
    ]
    np.testing.assert_allclose(rows[1], rows[0], rtol=1e-3)


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_worker_ends_the_other_and_both_continue(
    victim, discovery_data, tmp_path
):
    options = {
        **tiny.DISCOVERY,
        "data_dir": discovery_data,
        "model_dir": tmp_path,
        "log_interval": 5,
        "checkpoint_interval": 5,
        "eval_interval": 100_000,
    }
    long = {**options, "num_train_steps": 100_000}
    workers = start_two_workers("train_discovery.py", long)
    try:
        while not list((tmp_path / "checkpoints").glob("ckpt-*.index")):
            assert all(worker.poll() is None for worker in workers)
            time.sleep(0.2)
        workers[victim].kill()
        other = workers[1 - victim]
        _, errors = other.communicate(timeout=120)
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    assert other.returncode == 1
    sentence = f"WorkerLostError: Worker {1 - victim} stops: another worker has ended"
    assert sentence in errors and "The same command on all machines" in errors
    assert "Traceback" not in errors
    found = tf.train.get_checkpoint_state(str(tmp_path / "checkpoints"))
    step = int(found.model_checkpoint_path.rpartition("-")[2])
    # The same command, but for an end within reach.
    chief, _ = two_workers(
        "train_discovery.py", {**options, "num_train_steps": step + 3}
    )
    assert f"from step {step}" in chief
    assert RunDirectory(tmp_path).read_metrics()[-1]["step"] == step + 3


def test_slurm_starts_workers_and_they_continue(discovery_data, tmp_path):
    options = {
        **tiny.DISCOVERY,
        "data_dir": discovery_data,
        "model_dir": tmp_path / "run",
    }
    two_tasks_of_slurm("train_discovery.py", options)
    chief, _ = two_tasks_of_slurm(
        "train_discovery.py", {**options, "num_train_steps": 6}
    )
    assert "from step 4" in chief
    assert RunDirectory(tmp_path / "run").read_metrics()[-1]["step"] == 6
    # What the other worker saved beside the chief's checkpoints is gone.
    names = {path.name for path in (tmp_path / "run" / "checkpoints").iterdir()}
    assert "worker_1" not in names and "ckpt-6.index" in names


def test_killed_and_terminated_runs_end_with_the_same_bits(discovery_data, tmp_path):
    options = {
        **tiny.DISCOVERY,
        "data_dir": discovery_data,
        "num_train_steps": 120,
        "log_interval": 10,
        "checkpoint_interval": 20,
        "eval_interval": 120,
    }
    finish(start("train_discovery.py", {**options, "model_dir": tmp_path / "whole"}))
    parts = {**options, "model_dir": tmp_path / "parts"}

    def start_and_wait_for(step):
        process = start("train_discovery.py", parts, PYTHONUNBUFFERED="1")
        for line in process.stdout:
            if f" {step}/120" in line:
                return process
        raise AssertionError(process.stderr.read()[-4000:])

    killed = start_and_wait_for(30)
    killed.kill()
    killed.communicate()
    terminated = start_and_wait_for(50)
    terminated.send_signal(signal.SIGTERM)
    output, _ = terminated.communicate(timeout=60)
    assert terminated.returncode == 0
    assert "SIGTERM: saving" in output and "The same command continues" in output
    finish(start("train_discovery.py", parts))
    runs = [load_run(tmp_path / name, find_task) for name in ("whole", "parts")]
    for a, b in zip(*(run.model.get_weights() for run in runs), strict=True):
        np.testing.assert_array_equal(a, b)
    losses = [
        [row["loss"] for row in run.directory.read_metrics() if "loss" in row]
        for run in runs
    ]
    assert losses[0][-6:] == losses[1][-6:]


def test_without_a_tpu_the_script_says_what_it_needs(discovery_data, tmp_path):
    options = {**tiny.DISCOVERY, "data_dir": discovery_data, "strategy": "tpu"}
    process = start("train_discovery.py", {**options, "model_dir": tmp_path / "run"})
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 1 and "Traceback" not in errors
    assert "needs a TPU on this machine" in errors
    assert not (tmp_path / "run").exists()
