"""The loop: continuing, devices, clipping, precision, NaN."""

import json
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

from slot_attention_tf.training.loop import (
    LoopSettings,
    NonFiniteLossError,
    SaveError,
    Trainer,
)
from slot_attention_tf.training.run_directory import RunDirectory
from slot_attention_tf.training.schedule import WarmupExponentialDecay
from tests.conftest import run_fresh


@keras.saving.register_keras_serializable(package="tests")
class Regression(keras.Sequential):
    """A model as the loop takes it: one that knows its loss."""

    def loss_per_example(self, batch):
        predictions = self(batch["x"], training=True)[:, 0]
        return tf.square(tf.cast(predictions, tf.float32) - batch["y"])


def make_model(noise, **kwargs):
    """A regression with noise in its input: its training shows the random state."""
    layers = [keras.layers.GaussianNoise(noise, seed=1)] if noise else []
    model = Regression([*layers, keras.layers.Dense(1, **kwargs)])
    model.build((None, 2))
    return model


def make_optimizer():
    optimizer = keras.optimizers.Adam(WarmupExponentialDecay(0.1, 2, 0.5, 100))
    if keras.config.dtype_policy().compute_dtype == "float16":
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


def batches(start_batch, num_shards=1, shard_index=0):
    """Endless batches of four; batch `i` is the same in every run."""

    def batch(i):
        x = tf.random.stateless_normal((4, 2), tf.stack([0, i]))
        x = x[shard_index::num_shards]
        return {"x": x, "y": x[:, 0] - 2.0 * x[:, 1]}

    return tf.data.Dataset.range(start_batch, 10**6).map(batch)


def trainer(folder, steps, noise=0.1, **settings):
    keras.utils.set_random_seed(0)
    intervals = {"log_interval": 2, "checkpoint_interval": 4, "eval_interval": 4}
    settings = {"batch_size": 4} | intervals | settings
    return Trainer(
        make_model(noise),
        make_optimizer(),
        LoopSettings(num_train_steps=steps, **settings),
        RunDirectory(folder),
        tf.distribute.get_strategy(),
    )


def train(folder, steps, **settings):
    it = trainer(folder, steps, **settings)
    it.restore()
    it.train(batches, lambda step, progress: {"seen": float(step)})
    return it


def test_autograph_leaves_a_step_alone(tmp_path):
    it, statuses = trainer(tmp_path, 2), set()
    loss = it.model.loss_per_example

    def spied(batch):
        statuses.add(tf.__internal__.autograph.control_status_ctx().status.name)
        return loss(batch)

    it.model.loss_per_example = spied
    it.restore()
    it.train(batches, lambda step, progress: {"seen": float(step)})
    assert statuses and "ENABLED" not in statuses


def test_learns(tmp_path):
    weights = train(tmp_path, 60).model.get_weights()
    np.testing.assert_allclose(weights[0][:, 0], [1.0, -2.0], atol=0.3)


