"""Small prepared datasets, made once."""

import pytest

from slot_attention_tf.data.prepare import prepare


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("datasets")
    prepare("tetrominoes/tiny", data_dir=path, num_train=45, num_test=8)
    return path
