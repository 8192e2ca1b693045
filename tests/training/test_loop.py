"""The loop: continuing, devices, clipping, precision, NaN."""

import json
import socket
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
import tensorflow as tf

from slot_attention_tf.training.loop import (
    LoopSettings,
    NonFiniteLossError,
    Trainer,
    make_optimizer,
)
from slot_attention_tf.training.run_directory import RunDirectory


def make_model(noise):
    """A regression with noise in its input: its training shows the random state."""
    layers = [keras.layers.GaussianNoise(noise, seed=1)] if noise else []
    model = keras.Sequential([*layers, keras.layers.Dense(1)])
    model.build((None, 2))
    return model


def losses_of(model, batch):
    predictions = model(batch["x"], training=True)[:, 0]
    return tf.square(tf.cast(predictions, tf.float32) - batch["y"])


def batches(start_batch):
    """Endless batches of four; batch `i` is the same in every run."""

    def batch(i):
        x = tf.random.stateless_normal((4, 2), tf.stack([0, i]))
        return {"x": x, "y": x[:, 0] - 2.0 * x[:, 1]}

    return tf.data.Dataset.range(start_batch, 10**6).map(batch)


def trainer(folder, steps, noise=0.1, **settings):
    keras.utils.set_random_seed(0)
    settings = {"batch_size": 4, "log_interval": 2, "checkpoint_interval": 4} | settings
    return Trainer(
        make_model(noise),
        make_optimizer(0.1, 2, 0.5, 100),
        losses_of,
        LoopSettings(num_train_steps=steps, **settings),
        RunDirectory(folder),
        tf.distribute.get_strategy(),
    )


def train(folder, steps, **settings):
    it = trainer(folder, steps, **settings)
    it.restore()
    it.train(batches, lambda step, progress: {"seen": float(step)})
    return it


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
    it.loss_fn = lambda model, batch: tf.where(
        it.step == 6, np.nan, losses_of(model, batch)
    )
    with pytest.raises(NonFiniteLossError, match=r"nan at step 7\..*ckpt-4"):
        it.train(batches, lambda *_: None)
    again = trainer(tmp_path, 20)
    assert again.restore() == 4
    assert all(np.isfinite(w).all() for w in again.model.get_weights())


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
from slot_attention_tf.training.environment import make_strategy
from slot_attention_tf.training.loop import LoopSettings, Trainer
from slot_attention_tf.training.run_directory import RunDirectory
from tests.training.test_loop import batches, losses_of, make_model

def train(strategy, noise):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = make_model(noise)
        optimizer = keras.optimizers.SGD(0.1)
        settings = LoopSettings(8, batch_size=4, clip_norm=0.5)
        run = RunDirectory(f"{sys.argv[1]}/{strategy.num_replicas_in_sync}_{noise}")
        trainer = Trainer(model, optimizer, losses_of, settings, run, strategy)
    trainer.restore()
    trainer.train(batches, lambda *_: None)
    return trainer

mirrored = make_strategy("mirrored")
assert mirrored.num_replicas_in_sync == 2
one = train(make_strategy("auto"), noise=0.0)
two = train(mirrored, noise=0.0)
rows = [[r["loss"] for r in t.run.read_metrics()] for t in (one, two)]
weights = [[w.tolist() for w in t.model.get_weights()] for t in (one, two)]

noisy = train(mirrored, noise=1.0)
draw = tf.function(lambda: noisy.model.layers[0](tf.zeros((1, 2)), training=True))
noise = [n.numpy().tolist()
         for n in mirrored.experimental_local_results(mirrored.run(draw))]
print(json.dumps([rows, weights, noise]))
"""


def test_two_devices_train_as_one_but_draw_their_own_noise(run_python, tmp_path):
    code = f"import sys; sys.argv.append({str(tmp_path)!r})\n{TWO_DEVICES}"
    rows, weights, noise = json.loads(run_python(code).splitlines()[-1])
    np.testing.assert_allclose(rows[1], rows[0], rtol=1e-5)
    for one, two in zip(*weights, strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-5)
    assert np.abs(np.array(noise[0]) - noise[1]).max() > 1e-3


WORKER = """
import json, os, sys, numpy as np, keras
from slot_attention_tf.training.environment import is_chief, make_strategy
strategy = make_strategy("multi_worker")
from slot_attention_tf.training.loop import LoopSettings, Trainer
from slot_attention_tf.training.run_directory import RunDirectory
from tests.training.test_loop import batches, losses_of, make_model

keras.utils.set_random_seed(0)
with strategy.scope():
    model = make_model(0.0)
    settings = LoopSettings(4, 4, clip_norm=0.5, log_interval=2, checkpoint_interval=2)
    run = RunDirectory(sys.argv[1], writable=is_chief(strategy))
    trainer = Trainer(
        model, keras.optimizers.SGD(0.1), losses_of, settings, run, strategy)
trainer.restore()
trainer.train(batches, lambda *_: None)
print(json.dumps([w.tolist() for w in model.get_weights()]))
"""


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


@pytest.mark.slow
def test_two_workers_train_as_one_and_one_of_them_writes(run_python, tmp_path):
    workers = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    code = f"import sys; sys.argv.append({str(tmp_path)!r})\n{WORKER}"

    def work(index):
        task = {"type": "worker", "index": index}
        config = json.dumps({"cluster": {"worker": workers}, "task": task})
        return json.loads(run_python(code, TF_CONFIG=config).splitlines()[-1])

    with ThreadPoolExecutor() as pool:
        first, second = pool.map(work, range(2))
    assert first == second
    settings = {"clip_norm": 0.5, "log_interval": 2, "checkpoint_interval": 2}
    one = trainer(tmp_path / "one", 4, noise=0.0, **settings)
    one.optimizer = keras.optimizers.SGD(0.1)
    one.optimizer.build(one.model.trainable_variables)
    one.train(batches, lambda *_: None)
    for a, b in zip(one.model.get_weights(), first, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-5)
    rows = RunDirectory(tmp_path).read_metrics()
    assert [row["step"] for row in rows] == [2, 4]
    assert (tmp_path / "checkpoints" / "ckpt-4.index").exists()
