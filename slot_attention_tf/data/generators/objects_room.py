"""Objects Room: solids in a coloured room under the sky, 64x64.

A stand-in for the public set (Kabra et al., 2019), which was drawn with MuJoCo: a
square room seen from inside, one colour each for floor, walls and sky, and one for
every object. The background has four masks of its own, as in the real set: sky,
floor, and the two walls in view. Edges are not smoothed.
"""

import dataclasses
import math

import numpy as np

from slot_attention_tf.data.generators import ray_geometry as geometry
from slot_attention_tf.data.generators.multi_dsprites import hsv_to_rgb
from slot_attention_tf.data.generators.ray_geometry import dot, normalize, vector

RESOLUTION = (64, 64)
SKY, FLOOR, FIRST_WALL, SECOND_WALL = range(4)
NUM_BACKGROUND = 4

_HALF_WIDTH, _WALL_HEIGHT = 4.0, 2.6
_CAMERA_HEIGHT = (1.8, 2.4)
_HALF_FIELD_OF_VIEW = 0.53  # Tangent of the angle.
_RADII = (0.4, 0.75)
_MIN_GAP = 0.1
_MIN_VISIBLE_PIXELS = 15
_MIN_STAGE_PIXELS = 200  # Of the floor, and of the sky.
_LIGHT = (0.36, -0.48, 0.8)
_AMBIENT = 0.6
_ATTEMPTS = 30


@dataclasses.dataclass(frozen=True)
class Variant:
    """Settings of the training set or of one test set.

    Args:
        min_objects: Integer, the least number of objects.
        max_objects: Integer, the largest number of objects.
        max_num_entities: Integer, the number of masks, four for the background.
        identical_color: Boolean, whether all objects share a colour.
    """

    min_objects: int
    max_objects: int
    max_num_entities: int
    identical_color: bool = False


VARIANTS = {
    "train": Variant(min_objects=1, max_objects=3, max_num_entities=7),
    "empty_room": Variant(min_objects=0, max_objects=0, max_num_entities=4),
    "six_objects": Variant(min_objects=6, max_objects=6, max_num_entities=10),
    "identical_color": Variant(
        min_objects=4, max_objects=6, max_num_entities=10, identical_color=True
    ),
}


def draw_scene(rng, variant="train"):
    """Draws one scene.

    Args:
        rng: A `np.random.Generator`.
        variant: String, a key of `VARIANTS`: the training set or one of the test
            sets.

    Returns:
        A dict of arrays: `image` uint8 `[64, 64, 3]`; `segmentation` uint8
        `[64, 64, 1]`, 0 for the sky, 1 for the floor, 2 and 3 for the walls from left
        to right, 4 and up for objects; `visibility` float32 `[E]`, 1 for every object
        and for every part of the background that shows. Where only one wall shows,
        it is number 2, and number 3 is absent.
    """
    if variant not in VARIANTS:
        raise ValueError(
            f"`variant` must be one of {', '.join(VARIANTS)}. "
            f"Received: variant={variant!r}"
        )
    settings = VARIANTS[variant]
    num_objects = int(rng.integers(settings.min_objects, settings.max_objects + 1))
    labels = None
    while labels is None:
        origin, directions, forward = _draw_camera(rng)
        room = _room(origin, directions)
        if room is None:
            continue
        solids = _place_objects(rng, num_objects, origin, forward)
        if solids is not None:
            labels, light = _draw_labels(origin, directions, room, solids)
    colors = np.zeros((settings.max_num_entities, 3), np.float32)
    colors[: NUM_BACKGROUND + num_objects] = _draw_colors(
        rng, num_objects, settings.identical_color
    )
    image = colors[labels] * light[:, None]
    counts = np.bincount(labels, minlength=settings.max_num_entities)
    return {
        "image": (image * 255 + 0.5).astype(np.uint8).reshape(*RESOLUTION, 3),
        "segmentation": labels.astype(np.uint8).reshape(*RESOLUTION, 1),
        "visibility": (counts > 0).astype(np.float32),
    }


def _draw_camera(rng):
    """Returns the position `[3, 1]`, rays `[3, n]` and the direction of the view."""
    x, y = (_HALF_WIDTH - 0.4) * (2 * rng.random(2) - 1)
    low, high = _CAMERA_HEIGHT
    position = vector(x, y, low + (high - low) * rng.random())
    # A rational point of the circle needs no sine: see `ray_geometry`.
    t = 2 * rng.random() - 1
    forward = ((1 - t * t) / (1 + t * t), 2 * t / (1 + t * t))
    if rng.random() < 0.5:
        forward = (-forward[0], -forward[1])
    tilt = 0.12 + 0.12 * rng.random()
    height, width = RESOLUTION
    rows, columns = (axis.ravel() for axis in np.mgrid[:height, :width])
    right = ((columns + 0.5) * 2 / width - 1) * _HALF_FIELD_OF_VIEW
    up = (1 - (rows + 0.5) * 2 / height) * _HALF_FIELD_OF_VIEW
    # The view is level ahead, turned down by `tilt` in its vertical plane.
    length = math.sqrt(1 + tilt * tilt)
    ahead, rise = (1 + up * tilt) / length, (up - tilt) / length
    directions = np.stack(
        [
            ahead * forward[0] + right * forward[1],
            ahead * forward[1] - right * forward[0],
            rise,
        ]
    )
    return position, normalize(directions.astype(np.float32)), forward


