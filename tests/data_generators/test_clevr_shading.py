"""Tests of light in CLEVR scenes, against closed forms and dense sampling."""

import math

import numpy as np
import pytest

from slot_attention_tf.data.generators import clevr_shading as shading
from slot_attention_tf.data.generators import ray_geometry as geometry

LAMP = shading.Lamp((0.0, 3.0, 6.0), 1.0, (1.0, 0.5, 0.25), 20.0)
UP = (0.0, 0.0, 1.0)


def _scene(*solids, lamps=(LAMP,), material=shading.RUBBER, color=(0.5, 0.2, 0.1)):
    number = len(solids)
    return shading.Scene(solids, (material,) * number, (color,) * number, lamps)


def _floor_light(scene, x, y, grid=shading._LAMP_GRID):
    """Irradiance of every lamp, the sun last, at points of the floor."""
    points = np.stack([x, y, np.zeros_like(x)]).astype(np.float32)
    normals = np.broadcast_to(np.float32(UP).reshape(3, 1), points.shape)
    labels = np.zeros(points.shape[1], np.int64)
    return [e for e, *_ in shading._incoming(scene, points, normals, labels, grid)]


def _lamp_points(lamp, number):
    side, up, _ = geometry.level_axes(lamp.position)
    steps = (np.arange(number) + 0.5) / number - 0.5
    u, v = (a.ravel() for a in np.meshgrid(steps, steps))
    offsets = u * side[:, None] + v * up[:, None]
    return np.array(lamp.position)[:, None] + lamp.size * offsets


def test_lamp_light_is_the_integral_over_its_area():
    x, y = np.linspace(-3, 3, 7), np.linspace(2, -2, 7)
    found, sun = _floor_light(_scene(), x, y)
    truth = []
    for px, py in zip(x, y, strict=True):
        to_lamp = _lamp_points(LAMP, 40) - np.array([[px], [py], [0.0]])
        squared = (to_lamp**2).sum(axis=0)
        towards = to_lamp / np.sqrt(squared)
        back = np.array(LAMP.position) / np.linalg.norm(LAMP.position)
        truth.append((20.0 * towards[2] * (back @ towards) / squared).mean())
    np.testing.assert_allclose(found, truth, rtol=0.02)
    # The sun's light falls evenly.
    np.testing.assert_allclose(sun, sun[0], rtol=0.01)


def test_shadow_share_of_a_sphere_is_that_of_dense_sampling():
    ball = geometry.Solid(geometry.SPHERE, (0.0, 0.5, 0.7), 0.7)
    x = np.repeat(np.linspace(-1.5, 1.5, 13), 13)
    y = np.tile(np.linspace(-2.5, 0.5, 13), 13)
    open_light = _floor_light(_scene(), x, y)[0]
    share = _floor_light(_scene(ball), x, y)[0] / open_light
    lamp = _lamp_points(LAMP, 30)
    for i in range(len(x)):
        point = np.array([x[i], y[i], 0.0])
        ray = lamp - point[:, None]
        ray /= np.sqrt((ray**2).sum(axis=0))
        offset = np.array(ball.center) - point
        along = offset @ ray
        clear = (offset @ offset - along**2 > ball.radius**2) | (along < 0)
        assert share[i] == pytest.approx(clear.mean(), abs=0.17)
    assert (share == 0).any() and (share == 1).any()
    assert ((share > 0) & (share < 1)).any()


def test_solids_do_not_shade_their_own_lit_side():
    ball = geometry.Solid(geometry.SPHERE, (0.0, 0.0, 0.7), 0.7)
    normals = np.float32([[0.0], [0.6], [0.8]])
    points = np.float32([[0.0], [0.0], [0.7]]) + np.float32(0.7) * normals
    one = np.ones(1, np.int64)
    scene = _scene(ball)
    lights = shading._incoming(scene, points, normals, one, shading._LAMP_GRID)
    others = shading._incoming(_scene(), points, normals, one, shading._LAMP_GRID)
    np.testing.assert_array_equal(lights[0][0], others[0][0])
    assert lights[0][0] > 0


