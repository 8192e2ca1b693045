"""Where each slot attends, iteration by iteration."""

import numpy as np

from slot_attention_tf.visualization.colors import slot_palette, to_uint8
from slot_attention_tf.visualization.grid import (
    check_shape,
    picture_grid,
    set_row_label,
    set_title,
    show,
)


def attention_figure(images, attention, grid, max_value=1.0):
    """One row for each image and iteration, one column for each slot.

    Args:
        images: float array `[B, H, W, C]` in [-1, 1].
        attention: float array `[B, T, N, K]`, as `SlotAttention` returns it: at each
            of `N` positions it sums to 1 over the slots.
        grid: `(height, width)` of the feature map, with `height * width == N`; the
            `feature_resolution` of the encoder.
        max_value: attention that shows as white; 0 is black.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: if shapes do not fit each other.
    """
    images = to_uint8(check_shape(images, "images", ("B", "H", "W", "C")))
    maps = attention_maps(attention, grid, len(images))
    batch_size, num_iterations, num_slots = maps.shape[:3]
    palette = slot_palette(num_slots)

    figure, cells = picture_grid(batch_size * num_iterations, 1 + num_slots)
    set_title(cells[0, 0], "Image")
    for slot in range(num_slots):
        set_title(cells[0, 1 + slot], f"Slot {slot + 1}")
    for row, (image, iteration) in enumerate(np.ndindex(batch_size, num_iterations)):
        show(cells[row, 0], images[image])
        set_row_label(cells[row, 0], f"iteration {iteration + 1}")
        for slot in range(num_slots):
            show(
                cells[row, 1 + slot],
                maps[image, iteration, slot],
                frame=palette[slot],
                cmap="gray",
                vmin=0.0,
                vmax=max_value,
            )
    return figure


def attention_maps(attention, grid, batch_size="B"):
    """Lays the positions of an attention array out on the grid of the encoder.

    Args:
        attention: float array `[B, T, N, K]`.
        grid: `(height, width)` with `height * width == N`.
        batch_size: the `B` that is expected; any by default.

    Returns:
        Array `[B, T, K, height, width]`.

    Raises:
        ValueError: if the shape does not fit.
    """
    height, width = grid
    attention = check_shape(attention, "attention", (batch_size, "T", "N", "K"))
    num_images, num_iterations, num_positions, num_slots = attention.shape
    if num_positions != height * width:
        raise ValueError(
            f"`grid` must have as many cells as `attention` has positions, "
            f"{num_positions}; take the encoder's feature_resolution. "
            f"Received: grid={tuple(grid)}"
        )
    maps = attention.reshape(num_images, num_iterations, height, width, num_slots)
    return np.moveaxis(maps, -1, 2)


def enlarge_maps(maps, size):
    """Enlarges maps to the size of an image, bilinearly.

    Args:
        maps: float array `[..., h, w]`.
        size: `(height, width)`.

    Returns:
        Float array `[..., height, width]`.
    """
    rows, columns = (
        _bilinear(*each) for each in zip(maps.shape[-2:], size, strict=True)
    )
    return rows @ maps @ columns.T


def _bilinear(old, new):
    """Weights `[new, old]` of the old positions at each new one."""
    places = (np.arange(new) + 0.5) * old / new - 0.5
    return np.stack(
        [np.interp(places, np.arange(old), basis) for basis in np.eye(old)], axis=1
    )
