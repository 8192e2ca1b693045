"""Light in CLEVR scenes: lamps, shadows, rubber and metal.

Lamps and materials are those of the published scene files of CLEVR (Johnson et al.,
2017). What a path tracer finds by chance is computed in closed form or with a few
fixed rays: soft shadows from nine points of a lamp, light bounced off the floor as
one constant, highlights from the GGX distribution.

Arithmetic on arrays keeps to the operations named in `ray_geometry`.
"""

import dataclasses
import functools
import math

import numpy as np

from slot_attention_tf.data.generators import ray_geometry as geometry
from slot_attention_tf.data.generators.clevr_backdrop import backdrop_hit
from slot_attention_tf.data.generators.ray_geometry import (
    dot,
    normalize,
    put,
    stack,
    vector,
)

RUBBER, METAL = 0, 1
MAX_BOUNCES = 2

_FLOOR_ALBEDO = 0.754
# Light that comes by way of the floor, as a fraction of what a white surface sends
# back: on the floor itself (from the wall), and on a surface that faces down.
_BOUNCE_FLOOR, _BOUNCE_FROM_BELOW = 0.026, 0.17
_METAL_ROUGHNESS, _METAL_ROUGH_SHARE = (0.2, 0.01), 0.4
_RUBBER_ROUGHNESS, _RUBBER_IOR = 0.35, 1.2
# Half-vector offsets of the rays that sample a rough reflection, in units of the
# roughness: four equally likely radii of GGX, a quarter turn apart.
_ROUGH_RAYS = ((0.38, 0.0), (0.0, 0.77), (-1.29, 0.0), (0.0, -2.2))
# A 3 x 3 grid turned by atan(1/3): its points differ in both coordinates.
_LAMP_GRID = tuple(
    ((3 * i - j) / 10, (i + 3 * j) / 10) for i in (-1, 0, 1) for j in (-1, 0, 1)
)
_SURFACE_OFFSET = np.float32(2e-3)


@dataclasses.dataclass(frozen=True)
class Lamp:
    """A square area lamp aimed at the origin.

    Args:
        position: three floats.
        size: length of a side.
        color: three floats, linear RGB.
        radiance: emitted towards the origin, a float.
    """

    position: tuple
    size: float
    color: tuple
    radiance: float


@dataclasses.dataclass(frozen=True)
class Scene:
    """Everything that light can meet.

    Args:
        solids: sequence of `Solid`.
        materials: sequence of `RUBBER` or `METAL`, one per solid.
        colors: sequence of linear RGB triples, one per solid.
        lamps: sequence of `Lamp`; the sun is always there.
    """

    solids: tuple
    materials: tuple
    colors: tuple
    lamps: tuple


# A lamp so far away that its light falls evenly.
_SUN = Lamp((414.0, -195.0, 889.0), 160.0, (1.0, 1.0, 1.0), 18.2)


def radiance(scene, origins, directions, bounces=MAX_BOUNCES, hits=None):
    """Light that arrives along rays.

    Args:
        scene: a `Scene`.
        origins: float32 `[3, n]`.
        directions: float32 `[3, n]` of unit length.
        bounces: Integer, how many reflections on metal are still followed.
        hits: What `nearest` returns of these rays, if that is known.

    Returns:
        float32 `[3, n]`, linear RGB, unclipped.
    """
    labels, distance = hits or geometry.nearest(scene.solids, origins, directions)
    distance = distance.copy()
    floor = (labels == 0).nonzero()[0]
    normals = np.empty_like(directions)
    distance[floor], floor_normals = backdrop_hit(
        origins.take(floor, axis=1), directions.take(floor, axis=1)
    )
    put(normals, floor, floor_normals)
    color = np.zeros_like(directions)

    seen = np.isfinite(distance).nonzero()[0]
    labels, d = labels[seen], directions.take(seen, axis=1)
    points = origins.take(seen, axis=1) + distance[seen] * d
    normals = normals.take(seen, axis=1)
    for label, solid in enumerate(scene.solids, 1):
        on = (labels == label).nonzero()[0]
        if on.size:
            put(normals, on, solid.normal(points.take(on, axis=1)))
    put(color, seen, _shade(scene, points, normals, d, labels, bounces))
    return color


