"""Tests of rays and solids against signed distances in float64."""

import math

import numpy as np
import pytest

from slot_attention_tf.data.generators import ray_geometry as geometry

SHAPES = {
    "cube": geometry.CUBE,
    "sphere": geometry.SPHERE,
    "cylinder": geometry.CYLINDER,
}
CENTER, RADIUS, YAW = (0.4, -0.3, 0.7), 0.7, 0.6


def _distance(shape, points):
    """Distance to a solid from the definition of its rounding, `[n]`."""
    p = np.asarray(points, np.float64) - np.array(CENTER)[:, None]
    if shape == "sphere":
        return np.sqrt((p**2).sum(axis=0)) - RADIUS
    if shape == "cube":
        c, s = math.cos(YAW), math.sin(YAW)
        p = np.stack([c * p[0] + s * p[1], -s * p[0] + c * p[1], p[2]])
        bevel = 0.2 * RADIUS
        nearest = np.clip(p, -RADIUS + bevel, RADIUS - bevel)
        return np.sqrt(((p - nearest) ** 2).sum(axis=0)) - bevel
    bevel = 0.057 * RADIUS
    rho = np.hypot(p[0], p[1])
    across = np.maximum(rho - (RADIUS - bevel), 0)
    along = np.maximum(np.abs(p[2]) - (RADIUS - bevel), 0)
    return np.hypot(across, along) - bevel


def _solid(shape):
    return geometry.Solid(SHAPES[shape], CENTER, RADIUS, YAW)


def _rays(number=4000, seed=0):
    """Rays from a distance of about 5 towards points around the solid."""
    rng = np.random.default_rng(seed)
    origins = rng.normal(size=(3, number))
    origins = (
        5 * origins / np.sqrt((origins**2).sum(axis=0)) + np.array(CENTER)[:, None]
    )
    targets = np.array(CENTER)[:, None] + rng.uniform(-0.9, 0.9, size=(3, number))
    directions = targets - origins
    directions /= np.sqrt((directions**2).sum(axis=0))
    return origins.astype(np.float32), directions.astype(np.float32)


def _traced(shape, origins, directions):
    """Distances along rays by many small safe steps, and the closest approach."""
    origins, directions = origins.astype(float), directions.astype(float)
    t = np.zeros(origins.shape[1])
    closest = np.full(origins.shape[1], np.inf)
    for _ in range(400):
        gap = _distance(shape, origins + t * directions)
        closest = np.minimum(closest, gap)
        t = np.where(gap > 1e-7, np.minimum(t + gap, 20), t)
    return t, closest


@pytest.mark.parametrize("shape", SHAPES)
def test_hit_finds_the_nearest_surface_point(shape):
    origins, directions = _rays()
    found = _solid(shape).hit(origins, directions)
    truth, closest = _traced(shape, origins, directions)
    met = closest < 1e-6
    assert 0.3 < met.mean() < 0.95
    # Rays that pass within 0.004 of the surface may be taken for hits; one in a
    # thousand may pass at 0.01, along an edge.
    wrong = np.isfinite(found) != met
    assert not wrong[met].any() and not wrong[closest > 0.01].any()
    assert wrong[closest > 4e-3].mean() <= 1e-3
    # The march stops 0.002 radii above the surface; a grazing ray is longer on its way.
    error = np.abs(found[met] - truth[met])
    assert np.median(error) < 1e-3 and np.percentile(error, 99) < 0.05
    gaps = _distance(shape, origins + np.where(met, found, 0) * directions)[met]
    assert np.abs(gaps).max() < 3e-3


@pytest.mark.parametrize("shape", SHAPES)
def test_hit_ignores_what_lies_behind(shape):
    origins, directions = _rays(500)
    assert not np.isfinite(_solid(shape).hit(origins, -directions)).any()


@pytest.mark.parametrize("shape", SHAPES)
def test_normal_is_the_gradient_of_the_distance(shape):
    origins, directions = _rays()
    solid = _solid(shape)
    distance = solid.hit(origins, directions)
    met = np.isfinite(distance)
    points = (origins + np.where(met, distance, 0) * directions)[:, met]
    # On the surface itself the distance has a kink where a face meets its bevel.
    step, points = 1e-4, points.astype(float)
    gradient = np.stack(
        [
            _distance(shape, points + step * axis[:, None])
            - _distance(shape, points - step * axis[:, None])
            for axis in np.eye(3)
        ]
    ) / (2 * step)
    normals = solid.normal(points.astype(np.float32))
    error = np.sqrt(((gradient - normals) ** 2).sum(axis=0))
    assert np.percentile(error, 99) < 2e-2
    np.testing.assert_allclose((normals**2).sum(axis=0), 1, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_blocks_agrees_with_hit_away_from_the_edges(shape):
    origins, directions = _rays(800)
    solid = _solid(shape)
    targets = (origins + 20 * directions)[:, :50]
    blocked = solid.blocks(origins, targets)
    assert blocked.shape == (50, 800)
    wrong = 0
    for i in range(50):
        rays = targets[:, i : i + 1] - origins
        rays = rays / np.sqrt((rays**2).sum(axis=0))
        wrong += (blocked[i] != np.isfinite(solid.hit(origins, rays))).sum()
    assert 0 < blocked.mean() < 1
    # The rule of thumb for rounded edges is allowed to err on few rays.
    assert wrong <= 0.004 * blocked.size


def test_points_below_a_bevel_see_out():
    # Between the floor and the rounded edge of a cube, inside its sharp hull.
    solid = geometry.Solid(geometry.CUBE, (0.0, 0.0, 1.0), 1.0)
    point = np.float32([[0.99], [0.0], [0.01]])
    outwards = np.float32([[1.0], [0.0], [0.0]])
    inwards = np.float32([[-1.0], [0.0], [0.0]])
    assert not np.isfinite(solid.hit(point, outwards)).any()
    assert np.isfinite(solid.hit(point, inwards)).all()
    assert not solid.blocks(point, point + 9 * outwards).any()
    assert solid.blocks(point, point + 9 * inwards).all()


def test_level_axes_are_right_handed_and_level():
    right, up, back = geometry.level_axes((7.4811, -6.5076, 5.3437))
    axes = np.stack([right, up, back])
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(axes) == pytest.approx(1)
    assert right[2] == 0 and up[2] > 0
    assert np.cross(back, (7.4811, -6.5076, 5.3437)) == pytest.approx(np.zeros(3))
