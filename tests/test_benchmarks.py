"""The scripts of benchmarks/ run; what they measure is for a quiet machine."""

import os
import runpy
import subprocess
import sys

import numpy as np
import pytest

import slot_attention_tf as sa
from tests.conftest import ROOT


def test_the_plain_form_computes_the_same(rng):
    plain_models = runpy.run_path(str(ROOT / "benchmarks" / "plain_models.py"))
    sizes = {"num_iterations": 3, "num_slots": 4, "slot_size": 16, "seed": 0}
    ours = sa.SlotAttention(**sizes, mlp_hidden_size=32)
    plain = plain_models["PlainSlotAttention"](**sizes, mlp_hidden_size=32)
    inputs = rng.normal(size=(2, 30, 8)).astype("float32")
    for layer in (ours, plain):
        layer.build(inputs.shape)
    plain.set_weights(ours.get_weights())
    np.testing.assert_allclose(plain(inputs), ours(inputs), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("step_time.py --presets tetrominoes --batch_size=1 --steps=1", "plain graph"),
        (
            "step_time.py --presets clevr_cpu --dtypes bfloat16 "
            "--batch_size=1 --steps=1",
            "plain graph",
        ),
        ("growth.py --steps=1", "K x4"),
        ("efficiency.py --preset=clevr_cpu --batch_size=1 --steps=1", "dspn"),
        ("matching.py --preset=clevr_cpu --batch_size=2 --steps=1", "in the step"),
        (
            "data_throughput.py --datasets tetrominoes --seconds=0.1 --num_scenes=16",
            "tetrominoes",
        ),
    ],
)
def test_it_prints_its_table(command, expected):
    script, *flags = command.split()
    process = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / script, *flags],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert process.returncode == 0, process.stderr
    assert expected in process.stdout
