"""train_discovery.py and eval/discovery.py, run as a user runs them."""

import dataclasses
import functools
import json
import runpy
import shutil
import sys

import keras
import numpy as np
import pytest
from absl import flags

from slot_attention_tf import presets
from slot_attention_tf.data.prepare import prepare
from slot_attention_tf.export import export_saved_model
from slot_attention_tf.models import SlotAttentionAutoEncoder
from slot_attention_tf.training import runs
from slot_attention_tf.training.run_directory import RunDirectory
from tests.conftest import ROOT

TINY = dataclasses.replace(
    presets.TetrominoesCPU(),
    dataset="tetrominoes/tiny",
    encoder_filters=(8, 8),
    encoder_kernel_size=5,
    encoder_strides=(2, 2),
    num_iterations=2,
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
    prepare("tetrominoes/tiny", data_dir, num_train=24, num_test=320)
    return data_dir


@pytest.fixture(scope="module", autouse=True)
def tiny_preset():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(presets.DISCOVERY_PRESETS, "tiny", TINY)
        yield


def run_script(script, monkeypatch, **options):
    """Runs a script in this process, as `python script --name=value ...`."""
    for name in list(flags.FLAGS):
        module = flags.FLAGS.find_module_defining_flag(name)
        scripts = ("slot_attention_tf.training.script", str(ROOT), "__main__")
        if module.startswith(scripts):
            delattr(flags.FLAGS, name)
    flags.FLAGS.unparse_flags()
    arguments = [f"--{name}={value}" for name, value in options.items()]
    monkeypatch.setattr(sys, "argv", [str(ROOT / script), *arguments])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(ROOT / script), run_name="__main__")
    return stop.value.code


def run_training(monkeypatch, **options):
    defaults = {"preset": "tiny", "log_interval": 2, "checkpoint_interval": 2}
    return run_script("train_discovery.py", monkeypatch, **(defaults | options))


@pytest.fixture
def train(monkeypatch, data_dir, tmp_path):
    folders = {"data_dir": data_dir, "model_dir": tmp_path / "run"}
    return functools.partial(run_training, monkeypatch, **folders)


