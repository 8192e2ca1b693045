"""What the figures show, read back from their axes."""

import numpy as np
import pytest

from slot_attention_tf.visualization import (
    attention_figure,
    figure_to_image,
    set_prediction_figure,
    slot_palette,
    slots_figure,
    to_uint8,
    training_curves_figure,
)
from slot_attention_tf.visualization.attention import attention_maps

B, K, H, W = 2, 3, 8, 6


def picture(axes):
    return np.asarray(axes.images[0].get_array())


def frame(axes):
    """Colour of the frame in 0..255, or None without one."""
    spine = axes.spines["top"]
    return (
        np.rint(np.array(spine.get_edgecolor()[:3]) * 255)
        if spine.get_visible()
        else None
    )


def outputs(channels=3, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.uniform(-1, 1, [B, H, W, channels])
    combined = rng.uniform(-1, 1, [B, H, W, channels])
    recons = rng.uniform(-1, 1, [B, K, H, W, channels])
    masks = rng.dirichlet(np.ones(K), [B, H, W]).transpose(0, 3, 1, 2)[..., None]
    return images, combined, recons, masks


def grid_of(figure, num_rows):
    return np.array(figure.axes, object).reshape(num_rows, -1)


@pytest.mark.parametrize("channels", [1, 3])
def test_slots_figure_shows_figure_3(channels):
    images, combined, recons, masks = outputs(channels)
    cells = grid_of(slots_figure(images, combined, recons, masks, background=0.5), B)
    assert cells.shape == (B, 3 + K)
    for row in range(B):
        np.testing.assert_array_equal(picture(cells[row, 0]), to_uint8(images[row]))
        np.testing.assert_array_equal(picture(cells[row, 1]), to_uint8(combined[row]))
        painted = sum(masks[row, k] * slot_palette(K)[k] for k in range(K))
        np.testing.assert_allclose(picture(cells[row, 2]), painted, atol=0.51)
        for slot in range(K):
            color = slot_palette(K)[slot]
            np.testing.assert_array_equal(frame(cells[row, 3 + slot]), color)
            mask = masks[row, slot]
            shown = to_uint8(mask * recons[row, slot] + (1 - mask) * 0.5)
            np.testing.assert_array_equal(picture(cells[row, 3 + slot]), shown)
    assert frame(cells[0, 0]) is None
    assert cells[0, 3].get_title() == "Slot 1" and cells[1, 3].get_title() == ""


def test_slots_figure_with_truth_and_scores():
    labels = np.zeros([B, H, W], "uint8")
    labels[:, :2] = 1
    figure = slots_figure(*outputs(), true_labels=labels, scores=[0.5, np.nan])
    cells = grid_of(figure, B)
    assert cells.shape == (B, 4 + K)
    truth = picture(cells[0, 2])
    assert len(np.unique(truth.reshape(-1, 3), axis=0)) == 2
    assert cells[0, 2].get_title() == "True objects"
    assert [cell.get_ylabel() for cell in cells[:, 0]] == ["0.500", "no score"]
    empty = slots_figure(*outputs(), true_labels=0 * labels)
    assert len(np.unique(picture(grid_of(empty, B)[0, 2]).reshape(-1, 3), axis=0)) == 1


def random_attention(num_iterations=2, size=(4, 3), seed=0):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(K), [B, num_iterations, size[0] * size[1]])


def test_attention_figure_shows_every_iteration_and_slot():
    attention = random_attention()
    cells = grid_of(attention_figure(outputs()[0], attention, (4, 3)), 2 * B)
    assert cells.shape == (2 * B, 1 + K)
    for image in range(B):
        for iteration in range(2):
            row = cells[2 * image + iteration]
            assert row[0].get_ylabel() == f"iteration {iteration + 1}"
            for slot in range(K):
                expected = attention[image, iteration, :, slot].reshape(4, 3)
                np.testing.assert_array_equal(picture(row[1 + slot]), expected)
                assert row[1 + slot].images[0].get_clim() == (0.0, 1.0)
                np.testing.assert_array_equal(
                    frame(row[1 + slot]), slot_palette(K)[slot]
                )


def element(color, confidence=1.0):
    values = np.zeros(19)
    values[:3] = 0.5
    values[[3, 5, 7, 10 + color]] = 1
    values[18] = confidence
    return values


def test_set_prediction_figure_names_what_it_sees():
    images = outputs()[0]
    targets = np.zeros([B, 4, 19])
    targets[0, 2], targets[0, 3] = element(4), element(1)
    predictions = np.zeros([B, K, 19])
    predictions[0] = [element(1), element(2, 0.9), element(0, 0.2)]
    predictions[1, 0] = element(5)
    figure = set_prediction_figure(
        images, random_attention(), predictions, targets, (4, 3)
    )
    cells = grid_of(figure, B)
    assert cells.shape == (B, 1 + K)
    captions = [[cell.get_xlabel() for cell in row] for row in cells]
    colors = [[cell.xaxis.label.get_color() for cell in row] for row in cells]
    assert captions[0][0] == "2 objects predicted\n2 true objects"
    right, wrong, idle = colors[0][1:]
    assert len({right, wrong, idle}) == 3
    assert captions[0][1].count("small blue rubber") == 2
    assert "confidence 1.00" in captions[0][1]
    assert "small brown rubber" in captions[0][2] and "small red" in captions[0][2]
    assert captions[0][3] == "no object (0.20)"
    assert captions[1][1].endswith("true: nothing left") and colors[1][1] == wrong


