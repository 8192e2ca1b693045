"""Tests of the way from pixels to the input of a model."""

import importlib.util

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import slot_attention_tf as sa
from slot_attention_tf.data.images import to_model_range
from slot_attention_tf.visualization.colors import to_uint8
from tests.test_backends import WITHOUT_TENSORFLOW


@pytest.fixture
def photos(rng):
    return rng.integers(256, size=(2, 40, 60, 3)).astype(np.uint8)


def test_every_pixel_value_is_mapped_into_the_range():
    values = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    found = np.array(sa.preprocess_images(values))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, values / 127.5 - 1, atol=1e-7)
    assert found.min() == -1 and found.max() == 1
    np.testing.assert_array_equal(to_uint8(found)[..., :1], values)


@pytest.mark.parametrize("make", [tf.constant, np.asarray])
def test_arrays_and_tensors_are_scaled_alike(make):
    values = np.linspace(0, 255, 7, dtype=np.float32)
    found = to_model_range(make(values))
    np.testing.assert_allclose(found, values / 127.5 - 1, atol=1e-7)


def test_one_image_is_as_a_batch_of_one(photos):
    one = sa.preprocess_images(photos[0], (20, 30))
    assert one.shape == (20, 30, 3)
    batch = sa.preprocess_images(photos, (20, 30))
    np.testing.assert_allclose(one, batch[0], atol=1e-6)


@pytest.mark.parametrize("resolution", [(20, 30), (13, 17), (80, 100)])
def test_resizing_is_that_of_pillow(photos, resolution):
    # Pillow's bilinear filter widens with the factor of shrinking, too.
    found = sa.preprocess_images(photos, resolution)
    for image, photo in zip(np.array(found), photos, strict=True):
        resized = Image.fromarray(photo).resize(resolution[::-1], Image.BILINEAR)
        # Pillow rounds to integers, once after each axis.
        assert np.abs(image * 127.5 + 127.5 - np.asarray(resized)).max() < 1.1


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((4, 4, 3)), r"from \[0, 1\]: `images \* 2 - 1`.*dtype=float64"),
        (tf.zeros((4, 4, 3)), r"range of floats cannot be known.*dtype=float32"),
        (np.zeros((4, 4, 3), int), r"astype\('uint8'\).*Received: dtype=int64"),
        (np.zeros((4, 4), np.uint8), r"images\[..., None\].*shape \(4, 4\)"),
        (np.zeros((4, 4, 4), np.uint8), r"images\[..., :3\].*shape \(4, 4, 4\)"),
    ],
)
def test_other_images_are_errors(images, message):
    with pytest.raises(ValueError, match=message):
        sa.preprocess_images(images)


@pytest.mark.parametrize("resolution", [0, (8,), (0, 8), (8.0, 8.0), "ab"])
def test_other_resolutions_are_errors(photos, resolution):
    with pytest.raises(ValueError, match=r"two integers.*Received: resolution="):
        sa.preprocess_images(photos, resolution)


def test_it_needs_no_tensorflow(photos, tmp_path, run_python):
    if importlib.util.find_spec("jax") is None:
        pytest.skip("jax is not installed")
    np.save(tmp_path / "photos.npy", photos)
    code = WITHOUT_TENSORFLOW + (
        "import numpy as np\n"
        f"images = sa.preprocess_images(np.load({str(tmp_path)!r} + '/photos.npy'), "
        "(16, 24))\n"
        f"np.save({str(tmp_path)!r} + '/images.npy', images)\n"
    )
    run_python(code, KERAS_BACKEND="jax")
    found = np.load(tmp_path / "images.npy")
    np.testing.assert_allclose(found, sa.preprocess_images(photos, (16, 24)), atol=1e-5)
