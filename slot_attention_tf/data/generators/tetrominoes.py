"""Tetrominoes: three Tetris pieces on black, as in the public dataset.

The pieces, their colours, their bevelled cells and the placement are those of
Tetrominoes in Multi-Object Datasets (Kabra et al., 2019): 35x35 pixels, exactly
three pieces anywhere inside the image, none over another.
"""

import numpy as np

RESOLUTION = (35, 35)
NUM_PIECES = 3
MAX_NUM_ENTITIES = 1 + NUM_PIECES

# All 19 fixed tetrominoes; `/` ends a row of cells. The shape code of a piece is its
# position here plus one, as 0 stands for the background.
SHAPES = (
    *("XXXX", "X/X/X/X"),
    *("XX/XX",),
    *("XXX/.X.", ".X/XX/.X", ".X./XXX", "X./XX/X."),
    *(".XX/XX.", "X./XX/.X"),
    *("XX./.XX", ".X/XX/X."),
    *("XXX/X..", "XX/.X/.X", "..X/XXX", "X./X./XX"),
    *("XXX/..X", ".X/.X/XX", "X../XXX", "XX/X./X."),
)

# Red, green, blue, yellow, magenta, cyan.
COLORS = np.array(
    [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1]], np.uint8
) * np.uint8(255)

# The intensity of one cell in the active channels: light from above.
BEVEL = np.array(
    [
        [191, 255, 255, 255, 223],
        [127, 159, 159, 159, 191],
        [127, 159, 159, 159, 191],
        [127, 159, 159, 159, 191],
        [95, 63, 63, 63, 127],
    ],
    np.uint8,
)


def _render_piece(shape):
    cells = np.array([[c == "X" for c in row] for row in shape.split("/")], np.uint8)
    return np.kron(cells, BEVEL)


# Intensity images, [height, width] uint8 each; zero exactly outside of the piece.
PIECES = tuple(_render_piece(shape) for shape in SHAPES)
_PIECE_MASKS = tuple((piece > 0).astype(np.uint8) for piece in PIECES)


def draw_scene(rng):
    """Draws one scene.

    Shapes and colours are uniform and independent; the positions are uniform over
    all those where no two pieces overlap.

    Args:
        rng: A `np.random.Generator`.

    Returns:
        A dict of arrays. With `E = 4` entities, the background first:
        `image` uint8 `[35, 35, 3]`; `segmentation` uint8 `[35, 35, 1]`, the entity
        that each pixel belongs to; `visibility` float32 `[E]`, all ones; `shape`
        float32 `[E]`, 0 for the background, else 1 to 19; `color` float32 `[E, 3]`,
        channels 0 or 255; `x`, `y` float32 `[E]`, column and row of the upper left
        corner of the box around a piece, in pixels.
    """
    shapes = rng.integers(len(SHAPES), size=NUM_PIECES)
    colors = rng.integers(len(COLORS), size=NUM_PIECES)
    masks = [_PIECE_MASKS[s] for s in shapes]
    corners, segmentation = _place(rng, masks)

    image = np.zeros((*RESOLUTION, 3), np.uint8)
    for shape, color, (y, x) in zip(shapes, colors, corners, strict=True):
        piece = PIECES[shape]
        height, width = piece.shape
        # The pieces are disjoint, and their boxes may not be: add, never overwrite.
        image[y : y + height, x : x + width] += piece[:, :, None] & COLORS[color]
    corners = np.array(corners, np.float32)
    return {
        "image": image,
        "segmentation": segmentation[:, :, None],
        "visibility": np.ones(MAX_NUM_ENTITIES, np.float32),
        "shape": _after_background(shapes + 1),
        "color": _after_background(COLORS[colors]),
        "x": _after_background(corners[:, 1]),
        "y": _after_background(corners[:, 0]),
    }


def _place(rng, masks):
    """Returns corners `(y, x)` where the pieces are disjoint, and the label map."""
    limits = np.add(RESOLUTION, 1) - [mask.shape for mask in masks]
    area = sum(np.count_nonzero(m) for m in masks)
    # Drawing all positions again, not only the last, keeps them jointly uniform.
    while True:
        corners = (rng.random(limits.shape) * limits).astype(int).tolist()
        labels = np.zeros(RESOLUTION, np.uint8)
        for label, (mask, (y, x)) in enumerate(zip(masks, corners, strict=True), 1):
            box = labels[y : y + mask.shape[0], x : x + mask.shape[1]]
            np.copyto(box, label, where=mask.view(bool))
        if np.count_nonzero(labels) == area:
            return corners, labels


def _after_background(values):
    padded = np.zeros((MAX_NUM_ENTITIES, *values.shape[1:]), np.float32)
    padded[1:] = values
    return padded
