"""The floor of CLEVR scenes, which bends up into a wall.

Arithmetic on arrays keeps to the operations named in `ray_geometry`.
"""

import numpy as np

from slot_attention_tf.data.generators.ray_geometry import stack

# The floor bends up into a wall along the horizontal axis `BACKDROP_AXIS`; the
# profile is the surface's height at positions along it.
BACKDROP_AXIS = (-0.9032, 0.4292)
_BACKDROP_PROFILE = (
    (4.0, 0.0), (6.5, 0.06), (9.0, 0.20), (10.8, 0.42), (12.2, 0.75),
    (13.3, 1.16), (14.2, 1.76), (15.0, 2.68), (15.6, 3.95), (16.1, 5.7),
    (16.5, 7.8), (17.1, 12.2), (18.1, 23.2),
)  # fmt: skip
# The sheet ends below the camera, so mirrors that face it see darkness there.
_BACKDROP_START = -9.55
_STARTS = np.array(((-10.0, 0.0), *_BACKDROP_PROFILE[:-1]))
_RUNS = np.array(_BACKDROP_PROFILE) - _STARTS
# The planes of the sheet: a position, the height there, and the slope, `[planes, 1]`.
_PLANES = tuple(
    a.astype(np.float32)[:, None] for a in (*_STARTS.T, _RUNS[:, 1] / _RUNS[:, 0])
)
_FLOOR, _REST = ([a[i] for a in _PLANES] for i in (slice(1), slice(1, None)))
# Before this position the floor is flat, and by a margin the nearest plane.
_FLAT_END = np.float32(3.9)
_KNOTS, _HEIGHTS = (np.array(a) for a in zip(*_BACKDROP_PROFILE, strict=True))
_SLOPES = np.gradient(_HEIGHTS, _KNOTS)
_SLOPES[0] = 0.0


def backdrop_hit(origins, directions):
    """Distance to the floor and wall, and the surface's unit normals there.

    The space above the sheet is convex, so a ray leaves it through the nearest of
    the planes that make up the sheet.

    Args:
        origins: float32 `[3, n]` or `[3, 1]`.
        directions: float32 `[3, n]` of unit length.

    Returns:
        A tuple of float32 `[n]` (`inf` where the ray leaves the stage) and float32
        `[3, n]`.
    """
    ax, ay = (np.float32(a) for a in BACKDROP_AXIS)
    s, ds = ax * origins[0] + ay * origins[1], ax * directions[0] + ay * directions[1]
    z, dz = origins[2], directions[2]
    s, ds, z, dz = np.broadcast_arrays(s, ds, z, dz)
    distance = _nearest_plane(_FLOOR, s, ds, z, dz)
    with np.errstate(invalid="ignore"):
        # Where a ray ends well before the bend, the other planes lie behind.
        bent = np.flatnonzero(~(s + distance * ds < _FLAT_END))
        rest = _nearest_plane(_REST, s[bent], ds[bent], z[bent], dz[bent])
        distance[bent] = np.minimum(distance[bent], rest)
        at = s + distance * ds
        top = z + distance * dz > _BACKDROP_PROFILE[-1][1]
    distance = np.where((at < _BACKDROP_START) | top, np.float32(np.inf), distance)
    return distance, _backdrop_normal(at)


def _nearest_plane(planes, s, ds, z, dz):
    """Distance along rays that move by `ds` and `dz` from `s` and `z` to a plane."""
    s0, z0, slope = planes
    height = z - z0 - slope * (s - s0)  # [planes, n]
    speed = slope * ds - dz
    t = np.full(height.shape, np.inf, np.float32)
    np.divide(height, speed, out=t, where=speed > 1e-6)
    return np.maximum(t, 0).min(axis=0)


def _backdrop_normal(at):
    slope = np.interp(at, _KNOTS, _SLOPES).astype(np.float32)
    length = np.sqrt(1 + slope * slope)
    ax, ay = (np.float32(a) for a in BACKDROP_AXIS)
    return stack(-slope * ax / length, -slope * ay / length, 1 / length)
