"""`keras.config.set_image_data_format("channels_first")` changes nothing here."""

import pytest

# In a fresh process: the setting is one of Keras as a whole.
CODE = """
import keras, numpy as np
import slot_attention_tf as sa
from tests.test_saving import CASES

def run(make, shape, arguments):
    keras.utils.set_random_seed(0)
    inputs = np.random.default_rng(0).uniform(-1, 1, (4, *shape)).astype("float32")
    layer = make()
    results = keras.tree.flatten(layer(inputs, **arguments))
    if isinstance(layer, keras.Model):
        predicts_sets = isinstance(layer, (sa.SlotAttentionClassifier, sa.DSPN))
        targets = [np.ones((4, 3, 19), "float32")] if predicts_sets else []
        layer.compile(keras.optimizers.SGD(0.01), run_eagerly=True)
        layer.fit(inputs, *targets, verbose=0)
        results += layer.weights
    return [keras.ops.convert_to_numpy(x) for x in results]

def functions():
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 6, 3), "uint8")
    attention = np.random.default_rng(0).uniform(size=(2, 12, 3)).astype("float32")
    labels = sa.attention_to_labels(attention, (4, 3), (8, 6))
    return [
        keras.ops.convert_to_numpy(x)
        for x in (sa.preprocess_images(images, (5, 5)), labels)
    ]

results = {}
for data_format in ("channels_last", "channels_first"):
    keras.config.set_image_data_format(data_format)
    results[data_format] = {"functions": functions()} | {
        name: run(make, shape, expected.get("call_arguments", {}))
        for name, (_, make, shape, expected) in CASES.items()
    }
for name, expected in results["channels_last"].items():
    for a, b in zip(results["channels_first"][name], expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6, err_msg=name)
    print(name)
"""


@pytest.mark.slow
def test_whole_models_do_not_depend_on_the_data_format_of_keras(run_python):
    assert len(run_python(CODE).split()) > 20
