"""How reconstruction and masks become better: Figure 3c of the paper."""

from slot_attention_tf.visualization.colors import masks_to_color, to_uint8
from slot_attention_tf.visualization.grid import (
    check_shape,
    picture_grid,
    set_row_label,
    set_title,
    show,
)


def iterations_figure(images, reconstructions, masks):
    """Two rows for each image, its reconstructions and its masks.

    The first column shows the image, and every other column one iteration. The masks of
    all slots are one picture: a pixel of one slot has that slot's colour, the same in
    all iterations and in `slots_figure`; a pixel that slots share has a mixture.

    Args:
        images: float array `[B, H, W, C]` in [-1, 1].
        reconstructions: float array `[B, T, H, W, C]`.
        masks: float array `[B, T, K, H, W]` in [0, 1].

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: if shapes do not fit each other.
    """
    images = check_shape(images, "images", ("B", "H", "W", "C"))
    batch_size, height, width, channels = images.shape
    shape = (batch_size, "T", height, width, channels)
    reconstructions = check_shape(reconstructions, "reconstructions", shape)
    num_iterations = reconstructions.shape[1]
    shape = (batch_size, num_iterations, "K", height, width)
    masks = check_shape(masks, "masks", shape)
    painted = masks_to_color(masks)  # [B, T, H, W, 3]

    figure, cells = picture_grid(2 * batch_size, 1 + num_iterations)
    set_title(cells[0, 0], "Image")
    for time in range(num_iterations):
        set_title(cells[0, 1 + time], f"t = {time + 1}")
    for image in range(batch_size):
        upper, lower = cells[2 * image], cells[2 * image + 1]
        show(upper[0], to_uint8(images[image]))
        set_row_label(upper[0], "Reconstruction")
        set_row_label(lower[0], "Masks")
        for time in range(num_iterations):
            show(upper[1 + time], to_uint8(reconstructions[image, time]))
            show(lower[1 + time], painted[image, time])
    return figure
