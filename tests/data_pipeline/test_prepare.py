"""Tests of making datasets and finding them again."""

import subprocess
import sys

import pytest
import tensorflow_datasets as tfds

from slot_attention_tf.data import prepare as prepare_module
from slot_attention_tf.data.prepare import open_prepared, prepare


def test_a_prepared_dataset_is_found_again(data_dir):
    builder = open_prepared("tetrominoes/tiny", data_dir)
    sizes = {name: info.num_examples for name, info in builder.info.splits.items()}
    assert sizes == {"train": 45, "test": 8}
    assert builder.info.metadata["num_objects"] == {"train": [3] * 45, "test": [3] * 8}
    assert builder.info.metadata["config"]["num_train"] == 45


def test_preparing_writes_the_index_of_the_records(data_dir):
    builder = open_prepared("tetrominoes/tiny", data_dir)
    for split in builder.info.splits.values():
        for path in split.filepaths:
            assert path.with_name(f"{path.name}.index.npy").exists()


@pytest.mark.parametrize("name", ["tetrominoes", "clevr_with_masks", "synthetic_clevr"])
def test_datasets_name_what_to_cite(name, tmp_path):
    first_author = "johnson" if name == "synthetic_clevr" else "kabra"
    citation = tfds.builder(name, data_dir=tmp_path).info.citation
    assert citation.startswith("@") and f"{{{first_author}20" in citation
    assert citation.count("{") == citation.count("}")


def test_preparing_again_does_nothing(data_dir, monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError("prepared twice")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fail)
    builder = prepare("tetrominoes/tiny", data_dir=data_dir, num_train=45, num_test=8)
    assert builder.info.splits["train"].num_examples == 45


def test_other_options_under_the_same_name_are_an_error(data_dir):
    with pytest.raises(ValueError, match=r"other options.*'num_train': 45.*another na"):
        prepare("tetrominoes/tiny", data_dir=data_dir, num_train=46)


def test_missing_data_names_the_command(tmp_path):
    expected = (
        "python -m slot_attention_tf.data.prepare tetrominoes/synthetic "
        f"--data_dir={tmp_path}"
    )
    with pytest.raises(FileNotFoundError, match=expected):
        open_prepared("tetrominoes/synthetic", tmp_path)


def test_a_dataset_without_a_config_means_its_default(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"tetrominoes/synthetic/1\.0\.0"):
        open_prepared("tetrominoes", tmp_path)


@pytest.mark.parametrize("function", [prepare, open_prepared])
def test_an_unknown_dataset_is_an_error_that_lists_the_known(function, tmp_path):
    with pytest.raises(ValueError, match=r"tetrominoes/real.*Received: name='tetris'"):
        function("tetris", tmp_path)


def test_an_unknown_config_is_an_error_that_lists_the_known(tmp_path):
    with pytest.raises(ValueError, match=r"\['real', 'synthetic'\].*tetrominoes/syn'"):
        prepare("tetrominoes/syn", tmp_path)


def test_options_for_a_known_config_are_an_error(tmp_path):
    with pytest.raises(ValueError, match="need a new name.*'num_train': 3"):
        prepare("tetrominoes/synthetic", tmp_path, num_train=3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_train": 0}, "num_train=0"),
        ({"num_test": -1}, "num_test=-1"),
        ({"seed": 2**31}, "seed=2147483648"),
        ({"source": "imagined"}, "source='imagined'"),
    ],
)
def test_options_out_of_range_are_errors(tmp_path, options, message):
    with pytest.raises(ValueError, match=f"Received: {message}"):
        prepare("tetrominoes/own", tmp_path, **options)


def test_command_line(tmp_path, capsys):
    options = ["--num_train=5", "--num_test=2", "--seed=3", f"--data_dir={tmp_path}"]
    prepare_module.main(["tetrominoes/own", *options])
    printed = capsys.readouterr()
    assert "{'train': 5, 'test': 2}" in printed.out
    assert "5/5" in printed.err
    builder = open_prepared("tetrominoes/own", tmp_path)
    assert builder.info.metadata["config"]["seed"] == 3


def test_the_help_of_a_dataset_lists_its_options(capsys):
    for name in ("tetrominoes/own", "clevr_with_masks/own"):
        with pytest.raises(SystemExit):
            prepare_module.main([name, "--help"])
        printed = capsys.readouterr().out
        assert "--num_train" in printed and "--code_names" not in printed


def test_an_unknown_option_is_named(tmp_path):
    with pytest.raises(ValueError, match="'num_train'.*Received: num_trian=5"):
        prepare("tetrominoes/own", tmp_path, num_trian=5)


@pytest.mark.slow
def test_command_line_help_lists_the_datasets():
    # As a program: `runpy` warns if the package has imported the module already.
    command = [sys.executable, "-W", "error::RuntimeWarning", "-m"]
    run = subprocess.run(
        [*command, "slot_attention_tf.data.prepare", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "tetrominoes/synthetic" in " ".join(run.stdout.split())
