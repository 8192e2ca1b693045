"""train_set_prediction.py and eval/set_prediction.py, run as a user runs them."""

import dataclasses
import json
import runpy
import sys

import numpy as np
import pytest
import tensorflow as tf
from absl import flags

from slot_attention_tf import set_prediction_presets as presets
from slot_attention_tf.data.prepare import prepare
from slot_attention_tf.losses import hungarian_huber_loss
from slot_attention_tf.metrics import average_precision_clevr
from slot_attention_tf.models.classifier import SlotAttentionClassifier
from slot_attention_tf.training import runs, set_prediction
from slot_attention_tf.training.run_directory import RunDirectory
from slot_attention_tf.training.set_evaluation import (
    SetPredictionEvaluator,
    SetPredictionResult,
    with_exactly,
)
from tests.conftest import ROOT

TINY = dataclasses.replace(
    presets.CLEVRCPU(),
    dataset="synthetic_clevr/tiny",
    resolution=(16, 16),
    encoder_filters=(8,),
    encoder_kernel_size=5,
    encoder_strides=(2,),
    num_iterations=1,
    slot_size=16,
    mlp_hidden_size=16,
    feature_size=16,
    batch_size=4,
    num_train_steps=4,
    warmup_steps=1,
)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("data")
    sizes = {"num_train": 24, "num_validation": 20, "num_test": 1}
    shape = {"height": 24, "width": 32, "min_objects": 2, "max_objects": 4}
    prepare("synthetic_clevr/tiny", data_dir, **sizes, **shape)
    return data_dir


@pytest.fixture(autouse=True)
def tiny_preset(monkeypatch):
    monkeypatch.setitem(presets.SET_PREDICTION_PRESETS, "tiny", TINY)
    monkeypatch.setattr(set_prediction, "NUM_WATCHED_SCENES", 10)


def forget_flags():
    """Removes the flags of all scripts: they define some of the same names."""
    for name in list(flags.FLAGS):
        module = flags.FLAGS.find_module_defining_flag(name)
        if module in ("slot_attention_tf.training.script", "__main__") or (
            module.startswith(str(ROOT))
        ):
            delattr(flags.FLAGS, name)
    flags.FLAGS.unparse_flags()


@pytest.fixture
def run_script(monkeypatch):
    """Runs a script in this process, as `python script --name=value ...`."""

    def run(script, **options):
        forget_flags()
        arguments = [f"--{name}={value}" for name, value in options.items()]
        monkeypatch.setattr(sys, "argv", [str(ROOT / script), *arguments])
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(str(ROOT / script), run_name="__main__")
        return stop.value.code

    yield run
    forget_flags()


@pytest.fixture
def train(run_script, data_dir, tmp_path):
    def run(folder="run", **options):
        defaults = {
            "preset": "tiny",
            "data_dir": data_dir,
            "model_dir": tmp_path / folder,
            "log_interval": 2,
            "checkpoint_interval": 4,
        }
        return run_script("train_set_prediction.py", **(defaults | options))

    return run


def load(folder):
    return runs.load_run(
        folder, SlotAttentionClassifier, presets.SET_PREDICTION_PRESETS
    )


def test_a_run_and_its_evaluation(train, run_script, tmp_path, data_dir, capsys):
    assert not train()
    output = capsys.readouterr().out
    for name in ("AP@inf", "AP@1", "AP@0.5", "AP@0.25", "AP@0.125"):
        assert f"{name} 0." in output
    assert "over 20 images" in output
    run = RunDirectory(tmp_path / "run")
    assert run.model_file.exists()
    assert len(list(run.pictures.glob("sets_*.png"))) == 1
    rows = run.read_metrics()
    assert [row["step"] for row in rows if "AP@0.125" in row] == [4]

    options = {"model_dir": tmp_path / "run", "data_dir": data_dir}
    script = "eval/set_prediction.py"
    assert not run_script(script, **options, sweep_iterations="1,3", num_pictures=2)
    lines = capsys.readouterr().out.splitlines()
    assert "at step 4, synthetic_clevr/tiny, validation" in lines[0]
    assert "over 20 images" in lines[1]
    assert [line[:6] for line in lines if line.startswith("T =")] == [
        "T =  1",
        "T =  3",
    ]
    by_count = [line for line in lines if "objects, K =" in line]
    sizes = [int(line.split("over ")[1].split()[0]) for line in by_count]
    assert sum(sizes) == 20 and len(sizes) > 1
    for name in ("sets.png", "curves.png"):
        assert (run.pictures / name).stat().st_size > 5000
    assert "Received: '0'" in run_script(script, **options, sweep_iterations="3,0")