def _shade(scene, points, normals, directions, labels, bounces):
    grid = _LAMP_GRID if bounces == MAX_BOUNCES else _LAMP_GRID[4:5]
    lights = _incoming(scene, points, normals, labels, grid)
    materials = np.array((-1, *scene.materials))[labels]
    albedo = np.array(((_FLOOR_ALBEDO,) * 3, *scene.colors), np.float32)[labels].T

    diffuse = sum(irradiance * color for irradiance, color, *_ in lights)
    diffuse = diffuse * np.float32(1 / math.pi) + _bounced(
        scene, points, normals, labels
    )
    result = albedo * diffuse
    for material, shade in ((RUBBER, _rubber), (METAL, _metal)):
        on = (materials == material).nonzero()[0]
        if on.size:
            lights_on = [
                (e[on], color, to.take(on, axis=1), s) for e, color, to, s in lights
            ]
            at = [a.take(on, axis=1) for a in (points, normals, directions, albedo)]
            diffuse = result.take(on, axis=1)
            put(result, on, shade(scene, at, diffuse, lights_on, bounces))
    return result


def _incoming(scene, points, normals, labels, grid):
    """Direct light at surface points.

    Returns:
        A list over lamps of tuples: irradiance with shadows `[n]`, colour `[3, 1]`,
        direction to the lamp `[3, n]` and half its angular size.
    """
    lamps = (*scene.lamps, _SUN)
    positions, backs, power, spreads, colors, targets = _lamp_arrays(lamps, grid)
    to_lamps = positions - points[:, None]
    squared = dot(to_lamps, to_lamps)  # [lamps, n]
    to_lamps = to_lamps / np.sqrt(squared)  # [3, lamps, n]
    facing = np.maximum(dot(normals[:, None], to_lamps), 0)
    emitted = np.maximum(dot(backs, to_lamps), 0)
    irradiance = power * facing * emitted / squared
    near = geometry.near_rays(scene.solids, points, to_lamps, spreads[:, None])
    lit = _lit_fraction(scene, points, labels, near & (facing > 0), targets)
    to_lamps = to_lamps.swapaxes(0, 1)
    return list(zip(irradiance * lit, colors, to_lamps, spreads, strict=True))


@functools.lru_cache(maxsize=4)
def _lamp_arrays(lamps, grid):
    """What `_incoming` needs of lamps, alike for all rays of a scene.

    Args:
        lamps: tuple of `Lamp`.
        grid: tuple of pairs, points of a lamp in units of its size.

    Returns:
        A tuple: positions and directions away from the origin `[3, lamps, 1]`, power
        `[lamps, 1]`, half of the angular sizes `[lamps]`, a list of colours `[3, 1]`,
        and points of the lamps `[3, grid, lamps]`.
    """
    axes = [geometry.level_axes(lamp.position) for lamp in lamps]
    power = np.array([[lamp.radiance * lamp.size**2] for lamp in lamps], np.float32)
    spreads = np.array(
        [lamp.size / 2 / math.sqrt(sum(p * p for p in lamp.position)) for lamp in lamps]
    )
    targets = [
        [np.array(lamp.position) + lamp.size * (u * side + v * up) for u, v in grid]
        for lamp, (side, up, _) in zip(lamps, axes, strict=True)
    ]
    return (
        _columns(lamp.position for lamp in lamps),
        _columns(back for *_, back in axes),
        power,
        spreads,
        [vector(*lamp.color) for lamp in lamps],
        np.array(targets, np.float32).transpose(2, 1, 0),
    )


def _columns(vectors):
    """Vectors side by side, to broadcast against `[3, vectors, n]`."""
    return np.array(list(vectors), np.float32).T[:, :, None]


def _lit_fraction(scene, points, labels, near, targets):
    """Share of the lamp points that surface points can see.

    Args:
        scene: a `Scene`.
        points: float32 `[3, n]`.
        labels: int64 `[n]`, the solid that a point is on, 0 for none.
        near: bool `[solids, lamps, n]`, which solids may hide which lamps.
        targets: float32 `[3, m, lamps]`, the points of each lamp.

    Returns:
        float32 `[lamps, n]`.
    """
    _, num_lamps, n = near.shape
    blocked = np.zeros((targets.shape[1], num_lamps * n), bool)
    for i, solid in enumerate(scene.solids):
        # A convex solid has no shadow on itself other than its far side.
        pairs = (near[i] & (labels != i + 1)).ravel().nonzero()[0]
        if pairs.size:
            lamps, at = np.divmod(pairs, n)
            hidden = solid.blocks(points.take(at, axis=1), targets, lamps)
            put(blocked, pairs, blocked.take(pairs, axis=1) | hidden)
    hidden = np.count_nonzero(blocked, axis=0).astype(np.float32)
    return (1 - hidden * np.float32(1 / len(blocked))).reshape(num_lamps, n)


