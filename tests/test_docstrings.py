"""The examples in the docstrings run and print what they say."""

import doctest
import importlib
import pkgutil

import keras
import numpy as np
import pytest

import slot_attention_tf as sa
from slot_attention_tf import layers

# Packages whose examples run.
ROOMS = [
    "slot_attention_tf.layers",
    "slot_attention_tf.losses",
    "slot_attention_tf.metrics",
    "slot_attention_tf.models",
]
# Single modules whose examples run.
MODULES = [
    "slot_attention_tf.clevr_properties",
    "slot_attention_tf.data.images",
    "slot_attention_tf.failures",
    "slot_attention_tf.tasks.validation_scores",
]


def modules():
    """Names of all rooms and of the modules inside."""
    names = [*ROOMS, *MODULES]
    for room in ROOMS:
        path = getattr(importlib.import_module(room), "__path__", [])
        names += [f"{room}.{module.name}" for module in pkgutil.iter_modules(path)]
    return names


@pytest.mark.parametrize("name", modules())
def test_examples_print_what_they_say(name):
    module = importlib.import_module(name)
    public = {each: getattr(sa, each) for each in sa.__all__}
    names = {"np": np, "keras": keras, **public, **vars(module)}
    failures = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    for test in doctest.DocTestFinder().find(module, globs=names):
        runner.run(test, out=failures.append)
    assert not failures, "".join(failures)


def test_every_public_layer_has_an_example():
    for name in layers.__all__:
        assert ">>> " in getattr(layers, name).__doc__, name