def test_set_prediction_figure_lights_what_a_slot_attends():
    attention = np.zeros([1, 1, 12, 2])
    attention[..., 0] = 1
    attention[0, 0, 5] = [0, 1]  # row 1, column 2 of the grid
    images = np.ones([1, 8, 6, 3])
    nothing = np.zeros([1, 2, 19])
    figure = set_prediction_figure(images, attention, nothing, nothing, (4, 3))
    lit = picture(figure.axes[2])
    bright = np.zeros([8, 6], bool)
    bright[2:4, 4:6] = True
    np.testing.assert_array_equal(lit[..., 0] == 255, bright)
    assert lit[~bright].max() < 60


def test_missed_object_is_named_wrong():
    targets = np.stack([[element(3)] * K] * B)
    silent = targets * 0
    figure = set_prediction_figure(
        outputs()[0], random_attention(), silent, targets, (4, 3)
    )
    caption = figure.axes[1].get_xlabel()
    assert caption.startswith("no object (0.00)\ntrue:\nsmall yellow rubber")


def test_training_curves():
    rows = [{"step": s, "loss": 1 / s, "rate": s, "note": "x"} for s in range(1, 50)]
    rows.append({"step": 50, "loss": float("nan"), "fg_ari": 0.7})
    rows.append({"message": "no step", "loss": 3.0})
    figure = training_curves_figure(rows)
    shown = [axes for axes in figure.axes if axes.lines]
    assert [axes.get_title() for axes in shown] == ["loss", "rate", "fg ari"]
    assert [axes.get_yscale() for axes in shown] == ["log", "linear", "linear"]
    steps, values = shown[0].lines[0].get_data()
    np.testing.assert_array_equal(steps, np.arange(1, 51))
    np.testing.assert_allclose(values[:-1], 1 / np.arange(1, 50))
    only = training_curves_figure(rows, names=["rate"])
    assert [axes.get_title() for axes in only.axes] == ["rate"]


def test_figures_become_pixels_without_a_display(tmp_path):
    figure = slots_figure(*outputs())
    image = figure_to_image(figure)
    assert image.ndim == 3 and image.shape[-1] == 3 and image.dtype == np.uint8
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 20
    figure.savefig(tmp_path / "slots.png")
    assert (tmp_path / "slots.png").stat().st_size > 1000


def test_no_pyplot_and_no_tensorflow(run_python):
    code = (
        "import sys, slot_attention_tf.visualization as v; "
        "assert 'matplotlib.pyplot' not in sys.modules; "
        "assert 'tensorflow' not in sys.modules"
    )
    run_python(code)


def test_shape_errors():
    images, combined, recons, masks = outputs()
    with pytest.raises(ValueError, match=r"`masks` .*\[2, 3, 8, 6, 1\].*\(2, 2, 8"):
        slots_figure(images, combined, recons, masks[:, :2])
    with pytest.raises(ValueError, match=r"`images` .*\[B, H, W, C\].*\(8, 6, 3\)"):
        slots_figure(images[0], combined, recons, masks)
    with pytest.raises(ValueError, match=r"`recon_combined` .*\(1, 8, 6, 3\)"):
        slots_figure(images, combined[:1], recons, masks)
    with pytest.raises(ValueError, match=r"`true_labels` .*\(1,\)"):
        slots_figure(images, combined, recons, masks, true_labels=np.zeros([1], int))
    with pytest.raises(ValueError, match=r"`scores` .*\[2\].*\(3,\)"):
        slots_figure(images, combined, recons, masks, scores=[1, 2, 3])
    with pytest.raises(ValueError, match=r"12; take .*grid=\(4, 4\)"):
        attention_maps(random_attention(), (4, 4))
    with pytest.raises(ValueError, match=r"`attention` .*\[2, T, N, K\].*\(1, 2, 12"):
        attention_figure(images, random_attention()[:1], (4, 3))
    with pytest.raises(ValueError, match=r"`predictions` .*\[2, 3, 19\].*\(2, 4, 19\)"):
        sets = np.zeros([B, 4, 19])
        set_prediction_figure(images, random_attention(), sets, sets, (4, 3))
    with pytest.raises(ValueError, match=r"'step' and \['nothing'\].*1 rows.*'loss'"):
        training_curves_figure([{"step": 1, "loss": 2.0}], names=["nothing"])
    with pytest.raises(ValueError, match="anything else"):
        training_curves_figure([])