def test_floor_shows_the_light_that_falls_on_it():
    origin = np.float32([[0.0], [0.0], [5.0]])
    down = np.float32([[0.0], [0.0], [-1.0]])
    found = shading.radiance(_scene(), origin, down)[:, 0]
    lamp, sun = _floor_light(_scene(), np.zeros(1), np.zeros(1))
    light = lamp * np.array(LAMP.color) + sun
    bounced = shading._BOUNCE_FLOOR
    truth = shading._FLOOR_ALBEDO * (light / math.pi + bounced)
    np.testing.assert_allclose(found, truth, rtol=1e-4)


def test_rays_that_leave_the_stage_see_darkness():
    origin = np.float32([[0.0], [0.0], [5.0]])
    up = np.float32([[0.0], [0.0], [1.0]])
    assert not shading.radiance(_scene(), origin, up).any()


def test_smooth_metal_mirrors_the_floor_in_its_colour():
    # From above, the side of a mirror ball at 45 degrees reflects a level ray; a bit
    # lower, the floor.
    color = (0.9, 0.5, 0.2)
    ball = geometry.Solid(geometry.SPHERE, (0.0, 0.0, 0.7), 0.7)
    angle = math.radians(60)
    normal = np.array([math.sin(angle), 0.0, math.cos(angle)])
    down = np.array([0.0, 0.0, -1.0])
    mirrored = down - 2 * (down @ normal) * normal
    hit = np.array(ball.center) + 0.7 * normal
    far = hit - hit[2] / mirrored[2] * mirrored
    scene = _scene(ball, lamps=(), material=shading.METAL, color=color)
    origin = np.float32([[hit[0]], [0.0], [5.0]])
    found = shading.radiance(scene, origin, down.astype(np.float32)[:, None], 1)
    above = far.astype(np.float32)[:, None] + np.float32([[0], [0], [2]])
    floor = shading.radiance(scene, above, down.astype(np.float32)[:, None])
    expected = np.array(color) * floor[:, 0]
    np.testing.assert_allclose(found[:, 0], expected, rtol=0.06)


def test_highlights_keep_the_energy_of_the_lobe():
    # The integral of the GGX reflectance over all lamp directions is below 1, and
    # close to it for a smooth surface seen from above.
    steps = 200
    z = (np.arange(steps) + 0.5) / steps
    phi = (np.arange(steps) + 0.5) * 2 * math.pi / steps
    z, phi = (a.ravel() for a in np.meshgrid(z, phi))
    rho = np.sqrt(1 - z * z)
    lamps = np.stack([rho * np.cos(phi), rho * np.sin(phi), z]).astype(np.float32)
    normals = np.broadcast_to(np.float32(UP).reshape(3, 1), lamps.shape)
    lights = [(lamps[2], np.ones((3, 1), np.float32), lamps, 0.0)]
    shares = {}
    for roughness in (0.1, 0.5, 1.0):
        seen = shading._highlights(normals, -normals, lights, roughness)
        shares[roughness] = float(seen[0].mean() * 2 * math.pi)
    assert 0.97 < shares[0.1] < 1.01
    assert shares[0.1] > shares[0.5] > shares[1.0]
    # With roughness 1 every facet is as likely: the integral can be done by hand.
    assert shares[1.0] == pytest.approx(1 - math.log(2), abs=2e-3)


def test_fresnel_is_that_of_a_dielectric():
    cosine = np.float32([1.0, 0.7, 0.3, 0.05])
    found = shading._fresnel(cosine, 1.5)
    # Fresnel's equations by Snell's law, averaged over both polarisations.
    inside = np.sqrt(1 - (1 - cosine**2) / 1.5**2)
    across = (cosine - 1.5 * inside) / (cosine + 1.5 * inside)
    along = (inside - 1.5 * cosine) / (inside + 1.5 * cosine)
    np.testing.assert_allclose(found, (across**2 + along**2) / 2, rtol=1e-4)


def test_tangents_are_perpendicular():
    rng = np.random.default_rng(0)
    normals = rng.normal(size=(3, 200))
    normals = (normals / np.sqrt((normals**2).sum(axis=0))).astype(np.float32)
    first, second = shading._tangents(normals)
    for a, b, dot in (
        (first, first, 1),
        (second, second, 1),
        (first, second, 0),
        (first, normals, 0),
        (second, normals, 0),
    ):
        np.testing.assert_allclose((a * b).sum(axis=0), dot, atol=2e-3)
