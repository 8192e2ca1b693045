"""CLEVR: cubes, spheres and cylinders on a grey stage, without Blender.

Scenes follow the recipe of CLEVR (Johnson et al., 2017): its camera and lamps with
their jitter, its sizes, colours and materials, its rules for placing objects, and its
test that each of them can be seen. Masks are exact.
"""

import math

import numpy as np

from slot_attention_tf.clevr_properties import CATEGORIES, CROP, MAX_NUM_OBJECTS
from slot_attention_tf.data.generators import clevr_renderer as renderer
from slot_attention_tf.data.generators import clevr_shading as shading
from slot_attention_tf.data.generators import ray_geometry as geometry

MIN_NUM_OBJECTS = 3
MAX_NUM_ENTITIES = 1 + MAX_NUM_OBJECTS
FULL_FRAME = (0, renderer.FRAME[0], 0, renderer.FRAME[1])

RADII = {"small": 0.35, "large": 0.7}
# 8-bit colours, which CLEVR takes as linear light.
COLORS = {
    "gray": (87, 87, 87),
    "blue": (42, 75, 215),
    "brown": (129, 74, 25),
    "yellow": (255, 238, 51),
    "red": (173, 35, 35),
    "green": (29, 105, 20),
    "purple": (129, 38, 192),
    "cyan": (41, 208, 208),
}
CAMERA_POSITION, CAMERA_JITTER = (7.4811, -6.5076, 5.3437), 0.5
LAMPS = {
    "key": shading.Lamp((6.4467, -2.9052, 4.2584), 0.5, (1.0, 0.932, 0.817), 100.0),
    "fill": shading.Lamp((-4.6711, -4.0136, 3.0112), 0.5, (0.762, 0.818, 1.0), 30.0),
    "back": shading.Lamp((-1.1685, 2.6460, 5.8157), 1.0, (1.0, 1.0, 1.0), 12.5),
}
LAMP_JITTER = 1.0

STAGE_LIMIT = 3.0  # Objects stand at x and y in [-3, 3].
MIN_GAP = 0.25  # Between the circles around two objects, on the floor.
MIN_MARGIN = 0.4  # Between centres, along the camera's two floor directions.
MIN_VISIBLE_PIXELS = 200  # Of each object in the 240x320 frame.
_PLACING_ATTEMPTS = 50


def draw_scene(
    rng,
    resolution=(128, 128),
    min_objects=MIN_NUM_OBJECTS,
    max_objects=MAX_NUM_OBJECTS,
    crop=CROP,
):
    """Draws one scene.

    Objects are drawn until all show at least 200 pixels in the 240x320 frame, or as
    much at other scales. An object may then lie in part or whole outside of `crop`.

    Args:
        rng: A `np.random.Generator`.
        resolution: Tuple of integers, height and width of the image.
        min_objects: Integer, the least number of objects.
        max_objects: Integer, at most 10, the largest number of objects.
        crop: Tuple of four integers, the part of the 240x320 frame that the image
            shows: first and last (exclusive) row, first and last column. By default
            the crop of the papers; `None` shows the whole frame.

    Returns:
        A dict of arrays. With `E = 11` entities, the background first:
        `image` uint8 `[height, width, 3]`; `segmentation` uint8 `[height, width, 1]`;
        `visibility` float32 `[E]`, 1 for the background and every object; `shape`,
        `size`, `material`, `color` float32 `[E]`, positions in
        `clevr_properties.CATEGORIES`; `3d_coords` float32 `[E, 3]`; `rotation`
        float32 `[E]`, the angle as in CLEVR's files: stored as degrees, yet the true
        yaw is that number of radians; `pixel_coords` float32 `[E, 3]`, column and row
        in this image, and depth. Factors of the background are 0.
    """
    window = FULL_FRAME if crop is None else tuple(crop)
    _check_options(resolution, min_objects, max_objects, window)
    view = renderer.View(tuple(resolution), window)
    whole, (top, left) = view.uncropped()
    camera = renderer.Camera(_jittered(rng, CAMERA_POSITION, CAMERA_JITTER))
    lamps = tuple(
        shading.Lamp(
            _jittered(rng, lamp.position, LAMP_JITTER),
            lamp.size,
            lamp.color,
            lamp.radiance,
        )
        for lamp in LAMPS.values()
    )
    num_objects = int(rng.integers(min_objects, max_objects + 1))
    while True:
        factors = _draw_objects(rng, num_objects, camera)
        scene = build_scene(factors, lamps)
        hits = renderer.find_hits(scene, camera, whole)
        labels = renderer.render_labels(scene, camera, whole, hits)
        if _all_visible(labels, num_objects, whole):
            break
    height, width = view.resolution
    return {
        # The pixels of a crop are the same but for rounding, which would show.
        "image": renderer.render_image(
            scene, camera, view, hits if view == whole else None
        ),
        "segmentation": labels[top : top + height, left : left + width, None].copy(),
        "visibility": np.float32(np.arange(MAX_NUM_ENTITIES) <= num_objects),
        **{name: _after_background(values) for name, values in factors.items()},
        "pixel_coords": _after_background(
            _pixel_coords(factors["3d_coords"], camera, view)
        ),
    }


