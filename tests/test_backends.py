"""The same numbers under every Keras backend, and no TensorFlow where none is due."""

import importlib.util

import numpy as np
import pytest

from tests import backend_checks
from tests.conftest import ROOT

WITHOUT_TENSORFLOW = """
import sys

class NoTensorFlow:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("tensorflow", "tensorflow_datasets"):
            return None
        return self.finder.find_spec(name, path, target)

sys.meta_path[:] = [NoTensorFlow(finder) for finder in sys.meta_path]
import slot_attention_tf as sa
from slot_attention_tf import presets, visualization
from slot_attention_tf.data.generators import scenes, tetrominoes
for name, home in sa._HOME.items():
    if home not in ("tasks", "reference.data"):
        getattr(sa, name)
"""
COMPUTE = """
import keras, numpy as np
from tests.backend_checks import compute_outputs
np.savez({folder!r} + "/outputs.npz", **compute_outputs({folder!r}))
print(keras.backend.backend())
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("backends")
    backend_checks.write_inputs(folder, np.random.default_rng(0))
    return folder


@pytest.fixture(scope="module")
def expected(folder):
    """What TensorFlow computes in this process."""
    return backend_checks.compute_outputs(folder)


# JAX compiles every operation of every shape: most of a minute.
@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_same_outputs_and_training_step(backend, folder, expected, run_python):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    code = WITHOUT_TENSORFLOW + COMPUTE.format(folder=str(folder))
    assert run_python(code, KERAS_BACKEND=backend).strip() == backend
    with np.load(folder / "outputs.npz") as outputs:
        assert set(outputs) == set(expected)
        for name, value in expected.items():
            np.testing.assert_allclose(
                outputs[name], value, atol=1e-5, rtol=1e-5, err_msg=name
            )


@pytest.mark.slow
def test_discovery_with_fit_runs_without_tensorflow(run_python, tmp_path):
    pytest.importorskip("jax")
    arguments = ["script", "--scenes=64", "--steps=2", f"--output={tmp_path}"]
    script = str(ROOT / "examples" / "discovery_with_fit.py")
    code = f"""
import runpy
sys.argv = {arguments!r}
runpy.run_path({script!r}, run_name="__main__")
assert not [name for name in sys.modules if name.startswith("tensorflow")]
"""
    output = run_python(WITHOUT_TENSORFLOW + code, KERAS_BACKEND="jax")
    assert "over 320 images" in output
    assert (tmp_path / "model.keras").exists()


@pytest.mark.slow
def test_step_time_runs_without_tensorflow(run_python):
    pytest.importorskip("jax")
    folder = str(ROOT / "benchmarks")
    arguments = ["step_time.py", "--presets", "clevr_cpu", "--batch_size=1"]
    code = f"""
import runpy
sys.path.insert(0, {folder!r})
sys.argv = {[*arguments, "--steps=1"]!r}
runpy.run_path({folder!r} + "/step_time.py", run_name="__main__")
assert not [name for name in sys.modules if name.startswith("tensorflow")]
"""
    output = run_python(WITHOUT_TENSORFLOW + code, KERAS_BACKEND="jax")
    assert output.startswith("jax, ") and "plain graph" in output


def test_the_layer_runs_without_tensorflow(run_python):
    pytest.importorskip("jax")
    output = run_python(
        WITHOUT_TENSORFLOW
        + """
import numpy as np
print(sa.SlotAttention(1, 3, 8, 16)(np.zeros((2, 5, 4))).shape)
try:
    sa.export_saved_model(None, "nowhere")
except RuntimeError as error:
    print(error)
assert not [name for name in sys.modules if name.startswith("tensorflow")]
""",
        KERAS_BACKEND="jax",
    )
    assert output.startswith("(2, 3, 8)")
    assert "KERAS_BACKEND=tensorflow" in output
    assert "Received: KERAS_BACKEND=jax" in output
