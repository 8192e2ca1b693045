"""Callbacks and averaged weights in whole runs."""

import functools

import keras
import numpy as np
import pytest

import slot_attention_tf as sa
from slot_attention_tf.tasks import find_task
from slot_attention_tf.tasks.runs import load_run
from slot_attention_tf.training.run_directory import RunDirectory
from tests.tasks import tiny


class Logs(keras.callbacks.Callback):
    def __init__(self, stop=False):
        super().__init__()
        self.epochs = []
        self.stop = stop

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append((epoch, logs))
        self.model.stop_training = self.stop


@pytest.fixture
def train(discovery_data, tmp_path):
    arguments = tiny.as_arguments(tiny.DISCOVERY, discovery_data)
    return functools.partial(
        sa.train, "discovery", model_dir=str(tmp_path / "run"), **arguments
    )


def assert_same(weights, expected):
    for a, b in zip(weights, expected, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_callbacks_of_a_run_see_its_scores_and_may_end_it(train, tmp_path):
    logs = Logs(stop=True)
    scores = train(callbacks=[logs])
    (epoch,) = logs.epochs
    assert epoch[0] == 0 and {"loss", "val_fg_ari", "val_mbo"} <= epoch[1].keys()
    run = RunDirectory(tmp_path / "run")
    assert scores["step"] == 2 and run.model_file.exists()
    row = next(row for row in run.read_metrics() if "fg_ari" in row)
    assert epoch[1]["val_fg_ari"] == row["fg_ari"]
    logs = Logs()
    assert train(callbacks=[logs])["step"] == 4
    assert [epoch for epoch, _ in logs.epochs] == [1]


@pytest.mark.slow
def test_a_run_is_judged_by_its_averaged_weights(
    train, run_script, discovery_data, tmp_path
):
    raw = train(model_dir=str(tmp_path / "raw"), ema=None)
    row = train(ema=0.9)
    assert row["mse"] != raw["mse"]
    run = load_run(tmp_path / "run", find_task)
    assert run.config["settings"]["ema"] == 0.9
    loaded = keras.saving.load_model(run.directory.model_file)
    assert_same(loaded.get_weights(), run.model.get_weights())
    options = {"model_dir": tmp_path / "run", "data_dir": discovery_data}
    assert not run_script("eval/discovery.py", num_pictures=1, **options)
    trained, again = run.directory.read_evaluations()
    assert again["mse"] == trained["mse"] and again["fg_ari"] == trained["fg_ari"]
    with pytest.raises(ValueError, match=r"ema: 0.9 -> None"):
        train(ema=None)
    with pytest.raises(ValueError, match="lacks variables of this run"):
        train(model_dir=str(tmp_path / "raw"), ema=0.9)


def test_a_momentum_that_is_none_is_refused(train, tmp_path):
    with pytest.raises(ValueError, match=r"between 0 and 1.*Received: ema=1.0"):
        train(ema=1.0)
    assert not (tmp_path / "run").exists()
