"""The floor of CLEVR scenes, which bends up into a wall.

Arithmetic on arrays keeps to the operations named in `ray_geometry`.
"""

import numpy as np

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


def backdrop_hit(origins, directions):
    """Distance to the floor and wall, and the surface's unit normals there.

    The space above the sheet is convex, so a ray leaves it through the nearest of
    the planes that make up the sheet.

    Returns:
        A tuple of float32 `[...]` (`inf` where the ray leaves the stage) and
        float32 `[3, ...]`.
    """
    ax, ay = (np.float32(a) for a in BACKDROP_AXIS)
    s, ds = ax * origins[0] + ay * origins[1], ax * directions[0] + ay * directions[1]
    z, dz = origins[2], directions[2]
    distance = np.full(np.broadcast_shapes(s.shape, ds.shape), np.inf, np.float32)
    for (s0, z0), (s1, z1) in zip(
        ((-10.0, 0.0),) + _BACKDROP_PROFILE, _BACKDROP_PROFILE, strict=False
    ):
        slope = np.float32((z1 - z0) / (s1 - s0))
        height = z - np.float32(z0) - slope * (s - np.float32(s0))
        speed = slope * ds - dz
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.where(speed > 1e-6, height / speed, np.float32(np.inf))
        distance = np.minimum(distance, np.maximum(t, 0))
    with np.errstate(invalid="ignore"):
        at = s + distance * ds
        top = z + distance * dz > _BACKDROP_PROFILE[-1][1]
    distance = np.where((at < _BACKDROP_START) | top, np.float32(np.inf), distance)
    return distance, _backdrop_normal(at)


def _backdrop_normal(at):
    knots = np.array([k for k, _ in _BACKDROP_PROFILE])
    heights = np.array([h for _, h in _BACKDROP_PROFILE])
    slopes = np.gradient(heights, knots)
    slopes[0] = 0.0
    slope = np.interp(at, knots, slopes).astype(np.float32)
    length = np.sqrt(1 + slope * slope)
    ax, ay = (np.float32(a) for a in BACKDROP_AXIS)
    return np.stack([-slope * ax / length, -slope * ay / length, 1 / length])
