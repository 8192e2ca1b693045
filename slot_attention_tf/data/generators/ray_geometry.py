"""Rays, and the solids that they meet: what several generators draw with.

Vectors are float32 arrays whose first axis holds x, y and z. Only additions,
products, divisions, square roots and comparisons touch arrays: these are exact to
the last bit in IEEE arithmetic, so every platform draws the same picture. Matrix
products and `np.sin` are not, and are avoided.
"""

import dataclasses
import functools
import math

import numpy as np

CUBE, SPHERE, CYLINDER = 0, 1, 2
# Radius of the rounded edges of a solid of half-extent 1.
_BEVEL = {CUBE: 0.2, CYLINDER: 0.057}
_BOUNDING_RADIUS = {CUBE: 1.6, SPHERE: 1.0, CYLINDER: 1.39}


def dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def normalize(a):
    return a / np.sqrt(dot(a, a))


def reflect(direction, normal):
    return direction - (2 * dot(direction, normal)) * normal


def put(v, indices, new):
    """Sets `v[:, indices] = new`, in a tenth of the time of this expression."""
    for row, values in zip(v, new, strict=True):
        row[indices] = values


def stack(x, y, z):
    """One array of three components: `np.stack` in a third of its time."""
    v = np.empty((3, *x.shape), np.float32)
    v[0], v[1], v[2] = x, y, z
    return v


def vector(x, y, z, ndim=1):
    """float32 vector that broadcasts against arrays of `ndim` + 1 dimensions."""
    return np.array([x, y, z], np.float32).reshape((3,) + (1,) * ndim)


@functools.lru_cache(maxsize=32)
def level_axes(position):
    """Axes of a camera or lamp that is aimed at the origin.

    Args:
        position: tuple of three floats, not above the origin.

    Returns:
        A tuple of float64 unit vectors: to the right, up, and away from the origin.
    """
    back = np.array(position) / math.sqrt(sum(p * p for p in position))
    right = np.array([-back[1], back[0], 0.0])
    right = right / math.sqrt(right[0] ** 2 + right[1] ** 2)
    return right, np.cross(back, right), back


@dataclasses.dataclass(frozen=True)
class Solid:
    """A cube, sphere or cylinder standing on the floor.

    Args:
        shape: `CUBE`, `SPHERE` or `CYLINDER`.
        center: three floats.
        radius: half of the height.
        yaw: rotation about the vertical axis, in radians.
    """

    shape: int
    center: tuple
    radius: float
    yaw: float = 0.0

    @property
    def bounding_radius(self):
        return self.radius * _BOUNDING_RADIUS[self.shape]

    def to_local(self, v):
        """Turns world directions into the frame of the solid."""
        if self.shape == SPHERE:
            return v
        c, s = np.float32(math.cos(self.yaw)), np.float32(math.sin(self.yaw))
        return stack(c * v[0] + s * v[1], c * v[1] - s * v[0], v[2])

    def to_world(self, v):
        if self.shape == SPHERE:
            return v
        c, s = np.float32(math.cos(self.yaw)), np.float32(math.sin(self.yaw))
        return stack(c * v[0] - s * v[1], s * v[0] + c * v[1], v[2])

    def localize(self, points):
        """World points in the frame where the solid has half-extent 1."""
        offset = points - vector(*self.center, ndim=points.ndim - 1)
        return self.to_local(offset) * np.float32(1 / self.radius)

    def hit(self, origins, directions):
        """Distance along unit `directions` to the surface, `inf` where missed.

        Args:
            origins: float32 `[3, n]` or `[3, 1]`, outside the solid.
            directions: float32 `[3, n]` of unit length.

        Returns:
            float32 `[n]`.
        """
        o, d = self.localize(origins), self.to_local(directions)
        if self.shape == SPHERE:
            near, _ = _sphere_span(o, d)
        else:
            near, far = _hull_span(self.shape, o, d)
            near = _march(self.shape, o, d, np.maximum(near, 0), far)
        return np.where(near > 1e-4, near * np.float32(self.radius), np.float32(np.inf))

    def blocks(self, points, targets, groups=None):
        """Tells which targets the solid hides from which points.

        The edges are rounded by a rule of thumb: a ray that enters the sharp hull
        meets the solid if the middle of its way through the hull is inside.

        Args:
            points: float32 `[3, n]`, outside the solid.
            targets: float32 `[3, m]`, outside the solid, far behind it; with `groups`
                `[3, m, k]`, `k` groups of targets.
            groups: integer `[n]`, which targets each point looks at, or `None`.

        Returns:
            bool `[m, n]`.
        """
        o = self.localize(points)[:, None, :]
        targets = self.localize(targets)
        targets = (
            targets[:, :, None] if groups is None else targets.take(groups, axis=2)
        )
        d = normalize(targets - o)
        if self.shape == SPHERE:
            near, far = _sphere_span(o, d)
            return (near < far) & (far > 0)
        near, far = _hull_span(self.shape, o, d)
        blocked = near < far
        middle = (np.maximum(near, 0) + far) * np.float32(0.5)
        middle = np.where(blocked, middle, 0)
        return blocked & (_distance(self.shape, o + middle * d) < 0)

    def normal(self, points):
        """Outward unit normals at surface points, `[3, ...]`."""
        p = self.localize(points)
        if self.shape == SPHERE:
            return normalize(p)
        core = np.float32(1 - _BEVEL[self.shape])
        if self.shape == CUBE:
            q = np.sign(p) * np.maximum(np.abs(p) - core, 0)
        else:
            rho = np.sqrt(p[0] * p[0] + p[1] * p[1])
            side = np.maximum(rho - core, 0) / np.maximum(rho, np.float32(1e-6))
            top = np.sign(p[2]) * np.maximum(np.abs(p[2]) - core, 0)
            q = stack(p[0] * side, p[1] * side, top)
        length = np.sqrt(dot(q, q))
        # Inside the core there is no direction to tell: the point lies on no face.
        return self.to_world(q / np.maximum(length, np.float32(1e-6)))


