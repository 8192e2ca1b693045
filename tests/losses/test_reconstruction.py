"""The reconstruction error against NumPy."""

import keras
import numpy as np
import pytest

from slot_attention_tf.losses import l2_loss, l2_loss_per_example


def test_equals_mean_of_squared_differences():
    a, b = np.random.default_rng(0).normal(size=[2, 3, 4, 5, 3]).astype("float32")
    assert float(l2_loss(a, b)) == pytest.approx(np.mean((a - b) ** 2), rel=1e-6)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(l2_loss_per_example(a, b)),
        np.mean((a - b) ** 2, axis=(1, 2, 3)),
        rtol=1e-6,
    )


@pytest.mark.parametrize("loss", [l2_loss, l2_loss_per_example])
@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1), (1, 3, 3)])
def test_refuses_to_broadcast(loss, shape):
    with pytest.raises(ValueError, match=r"same shape.*prediction.shape=\(2, 3, 3\)"):
        loss(np.zeros([2, 3, 3], "float32"), np.zeros(shape, "float32"))


def test_loss_per_example_needs_a_batch():
    with pytest.raises(ValueError, match="batch axis"):
        l2_loss_per_example(1.0, 2.0)
