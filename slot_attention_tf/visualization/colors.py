"""Colours of slots, and from model ranges to pixels."""

import colorsys

import numpy as np

# Bright and well apart from each other; none is near the grey behind the slots.
_BASE_COLORS = (
    (31, 119, 180),
    (255, 127, 14),
    (44, 160, 44),
    (214, 39, 40),
    (148, 103, 189),
    (23, 190, 207),
    (227, 119, 194),
    (188, 189, 34),
    (140, 86, 75),
    (255, 221, 85),
    (0, 60, 120),
    (120, 220, 140),
)
_GOLDEN_RATIO = 0.618034


def slot_palette(num_slots):
    """Colours that tell slots apart, the same for a slot in every picture.

    Args:
        num_slots: number of colours, at least 1.

    Returns:
        uint8 array `[num_slots, 3]`, no two alike.

    Raises:
        ValueError: if `num_slots` is below 1.
    """
    if num_slots < 1:
        raise ValueError(
            f"`num_slots` must be at least 1. Received: num_slots={num_slots}"
        )
    colors = list(_BASE_COLORS[:num_slots])
    for extra in range(num_slots - len(colors)):
        hue = (extra * _GOLDEN_RATIO) % 1.0
        value = 0.95 - 0.4 * ((extra // 7) % 2)
        rgb = colorsys.hsv_to_rgb(hue, 0.6, value)
        colors.append(tuple(round(255 * channel) for channel in rgb))
    return np.array(colors, "uint8")


def segmentation_to_color(labels, palette=None):
    """Paints every label in its colour.

    Args:
        labels: integer array `[...]` of labels from 0.
        palette: uint8 array `[L, 3]`, by default `slot_palette` of enough colours.

    Returns:
        uint8 array `[..., 3]`.

    Raises:
        ValueError: if labels are not integers from 0, or have no colour.
    """
    labels = np.asarray(labels)
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            "`labels` must be integers; take the argmax over soft masks first. "
            f"Received: dtype={labels.dtype}"
        )
    largest = int(labels.max(initial=0))
    palette = slot_palette(largest + 1) if palette is None else np.asarray(palette)
    if int(labels.min(initial=0)) < 0 or largest >= len(palette):
        raise ValueError(
            f"Labels must lie in 0..{len(palette) - 1}, one for each colour. "
            f"Received: labels from {labels.min()} to {largest}"
        )
    return palette[labels]


def masks_to_color(masks, palette=None):
    """Paints each pixel in the colours of the slots, mixed by their masks.

    A pixel of one slot has that slot's colour; one that many slots share, as a plain
    background often is, has a dull one.

    Args:
        masks: float array `[..., K, H, W]`, at least 0; divided by its sum over slots.
        palette: uint8 array `[K, 3]`, by default `slot_palette(K)`.

    Returns:
        uint8 array `[..., H, W, 3]`.
    """
    masks = np.nan_to_num(np.asarray(masks, "float32"))
    masks = masks / np.maximum(masks.sum(axis=-3, keepdims=True), 1e-6)
    palette = slot_palette(masks.shape[-3]) if palette is None else np.asarray(palette)
    mixed = np.einsum("...khw,kc->...hwc", masks, palette.astype("float32"))
    return np.rint(np.clip(mixed, 0, 255)).astype("uint8")


def to_uint8(images):
    """Turns images in [-1, 1] into pixels.

    Args:
        images: float array `[..., C]` with 1 or 3 channels; values beyond the range
            are clipped.

    Returns:
        uint8 array `[..., 3]`; grey images have three equal channels.

    Raises:
        ValueError: if the values are not floats, or the channels neither 1 nor 3.
    """
    images = np.asarray(images)
    if not np.issubdtype(images.dtype, np.floating):
        raise ValueError(
            "Images must be floats in [-1, 1]: value / 127.5 - 1 for uint8 pixels. "
            f"Received: dtype={images.dtype}"
        )
    if images.ndim < 1 or images.shape[-1] not in (1, 3):
        raise ValueError(
            "The last axis of images must hold 1 or 3 channels. "
            f"Received: shape={images.shape}"
        )
    # NaN shows as black instead of stopping a training for a picture.
    scaled = np.nan_to_num(images.astype("float32") * 127.5 + 127.5, nan=0.0)
    pixels = np.rint(np.clip(scaled, 0, 255)).astype("uint8")
    return np.broadcast_to(pixels, (*pixels.shape[:-1], 3)).copy()
