"""train_set_prediction.py and eval/set_prediction.py, run as a user runs them."""

import functools
import re

import numpy as np
import pytest

import slot_attention_tf as sa
from slot_attention_tf.tasks import find_task
from slot_attention_tf.tasks.runs import load_run
from slot_attention_tf.training.run_directory import RunDirectory
from tests.tasks import tiny


@pytest.fixture
def train(run_script, set_prediction_data, tmp_path):
    folders = {"data_dir": set_prediction_data, "model_dir": tmp_path / "run"}
    return functools.partial(
        run_script, "train_set_prediction.py", **tiny.SET_PREDICTION, **folders
    )


@pytest.mark.slow
def test_a_run_and_its_evaluation(
    train, run_script, set_prediction_data, tmp_path, capsys
):
    assert not train()
    output = capsys.readouterr().out
    assert "AP@inf" in output and "over 20 images" in output
    run = RunDirectory(tmp_path / "run")
    assert {row["step"] for row in run.read_metrics()} == {2, 4}
    assert len(list(run.pictures.glob("sets_*.png"))) == 2
    (row,) = run.read_evaluations()
    assert row["split"] == "validation" and 0 <= row["AP@0.5"] <= 1
    assert not run_script(
        "eval/set_prediction.py",
        model_dir=run.path,
        data_dir=set_prediction_data,
        sweep_iterations="1,3",
        num_pictures=2,
    )
    output = capsys.readouterr().out
    assert "T =  1" in output and "T =  3" in output
    for count in (2, 3, 4):
        assert f"{count} objects, K = {count:2}" in output
    for name in ("sets.png", "curves.png"):
        assert (run.pictures / name).stat().st_size > 5000
    assert "holds a run of set_prediction" in run_script(
        "eval/discovery.py", model_dir=run.path, data_dir=set_prediction_data
    )


@pytest.mark.slow
def test_a_saved_model_is_evaluated(run_script, set_prediction_data, tmp_path, capsys):
    encoder = sa.ConvEncoder((64, 64), filters=(4,), strides=(8,))
    model = sa.SlotAttentionClassifier((64, 64), 4, 2, slot_size=8, encoder=encoder)
    sa.export_saved_model(model, tmp_path / "saved")
    data = {"preset": "clevr_cpu", "dataset": "synthetic_clevr/tiny"}
    data |= {"saved_model": tmp_path / "saved", "data_dir": set_prediction_data}
    assert not run_script("eval/set_prediction.py", **data)
    output = capsys.readouterr().out
    assert "over 20 images" in output and "T =" not in output


@pytest.mark.slow
def test_slot_mlp_trains_and_is_evaluated(train, tmp_path, capsys):
    assert not train(model="slot_mlp")
    assert "AP@inf" in capsys.readouterr().out
    run = load_run(tmp_path / "run", find_task)
    assert type(run.model.slot_attention).__name__ == "SlotMLP"


def test_nan_stops_the_script_and_keeps_the_checkpoint(train, tmp_path):
    message = train(learning_rate=1e30, checkpoint_interval=1, log_interval=1)
    assert "NonFiniteLossError" in message and "is kept" in message
    run = load_run(tmp_path / "run", find_task)
    assert all(np.isfinite(weight).all() for weight in run.model.get_weights())


def test_fewer_slots_than_objects_are_refused(train, tmp_path):
    message = train(num_slots=3)
    assert "max_num_objects=4" in message and "num_slots=3" in message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("grayscale", "true", "whole images in colour.*grayscale=True"),
        ("crop", "0,8,0,8", r"outside of a crop.*crop=\(0, 8, 0, 8\)"),
        ("max_num_objects", "none", "an integer of at least 1.*max_num_objects=None"),
    ],
)
def test_what_sets_cannot_have_is_refused(train, tmp_path, name, value, message):
    assert re.search(message, train(**{name: value}))
    assert not (tmp_path / "run").exists()


def test_missing_data_says_the_command(train, tmp_path):
    message = train(data_dir=tmp_path / "nothing")
    assert "slot_attention_tf.data.prepare synthetic_clevr/tiny" in message


@pytest.mark.slow
@pytest.mark.parametrize("differentiation", ["unrolled", "implicit"])
def test_dspn_trains_continues_and_is_evaluated(
    differentiation, run_script, set_prediction_data, tmp_path, capsys
):
    of_slots = ("slot_size", "mlp_hidden_size")
    options = {k: v for k, v in tiny.SET_PREDICTION.items() if k not in of_slots}
    options |= {"model": "dspn", "differentiation": differentiation}
    options |= {"latent_size": 8, "set_encoder_size": 8, "num_iterations": 2}
    options |= {"data_dir": set_prediction_data}
    for folder, steps in (("whole", 4), ("parts", 2), ("parts", 4)):
        given = {"num_train_steps": steps, "model_dir": tmp_path / folder}
        assert not run_script("train_set_prediction.py", **{**options, **given})
    runs = [load_run(tmp_path / name, find_task) for name in ("whole", "parts")]
    for a, b in zip(*(run.model.get_weights() for run in runs), strict=True):
        np.testing.assert_array_equal(a, b)
    assert "AP@inf" in capsys.readouterr().out


def test_a_setting_of_another_model_is_named(run_script, set_prediction_data, tmp_path):
    message = run_script(
        "train_set_prediction.py",
        model="dspn",
        preset="clevr_cpu",
        slot_size=8,
        data_dir=set_prediction_data,
        model_dir=tmp_path / "run",
    )
    assert "A run of dspn takes" in message and "slot_size=8" in message
