"""The learning rate schedule against its formula."""

import keras
import numpy as np
import pytest

from slot_attention_tf.training.schedule import WarmupExponentialDecay


@pytest.mark.parametrize("step", [0, 1, 50, 100, 101, 5000])
def test_follows_the_formula(step):
    schedule = WarmupExponentialDecay(4e-4, 100, 0.5, 1000)
    expected = 4e-4 * min(step / 100, 1) * 0.5 ** (step / 1000)
    np.testing.assert_allclose(schedule(step), expected, rtol=1e-6)


def test_no_warmup_starts_at_the_full_rate():
    np.testing.assert_allclose(WarmupExponentialDecay(0.1, 0, 0.5, 10)(0), 0.1)


def test_survives_the_config_of_an_optimizer():
    optimizer = keras.optimizers.Adam(WarmupExponentialDecay(0.1, 10, 0.5, 10))
    copy = keras.optimizers.Adam.from_config(optimizer.get_config())
    np.testing.assert_allclose(copy._learning_rate(7), optimizer._learning_rate(7))


@pytest.mark.parametrize(
    "arguments,name",
    [
        ((0.0, 10, 0.5, 10), "learning_rate=0.0"),
        ((0.1, -1, 0.5, 10), "warmup_steps=-1"),
        ((0.1, 10, 1.5, 10), "decay_rate=1.5"),
        ((0.1, 10, 0.5, 0), "decay_steps=0"),
    ],
)
def test_rejects_values_out_of_range(arguments, name):
    with pytest.raises(ValueError, match=name):
        WarmupExponentialDecay(*arguments)
