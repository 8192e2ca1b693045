"""Tiny datasets and runs, shared by the tests of the scripts."""

import functools

import pytest

from tests.tasks import tiny


@pytest.fixture(scope="session")
def discovery_data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("discovery_data")
    tiny.prepare_discovery(folder)
    return folder


@pytest.fixture(scope="session")
def set_prediction_data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set_prediction_data")
    tiny.prepare_set_prediction(folder)
    return folder


@pytest.fixture
def train(run_script, discovery_data, tmp_path):
    """Runs `train_discovery.py` in this process, with flags that replace tiny ones."""
    folders = {"data_dir": discovery_data, "model_dir": tmp_path / "run"}
    return functools.partial(
        run_script, "train_discovery.py", **tiny.DISCOVERY, **folders
    )
