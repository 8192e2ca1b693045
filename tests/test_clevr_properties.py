"""The layout of the 19 features of a CLEVR object."""

import numpy as np
import pytest
import tensorflow as tf

from slot_attention_tf import clevr_properties as properties


def test_groups_cover_the_features_in_order():
    slices = properties.group_slices()
    covered = np.concatenate([np.arange(19)[where] for where in slices.values()])
    assert covered.tolist() == list(range(19))
    assert slices["shape"] == slice(7, 10)
    assert slices["real_object"] == slice(18, 19)
    for name, values in properties.CATEGORIES.items():
        assert len(values) == properties.GROUP_SIZES[name]


def test_coordinates_are_encoded_and_decoded():
    coords = np.array([-3.0, 0.0, 1.5, 3.0])
    np.testing.assert_allclose(properties.encode_coords(coords), [0, 0.5, 0.75, 1])
    np.testing.assert_allclose(properties.decode_coords(np.array([0, 1])), [-3, 3])


@pytest.mark.parametrize("make", [np.asarray, tf.constant])
def test_the_last_number_says_which_elements_are_real(make):
    elements = np.zeros((2, 3, 19), "float32")
    elements[0, 1, 18], elements[1, 2, 18], elements[1, 1, 17] = 1.0, 0.6, 1.0
    found = properties.is_real(make(elements))
    np.testing.assert_array_equal(found, [[0, 1, 0], [0, 0, 1]])


def test_feature_weights():
    weights = properties.feature_weights(coords=4.0, color=0.5)
    assert weights == [4.0] * 3 + [1.0] * 7 + [0.5] * 8 + [1.0]
    with pytest.raises(ValueError, match=r"coords, size, .*Received: ..colour"):
        properties.feature_weights(colour=1.0)


def test_likeliest_properties():
    element = np.zeros(19)
    element[:3] = [0.5, 1.0, 0.0]
    element[[4, 6, 9, 14, 18]] = 0.6
    assert properties.likeliest_properties(element) == {
        "size": "large",
        "color": "red",
        "material": "metal",
        "shape": "cylinder",
        "coords": (0.0, 3.0, -3.0),
    }
    with pytest.raises(ValueError, match=r"19 numbers. Received: .*\(18,\)"):
        properties.likeliest_properties(element[1:])
