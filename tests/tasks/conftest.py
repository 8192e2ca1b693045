"""Tiny datasets and runs, shared by the tests of the scripts."""

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
