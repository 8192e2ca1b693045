"""Shared by all tests."""

import os

# Before TensorFlow is imported: same numbers on every CPU, and a quiet start.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Several processes of tests share a GPU.
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
# What JAX compiles runs a few times only: XLA takes about half as long like this.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true",
)

import pathlib
import runpy
import subprocess
import sys

import keras
import numpy as np
import pytest
from absl import flags

DATA = pathlib.Path(__file__).parent / "data"
ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def same_start():
    """Every test starts from the same random state and float policy."""
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def run_python():
    """Runs Python code in a fresh process of the package; returns its output."""
    return run_fresh


def run_fresh(code, **environment):
    """See the fixture `run_python`."""
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert process.returncode == 0, process.stderr[-4000:]
    return process.stdout


@pytest.fixture
def run_script(monkeypatch):
    """Runs `python SCRIPT --name=value ...` in this process; returns its exit status.

    The status is None for success, and the message of an error.
    """

    def run(script, **options):
        _forget_flags()
        path = str(ROOT / script)
        given = [f"--{name}={value}" for name, value in options.items()]
        monkeypatch.setattr(sys, "argv", [path, *given])
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(path, run_name="__main__")
        return stop.value.code

    yield run
    _forget_flags()


@pytest.fixture
def run_installed(monkeypatch):
    """Runs `COMMAND WORDS... --name=value ...` in this process; returns its status.

    COMMAND is the function that an entry point of `pyproject.toml` names.
    """

    def run(command, *words, **options):
        _forget_flags()
        given = [f"--{name}={value}" for name, value in options.items()]
        words = [str(word) for word in words]
        monkeypatch.setattr(sys, "argv", [str(ROOT / "command"), *words, *given])
        with pytest.raises(SystemExit) as stop:
            command()
        return stop.value.code

    yield run
    _forget_flags()


def _forget_flags():
    """Removes the flags of scripts: several define the same names."""
    for name in list(flags.FLAGS):
        module = flags.FLAGS.find_module_defining_flag(name)
        if module.startswith(str(ROOT)) and ".venv" not in module:
            delattr(flags.FLAGS, name)
    flags.FLAGS.unparse_flags()
