"""Multi-dSprites: squares, ellipses and hearts that hide one another.

The three variants of Multi-Object Datasets (Kabra et al., 2019), 64x64 pixels:
white sprites on black, coloured sprites on grey, and coloured sprites on a coloured
background. Sprites have the shapes, scales, orientations and positions of dSprites
(Matthey et al., 2017); their edges are not smoothed, so a mask is exactly the pixels
of one colour.
"""

import dataclasses
import math

import numpy as np

RESOLUTION = (64, 64)
SHAPES = ("square", "ellipse", "heart")
SCALES = np.linspace(0.5, 1.0, 6)
ORIENTATIONS = np.linspace(0.0, 2 * math.pi, 40)
POSITIONS = np.linspace(0.0, 1.0, 32)

# At scale 1, in pixels.
_SQUARE_SIDE = 20.0
_ELLIPSE_AXES = (24.0, 15.5)
_HEART_AXES = (15.9, 15.4)
_SPRITE_SIZE = 32  # Holds every sprite, whatever its orientation.


@dataclasses.dataclass(frozen=True)
class Variant:
    """Settings of one variant.

    Args:
        min_objects: Integer, the least number of sprites.
        max_objects: Integer, the largest number of sprites.
        channels: Integer, 1 or 3.
    """

    min_objects: int
    max_objects: int
    channels: int

    @property
    def max_num_entities(self):
        return 1 + self.max_objects


VARIANTS = {
    "binarized": Variant(min_objects=2, max_objects=3, channels=1),
    "colored_on_grayscale": Variant(min_objects=2, max_objects=5, channels=3),
    "colored_on_colored": Variant(min_objects=1, max_objects=4, channels=3),
}


def _sprite(shape, scale, orientation):
    """Draws a sprite around the middle of a bool `[32, 32]` array."""
    rows, columns = np.mgrid[:_SPRITE_SIZE, :_SPRITE_SIZE] - (_SPRITE_SIZE - 1) / 2
    cosine, sine = math.cos(orientation) / scale, math.sin(orientation) / scale
    x, y = cosine * columns + sine * rows, cosine * rows - sine * columns
    # The margin keeps pixels that lie on an edge from depending on rounding.
    if shape == "square":
        return np.maximum(np.abs(x), np.abs(y)) < _SQUARE_SIDE / 2 + 1e-6
    if shape == "ellipse":
        x, y = 2 * x / _ELLIPSE_AXES[0], 2 * y / _ELLIPSE_AXES[1]
        return x * x + y * y < 1 + 1e-6
    # The curve (x^2 + y^2 - 1)^3 = x^2 y^3, whose height runs from -1 to 1.236.
    x, y = 2 * x / _HEART_AXES[0], 0.118 - 2 * y / _HEART_AXES[1]
    bowl = x * x + y * y - 1
    return bowl * bowl * bowl - x * x * y * y * y < 1e-6


# bool [shapes, scales, orientations, 32, 32].
SPRITES = np.array(
    [[[_sprite(h, s, o) for o in ORIENTATIONS] for s in SCALES] for h in SHAPES]
)


def draw_scene(rng, variant="colored_on_grayscale"):
    """Draws one scene.

    Shapes, scales, orientations and positions are uniform and independent. Sprites
    that follow lie on top of those before; where they would hide one of them
    altogether, the scene is drawn again.

    Args:
        rng: A `np.random.Generator`.
        variant: String, a key of `VARIANTS`.

    Returns:
        A dict of arrays. With `C` channels and `E` entities, the background first:
        `image` uint8 `[64, 64, C]`; `segmentation` uint8 `[64, 64, 1]`; `visibility`
        float32 `[E]`, 1 for the background and each sprite; `shape` float32 `[E]`, 1
        for a square, 2 for an ellipse, 3 for a heart; `scale` float32 `[E]`, 0.5 to
        1; `orientation` float32 `[E]`, 0 to 2 pi; `x`, `y` float32 `[E]`, 0 to 1,
        where the centre is at column `15.5 + 32 x` and row `15.5 + 32 y`, rounded to
        a whole number of pixels from 15.5; `color` float32 `[E, C]`, 0 to 255, the
        background's too. Other factors of the background, and those of absent
        entities, are 0.
    """
    if variant not in VARIANTS:
        raise ValueError(
            f"`variant` must be one of {', '.join(VARIANTS)}. "
            f"Received: variant={variant!r}"
        )
    settings = VARIANTS[variant]
    num_sprites = int(rng.integers(settings.min_objects, settings.max_objects + 1))
    while True:
        choices = (
            rng.random((5, num_sprites)) * [[len(SHAPES)], [6], [40], [32], [32]]
        ).astype(np.int64)
        segmentation, complete = _stack(choices.T.tolist())
        if complete:
            break
    colors = np.zeros((settings.max_num_entities, settings.channels), np.uint8)
    colors[: num_sprites + 1] = _draw_colors(rng, variant, num_sprites)

    def after_background(values):
        padded = np.zeros(settings.max_num_entities, np.float32)
        padded[1 : num_sprites + 1] = values
        return padded

    shape, scale, orientation, x, y = choices
    return {
        "image": colors[segmentation],
        "segmentation": segmentation[:, :, None],
        "visibility": np.float32(np.arange(settings.max_num_entities) <= num_sprites),
        "shape": after_background(shape + 1),
        "scale": after_background(SCALES[scale]),
        "orientation": after_background(ORIENTATIONS[orientation]),
        "x": after_background(POSITIONS[x]),
        "y": after_background(POSITIONS[y]),
        "color": colors.astype(np.float32),
    }


def _stack(sprites):
    """Returns the label map, and whether all sprites can be seen."""
    labels = np.zeros(RESOLUTION, np.uint8)
    for label, (shape, scale, orientation, x, y) in enumerate(sprites, 1):
        top, left = round(32 * y / 31), round(32 * x / 31)
        box = labels[top : top + _SPRITE_SIZE, left : left + _SPRITE_SIZE]
        np.copyto(box, label, where=SPRITES[shape, scale, orientation])
    counts = np.bincount(labels.ravel(), minlength=len(sprites) + 1)
    return labels, counts.all()


def _draw_colors(rng, variant, num_sprites):
    """Returns 8-bit colours of the background and the sprites."""
    if variant == "binarized":
        return np.array([[0]] + [[255]] * num_sprites, np.uint8)
    colors = rng.random((num_sprites + 1, 3))
    if variant == "colored_on_grayscale":
        colors = np.array([colors[0, [0, 0, 0]], *map(hsv_to_rgb, colors[1:])])
    return (colors * 256).astype(np.uint8)


def hsv_to_rgb(color):
    """Converts a colour in [0, 1) from hue, saturation and value to RGB.

    Args:
        color: three floats.

    Returns:
        A list of three floats.
    """
    hue, saturation, value = (float(c) for c in color)
    # Each channel is a trapezoid of the hue, and the three are a third turn apart.
    distances = (abs(6 * hue - 3) - 1, 2 - abs(6 * hue - 2), 2 - abs(6 * hue - 4))
    return [value * (1 - saturation * (1 - min(max(d, 0), 1))) for d in distances]
