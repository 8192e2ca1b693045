"""Averages of weights: right, kept over stops, used where a model is judged."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from slot_attention_tf.training import checkpoints
from slot_attention_tf.training.loop import LoopSettings, Trainer
from slot_attention_tf.training.run_directory import RunDirectory
from tests.training.test_loop import batches, make_model

MOMENTUM = 0.75


def train(folder, steps, callbacks=None):
    keras.utils.set_random_seed(0)
    optimizer = keras.optimizers.Adam(0.1, use_ema=True, ema_momentum=MOMENTUM)
    if keras.config.dtype_policy().compute_dtype == "float16":
        # A small scale: no step overflows and is left out.
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, 2.0)
    intervals = {"checkpoint_interval": 4, "eval_interval": 4}
    it = Trainer(
        make_model(0.1),
        optimizer,
        LoopSettings(steps, batch_size=4, **intervals),
        RunDirectory(folder),
        tf.distribute.get_strategy(),
    )
    it.restore()

    def evaluate(step, progress):
        with it.averaged():
            return {"bias": float(it.model.get_weights()[1][0])}

    it.train(batches, evaluate, callbacks)
    return it


class Recorder(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.weights = []

    def on_train_batch_end(self, batch, logs=None):
        self.weights.append(self.model.get_weights())


def expected_average(steps):
    """The average after each step, starting from the weights after the first."""
    average = steps[0]
    for weights in steps[1:]:
        average = [
            MOMENTUM * a + (1 - MOMENTUM) * w
            for a, w in zip(average, weights, strict=True)
        ]
    return average


def assert_close(weights, expected):
    for a, b in zip(weights, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def assert_same(weights, expected):
    for a, b in zip(weights, expected, strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_a_model_is_judged_by_its_averaged_weights(tmp_path, precision):
    keras.config.set_dtype_policy(precision)
    recorder = Recorder()
    it = train(tmp_path, 6, callbacks=[recorder])
    raw = it.model.get_weights()
    expected = expected_average(recorder.weights)
    with it.averaged():
        assert_close(it.model.get_weights(), expected)
    assert_same(it.model.get_weights(), raw)
    assert np.abs(raw[0] - expected[0]).max() > 1e-3
    model = make_model(0.1)
    assert checkpoints.restore_model(model, tmp_path / "checkpoints") == 6
    assert_close(model.get_weights(), expected)


def test_a_stopped_run_continues_as_if_it_had_not_stopped(tmp_path):
    trainers = [
        train(tmp_path / folder, steps)
        for folder, steps in (("whole", 12), ("parts", 8), ("parts", 12))
    ]
    whole, _, parts = trainers
    assert_same(parts.model.weights, whole.model.weights)
    assert_same(parts.optimizer.variables, whole.optimizer.variables)


def test_without_an_average_nothing_happens(tmp_path):
    model = make_model(0.1)
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.build(model.trainable_variables)
    before = model.get_weights()
    with checkpoints.averaged_weights(model, optimizer):
        assert_same(model.get_weights(), before)


def test_an_error_inside_leaves_the_raw_weights(tmp_path):
    it = train(tmp_path, 3)
    raw = it.model.get_weights()
    with pytest.raises(KeyError), it.averaged():
        raise KeyError
    assert_same(it.model.get_weights(), raw)