@pytest.mark.slow
def test_a_continued_run_equals_an_uninterrupted_one(train, tmp_path, capsys):
    train()
    assert not train()
    assert "is finished: it holds step 4" in capsys.readouterr().out
    train(num_train_steps=6)
    train(folder="whole", num_train_steps=6)
    weights = [load(tmp_path / name)[1].get_weights() for name in ("run", "whole")]
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_mixed_precision_trains_to_finite_weights(train, tmp_path):
    assert not train(mixed_precision=True)
    _, model, _, step = load(tmp_path / "run")
    assert step == 4
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    losses = [r["loss"] for r in RunDirectory(tmp_path / "run").read_metrics()[:2]]
    assert np.isfinite(losses).all()


TWO_DEVICES = """
import functools, json, sys, numpy as np, keras, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import slot_attention_tf as sa
from slot_attention_tf.training.environment import make_strategy
from slot_attention_tf.training.loop import LoopSettings, Trainer
from slot_attention_tf.training.run_directory import RunDirectory
from slot_attention_tf.training.set_prediction import set_losses
rng = np.random.default_rng(0)
images = rng.uniform(-1, 1, (8, 8, 8, 3)).astype("float32")
targets = rng.uniform(size=(8, 2, 19)).astype("float32")

def batches(start):
    data = {"image": images, "target": targets}
    return tf.data.Dataset.from_tensor_slices(data).batch(4).repeat().skip(start)

def losses(model, batch):
    # Instead of samples, since each device draws its own.
    start = model.slot_attention.slot_initializer
    slots = start.mu + tf.exp(start.log_sigma) * NOISE
    slots = tf.repeat(slots, tf.shape(batch["image"])[0], axis=0)
    return set_losses(None, functools.partial(model, initial_slots=slots), batch)

NOISE = tf.constant(rng.normal(size=(1, 3, 8)), tf.float32)

def train(strategy):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        encoder = sa.ConvEncoder((8, 8), filters=(4,), strides=2)
        model = sa.SlotAttentionClassifier((8, 8), 3, 2, slot_size=8, encoder=encoder)
        optimizer = keras.optimizers.SGD(0.1)
        settings = LoopSettings(6, batch_size=4, clip_norm=0.5)
        run = RunDirectory(f"{sys.argv[1]}/{strategy.num_replicas_in_sync}")
        trainer = Trainer(model, optimizer, losses, settings, run, strategy)
    trainer.train(batches, lambda *_: None)
    rows = [row["loss"] for row in trainer.run.read_metrics()]
    return rows, [weight.tolist() for weight in model.get_weights()]

mirrored = make_strategy("mirrored")
assert mirrored.num_replicas_in_sync == 2
print(json.dumps([train(make_strategy("auto")), train(mirrored)]))
"""


def test_matching_on_two_devices_trains_as_on_one(run_python, tmp_path):
    code = f"import sys; sys.argv.append({str(tmp_path)!r})\n{TWO_DEVICES}"
    one, two = json.loads(run_python(code).splitlines()[-1])
    np.testing.assert_allclose(two[0], one[0], rtol=1e-5)
    for a, b in zip(one[1], two[1], strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-6)


