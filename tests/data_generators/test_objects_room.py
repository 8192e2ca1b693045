"""Tests of the Objects Room generator."""

import hashlib

import numpy as np
import pytest

from slot_attention_tf.data.generators import objects_room, scenes

# Least and largest number of objects, number of masks, number of scenes to draw.
FACTS = {
    "train": (1, 3, 7, 1000),
    "empty_room": (0, 0, 4, 200),
    "six_objects": (6, 6, 10, 20),
    "identical_color": (4, 6, 10, 30),
}


@pytest.fixture(scope="module")
def drawn():
    return {
        variant: scenes.generate_scenes(
            objects_room.draw_scene, number, seed=0, variant=variant
        )
        for variant, (*_, number) in FACTS.items()
    }


def _hues(pixels):
    """Hue and saturation: brightness, which depends on the light, left out."""
    top = pixels.max(axis=-1, keepdims=True)
    return pixels / np.maximum(top, 1)


@pytest.mark.parametrize("variant", FACTS)
def test_arrays_have_the_types_and_shapes_of_the_format(drawn, variant):
    *_, entities, number = FACTS[variant]
    assert {k: (str(v.dtype), v.shape) for k, v in drawn[variant].items()} == {
        "image": ("uint8", (number, 64, 64, 3)),
        "segmentation": ("uint8", (number, 64, 64, 1)),
        "visibility": ("float32", (number, entities)),
    }


@pytest.mark.parametrize("variant", FACTS)
def test_numbers_of_objects(drawn, variant):
    least, most, *_ = FACTS[variant]
    counts = drawn[variant]["visibility"][:, 4:].sum(axis=1)
    assert set(counts) == set(range(least, most + 1))


@pytest.mark.parametrize("variant", FACTS)
def test_visible_entities_are_those_with_pixels(drawn, variant):
    for labels, visibility in zip(
        drawn[variant]["segmentation"], drawn[variant]["visibility"], strict=True
    ):
        pixels = np.bincount(labels.ravel(), minlength=len(visibility))
        np.testing.assert_array_equal(visibility, pixels > 0)
        # Objects without a gap, and none that hardly shows.
        objects = pixels[4:][visibility[4:] > 0]
        assert (visibility[4 : 4 + len(objects)] == 1).all()
        assert (objects >= 15).all()


def test_room_has_floor_sky_and_walls(drawn):
    room = drawn["empty_room"]
    assert (room["visibility"][:, :3] == 1).all()
    assert 0.5 < room["visibility"][:, 3].mean() < 1
    for labels in room["segmentation"][..., 0]:
        # Along a column from above: sky, then one or two walls, then floor.
        order = np.select([labels == 0, labels == 1], [0, 2], 1)
        assert (np.diff(order, axis=0) >= 0).all()
        rows, columns = np.nonzero(labels == 3)
        if rows.size:
            # The first wall lies to the left of the second.
            assert columns.mean() > np.nonzero(labels == 2)[1].mean()


@pytest.mark.parametrize("variant", FACTS)
def test_every_mask_has_one_colour_but_for_light(drawn, variant):
    for image, labels in zip(
        drawn[variant]["image"][:100],
        drawn[variant]["segmentation"][:100, :, :, 0],
        strict=True,
    ):
        for label in np.unique(labels):
            hues = _hues(image[labels == label].astype(float))
            # At 150 and more, rounding moves a ratio of channels by at most 1 / 150.
            assert (np.ptp(hues, axis=0) < 0.014).all()
            if label < 4:
                # Flat parts of the room have one brightness as well.
                assert len(np.unique(image[labels == label], axis=0)) == 1


def test_objects_of_the_identical_color_set_share_their_colour(drawn):
    for image, labels in zip(
        drawn["identical_color"]["image"],
        drawn["identical_color"]["segmentation"][..., 0],
        strict=True,
    ):
        hues = _hues(image[labels >= 4].astype(float))
        assert (np.ptp(hues, axis=0) < 0.02).all()


def test_colours_of_other_sets_differ(drawn):
    different = 0
    for image, labels in zip(
        drawn["six_objects"]["image"],
        drawn["six_objects"]["segmentation"][..., 0],
        strict=True,
    ):
        hues = _hues(image[labels >= 4].astype(float))
        different += (np.ptp(hues, axis=0) > 0.1).any()
    assert different == len(drawn["six_objects"]["image"])


def test_scenes_do_not_depend_on_the_number_of_processes(drawn):
    again = scenes.generate_scenes(objects_room.draw_scene, 60, seed=0, processes=1)
    for name, values in again.items():
        np.testing.assert_array_equal(values, drawn["train"][name][:60])


def test_scenes_are_the_same_on_every_platform(drawn):
    digest = hashlib.sha256()
    for name in ("image", "segmentation"):
        digest.update(drawn["train"][name][:100].tobytes())
    assert digest.hexdigest()[:16] == "e3c3ab661e156d4e"


def test_unknown_variant():
    with pytest.raises(ValueError, match="variant='test'"):
        objects_room.draw_scene(np.random.default_rng(0), variant="test")