def build_scene(factors, lamps):
    """Makes a scene for the renderer from factors without a background entry.

    Args:
        factors: dict with `shape`, `size`, `material`, `color`, `rotation` of shape
            `[n]` and `3d_coords` of shape `[n, 3]`, as `draw_scene` returns them.
        lamps: sequence of `Lamp`.

    Returns:
        A `Scene`.
    """
    radii = [RADII[CATEGORIES["size"][int(i)]] for i in factors["size"]]
    colors = [COLORS[CATEGORIES["color"][int(i)]] for i in factors["color"]]
    return shading.Scene(
        solids=tuple(
            geometry.Solid(int(shape), tuple(map(float, center)), radius, float(yaw))
            for shape, center, radius, yaw in zip(
                factors["shape"],
                factors["3d_coords"],
                radii,
                factors["rotation"],
                strict=True,
            )
        ),
        materials=tuple(int(material) for material in factors["material"]),
        colors=tuple(tuple(c / 255 for c in color) for color in colors),
        lamps=tuple(lamps),
    )


def _jittered(rng, position, jitter):
    return tuple(p + jitter * (2 * rng.random() - 1) for p in position)


def _draw_objects(rng, num_objects, camera):
    """Draws properties and positions that keep the distances, nothing more."""
    right, _, back = geometry.level_axes(camera.position)
    length = math.sqrt(back[0] ** 2 + back[1] ** 2)
    axes = ((right[0], right[1]), (back[0] / length, back[1] / length))
    factors = None
    while factors is None:
        factors = _try_objects(rng, num_objects, axes)
    return factors


def _try_objects(rng, num_objects, axes):
    factors = {
        name: rng.integers(len(CATEGORIES[name]), size=num_objects)
        for name in ("shape", "size", "material", "color")
    }
    factors["rotation"] = np.float32(360 * rng.random(num_objects))
    radii = [RADII[CATEGORIES["size"][i]] for i in factors["size"]]
    placed = []
    for radius in radii:
        for _ in range(_PLACING_ATTEMPTS):
            x, y = (STAGE_LIMIT * (2 * rng.random(2) - 1)).tolist()
            if all(_apart((x, y, radius), other, axes) for other in placed):
                placed.append((x, y, radius))
                break
        else:
            return None
    factors["3d_coords"] = np.array(placed, np.float32)
    return factors


def _apart(one, other, axes):
    dx, dy = one[0] - other[0], one[1] - other[1]
    if math.sqrt(dx * dx + dy * dy) - one[2] - other[2] < MIN_GAP:
        return False
    return all(abs(dx * ax + dy * ay) > MIN_MARGIN for ax, ay in axes)


def _all_visible(labels, num_objects, view):
    dy, dx = view.pixels_per_frame_pixel
    counts = np.bincount(labels.ravel(), minlength=num_objects + 1)
    return (counts[1:] >= MIN_VISIBLE_PIXELS * dy * dx).all()


def _pixel_coords(points, camera, view):
    rows, columns, depths = camera.project(points)
    rows, columns = view.from_frame(rows, columns)
    return np.stack([np.rint(columns), np.rint(rows), depths], axis=-1)


def _after_background(values):
    padded = np.zeros((MAX_NUM_ENTITIES, *values.shape[1:]), np.float32)
    padded[1 : 1 + len(values)] = values
    return padded


def _check_options(resolution, min_objects, max_objects, window):
    if len(resolution) != 2 or min(resolution) < 1:
        raise ValueError(
            "`resolution` must be a height and a width of at least one pixel. "
            f"Received: resolution={resolution}"
        )
    if not 1 <= min_objects <= max_objects <= MAX_NUM_OBJECTS:
        raise ValueError(
            f"`min_objects` and `max_objects` must be in [1, {MAX_NUM_OBJECTS}], and "
            f"in this order. Received: min_objects={min_objects}, "
            f"max_objects={max_objects}"
        )
    if len(window) != 4 or not (
        0 <= window[0] < window[1] <= renderer.FRAME[0]
        and 0 <= window[2] < window[3] <= renderer.FRAME[1]
    ):
        raise ValueError(
            "`crop` must be the first and last row, then the first and last column, "
            f"of a part of the 240x320 frame. Received: crop={window}"
        )
