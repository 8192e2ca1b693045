"""Tests of the Multi-dSprites generator, on a thousand scenes of each variant."""

import colorsys
import hashlib
import itertools
import math

import numpy as np
import pytest

from slot_attention_tf.data.generators import multi_dsprites, scenes

# Facts of the public files: least and largest number of sprites, channels.
FACTS = {
    "binarized": (2, 3, 1),
    "colored_on_grayscale": (2, 5, 3),
    "colored_on_colored": (1, 4, 3),
}
NUM_SCENES = 1000


@pytest.fixture(scope="module", params=list(FACTS))
def variant(request):
    return request.param


@pytest.fixture(scope="module")
def drawn(variant):
    return scenes.generate_scenes(
        multi_dsprites.draw_scene, NUM_SCENES, seed=0, processes=1, variant=variant
    )


def _outline(shape, scale, orientation):
    """A sprite's outline in pixels from its centre, as a polygon `[n, 2]` of (x, y)."""
    t = np.linspace(0, 2 * math.pi, 240, endpoint=False)
    if shape == 1:
        points = np.array([[10, 10], [-10, 10], [-10, -10], [10, -10]], float)
    elif shape == 2:
        points = np.stack([12 * np.cos(t), 7.75 * np.sin(t)], axis=1)
    else:
        # The largest radius along each direction that satisfies the implicit curve.
        radius = np.linspace(0, 1.5, 1501)
        x, y = np.cos(t)[:, None] * radius, np.sin(t)[:, None] * radius
        inside = (x**2 + y**2 - 1) ** 3 <= x**2 * y**3
        last = inside.shape[1] - 1 - np.argmax(inside[:, ::-1], axis=1)
        points = np.stack(
            [
                np.cos(t) * radius[last] * 15.9 / 2,
                (0.118 - np.sin(t) * radius[last]) * 15.4 / 2,
            ],
            axis=1,
        )
    c, s = math.cos(orientation), math.sin(orientation)
    return scale * points @ np.array([[c, s], [-s, c]])


def _inside(polygon, x, y):
    """Counts crossings of a horizontal ray: points inside a polygon."""
    crossings = np.zeros(x.shape, int)
    for (x0, y0), (x1, y1) in itertools.pairwise([*polygon, polygon[0]]):
        spans = (y0 <= y) != (y1 <= y)
        with np.errstate(divide="ignore", invalid="ignore"):
            at = x0 + (y - y0) / (y1 - y0) * (x1 - x0)
        crossings += spans & (x < at)
    return crossings % 2 == 1


def test_arrays_have_the_types_and_shapes_of_the_format(drawn, variant):
    _, most, channels = FACTS[variant]
    factors = ("visibility", "shape", "scale", "orientation", "x", "y")
    expected = {
        "image": ("uint8", (NUM_SCENES, 64, 64, channels)),
        "segmentation": ("uint8", (NUM_SCENES, 64, 64, 1)),
        **{name: ("float32", (NUM_SCENES, 1 + most)) for name in factors},
        "color": ("float32", (NUM_SCENES, 1 + most, channels)),
    }
    assert {k: (str(v.dtype), v.shape) for k, v in drawn.items()} == expected


def test_numbers_of_sprites_are_uniform(drawn, variant):
    least, most, _ = FACTS[variant]
    counts = np.bincount(drawn["visibility"][:, 1:].sum(axis=1).astype(int))
    kinds = most - least + 1
    assert not counts[:least].any() and len(counts) == most + 1
    deviation = math.sqrt(NUM_SCENES * (kinds - 1)) / kinds
    assert abs(counts[least:] - NUM_SCENES / kinds).max() < 5 * deviation


def test_visible_entities_are_those_with_pixels(drawn):
    for i in range(NUM_SCENES):
        present = np.flatnonzero(drawn["visibility"][i])
        np.testing.assert_array_equal(present, np.unique(drawn["segmentation"][i]))
        np.testing.assert_array_equal(present, np.arange(len(present)))


def test_image_is_the_colour_of_the_label(drawn):
    for image, labels, color in zip(
        drawn["image"], drawn["segmentation"][..., 0], drawn["color"], strict=True
    ):
        np.testing.assert_array_equal(image, color[labels])


