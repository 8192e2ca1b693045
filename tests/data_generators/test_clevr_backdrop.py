"""Tests of the floor and the wall of CLEVR scenes."""

import numpy as np

from slot_attention_tf.data.generators.clevr_backdrop import (
    BACKDROP_AXIS,
    backdrop_hit,
)


def test_backdrop_is_the_floor_near_the_origin():
    rng = np.random.default_rng(0)
    origins = np.stack([*rng.uniform(-3, 3, (2, 500)), rng.uniform(0.5, 5, 500)])
    directions = np.stack([*rng.uniform(-0.5, 0.5, (2, 500)), -np.ones(500)])
    directions /= np.sqrt((directions**2).sum(axis=0))
    distance, normals = backdrop_hit(
        origins.astype(np.float32), directions.astype(np.float32)
    )
    truth = -origins[2] / directions[2]
    at = origins + truth * directions
    axis = BACKDROP_AXIS
    position = axis[0] * at[0] + axis[1] * at[1]
    flat = (position < 3.9) & (position > -9.5)
    assert flat.mean() > 0.8
    np.testing.assert_allclose(distance[flat], truth[flat], rtol=1e-5)
    # The wall's bend begins to turn normals between 4 and 6.5.
    np.testing.assert_allclose(normals[2][flat], 1, atol=1e-6)


def test_backdrop_rises_along_its_axis_and_ends_behind_the_camera():
    axis = np.array([*BACKDROP_AXIS, 0.0], np.float32)[:, None]
    origin = np.float32([[0.0], [0.0], [5.7]])
    distance, normals = backdrop_hit(origin, axis)
    # A level ray at height 5.7 meets the wall where the profile has this height.
    np.testing.assert_allclose(distance, 16.1, atol=0.02)
    assert normals[2] < 0.4 and (normals * axis).sum() < -0.9
    assert not np.isfinite(backdrop_hit(origin, -axis)[0]).any()
    upwards = np.float32([[0.0], [0.0], [1.0]])
    assert not np.isfinite(backdrop_hit(origin, upwards)[0]).any()
    # Beyond the end of the sheet, a ray downwards finds nothing.
    outside = origin - 11 * axis
    assert not np.isfinite(backdrop_hit(outside, -upwards)[0]).any()
