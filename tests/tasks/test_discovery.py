"""train_discovery.py and eval/discovery.py, run as a user runs them."""

import functools
import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

import slot_attention_tf as sa
from slot_attention_tf.data.prepare import prepare
from slot_attention_tf.export import export_saved_model
from slot_attention_tf.tasks import find_task
from slot_attention_tf.tasks.runs import load_run
from slot_attention_tf.training import devices
from slot_attention_tf.training.run_directory import RunDirectory
from tests.tasks import tiny


@pytest.fixture(scope="module")
def trained(discovery_data, tmp_path_factory):
    """The folder of a finished run, not to be written to; made by `sa.train`."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    arguments = tiny.as_arguments(tiny.DISCOVERY, discovery_data)
    sa.train("discovery", model_dir=str(folder), **arguments)
    return folder


@pytest.fixture
def finished_run(trained, tmp_path):
    """A finished run that `train` would continue."""
    return shutil.copytree(trained, tmp_path / "run")


@pytest.fixture
def evaluate(run_script, discovery_data):
    data = {"data_dir": discovery_data, "num_pictures": 2}
    return functools.partial(run_script, "eval/discovery.py", **data)


def weights_of(folder):
    return load_run(folder, find_task).model.get_weights()


def assert_same(weights, expected):
    for a, b in zip(weights, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_run_leaves_everything_a_person_looks_for(train, tmp_path, capsys):
    assert not train()
    output = capsys.readouterr().out
    assert "4/4" in output and "left" in output
    assert "FG-ARI" in output and "over 320 images" in output
    run = RunDirectory(tmp_path / "run")
    config = run.read_config()
    assert config["settings"]["num_train_steps"] == 4
    assert (config["task"], config["model_name"]) == ("discovery", "slot_attention")
    assert config["dataset"] == "tetrominoes/tiny/1.0.0"
    assert config["versions"]["keras"] == keras.__version__ and config["device"]
    assert run.model_file.exists() and list(run.tensorboard.iterdir())
    assert len(list(run.pictures.glob("slots_*.png"))) == 2
    assert {row["step"] for row in run.read_metrics()} == {2, 4}
    (row,) = run.read_evaluations()
    facts = {"step": 4, "split": "test", "num_images": 320, "num_slots": 4, "seed": 0}
    assert facts.items() <= row.items() and 0 <= row["mse"] < 10


@pytest.mark.slow
def test_the_script_and_the_function_make_the_same_run(train, trained, tmp_path):
    assert not train()
    assert_same(weights_of(tmp_path / "run"), weights_of(trained))


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


def test_a_run_that_lost_its_model_file_gets_it(train, finished_run):
    (finished_run / "model.keras").unlink()
    assert not train()
    loaded = keras.saving.load_model(finished_run / "model.keras")
    assert_same(loaded.get_weights(), weights_of(finished_run))


@pytest.mark.slow
def test_a_broken_newest_checkpoint_costs_its_steps_only(
    train, finished_run, tmp_path, capsys
):
    expected = weights_of(finished_run)
    (finished_run / "checkpoints" / "ckpt-4.index").write_bytes(b"")
    assert not train()
    assert "Trying the one before" in capsys.readouterr().out
    assert_same(weights_of(finished_run), expected)


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("num_slots", 5, "num_slots: 4 -> 5"),
        ("seed", 1, "seed: 0 -> 1"),
        ("batch_size", 2, "batch_size: 16 -> 2"),
        ("slot_size", 8, "another architecture"),
    ],
)
def test_another_run_is_refused_and_nothing_lost(
    train, finished_run, flag, value, message
):
    weights = weights_of(finished_run)
    config = (finished_run / "config.json").read_text()
    assert message in train(**{flag: value})
    assert (finished_run / "config.json").read_text() == config
    assert_same(weights_of(finished_run), weights)


def test_missing_data_says_the_command(train, tmp_path):
    message = train(data_dir=tmp_path / "nothing")
    assert "slot_attention_tf.data.prepare tetrominoes/tiny" in message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("flag", ["num_slots", "num_iterations", "batch_size"])
def test_values_below_one_are_refused(train, flag, capsys):
    assert train(**{flag: 0}) == 1
    assert f"must be at least 1. Received: {flag}=0" in capsys.readouterr().err


def test_a_norm_of_zero_is_refused(train):
    assert "clip_norm=0.0" in train(clip_norm=0)


@pytest.mark.slow
def test_too_few_slots_are_a_warning(train):
    with pytest.warns(UserWarning, match="num_slots=2 .*3 objects.* 4 slots"):
        train(num_slots=2, num_train_steps=1)


def test_nan_stops_the_script(train, finished_run):
    message = train(learning_rate=1e30, num_train_steps=20)
    assert "NonFiniteLossError" in message and "ckpt-" in message
    assert all(np.isfinite(w).all() for w in weights_of(finished_run))


def test_eval_prints_draws_and_keeps_a_row(evaluate, finished_run, capsys):
    assert not evaluate(model_dir=finished_run)
    output = capsys.readouterr().out
    assert "at step 4" in output and "over 320 images" in output
    for name in ("slots.png", "attention.png", "curves.png"):
        assert (finished_run / "pictures" / name).stat().st_size > 5000
    assert not evaluate(model_dir=finished_run, num_slots=6, num_iterations=5)
    trained, again, other = RunDirectory(finished_run).read_evaluations()
    for name in ("fg_ari", "mse"):
        assert again[name] == trained[name] != other[name]
    assert (other["num_slots"], other["num_iterations"]) == (6, 5)


@pytest.mark.slow
def test_eval_counts_images_after_the_filter(evaluate, finished_run, capsys):
    assert not evaluate(model_dir=finished_run, num_scenes=5, max_num_objects=3)
    assert "over 5 images" in capsys.readouterr().out
    # A look at a few scenes does not replace what the run reached.
    assert not evaluate(model_dir=finished_run, num_scenes=5)
    assert "over 5 images" in capsys.readouterr().out
    assert RunDirectory(finished_run).read_final_evaluation()["num_images"] == 320


def test_eval_of_no_run_is_an_error(evaluate, tmp_path):
    assert "holds no run" in evaluate(model_dir=tmp_path)
    assert "Give one of --model_dir and --saved_model" in evaluate()


@pytest.mark.slow
def test_eval_of_a_saved_model_says_what_eval_of_its_run_says(
    evaluate, finished_run, tmp_path, capsys
):
    saved_model = tmp_path / "saved_model"
    export_saved_model(
        keras.saving.load_model(finished_run / "model.keras"), saved_model
    )
    assert not evaluate(model_dir=finished_run)
    expected = capsys.readouterr().out
    data = {"preset": "tetrominoes_cpu", "dataset": "tetrominoes/tiny"}
    assert not evaluate(saved_model=saved_model, **data)
    output = capsys.readouterr().out
    assert " at step" not in output
    (line,) = (line for line in output.splitlines() if "FG-ARI" in line)
    assert line in expected.splitlines()
    for name in ("slots.png", "attention.png"):
        assert (saved_model / "pictures" / name).stat().st_size > 5000
    message = evaluate(saved_model=saved_model, num_slots=9, **data)
    assert "num_slots=9" in message and "export it again" in message
    assert "say --preset=NAME" in evaluate(saved_model=saved_model)


@pytest.mark.slow
def test_slot_mlp_trains_and_is_evaluated_like_slot_attention(
    train, evaluate, tmp_path, capsys
):
    assert not train(model="slot_mlp", num_iterations=1)
    assert "FG-ARI" in capsys.readouterr().out
    assert not evaluate(model_dir=tmp_path / "run")
    pictures = {path.name for path in (tmp_path / "run" / "pictures").iterdir()}
    assert "slots.png" in pictures and "attention.png" not in pictures
    message = evaluate(model_dir=tmp_path / "run", num_slots=6)
    assert "weights of this SlotMLP give 4 slots" in message


@pytest.mark.slow
def test_flags_are_recorded_with_the_run(train, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(devices, "_cpu_flags", lambda: ["avx2"])
    assert not train(num_train_steps=1, precision="float16", clip_norm="none")
    if not tf.config.list_physical_devices("GPU"):
        said = capsys.readouterr().out
        assert "Precision float16: this CPU has no instructions for it" in said
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["settings"]["clip_norm"] is None
    assert config["options"]["precision"] == "float16"
    # What follows in a notebook is as before.
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.slow
def test_grey_images_train_and_are_evaluated(train, evaluate, tmp_path):
    assert not train(grayscale="true", num_train_steps=1)
    assert not evaluate(model_dir=tmp_path / "run")


@pytest.mark.slow
def test_more_test_scenes_than_there_are_is_a_warning(
    run_script, discovery_data, finished_run, tmp_path
):
    prepare("tetrominoes/small", tmp_path, num_train=60, num_test=4)
    with pytest.warns(UserWarning, match="4 .*320"):
        run_script(
            "eval/discovery.py",
            model_dir=finished_run,
            data_dir=tmp_path,
            dataset="tetrominoes/small",
        )


BASELINES = {
    "monet": {
        "latent_size": 4,
        "attention_filters": "4,4",
        "encoder_filters": "4,4",
        "decoder_filters": 4,
    },
    "iodine": {
        "num_iterations": 1,
        "slot_size": 4,
        "encoder_filters": 4,
        "decoder_filters": 4,
        "mlp_sizes": 8,
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("model", BASELINES)
def test_baselines_train_continue_and_are_evaluated(
    model, run_script, evaluate, discovery_data, tmp_path, capsys
):
    shared = ("preset", "dataset", "batch_size", "log_interval", "eval_interval")
    options = {name: tiny.DISCOVERY[name] for name in shared}
    options |= {"data_dir": discovery_data, "checkpoint_interval": 2}
    options |= {"model": model, **BASELINES[model]}
    for folder, steps in (("whole", 4), ("parts", 2), ("parts", 4)):
        given = {"num_train_steps": steps, "model_dir": tmp_path / folder}
        assert not run_script("train_discovery.py", **options, **given)
    assert_same(weights_of(tmp_path / "parts"), weights_of(tmp_path / "whole"))
    capsys.readouterr()
    assert not evaluate(model_dir=tmp_path / "parts", num_slots=5)
    assert "FG-ARI" in capsys.readouterr().out
