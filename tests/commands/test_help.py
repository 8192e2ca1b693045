"""`--help` of every command names its flags, at once."""

import dataclasses
import subprocess
import sys

import pytest

from slot_attention_tf.models import find_model, model_names
from slot_attention_tf.training.options import RunOptions
from tests.conftest import ROOT


def run_help(*command):
    process = subprocess.run(
        [sys.executable, *command, "--help"], cwd=ROOT, capture_output=True, text=True
    )
    # absl ends --help with status 1.
    assert process.returncode in (0, 1), process.stderr[-2000:]
    return process.stdout


@pytest.mark.parametrize(
    ("script", "task"),
    [
        ("train_discovery.py", "discovery"),
        ("train_set_prediction.py", "set_prediction"),
    ],
)
def test_training_scripts_list_every_setting(script, task):
    text = run_help(script)
    entries = [find_model(task, name) for name in model_names(task)]
    presets = [preset for entry in entries for preset in entry.presets.values()]
    for settings in (RunOptions, *presets):
        for field in dataclasses.fields(settings):
            if field.name != "description":
                assert f"--{field.name}:" in text or f"--[no]{field.name}:" in text
    for word in ("--model", "--preset", "--[no]mixed_precision"):
        assert word in text


@pytest.mark.slow
def test_installed_commands_list_them_too():
    code = "from slot_attention_tf.commands.train import discovery; discovery()"
    assert "--learning_rate:" in run_help("-c", code)


@pytest.mark.slow
@pytest.mark.parametrize("script", ["eval/discovery.py", "eval/set_prediction.py"])
def test_evaluation_scripts_list_their_flags(script):
    text = run_help(script)
    for flag in ("model_dir", "dataset", "max_num_objects", "num_slots", "split"):
        assert f"--{flag}:" in text


def test_the_script_of_the_paper_lists_its_flags():
    text = run_help("eval/paper.py")
    for word in ("--results:", "--out:", "--size:", "every table and figure"):
        assert word in text


def test_scripts_start_without_messages_of_tensorflow(tmp_path):
    process = subprocess.run(
        [sys.executable, "train_discovery.py", f"--data_dir={tmp_path}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 1 and process.stdout == ""
    assert process.stderr.startswith("FileNotFoundError: The dataset")
