"""What each slot of the autoencoder holds: Figure 3 of Locatello et al. (2020)."""

import numpy as np

from slot_attention_tf.visualization.colors import (
    masks_to_color,
    segmentation_to_color,
    slot_palette,
    to_uint8,
)
from slot_attention_tf.visualization.grid import (
    check_shape,
    picture_grid,
    set_row_label,
    set_title,
    show,
)


def slots_figure(
    images,
    recon_combined,
    recons,
    masks,
    true_labels=None,
    scores=None,
    background=0.75,
    masked=True,
):
    """One row for each image: input, reconstruction, masks, then the slots.

    The masks of all slots are one picture: a pixel of one slot has that slot's colour,
    a pixel that slots share has a mixture. A slot shows its reconstruction times its
    mask on grey, framed in the same colour. Arguments two to four are the outputs of
    `SlotAttentionAutoEncoder`.

    Args:
        images: float array `[B, H, W, C]` in [-1, 1].
        recon_combined: float array `[B, H, W, C]`.
        recons: float array `[B, K, H, W, C]`.
        masks: float array `[B, K, H, W, 1]` in [0, 1].
        true_labels: optional integer array `[B, H, W]` with 0 = background, shown
            as a further column, in colours of their own order.
        scores: optional numbers `[B]`, such as the FG-ARI, written beside the rows; NaN
            for an image that has none.
        background: grey level in [-1, 1] behind what a slot leaves out.
        masked: whether a slot's reconstruction is multiplied by its mask; without, all
            of it shows, as in Figure 4 of the paper.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: if shapes do not fit each other.
    """
    images = check_shape(images, "images", ("B", "H", "W", "C"))
    batch_size, height, width, channels = images.shape
    combined = check_shape(recon_combined, "recon_combined", images.shape)
    size = (height, width)
    recons = check_shape(recons, "recons", (batch_size, "K", *size, channels))
    num_slots = recons.shape[1]
    masks = check_shape(masks, "masks", (batch_size, num_slots, *size, 1))
    palette = slot_palette(num_slots)

    shown = recons * masks + background * (1 - masks) if masked else recons
    slot_images = to_uint8(shown)
    columns = [
        ("Image", to_uint8(images)),
        ("Reconstruction", to_uint8(combined)),
        ("Masks", masks_to_color(masks[..., 0], palette)),
    ]
    if true_labels is not None:
        labels = check_shape(true_labels, "true_labels", (batch_size, *size))
        columns.insert(2, ("True objects", _paint_objects(labels)))
    if scores is not None:
        scores = check_shape(scores, "scores", (batch_size,))

    figure, cells = picture_grid(batch_size, len(columns) + num_slots)
    for column, (title, pictures) in enumerate(columns):
        set_title(cells[0, column], title)
        for row in range(batch_size):
            show(cells[row, column], pictures[row])
    for slot in range(num_slots):
        column = len(columns) + slot
        set_title(cells[0, column], f"Slot {slot + 1}")
        for row in range(batch_size):
            show(cells[row, column], slot_images[row, slot], frame=palette[slot])
    if scores is not None:
        for row in range(batch_size):
            score = scores[row]
            text = "no score" if np.isnan(score) else f"{score:.3f}"
            set_row_label(cells[row, 0], text)
    return figure


def _paint_objects(labels):
    """Colours of objects, with a dark background as in most data sets."""
    palette = np.concatenate(
        [np.full([1, 3], 40, "uint8"), slot_palette(max(1, int(np.max(labels))))]
    )
    return segmentation_to_color(labels, palette)
