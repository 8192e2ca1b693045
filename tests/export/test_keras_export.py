"""Keras's own export of somebody's model with Slot Attention inside."""

import keras
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

import slot_attention_tf as sa


def slot_attention():
    start = sa.FixedSlotInitializer(8, num_slots=3, seed=0)
    return sa.SlotAttention(2, 3, 8, 16, slot_initializer=start)


def functional():
    inputs = keras.Input((10, 5), name="features")
    slots = slot_attention()(keras.layers.Dense(6)(inputs))
    return keras.Model(inputs, keras.layers.Dense(4)(slots))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.first, self.last = keras.layers.Dense(6), keras.layers.Dense(4)
        self.slot_attention = slot_attention()

    def call(self, features):
        return self.last(self.slot_attention(self.first(features)))


def run_saved_model(path, inputs):
    loaded = tf.saved_model.load(path)
    return loaded.serve(inputs)


def run_onnx(path, inputs):
    session = onnxruntime.InferenceSession(path)
    return session.run(None, {session.get_inputs()[0].name: inputs})[0]


def run_litert(path, inputs):
    interpreter = Interpreter(str(path))
    (given,), (output,) = (
        interpreter.get_input_details(),
        interpreter.get_output_details(),
    )
    interpreter.resize_tensor_input(given["index"], inputs.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(given["index"], inputs)
    interpreter.invoke()
    return interpreter.get_tensor(output["index"])


FORMATS = {
    "tf_saved_model": ("model", run_saved_model),
    "onnx": ("model.onnx", run_onnx),
    "litert": ("model.tflite", run_litert),
}


# Keras patches tf2onnx for NumPy 2.
@pytest.mark.filterwarnings("ignore:In the future `np.object`:FutureWarning")
@pytest.mark.parametrize("make", [functional, Subclassed])
@pytest.mark.parametrize("format", FORMATS)
def test_fixed_slots_export_in_every_format_of_keras(rng, tmp_path, make, format):
    if f'"{format}"' not in keras.Model.export.__doc__:
        pytest.skip("This version of Keras has no such format.")
    name, run = FORMATS[format]
    model = make()
    features = rng.normal(size=(4, 10, 5)).astype("float32")
    expected = model(features)
    model.export(tmp_path / name, format=format, verbose=False)
    outputs = run(tmp_path / name, features)
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
