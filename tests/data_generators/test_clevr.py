"""Tests of the CLEVR generator: the rules of its scenes, and the arrays."""

import collections
import hashlib
import math
import pathlib

import numpy as np
import pytest

from slot_attention_tf.clevr_properties import CATEGORIES
from slot_attention_tf.data.generators import clevr, ray_geometry, scenes

STORED = pathlib.Path(__file__).parents[1] / "data" / "clevr_generated.npz"
SMALL = {"resolution": (48, 48)}
# Channels of the published colours that differ clearly, the brighter one first.
BRIGHTER = {
    "blue": ("bg", "br", "gr"),
    "brown": ("rg", "rb", "gb"),
    "yellow": ("rb", "gb"),
    "red": ("rg", "rb"),
    "green": ("gr", "gb"),
    "purple": ("bg", "rg"),
    "cyan": ("gr", "br"),
}
RADII = np.array([0.35, 0.7])  # Small, large.


@pytest.fixture(scope="module")
def drawn():
    return scenes.generate_scenes(clevr.draw_scene, 60, seed=0, processes=1, **SMALL)


@pytest.fixture(scope="module")
def placed():
    """Factors of a thousand sets of objects, without pictures, and the axes."""
    right, _, back = ray_geometry.level_axes(clevr.CAMERA_POSITION)
    axes = np.array([right[:2], back[:2] / np.linalg.norm(back[:2])])
    tries = (
        clevr._try_objects(scenes.scene_rng(1, i), 3 + i % 8, axes) for i in range(1000)
    )
    return [factors for factors in tries if factors is not None], axes


def test_arrays_have_the_types_and_shapes_of_the_format(drawn):
    number = len(drawn["image"])
    factors = ("visibility", "shape", "size", "material", "color", "rotation")
    assert {k: (str(v.dtype), v.shape) for k, v in drawn.items()} == {
        "image": ("uint8", (number, 48, 48, 3)),
        "segmentation": ("uint8", (number, 48, 48, 1)),
        **{name: ("float32", (number, 11)) for name in factors},
        "3d_coords": ("float32", (number, 11, 3)),
        "pixel_coords": ("float32", (number, 11, 3)),
    }


def test_objects_keep_their_distances(placed):
    factors, axes = placed
    assert len(factors) > 700
    for each in factors:
        coords, radii = each["3d_coords"].astype(float), RADII[each["size"]]
        assert (np.abs(coords[:, :2]) <= 3).all()
        np.testing.assert_allclose(coords[:, 2], radii, rtol=1e-6)
        offsets = coords[:, None, :2] - coords[None, :, :2]
        pairs = ~np.eye(len(coords), dtype=bool)
        gaps = np.linalg.norm(offsets, axis=-1) - radii[:, None] - radii
        assert (gaps[pairs] > 0.25 - 1e-5).all()
        assert (np.abs(offsets @ axes.T)[pairs] > 0.4 - 1e-5).all()


def test_properties_are_uniform_and_independent(placed):
    factors, _ = placed
    # Only small scenes: in crowded ones, sizes that fit are kept more often.
    sparse = [each for each in factors if len(each["shape"]) <= 5]
    stacked = {
        name: np.concatenate([each[name] for each in sparse]) for name in CATEGORIES
    }
    number = len(stacked["shape"])
    for name, values in CATEGORIES.items():
        counts = np.bincount(stacked[name], minlength=len(values))
        share = 1 / len(values)
        deviation = math.sqrt(number * share * (1 - share))
        assert abs(counts - number * share).max() < 5 * deviation
    pairs = collections.Counter(zip(stacked["shape"], stacked["material"], strict=True))
    assert len(pairs) == 6 and min(pairs.values()) > number / 6 * 0.7
    rotation = np.concatenate([each["rotation"] for each in factors])
    assert rotation.min() < 2 and rotation.max() > 358 and rotation.max() <= 360


def test_numbers_of_objects(drawn):
    counts = drawn["visibility"][:, 1:].sum(axis=1)
    assert set(counts) == set(range(3, 11))
    few = scenes.generate_scenes(
        *(clevr.draw_scene, 20, 0), processes=1, min_objects=1, max_objects=2, **SMALL
    )
    assert set(few["visibility"][:, 1:].sum(axis=1)) == {1, 2}
    assert few["visibility"].shape == (20, 11)


def test_absent_entities_come_last_and_are_zero(drawn):
    for visibility in drawn["visibility"]:
        assert (np.diff(visibility) <= 0).all() and visibility[0] == 1
    absent = drawn["visibility"] == 0
    absent[:, 0] = True
    for name in (*CATEGORIES, "rotation", "3d_coords", "pixel_coords"):
        assert not drawn[name][absent].any()
    assert (
        drawn["segmentation"].max(axis=(1, 2, 3)) < drawn["visibility"].sum(1)
    ).all()


@pytest.mark.parametrize("resolution", [(240, 320), (48, 64), (64, 64)])
def test_every_object_shows_enough_pixels_of_the_frame(resolution):
    # Crowded scenes: about half of those first drawn hide an object.
    options = {"resolution": resolution, "crop": None, "min_objects": 10}
    frames = scenes.generate_scenes(clevr.draw_scene, 6, seed=5, processes=1, **options)
    threshold = 200 * resolution[0] * resolution[1] / (240 * 320)
    for labels, visibility in zip(
        frames["segmentation"], frames["visibility"], strict=True
    ):
        counts = np.bincount(labels.ravel(), minlength=11)
        np.testing.assert_array_equal(counts[1:] >= threshold, visibility[1:] > 0)