def _bounced(scene, points, normals, labels):
    """Light from all around, less what nearby solids take away, `[n]`."""
    light = (1 - normals[2]) * np.float32(_BOUNCE_FROM_BELOW / 2)
    light = np.where(labels == 0, np.float32(_BOUNCE_FLOOR), light)
    if not scene.solids:
        return light
    areas = np.array([[solid.radius**2] for solid in scene.solids], np.float32)
    offset = _columns(solid.center for solid in scene.solids) - points[:, None]
    squared = np.maximum(dot(offset, offset), areas)  # [solids, n]
    toward = np.maximum(dot(normals[:, None], offset), 0) / np.sqrt(squared)
    for share in 1 - toward * areas / squared:
        light = light * share
    return light


def _rubber(scene, at, diffuse, lights, bounces):
    _, normals, directions, _ = at
    reflectance = _fresnel(-dot(normals, directions), _RUBBER_IOR)
    gloss = _highlights(normals, directions, lights, _RUBBER_ROUGHNESS)
    return diffuse + reflectance * (gloss - diffuse)


def _metal(scene, at, diffuse, lights, bounces):
    points, normals, directions, albedo = at
    rough, smooth = _METAL_ROUGHNESS
    share = np.float32(_METAL_ROUGH_SHARE)
    light = share * _highlights(normals, directions, lights, rough)
    light += (1 - share) * _highlights(normals, directions, lights, smooth)
    if not bounces:
        return diffuse + albedo * light
    origins = points + _SURFACE_OFFSET * normals
    mirrored = geometry.reflect(directions, normals)
    light += (1 - share) * radiance(scene, origins, mirrored, bounces - 1)
    if bounces == 1:
        return albedo * light / (1 - share)
    rays = _rough_rays(directions, normals, rough)
    origins = np.tile(origins, len(_ROUGH_RAYS))
    rays = radiance(scene, origins, rays, 0).reshape(3, len(_ROUGH_RAYS), -1)
    light += share * np.float32(1 / len(_ROUGH_RAYS)) * rays.sum(axis=1)
    return albedo * light


def _rough_rays(directions, normals, roughness):
    """Mirrored rays spread by a rough surface, `[3, rays * n]`."""
    first, second = _tangents(normals)
    rays = []
    for u, v in np.float32(roughness) * np.array(_ROUGH_RAYS, np.float32):
        half = normalize(normals + u * first + v * second)
        ray = geometry.reflect(directions, half)
        # A ray bent below the surface is lifted to graze it.
        below = np.minimum(dot(ray, normals) - np.float32(0.02), 0)
        rays.append(normalize(ray - below * normals))
    return np.concatenate(rays, axis=1)


def _tangents(normals):
    x, y, z = normals
    # Any perpendicular will do; this one is stable except for normals along -z.
    a = 1 / (1 + np.maximum(z, np.float32(-0.999)))
    b = -x * y * a
    return (
        stack(1 - x * x * a, b, -x),
        stack(b, 1 - y * y * a, -y),
    )


def _highlights(normals, directions, lights, roughness):
    """Mirror images of the lamps on a GGX surface, `[3, n]`."""
    facing = np.maximum(-dot(normals, directions), np.float32(0.02))
    irradiance, colors, to_lamps, spreads = zip(*lights, strict=True)
    to_lamps = np.stack(to_lamps, axis=1)  # [3, lamps, n]
    # A lamp of some size widens the lobe as roughness does.
    alpha2 = [[roughness**2 + (spread / 2) ** 2 + 1e-4] for spread in spreads]
    alpha2 = np.array(alpha2, np.float32)
    half = normalize(to_lamps - directions[:, None])
    h = dot(normals[:, None], half)
    width = h * h * (alpha2 - 1) + 1
    lobe = alpha2 / (np.float32(math.pi) * width * width)
    toward = np.maximum(dot(normals[:, None], to_lamps), np.float32(1e-3))
    g = _smith(facing, alpha2) * _smith(toward, alpha2)
    light = np.stack(irradiance) * lobe * g / (4 * facing * toward)  # [lamps, n]
    total = np.zeros_like(normals)
    for each, color in zip(light, colors, strict=True):
        total += each * color
    return total


def _smith(cosine, alpha2):
    return 2 * cosine / (cosine + np.sqrt(alpha2 + (1 - alpha2) * cosine * cosine))


def _fresnel(cosine, ior):
    c = np.clip(cosine, 0, 1)
    g = np.sqrt(np.float32(ior**2 - 1) + c * c)
    a = (g - c) / (g + c)
    b = (c * (g + c) - 1) / (c * (g - c) + 1)
    return a * a * (1 + b * b) / 2
