"""ONNX files: what onnxruntime computes, and what is refused."""

import sys

import keras
import numpy as np
import onnxruntime
import pytest

import slot_attention_tf as sa
from slot_attention_tf.export import export_onnx, export_onnx_steps
from tests.export.small import (
    BASELINES,
    REFUSED,
    assert_same,
    autoencoder,
    classifier,
    expected_outputs,
    images_and_slots,
)

SIZES = [(1, 3), (4, 5), (2, 1)]  # Images, slots.
RUN = """
import sys
for name in ("slot_attention_tf", "keras", "tensorflow"):
    sys.modules[name] = None  # Makes its import fail.
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession({path!r})
names = [output.name for output in session.get_outputs()]
for size in {sizes}:
    with np.load("{folder}/inputs_%d_%d.npz" % size) as inputs:
        outputs = session.run(names, dict(inputs))
    np.savez("{folder}/outputs_%d_%d.npz" % size, **dict(zip(names, outputs)))
"""


def run(path, **inputs):
    """What onnxruntime computes: a dictionary by the names in the file."""
    session = onnxruntime.InferenceSession(path)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def as_arrays(outputs):
    return {name: np.asarray(value) for name, value in outputs.items()}


@pytest.mark.slow
def test_a_fresh_model_runs_in_a_process_without_the_package(rng, tmp_path, run_python):
    model = sa.SlotAttentionAutoEncoder.from_preset("tetrominoes", load_weights=False)
    path = tmp_path / "new" / "model.onnx"
    model.export(path, format="onnx")
    inputs = {}
    for batch_size, num_slots in SIZES:
        inputs[batch_size, num_slots] = images, slots = (
            rng.uniform(-1, 1, size=(batch_size, 35, 35, 3)).astype("float32"),
            rng.normal(size=(batch_size, num_slots, 64)).astype("float32"),
        )
        file = tmp_path / f"inputs_{batch_size}_{num_slots}.npz"
        np.savez(file, images=images, initial_slots=slots)
    run_python(RUN.format(path=str(path), sizes=SIZES, folder=tmp_path))
    for (batch_size, num_slots), (images, slots) in inputs.items():
        expected = model(images, initial_slots=slots, return_attention=True)
        with np.load(tmp_path / f"outputs_{batch_size}_{num_slots}.npz") as outputs:
            assert_same(dict(outputs), expected_outputs(expected))
            assert outputs["segmentation"].dtype == np.int32
            assert outputs["slots"].dtype == np.float32


def test_a_strided_decoder(rng, tmp_path):
    model = autoencoder("strided")
    export_onnx(model, tmp_path / "model.onnx")
    for size in SIZES:
        images, slots = images_and_slots(rng, *size)
        expected = model(images, initial_slots=slots, return_attention=True)
        outputs = run(tmp_path / "model.onnx", images=images, initial_slots=slots)
        assert_same(outputs, expected_outputs(expected))


@pytest.mark.slow
def test_classifier_and_the_names_of_sizes(rng, tmp_path):
    model = classifier()
    export_onnx(model, tmp_path / "model.onnx", num_iterations=4)
    images, slots = images_and_slots(rng)
    given = {"images": images, "initial_slots": slots}
    expected = model.named_outputs(**given, num_iterations=4)
    assert_same(run(tmp_path / "model.onnx", **given), as_arrays(expected))
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    assert {each.name: each.shape for each in session.get_inputs()} == {
        "images": ["batch", 8, 6, 3],
        "initial_slots": ["batch", "num_slots", 8],
    }
    shapes = {each.name: each.shape for each in session.get_outputs()}
    assert shapes["attention"] == ["batch", 4, 12, "num_slots"]


@pytest.mark.parametrize("name", ["slot_mlp", "monet"])
def test_models_without_initial_slots(rng, tmp_path, name):
    model = BASELINES[name]()
    model.export(tmp_path / "model.onnx", format="onnx")
    images, _ = images_and_slots(rng)
    given = {"images": images}
    if name == "monet":
        given["noise"] = rng.normal(size=(4, 3, 4)).astype("float32")
    expected = as_arrays(model.named_outputs(**given))
    assert_same(run(tmp_path / "model.onnx", **given), expected)


def test_encoding_steps_and_decoding_are_the_whole_model(rng, tmp_path):
    model = autoencoder("pixel_mlp")
    sa.export_onnx_steps(model, tmp_path / "web")
    files = {path.stem: path for path in (tmp_path / "web").iterdir()}
    assert files.keys() == {"encode", "start", "step", "decode"}
    for size in SIZES:
        images, noise = images_and_slots(rng, *size)
        expected = model(images, noise=noise, return_attention=True)
        expected = expected_outputs(expected)
        inputs = run(files["encode"], images=images)["inputs"]
        slots = run(files["start"], noise=noise)["slots"]
        for iteration in range(model.num_iterations):
            outputs = run(files["step"], inputs=inputs, slots=slots)
            np.testing.assert_allclose(
                outputs["attention"], expected["attention"][:, iteration], atol=1e-5
            )
            slots = outputs["next_slots"]
        np.testing.assert_allclose(slots, expected["slots"], atol=1e-5)
        del expected["attention"], expected["slots"]
        assert_same(run(files["decode"], slots=slots), expected)


def test_steps_start_from_an_initializer_of_ours_only(tmp_path):
    class Start(keras.layers.Layer):
        def call(self, inputs, num_slots):
            raise AssertionError("The steps take their slots as inputs.")

    attention = sa.SlotAttention(2, 3, 8, 8, slot_initializer=Start())
    export_onnx_steps(autoencoder(slot_attention=attention), tmp_path)
    assert {path.stem for path in tmp_path.iterdir()} == {"encode", "step", "decode"}


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (BASELINES["slot_mlp"], ValueError, "slot_attention=SlotMLP"),
        (classifier, TypeError, "SlotAttentionAutoEncoder.*Received: SlotAttentionCla"),
    ],
)
def test_models_without_steps_are_refused(tmp_path, make, error, message):
    with pytest.raises(error, match=message):
        export_onnx_steps(make(), tmp_path / "web")
    assert not (tmp_path / "web").exists()


@pytest.mark.parametrize("name", REFUSED)
def test_models_that_onnx_cannot_hold_are_refused(name, tmp_path):
    make, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        make().export(tmp_path / "model.onnx", format="onnx")
    assert not list(tmp_path.iterdir())


def test_other_models_and_folders_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no folder.*Received: path="):
        autoencoder().export(tmp_path, format="onnx")
    with pytest.raises(ValueError, match="tf_saved_model, onnx, litert.*'openvino'"):
        autoencoder().export(tmp_path / "model", format="openvino")


def test_a_missing_converter_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(ImportError, match=r"pip install slot_attention_tf\[onnx\]"):
        autoencoder().export(tmp_path / "model.onnx", format="onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_other_backends_are_refused_in_words(tmp_path, run_python):
    output = run_python(
        f"""
from tests.export.small import BASELINES
model = BASELINES["slot_mlp"]()
for format in ("tf_saved_model", "onnx", "litert"):
    try:
        model.export({str(tmp_path)!r} + "/model", format=format)
    except RuntimeError as error:
        print(error)
""",
        KERAS_BACKEND="jax",
    )
    assert output.count("KERAS_BACKEND=tensorflow. Received: KERAS_BACKEND=jax") == 3
    assert not list(tmp_path.iterdir())