def test_a_stopped_run_continues_as_if_it_had_not_stopped(tmp_path):
    whole = train(tmp_path / "whole", 12)
    train(tmp_path / "parts", 8)
    parts = train(tmp_path / "parts", 12)
    for a, b in zip(whole.model.weights, parts.model.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(whole.optimizer.variables, parts.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a, b)
    rows = [row for row in whole.run.read_metrics() if "loss" in row]
    again = [row for row in parts.run.read_metrics() if "loss" in row]
    assert [(r["step"], r["loss"]) for r in rows] == [
        (r["step"], r["loss"]) for r in again
    ]
    assert [row["step"] for row in rows] == [2, 4, 6, 8, 10, 12]


def test_a_killed_run_continues_from_its_last_checkpoint(tmp_path):
    it = trainer(tmp_path, 12)

    def kill(step, progress):
        if step == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        it.train(batches, kill)
    it.run.append_metrics({"step": 10, "loss": 0.0})
    again = trainer(tmp_path, 12)
    assert again.restore() == 8
    again.train(batches, lambda *_: None)
    whole = train(tmp_path / "whole", 12)
    for a, b in zip(whole.model.weights, again.model.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    steps = [row["step"] for row in again.run.read_metrics()]
    assert steps == [2, 4, 6, 8, 10, 12]


def test_the_last_five_checkpoints_are_kept(tmp_path):
    train(tmp_path, 28)
    kept = sorted(int(p.stem[5:]) for p in (tmp_path / "checkpoints").glob("*.index"))
    assert kept == [12, 16, 20, 24, 28]


def test_nan_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path):
    it = trainer(tmp_path, 20)
    losses = it.model.loss_per_example
    it.model.loss_per_example = lambda batch: tf.where(
        it.step == 6, np.nan, losses(batch)
    )
    with pytest.raises(NonFiniteLossError, match=r"nan at step 7\..*ckpt-4"):
        it.train(batches, lambda *_: None)
    again = trainer(tmp_path, 20)
    assert again.restore() == 4
    assert all(np.isfinite(w).all() for w in again.model.get_weights())


def test_a_finite_loss_with_a_nan_gradient_leaves_no_checkpoint(tmp_path):
    it = trainer(tmp_path, 20)
    losses = it.model.loss_per_example

    def root(batch):
        # At zero, the root is 0 and its gradient infinite, times zero: NaN.
        zero = tf.where(it.step == 7, 0.0, 1.0) * losses(batch)
        return tf.sqrt(zero)

    it.model.loss_per_example = root
    with pytest.raises(NonFiniteLossError, match=r"weights are NaN.*step 8.*ckpt-4"):
        it.train(batches, lambda *_: None)
    again = trainer(tmp_path, 20)
    assert again.restore() == 4
    assert all(np.isfinite(w).all() for w in again.model.get_weights())


def test_a_full_disk_is_explained_and_older_checkpoints_kept(tmp_path, monkeypatch):
    it = trainer(tmp_path, 12)
    save = it._manager.save

    def full(checkpoint_number):
        if checkpoint_number == 8:
            raise tf.errors.ResourceExhaustedError(None, None, "No space left")
        save(checkpoint_number=checkpoint_number)

    monkeypatch.setattr(it._manager, "save", full)
    with pytest.raises(SaveError, match=r"step 8.*MiB are free.*No space left"):
        it.train(batches, lambda *_: None)
    assert trainer(tmp_path, 12).restore() == 4


def test_a_signal_saves_and_the_run_continues(tmp_path, capsys):
    it = trainer(tmp_path, 12)

    def interrupt(step, progress):
        signal.raise_signal(signal.SIGTERM)

    assert it.train(batches, interrupt) is False
    assert "SIGTERM: saving" in capsys.readouterr().out
    again = trainer(tmp_path, 12)
    assert again.restore() == 4
    assert again.train(batches, lambda *_: None) is True
    whole = train(tmp_path / "whole", 12)
    for a, b in zip(whole.model.weights, again.model.weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_losses_of_regularizers_are_trained_on(tmp_path):
    def weights(regularizer):
        keras.utils.set_random_seed(0)
        model = make_model(0.0, kernel_regularizer=regularizer)
        run = RunDirectory(tmp_path / str(regularizer))
        strategy = tf.distribute.get_strategy()
        settings = LoopSettings(60, batch_size=4)
        it = Trainer(model, keras.optimizers.SGD(0.05), settings, run, strategy)
        it.train(batches, lambda *_: None)
        return np.abs(model.get_weights()[0]).sum(), it.run.read_metrics()[-1]["loss"]

    plain, loss = weights(None)
    small, loss_with_penalty = weights("l2")
    assert plain == pytest.approx(3.0, abs=0.1)
    # Least squares of unit inputs with 0.01 w^2: the optimum shrinks by 1 / 1.01.
    assert small < 0.995 * plain and loss_with_penalty > loss


def test_clipping_bounds_the_norm_of_a_step(tmp_path):
    it = trainer(tmp_path, 1, clip_norm=1e-3)
    it.optimizer = keras.optimizers.SGD(1.0)
    it.optimizer.build(it.model.trainable_variables)
    before = [np.array(v) for v in it.model.trainable_variables]
    it._train_step(next(iter(batches(0))))
    moved = [
        np.array(v) - b
        for v, b in zip(it.model.trainable_variables, before, strict=True)
    ]
    norm = np.sqrt(sum((m**2).sum() for m in moved))
    np.testing.assert_allclose(norm, 1e-3, rtol=1e-3)


def test_float16_scales_the_loss_and_clips_the_unscaled_gradient(tmp_path):
    keras.config.set_dtype_policy("mixed_float16")
    it = train(tmp_path, 40, clip_norm=1.0)
    assert isinstance(it.optimizer, keras.optimizers.LossScaleOptimizer)
    rows = [row["loss"] for row in it.run.read_metrics() if "loss" in row]
    assert rows[-1] < 0.5 * rows[0]


def test_jit_compile_gives_the_same_run(tmp_path):
    # Without noise: XLA has a random number generator of its own.
    plain = train(tmp_path / "plain", 4, noise=0.0)
    compiled = train(tmp_path / "compiled", 4, noise=0.0, jit_compile=True)
    for a, b in zip(plain.model.weights, compiled.model.weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


TWO_DEVICES = """
import json, sys, numpy as np, keras, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from slot_attention_tf.training.devices import make_strategy
from slot_attention_tf.training.loop import LoopSettings, Trainer
from slot_attention_tf.training.randomness import fixed_randomness
from slot_attention_tf.training.run_directory import RunDirectory
from tests.training.test_loop import batches, make_model

def train(strategy, noise, name, steps, clip_norm=0.5, precision="float32"):
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(precision)
    with strategy.scope():
        model = make_model(noise, kernel_regularizer="l2")
        optimizer = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5)
        if precision == "mixed_float16":
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer, 2.0)
        settings = LoopSettings(steps, batch_size=4, clip_norm=clip_norm,
                                checkpoint_interval=3, eval_interval=3)
        run = RunDirectory(f"{sys.argv[1]}/{name}")
        trainer = Trainer(model, optimizer, settings, run, strategy)

    def evaluate(step, progress):
        with fixed_randomness(model, 5):
            model(tf.zeros((1, 2)), training=True)

    trainer.restore()
    trainer.train(batches, evaluate)
    return trainer

def weights(trainer):
    raw = [np.asarray(w).tolist() for w in trainer.model.weights]
    with trainer.averaged():
        return [*raw, *(np.asarray(w).tolist() for w in trainer.model.weights)]

def loss(trainer):
    return [row["loss"] for row in trainer.run.read_metrics() if "loss" in row]

auto, mirrored = make_strategy("auto"), make_strategy("mirrored")
assert mirrored.num_replicas_in_sync == 2
result = {"same": []}
cases = ((0.5, "float32"), (None, "float32"), (0.5, "mixed_float16"))
for number, (clip, precision) in enumerate(cases):
    pair = [train(strategy, 0.0, f"{number}_{name}", 8, clip, precision)
            for name, strategy in (("one", auto), ("two", mirrored))]
    result["same"].append([[loss(t), weights(t)] for t in pair])

noisy = train(mirrored, 1.0, "noisy", 9)
draw = tf.function(lambda: noisy.model.layers[0](tf.zeros((1, 2)), training=True))
result["noise"] = [n.numpy().tolist()
                   for n in mirrored.experimental_local_results(mirrored.run(draw))]
train(mirrored, 1.0, "parts", 3)
result["whole"] = weights(noisy)
result["parts"] = weights(train(mirrored, 1.0, "parts", 9))
print(json.dumps(result))
"""


@pytest.fixture(scope="module")
def two_devices(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("two_devices"))
    code = f"import sys; sys.argv.append({folder!r})\n{TWO_DEVICES}"
    return json.loads(run_fresh(code).splitlines()[-1])


@pytest.mark.slow
def test_two_devices_train_as_one(two_devices):
    # Half precision rounds to about three digits, and halves of a batch differently.
    for case, rtol in zip(two_devices["same"], (1e-5, 1e-5, 1e-3), strict=True):
        (loss_one, one), (loss_two, two) = case
        np.testing.assert_allclose(loss_two, loss_one, rtol=rtol)
        for a, b in zip(one, two, strict=True):
            np.testing.assert_allclose(b, a, rtol=10 * rtol)


def test_each_device_draws_its_own_noise_also_after_an_evaluation(two_devices):
    first, second = np.array(two_devices["noise"])
    assert np.abs(first - second).max() > 1e-3


def test_a_stopped_run_on_two_devices_continues_as_if_it_had_not(two_devices):
    for a, b in zip(two_devices["whole"], two_devices["parts"], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_a_batch_that_replicas_cannot_share_is_refused(run_python):
    code = """
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 3)
from slot_attention_tf.training.devices import make_strategy
from tests.training.test_loop import *
strategy = make_strategy("mirrored")
with strategy.scope():
    try:
        Trainer(make_model(0.0), make_optimizer(), LoopSettings(1, batch_size=4),
                RunDirectory("nowhere"), strategy)
    except ValueError as error:
        print(error)
"""
    output = run_python(code)
    assert "3 replicas: --batch_size must be a multiple" in output
    assert "Received: batch_size=4" in output


def test_a_terminal_shows_a_bar_and_a_file_gets_lines(tmp_path, monkeypatch, capsys):
    train(tmp_path / "file", 4)
    assert "Step 4/4  loss" in capsys.readouterr().out
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    train(tmp_path / "terminal", 4)
    output = capsys.readouterr().out
    assert "Step" not in output and "4/4 [" in output and "loss " in output
