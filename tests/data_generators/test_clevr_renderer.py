"""Tests of CLEVR's pictures: against renders with the original assets, and views.

`tests/data/clevr_renders` holds scenes drawn with CLEVR's own meshes, materials and
lamps in Cycles (32 samples, denoised). The lighting constants were not tuned on them.
"""

import json
import pathlib

import numpy as np
import pytest
from matplotlib.image import imread

from slot_attention_tf.clevr_properties import CATEGORIES
from slot_attention_tf.data.generators import clevr, clevr_renderer, clevr_shading

RENDERS = pathlib.Path(__file__).parents[1] / "data" / "clevr_renders"
FRAME = clevr_renderer.View((240, 320), (0, 240, 0, 320))


def _described(name):
    """Builds scene and camera from the description of a render."""
    description = json.loads((RENDERS / f"{name}.json").read_text())
    objects = description["objects"]
    factors = {
        key: [values.index(each[key]) for each in objects]
        for key, values in CATEGORIES.items()
    }
    factors["3d_coords"] = [each["3d_coords"] for each in objects]
    factors["rotation"] = [each["rotation"] for each in objects]
    lamps = [
        clevr_shading.Lamp(
            tuple(np.add(lamp.position, description["jitter"][f"Lamp_{key.title()}"])),
            lamp.size,
            lamp.color,
            lamp.radiance,
        )
        for key, lamp in clevr.LAMPS.items()
    ]
    matrix = np.array(description["camera_matrix"])
    camera = clevr_renderer.Camera(tuple(matrix[:3, 3]))
    return description, clevr.build_scene(factors, lamps), camera


def _read(name):
    pixels = imread(RENDERS / f"{name}.png")
    return np.rint(pixels * 255).astype(int)


@pytest.mark.parametrize("name", ["03", "09", "17"])
def test_pictures_are_those_of_the_original_assets(name):
    _, scene, camera = _described(name)
    image = clevr_renderer.render_image(scene, camera, FRAME).astype(int)
    golden = _read(name)[..., :3]
    assert np.abs(image - golden).mean() < 3.5
    # On the objects alone, where a wrong colour or material would show.
    labels = _read(f"{name}_labels")
    for label in range(1, len(scene.solids) + 1):
        difference = (image - golden)[labels == label]
        assert np.abs(difference).mean() < 14
        assert np.abs(difference.mean(axis=0)).max() < 9


@pytest.mark.parametrize("name", ["03", "09", "17"])
def test_label_maps_are_those_of_the_original_assets(name):
    _, scene, camera = _described(name)
    labels = clevr_renderer.render_labels(scene, camera, FRAME)
    assert (labels == _read(f"{name}_labels")).mean() > 0.998


def test_projection_is_that_of_the_scene_files():
    description, _, camera = _described("17")
    objects = description["objects"]
    truth = np.array([each["pixel_coords"] for each in objects])
    row, column, depth = camera.project([each["3d_coords"] for each in objects])
    assert np.abs(column - truth[:, 0]).max() < 1.01
    assert np.abs(row - truth[:, 1]).max() < 1.01
    np.testing.assert_allclose(depth, truth[:, 2], rtol=1e-5)


def test_directions_undo_the_projection():
    camera = clevr_renderer.Camera((7.2, -6.3, 5.5))
    rows, columns = np.array([0.0, 100.0, 239.0]), np.array([319.0, 160.0, 5.0])
    points = np.array(camera.position)[:, None] + 9 * camera.directions(rows, columns)
    row, column, _ = camera.project(points.T)
    np.testing.assert_allclose(row, rows, atol=1e-3)
    np.testing.assert_allclose(column, columns, atol=1e-3)


@pytest.mark.parametrize("resolution", [(192, 192), (128, 128), (64, 64), (50, 70)])
def test_uncropped_view_shares_the_pixels_of_the_crop(resolution):
    view = clevr_renderer.View(resolution, clevr.CROP)
    whole, (top, left) = view.uncropped()
    rows, columns = (a.reshape(whole.resolution) for a in whole.grid())
    inner = (slice(top, top + resolution[0]), slice(left, left + resolution[1]))
    expected = [a.reshape(resolution) for a in view.grid()]
    np.testing.assert_allclose(rows[inner], expected[0], atol=1e-9)
    np.testing.assert_allclose(columns[inner], expected[1], atol=1e-9)
    # It shows the whole frame, and not much more.
    assert rows.min() < 1.5 * 192 / resolution[0] and rows.max() > 238
    assert whole.window[0] > -5 and whole.window[1] < 245
    assert whole.window[2] > -5 and whole.window[3] < 325


def test_srgb_codes_are_those_of_the_standard():
    light = np.linspace(0, 1.2, 100_001).astype(np.float32)
    low, high = light * 12.92, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055
    truth = np.clip(np.where(light <= 0.0031308, low, high), 0, 1) * 255
    found = clevr_renderer._to_srgb(light)
    assert np.abs(found - truth).max() < 0.502


def test_edges_are_smoothed_and_flat_parts_are_not_changed():
    _, scene, camera = _described("09")
    image = clevr_renderer.render_image(scene, camera, FRAME).astype(int)
    directions = camera.directions(*FRAME.grid())
    origins = np.broadcast_to(
        np.float32(camera.position).reshape(3, 1), directions.shape
    )
    raw = clevr_shading.radiance(scene, origins, directions)
    raw = clevr_renderer._to_srgb(raw).T.reshape(240, 320, 3).astype(int)
    changed = (image != raw).any(axis=-1)
    assert 0.01 < changed.mean() < 0.2
    # Smoothing lowers the steps between neighbours.
    assert np.abs(np.diff(image, axis=0)).sum() < np.abs(np.diff(raw, axis=0)).sum()