def test_crop_is_the_part_of_the_frame():
    for index in range(2):
        whole = clevr.draw_scene(
            scenes.scene_rng(2, index), resolution=(240, 320), crop=None
        )
        part = clevr.draw_scene(scenes.scene_rng(2, index), resolution=(192, 192))
        np.testing.assert_array_equal(
            part["segmentation"], whole["segmentation"][29:221, 64:256]
        )
        # Edges are found from neighbours, which the border of a crop lacks.
        difference = part["image"] != whole["image"][29:221, 64:256]
        assert not difference[1:-1, 1:-1].any()
        objects = np.flatnonzero(part["visibility"])[1:]
        np.testing.assert_array_equal(
            part["pixel_coords"][objects] + np.float32([64, 29, 0]),
            whole["pixel_coords"][objects],
        )


def test_pixel_coords_point_at_their_object_or_one_in_front():
    frames = scenes.generate_scenes(
        *(clevr.draw_scene, 16, 0), processes=1, resolution=(60, 80), crop=None
    )
    own = total = 0
    for labels, coords, visibility in zip(
        frames["segmentation"][..., 0],
        frames["pixel_coords"],
        frames["visibility"],
        strict=True,
    ):
        for entity in range(1, int(visibility.sum())):
            column, row, depth = coords[entity]
            seen = labels[int(row), int(column)]
            assert seen > 0 and coords[seen, 2] <= depth
            own, total = own + (seen == entity), total + 1
    assert own / total > 0.8


def test_picture_has_the_grey_levels_of_clevr():
    options = {"resolution": (120, 160), "crop": None, "processes": 1}
    frames = scenes.generate_scenes(clevr.draw_scene, 12, seed=3, **options)
    image = frames["image"].astype(float).mean(axis=-1)
    background = image[frames["segmentation"][..., 0] == 0]
    # Real images: 104 to 106 in the top corners, about 120 in the median.
    assert abs(image[:, :4, :4].mean() - 105) < 4
    assert abs(image[:, :4, -4:].mean() - 104) < 4
    assert abs(np.median(background) - 121) < 5
    bottom_left, bottom_right = image[:, -4:, :4].mean(), image[:, -4:, -4:].mean()
    assert abs(bottom_left - 122) < 8 and abs(bottom_right - 143) < 10


def test_objects_show_their_colour(drawn):
    """The mean of a rubber object has the order of channels of its colour."""
    checked = 0
    for i, labels in enumerate(drawn["segmentation"][..., 0]):
        for entity in range(1, int(drawn["visibility"][i].sum())):
            pixels = drawn["image"][i][labels == entity].astype(float)
            name = CATEGORIES["color"][int(drawn["color"][i, entity])]
            if len(pixels) < 25 or drawn["material"][i, entity] or name == "gray":
                continue
            mean = dict(zip("rgb", pixels.mean(axis=0), strict=True))
            for bright, dark in BRIGHTER[name]:
                assert mean[bright] > mean[dark]
            checked += 1
    assert checked > 50


def test_scenes_do_not_depend_on_the_number_of_processes(drawn):
    again = scenes.generate_scenes(clevr.draw_scene, 12, seed=0, processes=2, **SMALL)
    for name, values in again.items():
        np.testing.assert_array_equal(values, drawn[name][:12])


def test_scenes_are_the_same_on_every_platform(drawn):
    stored = np.load(STORED)
    for name in stored.files:
        np.testing.assert_array_equal(drawn[name][:4], stored[name])


@pytest.mark.parametrize(
    ("options", "digest"),
    [
        (
            dict(resolution=(64, 64), min_objects=3, max_objects=6, crop=None),
            "311948e3ff6b2fe9",
        ),
        (dict(resolution=(96, 96)), "3ee31bf58f2fd4b3"),
        (dict(resolution=(60, 80), min_objects=9, crop=None), "ed05817efd882dd8"),
        (dict(resolution=(50, 70), crop=(10, 200, 30, 300)), "c1ee0e6ba4aa635f"),
    ],
)
def test_a_seed_gives_the_same_pixels_in_every_version(options, digest):
    # Digests of the pixels before labels and image shared the rays.
    pixels = hashlib.sha256()
    for index in range(12):
        scene = clevr.draw_scene(scenes.scene_rng(21, index), **options)
        pixels.update(scene["image"].tobytes())
        pixels.update(scene["segmentation"].tobytes())
    assert pixels.hexdigest()[:16] == digest


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resolution": (64,)}, r"resolution=\(64,\)"),
        ({"resolution": (0, 64)}, r"resolution=\(0, 64\)"),
        ({"min_objects": 0}, "min_objects=0"),
        ({"max_objects": 11}, "max_objects=11"),
        ({"min_objects": 5, "max_objects": 4}, "min_objects=5, max_objects=4"),
        ({"crop": (0, 241, 0, 320)}, r"crop=\(0, 241, 0, 320\)"),
        ({"crop": (0, 240)}, r"crop=\(0, 240\)"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        clevr.draw_scene(np.random.default_rng(0), **options)
