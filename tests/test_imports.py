"""Importing the package: in any order, without TensorFlow, for editors too."""

import ast
import importlib

import keras
import pytest

import slot_attention_tf as sa
from tests.conftest import ROOT

LOAD = """
print(type(tf.keras.models.load_model({path!r})).__name__)
"""
ORDERS = {
    "package_first": "import slot_attention_tf\nimport tensorflow as tf",
    "tensorflow_first": "import tensorflow as tf\nimport slot_attention_tf",
    "keras_first": "import keras, slot_attention_tf\nimport tensorflow as tf",
    "one_layer": (
        "from slot_attention_tf.layers.slot_attention import SlotAttention\n"
        "import tensorflow as tf"
    ),
    "presets": "from slot_attention_tf import presets\nimport tensorflow as tf",
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("imports") / "model.keras"
    encoder = sa.ConvEncoder((8, 8), filters=(4,))
    sa.SlotAttentionClassifier((8, 8), 3, 1, slot_size=8, encoder=encoder).save(path)
    return str(path)


SLOW = ("tensorflow_first", "keras_first", "one_layer", "presets")


@pytest.mark.parametrize(
    "order",
    [
        pytest.param(each, marks=pytest.mark.slow if each in SLOW else ())
        for each in ORDERS
    ],
)
def test_saved_models_load_in_any_order_of_imports(order, saved, run_python):
    output = run_python(ORDERS[order] + LOAD.format(path=saved))
    assert output.split() == ["SlotAttentionClassifier"]


DATASET_ORDERS = {
    "package_first": "import slot_attention_tf\nimport tensorflow_datasets as tfds",
    "datasets_first": "import tensorflow_datasets as tfds\nimport slot_attention_tf",
    "keras_between": "import slot_attention_tf.data\nimport tensorflow as tf\n"
    "import keras\nimport tensorflow_datasets as tfds",
}
LOAD_DATASET = """
config = tfds.builder_cls("tetrominoes").builder_configs["synthetic"]
config.num_train, config.num_test = 3, 1
dataset = tfds.load("tetrominoes/synthetic", split="train", data_dir={path!r})
print(len(dataset), "clevr_with_masks" in tfds.list_builders())
"""


@pytest.mark.slow
@pytest.mark.parametrize("order", DATASET_ORDERS)
def test_datasets_load_in_any_order_of_imports(order, run_python, tmp_path):
    code = DATASET_ORDERS[order] + LOAD_DATASET.format(path=str(tmp_path))
    assert run_python(code).split() == ["3", "True"]


def test_registering_datasets_imports_no_tensorflow(run_python):
    code = """
import sys, slot_attention_tf.data
assert "tensorflow_datasets" not in sys.modules
import tensorflow_datasets
print({"keras", "tensorflow"} & set(sys.modules))
"""
    assert run_python(code).strip() == "set()"


def test_importing_the_package_imports_neither_keras_nor_tensorflow(run_python):
    code = """
import sys, slot_attention_tf
print({"keras", "tensorflow", "tensorflow_datasets"} & set(sys.modules))
"""
    assert run_python(code).strip() == "set()"


def test_editors_see_the_public_names():
    tree = ast.parse((ROOT / "slot_attention_tf" / "__init__.pyi").read_text("utf-8"))
    homes = {
        alias.asname: node.module.removeprefix("slot_attention_tf.")
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert homes == sa._HOME
    assert (ROOT / "slot_attention_tf" / "py.typed").exists()


@pytest.mark.parametrize("name", sa.__all__)
def test_every_public_name_is_there_and_says_what_it_is(name):
    assert getattr(sa, name).__doc__


def test_unknown_names_are_errors():
    with pytest.raises(AttributeError, match="no attribute 'SlotMachine'"):
        sa.SlotMachine  # noqa: B018
    assert "SlotAttention" in dir(sa) and keras.__version__
    assert importlib.import_module("slot_attention_tf").__version__ == sa.__version__