def test_loss_pads_targets_to_the_slots(rng):
    predictions = tf.constant(rng.uniform(size=[3, 5, 19]).astype("float32"))
    targets = np.zeros([3, 2, 19], "float32")
    targets[:, :, 18] = 1
    batch = {"image": None, "target": tf.constant(targets)}
    losses = set_prediction.set_losses(None, lambda *_, **__: predictions, batch)
    padded = np.concatenate([targets, np.zeros([3, 3, 19], "float32")], axis=1)
    for image in range(3):
        expected = hungarian_huber_loss(
            predictions[image : image + 1], padded[image : image + 1]
        )
        assert float(losses[image]) == pytest.approx(float(expected), rel=1e-6)


def test_nan_at_a_checkpoint_stops_the_script_and_keeps_it(train, tmp_path):
    message = train(learning_rate=1e30, checkpoint_interval=1)
    assert "NonFiniteLossError" in message and "are kept" in message
    _, model, _, step = load(tmp_path / "run")
    assert step == 2  # The schedule starts from a rate of 0.
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


def test_nan_in_the_matching_stops_the_script(train):
    message = train(learning_rate=1e30)
    assert message.startswith("NonFiniteLossError: A prediction is NaN or infinite")


def test_fewer_slots_than_objects_are_refused(train, tmp_path):
    message = train(num_slots=3)
    assert "max_num_objects=4" in message and "num_slots=3" in message
    assert not (tmp_path / "run").exists()


def test_xla_is_refused(train):
    assert "leave --jit_compile out" in train(jit_compile=True)


def test_missing_data_says_the_command(train, tmp_path):
    message = train(data_dir=tmp_path / "nothing")
    assert "slot_attention_tf.data.prepare synthetic_clevr/tiny" in message


def test_targets_out_of_range_are_refused():
    set_prediction.check_targets(np.array([0.0, 1.0]))
    with pytest.raises(ValueError, match=r"\[0, 1\].*targets from 0 to 2"):
        set_prediction.check_targets(np.array([0.0, 2.0]))


def test_result_is_the_average_precision_of_all_images(rng):
    targets = np.zeros([6, 2, 19])
    targets[:, 0, [3, 5, 7, 10, 18]] = 1
    predictions = targets + rng.uniform(0, 0.1, targets.shape)
    result = SetPredictionResult(predictions, targets)
    expected = average_precision_clevr(predictions, targets, 0.5)
    assert result.values()["AP@0.5"] == expected
    assert f"AP@0.5 {expected:.3f}" in result.summary()
    with pytest.raises(ValueError, match="without any real object"):
        SetPredictionResult(predictions, 0 * targets).summary()


def sets_with(counts):
    target = np.zeros([len(counts), 5, 19], "float32")
    for scene, count in enumerate(counts):
        target[scene, :count, 18] = 1
    image = np.arange(len(counts), dtype="float32")
    return tf.data.Dataset.from_tensor_slices({"image": image, "target": target})


def test_scenes_with_exactly_n_objects():
    dataset = sets_with([1, 3, 2, 3, 0, 3]).batch(4)
    batches = list(with_exactly(dataset, 3, batch_size=2).as_numpy_iterator())
    assert [batch["image"].tolist() for batch in batches] == [[1.0, 3.0], [5.0]]


def test_evaluation_is_repeatable_and_takes_batches_of_any_size(rng):
    model = SlotAttentionClassifier(**TINY.model_arguments())
    images = rng.uniform(-1, 1, [5, 16, 16, 3]).astype("float32")
    target = np.zeros([5, 4, 19], "float32")
    dataset = tf.data.Dataset.from_tensor_slices({"image": images, "target": target})
    evaluate = SetPredictionEvaluator(model, num_slots=6, num_iterations=1)
    first = evaluate(dataset.batch(5)).predictions
    model(images)  # Draws random numbers in between.
    assert first.shape == (5, 6, 19)
    np.testing.assert_array_equal(evaluate(dataset.batch(5)).predictions, first)
    assert evaluate(dataset.batch(3)).predictions.shape == (5, 6, 19)
    with pytest.raises(ValueError, match="no batch"):
        evaluate(dataset.take(0).batch(3))
