"""Keras callbacks in the training loop."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from slot_attention_tf.training.callbacks import validation_logs
from tests.training.test_loop import batches, trainer


class Listener(keras.callbacks.Callback):
    """Writes down what it hears."""

    def __init__(self, stop_at=None):
        super().__init__()
        self.heard = []
        self.batches = []
        self.stop_at = stop_at

    def on_train_begin(self, logs=None):
        self.heard.append("train begins")

    def on_train_end(self, logs=None):
        self.heard.append("train ends")

    def on_epoch_begin(self, epoch, logs=None):
        self.heard.append(f"epoch {epoch} begins")

    def on_epoch_end(self, epoch, logs=None):
        self.heard.append(f"epoch {epoch} ends")
        self.logs = logs
        if self.stop_at == f"epoch {epoch}":
            self.model.stop_training = True

    def on_train_batch_begin(self, batch, logs=None):
        self.heard.append(batch)

    def on_train_batch_end(self, batch, logs=None):
        self.batches.append((batch, sorted(logs)))
        if self.stop_at == len(self.batches):
            self.model.stop_training = True


def train(folder, steps, *callbacks, **settings):
    it = trainer(folder, steps, **settings)
    it.restore()
    finished = it.train(batches, lambda step, _: {"AP@0.5": step / 10}, callbacks)
    return it, finished


def test_callbacks_hear_what_fit_would_say(tmp_path):
    listener = Listener()
    it, finished = train(tmp_path, 6, listener)
    assert finished
    assert listener.heard == [
        *("train begins", "epoch 0 begins", 0, 1, 2, 3, "epoch 0 ends"),
        *("epoch 1 begins", 0, 1, "epoch 1 ends", "train ends"),
    ]
    row = ["images_per_s", "learning_rate", "loss", "seconds"]
    assert listener.batches[:3] == [(0, []), (1, row), (2, [])]
    assert listener.params == {"epochs": 2, "steps": 4, "verbose": 0}
    assert listener.logs["val_ap_0_5"] == 0.6
    rows = [row for row in it.run.read_metrics() if "loss" in row]
    assert listener.logs["loss"] == rows[-1]["loss"]
    assert listener.logs["learning_rate"] == rows[-1]["learning_rate"]


def test_callbacks_change_nothing_and_continue_with_the_run(tmp_path):
    whole, _ = train(tmp_path / "whole", 10)
    train(tmp_path / "parts", 6, Listener())
    listener = Listener()
    parts, _ = train(tmp_path / "parts", 10, listener)
    for a, b in zip(whole.model.weights, parts.model.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    assert listener.heard == [
        *("train begins", "epoch 1 begins", 2, 3, "epoch 1 ends"),
        *("epoch 2 begins", 0, 1, "epoch 2 ends", "train ends"),
    ]


@pytest.mark.parametrize(("stop_at", "step"), [(3, 3), ("epoch 0", 4), ("epoch 1", 8)])
def test_a_callback_ends_a_run_which_can_continue(tmp_path, stop_at, step):
    it, finished = train(tmp_path / "parts", 12, Listener(stop_at))
    assert finished and int(it.step) == step
    assert it.run.read_metrics()[-1]["step"] == step
    parts, _ = train(tmp_path / "parts", 12)
    whole, _ = train(tmp_path / "whole", 12)
    for a, b in zip(whole.model.weights, parts.model.weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_callbacks_of_keras_work_in_the_loop(tmp_path):
    best = tmp_path / "{epoch}_{val_ap_0_5:.1f}.keras"
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate)
    it = trainer(tmp_path / "run", 8)
    it.optimizer = keras.optimizers.SGD(0.125)
    it.optimizer.build(it.model.trainable_variables)
    callbacks = [
        keras.callbacks.ModelCheckpoint(best, monitor="val_ap_0_5", mode="max"),
        keras.callbacks.TensorBoard(tmp_path / "board"),
        keras.callbacks.CSVLogger(tmp_path / "log.csv"),
        schedule,
        keras.callbacks.EarlyStopping("val_ap_0_5", mode="min", patience=0),
    ]
    assert it.train(batches, lambda step, _: {"AP@0.5": step / 10}, callbacks)
    assert int(it.step) == 8
    names = sorted(path.name for path in tmp_path.glob("*.keras"))
    assert names == ["1_0.4.keras", "2_0.8.keras"]
    loaded = keras.saving.load_model(tmp_path / names[1])
    for a, b in zip(loaded.get_weights(), it.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not hasattr(it.model, "optimizer") and not it.model.compiled
    lines = (tmp_path / "log.csv").read_text().splitlines()
    assert "val_ap_0_5" in lines[0] and len(lines) == 3
    assert list((tmp_path / "board").rglob("events*"))


def test_scores_have_names_for_callbacks():
    scores = {"AP@inf": 0.5, "AP@0.125": 0.25, "fg_ari": 0.75, "num_images": 3}
    expected = {"val_ap_inf": 0.5, "val_ap_0_125": 0.25, "val_fg_ari": 0.75}
    assert validation_logs(scores) == expected
    assert validation_logs(None) == {}


def test_nothing_is_called_without_callbacks(tmp_path, monkeypatch):
    monkeypatch.delattr(keras.callbacks, "CallbackList")
    train(tmp_path, 4)
    assert tf.train.latest_checkpoint(tmp_path / "checkpoints")