@pytest.fixture(scope="module")
def trained(data_dir, tmp_path_factory):
    """The folder of a finished run, not to be written to."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    with pytest.MonkeyPatch.context() as patch:
        assert not run_training(patch, data_dir=data_dir, model_dir=folder)
    return folder


@pytest.fixture
def finished_run(trained, tmp_path):
    """A finished run that `train` would continue."""
    return shutil.copytree(trained, tmp_path / "run")


def weights_of(folder):
    return runs.load_run(folder, SlotAttentionAutoEncoder, presets.DISCOVERY_PRESETS)[
        1
    ].get_weights()


def assert_same(weights, expected):
    for a, b in zip(weights, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_run_leaves_everything_a_person_looks_for(train, tmp_path, capsys):
    assert not train()
    output = capsys.readouterr().out
    assert "4/4" in output and "left" in output
    assert "FG-ARI" in output and "over 320 images" in output
    run = RunDirectory(tmp_path / "run")
    assert run.read_config()["settings"]["num_train_steps"] == 4
    assert run.model_file.exists() and list(run.tensorboard.iterdir())
    assert len(list(run.pictures.glob("slots_*.png"))) == 2
    assert {row["step"] for row in run.read_metrics()} == {2, 4}


def test_a_finished_run_continues_only_for_more_steps(
    train, finished_run, tmp_path, capsys
):
    weights = weights_of(finished_run)
    assert not train()
    assert "is finished: it holds step 4" in capsys.readouterr().out
    assert_same(weights_of(finished_run), weights)
    whole = tmp_path / "whole"
    train(num_train_steps=6)
    train(model_dir=whole, num_train_steps=6)
    for folder in (finished_run, whole):
        rows = RunDirectory(folder).read_metrics()
        assert {row["step"] for row in rows} == {2, 4, 6}
    assert_same(weights_of(finished_run), weights_of(whole))


def test_another_architecture_is_refused_and_nothing_lost(train, finished_run):
    weights = weights_of(finished_run)
    assert "another architecture" in train(num_slots=5)
    assert_same(weights_of(finished_run), weights)


def test_missing_data_says_the_command(train, tmp_path):
    message = train(data_dir=tmp_path / "nothing")
    assert "slot_attention_tf.data.prepare tetrominoes/tiny" in message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("flag", ["num_slots", "num_iterations", "batch_size"])
def test_values_below_one_are_refused(train, flag):
    assert f"--{flag}=0" in train(**{flag: 0})


def test_too_few_slots_are_a_warning(train):
    with pytest.warns(UserWarning, match="num_slots=2 .*3 objects.* 4 slots"):
        train(num_slots=2, num_train_steps=1)


def test_nan_stops_the_script(train, finished_run):
    message = train(learning_rate=1e30, num_train_steps=20)
    assert "NonFiniteLossError" in message and "ckpt-" in message
    assert all(np.isfinite(w).all() for w in weights_of(finished_run))


def test_eval_prints_and_draws(finished_run, data_dir, monkeypatch, capsys):
    run = finished_run
    options = {"model_dir": run, "data_dir": data_dir, "num_pictures": 2}
    assert not run_script("eval/discovery.py", monkeypatch, **options)
    output = capsys.readouterr().out
    assert "at step 4" in output and "over 320 images" in output
    for name in ("slots.png", "attention.png", "curves.png"):
        assert (run / "pictures" / name).stat().st_size > 5000
    recorded = json.loads((run / "evaluation.json").read_text())
    assert recorded["step"] == 4
    more = {"num_slots": 6, "num_iterations": 5}
    assert not run_script("eval/discovery.py", monkeypatch, **options, **more)
    assert json.loads((run / "evaluation.json").read_text()) == recorded


def test_eval_of_no_run_is_an_error(monkeypatch, tmp_path):
    message = run_script("eval/discovery.py", monkeypatch, model_dir=tmp_path)
    assert "holds no run" in message


def test_eval_of_a_saved_model_says_what_eval_of_its_run_says(
    finished_run, tmp_path, data_dir, monkeypatch, capsys
):
    run, saved_model = finished_run, tmp_path / "saved_model"
    export_saved_model(keras.saving.load_model(run / "model.keras"), saved_model)
    options = {"data_dir": data_dir, "num_pictures": 2, "num_scenes": 40}
    capsys.readouterr()
    assert not run_script("eval/discovery.py", monkeypatch, model_dir=run, **options)
    expected = capsys.readouterr().out
    assert not run_script(
        "eval/discovery.py", monkeypatch, saved_model=saved_model, **options
    )
    output = capsys.readouterr().out
    assert "Data of the preset tiny" in output and " at step" not in output
    for word in ("FG-ARI", "Reconstruction error"):
        (line,) = (line for line in output.splitlines() if word in line)
        assert line in expected.splitlines()
    for name in ("slots.png", "attention.png"):
        assert (saved_model / "pictures" / name).stat().st_size > 5000
    message = run_script(
        "eval/discovery.py",
        monkeypatch,
        saved_model=saved_model,
        num_slots=9,
        **options,
    )
    assert "num_slots=9" in message and "export it again" in message


def test_preset_of_a_model_is_found_by_its_architecture():
    named = presets.DISCOVERY_PRESETS
    for name in ("clevr6", "tetrominoes_cpu", "tiny"):
        model = SlotAttentionAutoEncoder.from_preset(name, num_slots=9)
        config = json.loads(json.dumps(model.get_config()))
        assert runs.preset_like(config, named) == name
    twins = {"first": TINY, "second": TINY}
    with pytest.raises(ValueError, match="Several .*--preset=NAME.*first, second"):
        runs.preset_like(config, twins)
    with pytest.raises(ValueError, match="No preset has.*clevr6"):
        runs.preset_like(config, {"clevr6": named["clevr6"]})


def test_failed_runs_are_flagged(tmp_path):
    config = {"settings": {"num_slots": 4}, "model": {}}
    for name, mse in (("a", 0.010), ("b", 0.012), ("c", 0.011)):
        run = RunDirectory(tmp_path / name)
        run.open_run(config)
        runs.record_evaluation(run, 10, {"mse": mse})
    failed = RunDirectory(tmp_path / "failed")
    failed.open_run(config)
    signs = runs.signs_of_failure(failed, {"mse": 0.03, "stripes": 0.95})
    assert "stripes" in signs[0] and "2.7 times the median of 3" in signs[1]
    assert runs.signs_of_failure(failed, {"mse": 0.012, "stripes": 0.3}) == []
    other = RunDirectory(tmp_path / "other")
    other.open_run({"settings": {"num_slots": 5}, "model": {}})
    assert runs.signs_of_failure(other, {"mse": 0.03, "stripes": 0.3}) == []
