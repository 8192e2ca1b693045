"""Tests of the Tetrominoes generator, on a thousand scenes."""

import numpy as np
import pytest

from slot_attention_tf.data.generators import scenes, tetrominoes


@pytest.fixture(scope="module")
def drawn():
    return scenes.generate_scenes(tetrominoes.draw_scene, 1000, seed=0, processes=1)


def _cells(shape):
    rows = shape.split("/")
    return frozenset(
        (y, x) for y, row in enumerate(rows) for x, c in enumerate(row) if c == "X"
    )


def test_shapes_are_all_fixed_tetrominoes():
    # Grow every connected set of four cells from a single one, and normalise it.
    grown = {frozenset({(0, 0)})}
    for _ in range(3):
        grown = {
            cells | {(y + dy, x + dx)}
            for cells in grown
            for y, x in cells
            for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0))
            if (y + dy, x + dx) not in cells
        }
    truth = set()
    for cells in grown:
        top, left = min(y for y, _ in cells), min(x for _, x in cells)
        truth.add(frozenset((y - top, x - left) for y, x in cells))
    assert len(truth) == 19
    assert {_cells(shape) for shape in tetrominoes.SHAPES} == truth
    assert len(tetrominoes.SHAPES) == 19


def test_arrays_have_the_types_and_shapes_of_the_format(drawn):
    expected = {
        "image": ("uint8", (1000, 35, 35, 3)),
        "segmentation": ("uint8", (1000, 35, 35, 1)),
        "visibility": ("float32", (1000, 4)),
        "shape": ("float32", (1000, 4)),
        "color": ("float32", (1000, 4, 3)),
        "x": ("float32", (1000, 4)),
        "y": ("float32", (1000, 4)),
    }
    assert {k: (str(v.dtype), v.shape) for k, v in drawn.items()} == expected


def test_every_piece_is_whole(drawn):
    # Four cells each: nothing hidden by another piece, nothing cut by the border.
    labels = drawn["segmentation"].reshape(1000, -1)
    for entity in (1, 2, 3):
        assert ((labels == entity).sum(axis=1) == 100).all()
    assert set(np.unique(labels)) == {0, 1, 2, 3}
    assert (drawn["visibility"] == 1).all()


def test_image_is_rebuilt_from_the_factors(drawn):
    # Cell by cell with the published intensities, independently of the sprites.
    bevel = ["191 255 255 255 223", *["127 159 159 159 191"] * 3, "95 63 63 63 127"]
    bevel = np.array([[int(v) for v in row.split()] for row in bevel])
    for i in range(200):
        image = np.zeros((35, 35, 3), int)
        labels = np.zeros((35, 35), int)
        for e in (1, 2, 3):
            shape = tetrominoes.SHAPES[int(drawn["shape"][i, e]) - 1]
            for y, x in _cells(shape):
                row = int(drawn["y"][i, e]) + 5 * y
                column = int(drawn["x"][i, e]) + 5 * x
                labels[row : row + 5, column : column + 5] = e
                for channel in range(3):
                    if drawn["color"][i, e, channel] == 255:
                        image[row : row + 5, column : column + 5, channel] = bevel
        np.testing.assert_array_equal(drawn["image"][i], image)
        np.testing.assert_array_equal(drawn["segmentation"][i, :, :, 0], labels)


def test_label_map_is_the_support_of_the_image(drawn):
    np.testing.assert_array_equal(
        drawn["image"].any(axis=-1), drawn["segmentation"][..., 0] > 0
    )


def test_shapes_and_colours_are_uniform(drawn):
    shapes = drawn["shape"][:, 1:].astype(int).ravel()
    counts = np.bincount(shapes, minlength=20)[1:]
    # 3,000 draws: mean 158, standard deviation 12; and 500 with 20 for the colours.
    assert abs(counts - 3000 / 19).max() < 5 * 12.2
    colors = drawn["color"][:, 1:].reshape(-1, 3)
    unique, counts = np.unique(colors, axis=0, return_counts=True)
    assert {tuple(c) for c in unique} == {tuple(c) for c in tetrominoes.COLORS}
    assert abs(counts - 500).max() < 5 * 20.4


def test_positions_reach_all_borders(drawn):
    occupied = drawn["segmentation"][..., 0] > 0
    frequency = occupied.mean(axis=0)
    for border in (frequency[0], frequency[-1], frequency[:, 0], frequency[:, -1]):
        assert border.mean() > 0.01
    # Any integer offset occurs, not only multiples of a cell.
    assert len(np.unique(drawn["x"][:, 1:])) == len(np.unique(drawn["y"][:, 1:])) == 31


def test_background_entity_has_no_factors(drawn):
    for key in ("shape", "color", "x", "y"):
        assert not drawn[key][:, 0].any()
