"""Label maps from attention and at other resolutions, against loops over pixels."""

import numpy as np
import pytest

from slot_attention_tf.metrics import attention_to_labels, resize_labels


def bilinear(grid, row, column):
    """Value at a point in pixels of the grid, from the four centres around it."""
    height, width = grid.shape[:2]
    row = min(max(row - 0.5, 0), height - 1)
    column = min(max(column - 0.5, 0), width - 1)
    top, left = int(row), int(column)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    down, along = row - top, column - left
    upper = grid[top, left] * (1 - along) + grid[top, right] * along
    lower = grid[bottom, left] * (1 - along) + grid[bottom, right] * along
    return upper * (1 - down) + lower * down


@pytest.mark.parametrize("image_resolution", [(12, 15), (4, 5), (9, 7)])
def test_attention_goes_to_the_strongest_slot(rng, image_resolution):
    attention = rng.dirichlet(np.ones(3), size=[2, 20]).astype("float32")
    labels = np.array(attention_to_labels(attention, (4, 5), image_resolution))
    height, width = image_resolution
    assert labels.shape == (2, height, width) and labels.dtype == "int32"
    for image, row, column in np.ndindex(labels.shape):
        value = bilinear(
            attention[image].reshape(4, 5, 3),
            (row + 0.5) * 4 / height,
            (column + 0.5) * 5 / width,
        )
        assert value[labels[image, row, column]] >= value.max() - 1e-6


@pytest.mark.parametrize("resolution", [(3, 5), (1, 1), (9, 25), (27, 25)])
def test_labels_take_the_nearest_pixel(rng, resolution):
    labels = rng.integers(0, 9, [2, 9, 25]).astype("uint8")
    resized = np.array(resize_labels(labels, resolution))
    assert resized.shape == (2, *resolution) and resized.dtype == "int32"

    def nearest(index, new_size, old_size):
        center = (index + 0.5) / new_size
        return np.argmin(np.abs((np.arange(old_size) + 0.5) / old_size - center))

    for row, column in np.ndindex(resolution):
        old = labels[
            :, nearest(row, resolution[0], 9), nearest(column, resolution[1], 25)
        ]
        np.testing.assert_array_equal(resized[:, row, column], old)


def test_labels_are_resized_as_tensorflow_does(rng):
    tf = pytest.importorskip("tensorflow")
    labels = rng.integers(0, 11, [2, 128, 128])
    expected = tf.image.resize(labels[..., None], (32, 32), "nearest")[..., 0]
    np.testing.assert_array_equal(resize_labels(labels, (32, 32)), expected)


def test_errors():
    with pytest.raises(ValueError, match=r"attention\[:, -1\].*shape=\(2, 3, 20, 4\)"):
        attention_to_labels(np.zeros([2, 3, 20, 4]), (4, 5), (8, 10))
    with pytest.raises(ValueError, match=r"\(2, 20, 4\), feature_resolution=\(4, 4\)"):
        attention_to_labels(np.zeros([2, 20, 4]), (4, 4), (8, 8))
    with pytest.raises(ValueError, match=r"labels.shape=\(2, 4\)"):
        resize_labels(np.zeros([2, 4], int), (2, 2))
    with pytest.raises(ValueError, match="`labels` must be an integer"):
        resize_labels(np.zeros([2, 4, 4]), (2, 2))
