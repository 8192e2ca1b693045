"""Tests of the PNG writer, against TensorFlow's reader."""

import numpy as np
import pytest
import tensorflow as tf

from slot_attention_tf.data.png import encode_png


@pytest.mark.parametrize("shape", [(35, 35, 3), (7, 4, 1), (1, 1, 3), (2, 65, 1)])
def test_round_trip(shape):
    image = np.random.default_rng(0).integers(256, size=shape).astype(np.uint8)
    decoded = tf.io.decode_png(encode_png(image)).numpy()
    np.testing.assert_array_equal(decoded, image)


def test_smooth_images_become_small():
    image = np.tile(np.arange(128, dtype=np.uint8)[:, None, None], (1, 128, 3))
    assert len(encode_png(image)) < 0.02 * image.size


def test_other_numbers_of_channels_are_errors():
    with pytest.raises(ValueError, match=r"Received: .*\(4, 4, 2\)"):
        encode_png(np.zeros((4, 4, 2), np.uint8))
