"""Small prepared datasets, made once."""

import pytest

from slot_attention_tf.data.prepare import prepare


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("datasets")
    prepare("tetrominoes/tiny", data_dir=path, num_train=45, num_test=8)
    return path


@pytest.fixture(scope="session")
def synthetic_clevr_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("clevr")
    prepare(
        "synthetic_clevr/tiny",
        data_dir=path,
        num_train=8,
        num_validation=4,
        num_test=3,
        height=48,
        width=64,
        min_objects=1,
        max_objects=3,
    )
    return path
