"""LiteRT files: what ai-edge-litert computes, and what is refused."""

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

import slot_attention_tf as sa
from slot_attention_tf.export import export_litert
from tests.export.small import (
    BASELINES,
    REFUSED,
    assert_same,
    autoencoder,
    classifier,
    expected_outputs,
    images_and_slots,
)

RUN = """
import sys
for name in ("slot_attention_tf", "keras", "tensorflow"):
    sys.modules[name] = None  # Makes its import fail.
import numpy as np
from ai_edge_litert.interpreter import Interpreter
# Without operations of TensorFlow, which it does not contain.
interpreter = Interpreter({path!r})
with np.load({folder!r} + "/inputs.npz") as inputs:
    outputs = interpreter.get_signature_runner()(**inputs)
np.savez({folder!r} + "/outputs.npz", **outputs)
"""


def run(path, **inputs):
    return Interpreter(str(path)).get_signature_runner()(**inputs)


def test_a_fresh_model_runs_in_a_process_without_the_package(rng, tmp_path, run_python):
    model = sa.SlotAttentionAutoEncoder.from_preset("tetrominoes", load_weights=False)
    path = tmp_path / "new" / "model.tflite"
    model.export(path, format="litert")
    images = rng.uniform(-1, 1, size=(1, 35, 35, 3)).astype("float32")
    slots = rng.normal(size=(1, 4, 64)).astype("float32")
    np.savez(tmp_path / "inputs.npz", images=images, initial_slots=slots)
    run_python(RUN.format(path=str(path), folder=str(tmp_path)))
    expected = model(images, initial_slots=slots, return_attention=True)
    with np.load(tmp_path / "outputs.npz") as outputs:
        assert_same(dict(outputs), expected_outputs(expected))
        assert outputs["segmentation"].dtype == np.int32


def test_sizes_of_the_export(rng, tmp_path):
    model = autoencoder("strided")
    export_litert(
        model, tmp_path / "model.tflite", batch_size=4, num_slots=5, num_iterations=4
    )
    images, slots = images_and_slots(rng)
    expected = model(
        images, initial_slots=slots, num_iterations=4, return_attention=True
    )
    outputs = run(tmp_path / "model.tflite", images=images, initial_slots=slots)
    assert_same(outputs, expected_outputs(expected))


def test_classifier(rng, tmp_path):
    model = classifier()
    model.export(tmp_path / "model.tflite", format="litert", batch_size=4, num_slots=5)
    images, slots = images_and_slots(rng)
    given = {"images": images, "initial_slots": slots}
    expected = model.named_outputs(**given)
    outputs = run(tmp_path / "model.tflite", **given)
    assert_same(outputs, {name: np.asarray(value) for name, value in expected.items()})


@pytest.mark.parametrize("name", ["slot_mlp", "monet"])
def test_models_without_initial_slots(rng, tmp_path, name):
    model = BASELINES[name]()
    options = {"num_slots": 5} if name == "monet" else {}
    export_litert(model, tmp_path / "model.tflite", batch_size=2, **options)
    given = {"images": images_and_slots(rng, 2)[0]}
    if name == "monet":
        given["noise"] = rng.normal(size=(2, 5, 4)).astype("float32")
    expected = model.named_outputs(**given, **options)
    outputs = run(tmp_path / "model.tflite", **given)
    assert_same(outputs, {name: np.asarray(value) for name, value in expected.items()})


@pytest.mark.parametrize("name", REFUSED)
def test_models_that_litert_cannot_hold_are_refused(name, tmp_path):
    make, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        make().export(tmp_path / "model.tflite", format="litert")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["batch_size", "num_slots", "num_iterations"])
def test_sizes_are_positive_integers(name, tmp_path):
    with pytest.raises(ValueError, match=f"Received: {name}=0"):
        export_litert(autoencoder(), tmp_path / "model.tflite", **{name: 0})
    assert not list(tmp_path.iterdir())


def test_folders_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no folder.*Received: path="):
        autoencoder().export(tmp_path, format="litert")
