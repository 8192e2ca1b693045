"""What the set-prediction model says of each object, and where it looked."""

import textwrap

import numpy as np
from scipy.optimize import linear_sum_assignment

from slot_attention_tf.clevr_properties import (
    NUM_FEATURES,
    is_real,
    likeliest_properties,
)
from slot_attention_tf.visualization.attention import attention_maps
from slot_attention_tf.visualization.colors import slot_palette, to_uint8
from slot_attention_tf.visualization.grid import (
    check_shape,
    picture_grid,
    set_caption,
    set_title,
    show,
)

_RIGHT, _WRONG, _IDLE = "#1a7a2e", "#b3261e", "#666666"


def set_prediction_figure(images, attention, predictions, targets, grid):
    """One row for each image: input, then the attention and words of each slot.

    A slot's picture is the image, lit where the slot attends in the last iteration.
    Below it stand the predicted properties and those of the true object matched to
    it by least absolute difference: green if size, material, shape and colour all
    agree, red if not. Slots that report no object (confidence below 0.5) are grey, or
    red if a true object is left for them.

    Args:
        images: float array `[B, H, W, C]` in [-1, 1].
        attention: float array `[B, T, N, K]`, as the model returns it.
        predictions: float array `[B, K, 19]`.
        targets: float array `[B, M, 19]`, the true properties, padded with zeros.
        grid: `(height, width)` of the feature map, with `height * width == N`.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: if shapes do not fit each other.
    """
    images = check_shape(images, "images", ("B", "H", "W", "C"))
    maps = attention_maps(attention, grid, len(images))[:, -1]  # [B, K, h, w]
    batch_size, num_slots = maps.shape[:2]
    shape = (batch_size, num_slots, NUM_FEATURES)
    predictions = check_shape(predictions, "predictions", shape)
    targets = check_shape(targets, "targets", (batch_size, "M", NUM_FEATURES))
    palette = slot_palette(num_slots)

    words = [
        _words_of_slots(*sets) for sets in zip(predictions, targets, strict=True)
    ]  # For each image and slot, text and colour.
    lines = max(text.count("\n") + 1 for row in words for text, _ in row)
    figure, cells = picture_grid(batch_size, 1 + num_slots, False, max(2, lines))
    set_title(cells[0, 0], "Image")
    for slot in range(num_slots):
        set_title(cells[0, 1 + slot], f"Slot {slot + 1}")
    for row in range(batch_size):
        show(cells[row, 0], to_uint8(images[row]))
        set_caption(cells[row, 0], _count_objects(predictions[row], targets[row]))
        for slot in range(num_slots):
            cell = cells[row, 1 + slot]
            lit = _light(images[row], maps[row, slot])
            show(cell, to_uint8(lit), frame=palette[slot])
            set_caption(cell, *words[row][slot])
    return figure


def _light(image, attention):
    """Dims an image where the attention is low."""
    height, width = image.shape[:2]
    rows = np.arange(height) * attention.shape[0] // height
    columns = np.arange(width) * attention.shape[1] // width
    # A slot that attends weakly everywhere should not look as if it saw nothing.
    level = attention / max(float(attention.max()), 0.25)
    level = 0.15 + 0.85 * level[rows][:, columns, None]
    return (image + 1) * level - 1


def _partners(predictions, targets):
    """The real object matched to each slot, or None."""
    targets = targets[is_real(targets)]
    cost = np.abs(predictions[:, None] - targets[None]).mean(axis=-1)
    partners = [None] * len(predictions)
    for slot, target in zip(*linear_sum_assignment(cost), strict=True):
        partners[slot] = targets[target]
    return partners


def _count_objects(predictions, targets):
    predicted = int(np.sum(predictions[:, -1] >= 0.5))
    return f"{predicted} objects predicted\n{int(np.sum(targets[:, -1]))} true objects"


def _words_of_slots(predictions, targets):
    """Caption and colour for each slot of one image."""
    partners = _partners(predictions, targets)
    return [_words(*pair) for pair in zip(predictions, partners, strict=True)]


def _words(prediction, target):
    """Caption of a slot and its colour."""
    confidence = prediction[-1]
    if confidence < 0.5:
        text = f"no object ({confidence:.2f})"
        if target is None:
            return text, _IDLE
        return f"{text}\ntrue:\n{_describe(target)}", _WRONG
    text = f"{_describe(prediction)}\nconfidence {confidence:.2f}"
    if target is None:
        return f"{text}\ntrue: nothing left", _WRONG
    color = _RIGHT if _kind(prediction) == _kind(target) else _WRONG
    return f"{text}\ntrue:\n{_describe(target)}", color


def _kind(element):
    """The categories of an element in words: `"large red metal cube"`."""
    properties = likeliest_properties(element)
    return " ".join(properties[n] for n in ("size", "color", "material", "shape"))


def _describe(element):
    """The categories and the position of an element, in lines of a caption."""
    coords = likeliest_properties(element)["coords"]
    # Adding 0 turns -0.0 into 0.0.
    position = ", ".join(f"{round(value, 1) + 0.0:.1f}" for value in coords)
    return "\n".join([*textwrap.wrap(_kind(element), 20), f"({position})"])
