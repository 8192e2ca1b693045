"""The scripts of benchmarks/ run; what they measure is for a quiet machine."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("step_time.py --preset=tetrominoes --batch_size=1 --steps=1", "ratio"),
        ("efficiency.py --preset=clevr_cpu --batch_size=1 --steps=1", "dspn"),
        ("matching.py --preset=clevr_cpu --batch_size=2 --steps=1", "in the step"),
        ("data_throughput.py --datasets tetrominoes --seconds=0.1", "tetrominoes"),
    ],
)
def test_it_prints_its_table(command, expected):
    script, *flags = command.split()
    process = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / script, *flags],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == 0, process.stderr
    assert expected in process.stdout
