"""Light in CLEVR scenes: lamps, shadows, rubber and metal.

Lamps and materials are those of the published scene files of CLEVR (Johnson et al.,
2017). What a path tracer finds by chance is computed in closed form or with a few
fixed rays: soft shadows from nine points of a lamp, light bounced off the floor as
one constant, highlights from the GGX distribution.

Arithmetic on arrays keeps to the operations named in `ray_geometry`.
"""

import dataclasses
import math

import numpy as np

from slot_attention_tf.data.generators import ray_geometry as geometry
from slot_attention_tf.data.generators.clevr_backdrop import backdrop_hit
from slot_attention_tf.data.generators.ray_geometry import dot, normalize, vector

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


def radiance(scene, origins, directions, bounces=MAX_BOUNCES):
    """Light that arrives along rays.

    Args:
        scene: a `Scene`.
        origins: float32 `[3, n]`.
        directions: float32 `[3, n]` of unit length.
        bounces: Integer, how many reflections on metal are still followed.

    Returns:
        float32 `[3, n]`, linear RGB, unclipped.
    """
    labels, distance = geometry.nearest(scene.solids, origins, directions)
    floor, normals = backdrop_hit(origins, directions)
    labels[(labels == 0) & ~np.isfinite(floor)] = -1
    distance = np.where(labels == 0, floor, distance)
    color = np.zeros_like(directions)

    seen = np.flatnonzero(labels >= 0)
    labels, d = labels[seen], directions[:, seen]
    points = origins[:, seen] + distance[seen] * d
    normals = normals[:, seen]
    for label, solid in enumerate(scene.solids, 1):
        on = labels == label
        if on.any():
            normals[:, on] = solid.normal(points[:, on])
    color[:, seen] = _shade(scene, points, normals, d, labels, bounces)
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
        on = np.flatnonzero(materials == material)
        if on.size:
            lights_on = [(e[on], color, to[:, on], s) for e, color, to, s in lights]
            at = points[:, on], normals[:, on], directions[:, on], albedo[:, on]
            result[:, on] = shade(scene, at, result[:, on], lights_on, bounces)
    return result


def _incoming(scene, points, normals, labels, grid):
    """Direct light at surface points.

    Returns:
        A list over lamps of tuples: irradiance with shadows `[n]`, colour `[3, 1]`,
        direction to the lamp `[3, n]` and half its angular size.
    """
    lights = []
    for lamp in (*scene.lamps, _SUN):
        side, up, back = geometry.level_axes(lamp.position)
        to_lamp = vector(*lamp.position) - points
        squared = dot(to_lamp, to_lamp)
        length = np.sqrt(squared)
        to_lamp = to_lamp / length
        facing = np.maximum(dot(normals, to_lamp), 0)
        emitted = np.maximum(dot(vector(*back), to_lamp), 0)
        power = np.float32(lamp.radiance * lamp.size**2)
        irradiance = power * facing * emitted / squared
        targets = [
            np.array(lamp.position) + lamp.size * (u * side + v * up) for u, v in grid
        ]
        targets = np.array(targets, np.float32).T
        spread = lamp.size / 2 / math.sqrt(sum(p * p for p in lamp.position))
        shaded = np.where(facing > 0, labels, -1)
        lit = _lit_fraction(scene, points, shaded, to_lamp, targets, spread)
        lights.append((irradiance * lit, vector(*lamp.color), to_lamp, spread))
    return lights


def _lit_fraction(scene, points, labels, to_lamp, targets, spread):
    """Share of the lamp points `targets` that surface points can see, `[n]`.

    Points with a negative label face away, and need no answer.
    """
    towards = np.flatnonzero(labels >= 0)
    blocked = np.zeros((targets.shape[1], points.shape[1]), bool)
    p, d = points[:, towards], to_lamp[:, towards]
    for label, solid in enumerate(scene.solids, 1):
        near = geometry.near_ray(solid, p, d, spread)
        # A convex solid has no shadow on itself other than its far side.
        near = near[labels[towards[near]] != label]
        if not near.size:
            continue
        blocked[:, towards[near]] |= solid.blocks(p[:, near], targets)
    hidden = np.count_nonzero(blocked, axis=0).astype(np.float32)
    return 1 - hidden * np.float32(1 / targets.shape[1])


def _bounced(scene, points, normals, labels):
    """Light from all around, less what nearby solids take away, `[n]`."""
    light = (1 - normals[2]) * np.float32(_BOUNCE_FROM_BELOW / 2)
    light = np.where(labels == 0, np.float32(_BOUNCE_FLOOR), light)
    for solid in scene.solids:
        offset = vector(*solid.center) - points
        squared = dot(offset, offset)
        squared = np.maximum(squared, np.float32(solid.radius**2))
        toward = np.maximum(dot(normals, offset), 0) / np.sqrt(squared)
        light = light * (1 - toward * np.float32(solid.radius**2) / squared)
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
        np.stack([1 - x * x * a, b, -x]),
        np.stack([b, 1 - y * y * a, -y]),
    )


def _highlights(normals, directions, lights, roughness):
    """Mirror images of the lamps on a GGX surface, `[3, n]`."""
    facing = np.maximum(-dot(normals, directions), np.float32(0.02))
    total = np.zeros_like(normals)
    for irradiance, color, to_lamp, spread in lights:
        # A lamp of some size widens the lobe as roughness does.
        alpha2 = np.float32(roughness**2 + (spread / 2) ** 2 + 1e-4)
        half = normalize(to_lamp - directions)
        h = dot(normals, half)
        width = h * h * (alpha2 - 1) + 1
        lobe = alpha2 / (np.float32(math.pi) * width * width)
        toward = np.maximum(dot(normals, to_lamp), np.float32(1e-3))
        g = _smith(facing, alpha2) * _smith(toward, alpha2)
        total += irradiance * lobe * g / (4 * facing * toward) * color
    return total


def _smith(cosine, alpha2):
    return 2 * cosine / (cosine + np.sqrt(alpha2 + (1 - alpha2) * cosine * cosine))


def _fresnel(cosine, ior):
    c = np.clip(cosine, 0, 1)
    g = np.sqrt(np.float32(ior**2 - 1) + c * c)
    a = (g - c) / (g + c)
    b = (c * (g + c) - 1) / (c * (g - c) + 1)
    return a * a * (1 + b * b) / 2
