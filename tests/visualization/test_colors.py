"""Palettes, painted label maps and pixels."""

import numpy as np
import pytest

from slot_attention_tf.visualization import (
    masks_to_color,
    segmentation_to_color,
    slot_palette,
    to_uint8,
)


@pytest.mark.parametrize("num_slots", [1, 4, 12, 13, 40])
def test_palette_has_distinct_colors_that_do_not_depend_on_its_size(num_slots):
    palette = slot_palette(num_slots)
    assert palette.shape == (num_slots, 3) and palette.dtype == np.uint8
    assert len({tuple(color) for color in palette}) == num_slots
    np.testing.assert_array_equal(palette, slot_palette(num_slots + 5)[:num_slots])


def test_common_colors_are_far_apart_and_not_grey():
    palette = slot_palette(12).astype(int)
    distance = np.abs(palette[:, None] - palette[None]).sum(axis=-1)
    assert distance[~np.eye(12, dtype=bool)].min() > 60
    assert (palette.max(axis=1) - palette.min(axis=1)).min() > 40


def test_segmentation_takes_the_colors_of_the_palette():
    labels = np.array([[[0, 2], [1, 1]]], "uint8")
    painted = segmentation_to_color(labels)
    assert painted.shape == (1, 2, 2, 3) and painted.dtype == np.uint8
    np.testing.assert_array_equal(painted[0, 0, 1], slot_palette(3)[2])
    own = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], "uint8")
    np.testing.assert_array_equal(segmentation_to_color(labels, own)[0, 1, 0], own[1])


def test_pixels():
    values = np.array([-2.0, -1.0, 0.0, 1.0, 3.0, np.nan], "float32")[:, None]
    pixels = to_uint8(values)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(
        pixels, np.tile([[0], [0], [128], [255], [255], [0]], 3)
    )
    every = np.arange(256)[:, None] * np.ones(3, int)
    np.testing.assert_array_equal(to_uint8(every / 127.5 - 1), every)


def test_errors():
    with pytest.raises(ValueError, match="num_slots=0"):
        slot_palette(0)
    with pytest.raises(ValueError, match=r"argmax.*dtype=float64"):
        segmentation_to_color(np.zeros([2, 2]))
    with pytest.raises(ValueError, match=r"0\.\.1.*from 0 to 2"):
        segmentation_to_color(np.array([0, 2]), slot_palette(2))
    with pytest.raises(ValueError, match="from -1 to 0"):
        segmentation_to_color(np.array([0, -1]))
    with pytest.raises(ValueError, match=r"floats in \[-1, 1\].*dtype=uint8"):
        to_uint8(np.zeros([2, 2, 3], "uint8"))
    with pytest.raises(ValueError, match=r"1 or 3 channels.*\(2, 2, 4\)"):
        to_uint8(np.zeros([2, 2, 4]))


def test_masks_mix_the_colors_of_their_slots():
    masks = np.zeros([2, 3, 1, 2])
    masks[:, 1, 0, 0] = 1  # One slot has the first pixel, two share the second.
    masks[:, 0, 0, 1] = masks[:, 2, 0, 1] = 0.5
    painted = masks_to_color(masks)
    palette = slot_palette(3).astype(float)
    assert painted.shape == (2, 1, 2, 3) and painted.dtype == np.uint8
    np.testing.assert_array_equal(painted[0, 0, 0], palette[1])
    np.testing.assert_allclose(
        painted[1, 0, 1], (palette[0] + palette[2]) / 2, atol=0.5
    )
