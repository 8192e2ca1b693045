"""The examples in the docstrings run and print what they say."""

import doctest
import importlib
import pkgutil

import keras
import numpy as np
import pytest

import slot_attention_tf as sa

# Packages and modules whose examples run; all public names of a room have one.
ROOMS = ["slot_attention_tf.layers"]


def modules():
    """Names of all rooms and of the modules inside."""
    names = list(ROOMS)
    for room in ROOMS:
        path = getattr(importlib.import_module(room), "__path__", [])
        names += [f"{room}.{module.name}" for module in pkgutil.iter_modules(path)]
    return names


@pytest.mark.parametrize("name", modules())
def test_examples_print_what_they_say(name):
    module = importlib.import_module(name)
    names = {"np": np, "keras": keras} | {
        each: getattr(sa, each) for each in sa.__all__
    }
    failures = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    for test in doctest.DocTestFinder().find(module, globs=names):
        runner.run(test, out=failures.append)
    assert not failures, "".join(failures)


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_has_an_example(room):
    package = importlib.import_module(room)
    for name in package.__all__:
        assert ">>> " in getattr(package, name).__doc__, name