def _room(origin, directions):
    """Labels, distances and brightness of the empty room, or None.

    Views of three walls are refused, as are those with little floor or sky.
    """
    down = directions[2] < 0
    with np.errstate(divide="ignore"):
        to_floor = np.where(down, -origin[2] / directions[2], np.float32(np.inf))
        sides = np.sign(directions[:2])
        to_walls = (sides * np.float32(_HALF_WIDTH) - origin[:2]) / directions[:2]
    axis = np.argmin(to_walls, axis=0)
    to_wall = np.min(to_walls, axis=0)
    inward = -np.take_along_axis(sides, axis[None], axis=0)[0]
    wall = 2 * axis + (inward > 0)  # One of four.
    labels = np.where(to_floor < to_wall, FLOOR, NUM_BACKGROUND + wall)
    above = origin[2] + to_wall * directions[2] > np.float32(_WALL_HEIGHT)
    labels[above] = SKY
    walls = np.unique(labels[labels >= NUM_BACKGROUND])
    counts = np.bincount(labels, minlength=NUM_BACKGROUND)
    if len(walls) > 2 or min(counts[SKY], counts[FLOOR]) < _MIN_STAGE_PIXELS:
        return None
    columns = np.arange(labels.size) % RESOLUTION[1]
    order = sorted(walls, key=lambda w: columns[labels == w].mean())
    lit = np.float32([-_LIGHT[0], _LIGHT[0], -_LIGHT[1], _LIGHT[1]])[wall]
    light = np.where(labels == FLOOR, np.float32(_LIGHT[2]), lit)
    light = np.where(labels == SKY, np.float32(1), _brightness(light))
    for new, old in enumerate(order, FIRST_WALL):
        labels = np.where(labels == old, new, labels)
    distance = np.where(
        labels == SKY, np.float32(np.inf), np.minimum(to_floor, to_wall)
    )
    return labels, distance, light


def _brightness(cosine):
    ambient = np.float32(_AMBIENT)
    return ambient + (1 - ambient) * np.maximum(cosine, 0)


def _place_objects(rng, num_objects, origin, forward):
    """Draws solids on the floor in front of the camera, or None if there is no room."""
    placed = []
    for _ in range(num_objects):
        for _ in range(_ATTEMPTS):
            radius = _RADII[0] + (_RADII[1] - _RADII[0]) * rng.random()
            limit = _HALF_WIDTH - 1.5 * radius
            x, y = (limit * (2 * rng.random(2) - 1)).tolist()
            dx, dy = x - float(origin[0, 0]), y - float(origin[1, 0])
            ahead = dx * forward[0] + dy * forward[1]
            aside = abs(dx * forward[1] - dy * forward[0])
            if (
                ahead > 2.0
                and aside < _HALF_FIELD_OF_VIEW * ahead
                and all(
                    math.sqrt((x - o.center[0]) ** 2 + (y - o.center[1]) ** 2)
                    > 1.3 * (radius + o.radius) + _MIN_GAP
                    for o in placed
                )
            ):
                break
        else:
            return None
        shape, yaw = int(rng.integers(3)), 2 * math.pi * rng.random()
        placed.append(geometry.Solid(shape, (x, y, radius), radius, yaw))
    return placed


def _draw_labels(origin, directions, room, solids):
    """Adds the objects to the room; (None, None) if one of them hardly shows."""
    labels, distance, light = room
    nearest, depth = geometry.nearest(solids, origin, directions)
    front = (nearest > 0) & (depth < distance)
    labels = np.where(front, nearest - 1 + NUM_BACKGROUND, labels)
    light = light.astype(np.float32)
    for i, solid in enumerate(solids, NUM_BACKGROUND):
        on = np.flatnonzero(labels == i)
        if on.size < _MIN_VISIBLE_PIXELS:
            return None, None
        normals = solid.normal(origin + depth[on] * directions[:, on])
        light[on] = _brightness(dot(normals, vector(*_LIGHT)))
    return labels, light


def _draw_colors(rng, num_objects, identical_color):
    """Returns RGB in [0, 1] of sky, floor, both walls and the objects."""
    hues = rng.random(3 + num_objects)
    saturations = 0.5 + 0.5 * rng.random(3 + num_objects)
    saturations[0] *= 0.4  # The sky is pale.
    if identical_color:
        hues[4:], saturations[4:] = hues[3], saturations[3]
    colors = [
        hsv_to_rgb((hue, saturation, 0.99))
        for hue, saturation in zip(hues, saturations, strict=True)
    ]
    sky, floor, walls, *objects = colors
    return np.array([sky, floor, walls, walls, *objects], np.float32)
