"""Lines and iterations, read back from their axes."""

import numpy as np
import pytest

from slot_attention_tf.visualization import (
    empty_figure,
    iterations_figure,
    lines_figure,
    masks_to_color,
    slots_figure,
    to_uint8,
)
from slot_attention_tf.visualization.attention import enlarge_maps


def picture(axes):
    return np.asarray(axes.images[0].get_array())


def test_lines_are_means_in_a_band_of_one_deviation():
    values = np.array([[0.2, 0.4, np.nan], [0.6, 0.4, 0.8]])
    series = {"a": ([1, 2, 3], values), "b": ([1, 2], [[0.1, 0.2]])}
    figure = lines_figure(series, "T", "score", reported={"a": ([3], [0.9])})
    (axes,) = figure.axes
    first, paper, second = axes.lines
    np.testing.assert_allclose(first.get_xydata(), [[1, 0.4], [2, 0.4], [3, 0.8]])
    np.testing.assert_allclose(second.get_ydata(), [0.1, 0.2])
    np.testing.assert_allclose(paper.get_xydata(), [[3, 0.9]])
    assert paper.get_color() is not None
    np.testing.assert_array_equal(paper.get_color(), first.get_color())
    (band,) = axes.collections  # One run has none.
    edges = {tuple(np.round(point, 6)) for point in band.get_paths()[0].vertices}
    assert {(1, 0.2), (1, 0.6), (2, 0.4), (3, 0.8)} <= edges
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["a", "a, paper", "b"]


def test_lines_over_categories_name_them():
    figure = lines_figure({"a": ([0, 1], [[1, 0]])}, "x", "y", tick_labels=("∞", "1"))
    labels = [tick.get_text() for tick in figure.axes[0].get_xticklabels()]
    assert labels == ["∞", "1"]


def test_empty_figure_says_why():
    figure = empty_figure("not run: make paper")
    assert figure.axes[0].texts[0].get_text() == "not run: make paper"


def test_iterations_figure_shows_figure_3c():
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, [2, 6, 5, 3])
    reconstructions = rng.uniform(-1, 1, [2, 3, 6, 5, 3])
    masks = rng.dirichlet(np.ones(4), size=[2, 3, 6, 5]).transpose(0, 1, 4, 2, 3)
    figure = iterations_figure(images, reconstructions, masks)
    cells = np.array(figure.axes, object).reshape(4, 4)
    for image in range(2):
        np.testing.assert_array_equal(
            picture(cells[2 * image, 0]), to_uint8(images[image])
        )
        for time in range(3):
            upper, lower = cells[2 * image : 2 * image + 2, 1 + time]
            shown = to_uint8(reconstructions[image, time])
            np.testing.assert_array_equal(picture(upper), shown)
            painted = masks_to_color(masks[image, time])
            np.testing.assert_array_equal(picture(lower), painted)
    assert [cell.get_title() for cell in cells[0]] == [
        "Image",
        "t = 1",
        "t = 2",
        "t = 3",
    ]


def test_slots_without_masks_show_all_of_a_slot():
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, [1, 4, 4, 1])
    recons = rng.uniform(-1, 1, [1, 2, 4, 4, 1])
    masks = rng.uniform(size=[1, 2, 4, 4, 1])
    figure = slots_figure(images, images, recons, masks, masked=False)
    np.testing.assert_array_equal(picture(figure.axes[3]), to_uint8(recons[0, 0]))


def test_maps_are_enlarged_bilinearly():
    rng = np.random.default_rng(0)
    maps = rng.uniform(size=[2, 3, 4])
    np.testing.assert_allclose(enlarge_maps(maps, (3, 4)), maps)
    large = enlarge_maps(maps, (6, 8))
    np.testing.assert_allclose(large[:, 0, 0], maps[:, 0, 0])  # The corner.
    near, far = (0.75, 0.25), (0.75, 0.25)
    corner = sum(near[y] * far[x] * maps[:, y, x] for y in range(2) for x in range(2))
    np.testing.assert_allclose(large[:, 1, 1], corner)


def test_errors():
    with pytest.raises(
        ValueError, match=r"'a' must have the shape \[runs, 2\].*\(2,\)"
    ):
        lines_figure({"a": ([0, 1], [0.5, 1.0])}, "x", "y")
    with pytest.raises(ValueError, match="at least one line.*series={}"):
        lines_figure({}, "x", "y")
    images = np.zeros([1, 4, 4, 3])
    with pytest.raises(
        ValueError, match=r"`masks` .*\[1, 2, K, 4, 4\].*\(1, 3, 2, 4, 4"
    ):
        iterations_figure(images, np.zeros([1, 2, 4, 4, 3]), np.zeros([1, 3, 2, 4, 4]))