def test_masks_are_the_shapes_with_later_sprites_on_top(drawn):
    rows, columns = np.mgrid[:64, :64]
    wrong = total = 0
    for i in range(12):
        labels = np.zeros((64, 64), int)
        for e in range(1, int(drawn["visibility"][i].sum())):
            outline = _outline(
                drawn["shape"][i, e], drawn["scale"][i, e], drawn["orientation"][i, e]
            )
            x = 15.5 + round(32 * float(drawn["x"][i, e]))
            y = 15.5 + round(32 * float(drawn["y"][i, e]))
            labels[_inside(outline, columns - x, rows - y)] = e
        wrong += (labels != drawn["segmentation"][i, :, :, 0]).sum()
        total += (labels > 0).sum()
    # A pixel whose centre lies on the outline may go either way.
    assert wrong < 0.003 * total


def test_sprites_have_the_published_sizes():
    whole = multi_dsprites.SPRITES[:, -1, 0]
    widths = [sprite.any(axis=0).sum() for sprite in whole]
    heights = [sprite.any(axis=1).sum() for sprite in whole]
    assert (widths, heights) == ([20, 24, 18], [20, 16, 17])
    heart_areas = multi_dsprites.SPRITES[2, -1].sum(axis=(1, 2))
    assert heart_areas.min() >= 219 and heart_areas.max() <= 228
    # Nothing touches the border of its box, so nothing was cut off.
    border = np.ones((32, 32), bool)
    border[1:-1, 1:-1] = False
    assert not multi_dsprites.SPRITES[..., border].any()


def test_factors_are_those_of_dsprites(drawn):
    present = drawn["visibility"][:, 1:] > 0
    for name, values in (
        ("shape", [1, 2, 3]),
        ("scale", np.linspace(0.5, 1, 6)),
        ("orientation", np.linspace(0, 2 * math.pi, 40)),
        ("x", np.linspace(0, 1, 32)),
        ("y", np.linspace(0, 1, 32)),
    ):
        found = np.unique(drawn[name][:, 1:][present])
        np.testing.assert_array_equal(found, np.float32(values))
        assert not drawn[name][:, 1:][~present].any()
        assert not drawn[name][:, 0].any()


def test_colours_are_those_of_the_variant(drawn, variant):
    background, sprites = drawn["color"][:, 0], drawn["color"][:, 1:]
    sprites = sprites[drawn["visibility"][:, 1:] > 0]
    if variant == "binarized":
        assert (background == 0).all() and (sprites == 255).all()
        return
    grey = (background == background[:, :1]).all(axis=1)
    assert grey.all() if variant == "colored_on_grayscale" else grey.mean() < 0.01
    # All of [0, 255], evenly: mean 127.5 and standard error below 2.5.
    assert abs(background.mean() - 127.5) < 12
    assert background.min() < 5 and background.max() > 250
    # With random saturation and value, values are even and their channels darker.
    value = sprites.max(axis=1).mean()
    expected = 127.5 if variant == "colored_on_grayscale" else 0.75 * 255
    assert abs(value - expected) < 8


def test_hsv_to_rgb_agrees_with_the_standard_library():
    for color in np.random.default_rng(0).random((500, 3)):
        np.testing.assert_allclose(
            multi_dsprites.hsv_to_rgb(color), colorsys.hsv_to_rgb(*color), atol=1e-12
        )


def test_scenes_do_not_depend_on_the_number_of_processes(drawn, variant):
    again = scenes.generate_scenes(
        multi_dsprites.draw_scene, 600, seed=0, processes=2, variant=variant
    )
    for name, values in again.items():
        np.testing.assert_array_equal(values, drawn[name][:600])


def test_scenes_are_the_same_on_every_platform(drawn, variant):
    digest = hashlib.sha256()
    for name in ("image", "segmentation"):
        digest.update(drawn[name][:100].tobytes())
    assert (
        digest.hexdigest()[:16]
        == {
            "binarized": "17b8e3e72dfef070",
            "colored_on_grayscale": "6201b574b2cdb677",
            "colored_on_colored": "9c804bc515164785",
        }[variant]
    )


def test_unknown_variant():
    with pytest.raises(ValueError, match="variant='grayscale'"):
        multi_dsprites.draw_scene(np.random.default_rng(0), variant="grayscale")