def _sphere_span(o, d):
    b = dot(o, d)
    # The offset from the nearest point keeps precision when the ray starts far off.
    e = o - b * d
    h = 1 - dot(e, e)
    root = np.sqrt(np.maximum(h, 0))
    near = np.where(h >= 0, -b - root, np.float32(np.inf))
    return near, root - b


def _slab(o, d):
    d = np.where(np.abs(d) < 1e-7, np.float32(1e-7), d)
    inverse = 1 / d
    middle = -o * inverse
    half = np.abs(inverse)
    return middle - half, middle + half


def _hull_span(shape, o, d):
    """Entry and exit distance of the box or cylinder of half-extent 1."""
    if shape == CUBE:
        (x0, y0, z0), (x1, y1, z1) = _slab(o, d)
        near = np.maximum(np.maximum(x0, y0), z0)
        far = np.minimum(np.minimum(x1, y1), z1)
    else:
        z0, z1 = _slab(o[2], d[2])
        a = np.maximum(d[0] * d[0] + d[1] * d[1], np.float32(1e-7))
        b = o[0] * d[0] + o[1] * d[1]
        cross = o[0] * d[1] - o[1] * d[0]
        h = a - cross * cross
        root = np.sqrt(np.maximum(h, 0))
        near = np.maximum((-b - root) / a, z0)
        far = np.minimum((root - b) / a, z1)
        near = np.where(h >= 0, near, np.float32(np.inf))
    met = (near <= far) & (far > 0)
    return np.where(met, near, np.float32(np.inf)), far


def _distance(shape, p):
    """Distance of points to the rounded solid, exact outside and negative inside."""
    core, bevel = np.float32(1 - _BEVEL[shape]), np.float32(_BEVEL[shape])
    if shape == CUBE:
        x, y, z = np.maximum(np.abs(p) - core, 0)
        return np.sqrt(x * x + y * y + z * z) - bevel
    x = np.maximum(np.sqrt(p[0] * p[0] + p[1] * p[1]) - core, 0)
    y = np.maximum(np.abs(p[2]) - core, 0)
    return np.sqrt(x * x + y * y) - bevel


def _march(shape, o, d, near, far, steps=24, tolerance=2e-3):
    """Moves the entry points of the sharp hull onto the rounded solid."""
    near = np.array(near)
    active = np.flatnonzero(np.isfinite(near))
    t, end = near[active], far[active]
    o = np.broadcast_to(o, (3, near.size)).take(active, axis=1)
    d = d.take(active, axis=1)
    for _ in range(steps):
        gap = _distance(shape, o + t * d)
        done = gap < tolerance
        missed = t + gap > end
        near[active[done]] = t[done]
        near[active[missed & ~done]] = np.inf
        keep = np.flatnonzero(~(done | missed))
        if not keep.size:
            return near
        active, end, gap = active[keep], end[keep], gap[keep]
        t, o, d = t[keep] + gap, o.take(keep, axis=1), d.take(keep, axis=1)
    # Rays that run along an edge approach in ever smaller steps: near is as good.
    near[active] = np.where(gap < 0.01, t, np.float32(np.inf))
    return near


def nearest(solids, origins, directions):
    """Finds the solid that each ray meets first.

    Args:
        solids: sequence of `Solid`.
        origins: float32 `[3, n]` or `[3, 1]`.
        directions: float32 `[3, n]` of unit length.

    Returns:
        A tuple of int64 `[n]`, 0 for none and `i + 1` for `solids[i]`, and
        float32 `[n]`, the distances (`inf` for none).
    """
    n = directions.shape[1]
    labels, distance = np.zeros(n, np.int64), np.full(n, np.inf, np.float32)
    near = near_rays(solids, origins, directions[:, None])[:, 0]  # [solids, n]
    for label, solid in enumerate(solids, 1):
        candidates = np.flatnonzero(near[label - 1])
        if not candidates.size:
            continue
        o = origins if origins.shape[1] == 1 else origins.take(candidates, axis=1)
        t = solid.hit(o, directions.take(candidates, axis=1))
        closer = t < distance[candidates]
        chosen = candidates[closer]
        labels[chosen], distance[chosen] = label, t[closer]
    return labels, distance


def near_rays(solids, origins, directions, spreads=0.0):
    """Tells which cones of rays meet the bounding spheres of solids.

    Args:
        solids: sequence of `Solid`.
        origins: float32 `[3, n]` or `[3, 1]`.
        directions: float32 `[3, k, n]` of unit length, `k` rays from every origin.
        spreads: float or float array `[k, 1]`, half of the angular width of a cone.

    Returns:
        bool `[solids, k, n]`.
    """
    centers = np.array([solid.center for solid in solids], np.float32).reshape(-1, 3)
    radii = np.array([solid.bounding_radius for solid in solids], np.float32)
    radii = radii.reshape(-1, 1, 1)
    offset = centers.T[:, :, None, None] - origins[:, None, None]
    along = dot(offset, directions[:, None])
    reach = radii + np.asarray(1.5 * spreads, np.float32) * along
    passing = dot(offset, offset) - along * along < reach * reach
    return passing & (along > -radii)
