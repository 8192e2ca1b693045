"""From pixels to what the models take: floats in [-1, 1]."""

import numpy as np


def to_model_range(pixels):
    """Maps pixel values in `[0, 255]` to `[-1, 1]`, in the release's arithmetic.

    Args:
        pixels: Float array or tensor of any shape and of any library.

    Returns:
        Values of the same type and shape.
    """
    return (pixels / 255.0 - 0.5) * 2.0


def preprocess_images(images, resolution=None):
    """Turns 8-bit images into the input of a model.

    Differs from the input pipelines of the paper's datasets, which do not smooth
    before they shrink an image.

    Args:
        images: uint8 array or tensor `[B, H, W, C]`, or one image `[H, W, C]`, with 1
            or 3 channels.
        resolution: Tuple of two integers, the height and width to resize to:
            bilinearly, and smoothed when shrinking. `None` keeps the size.

    Returns:
        float32 tensor of the Keras backend, `[B, *resolution, C]` or
        `[*resolution, C]`, in `[-1, 1]`.

    Raises:
        ValueError: `images` are not uint8 or of another shape, or `resolution` is not
            a height and a width.

    Example:

    >>> images = np.full((2, 480, 320, 3), 255, "uint8")
    >>> tuple(preprocess_images(images, resolution=(64, 64)).shape)
    (2, 64, 64, 3)
    """
    # Not at the top: drawing figures needs `to_model_range`, but no backend.
    from keras import backend, ops

    if not hasattr(images, "dtype"):
        images = np.asarray(images)
    _check_images(images.shape, backend.standardize_dtype(images.dtype))
    images = ops.cast(ops.convert_to_tensor(images), "float32")
    if resolution is not None:
        images = ops.image.resize(
            images,
            _check_resolution(resolution),
            interpolation="bilinear",
            antialias=True,
            data_format="channels_last",
        )
    # Rounding while resizing may leave the range.
    return ops.clip(to_model_range(images), -1.0, 1.0)


def _check_images(shape, dtype):
    if dtype != "uint8":
        advice = "Convert the pixels with `.astype('uint8')`."
        if "float" in dtype:
            advice = (
                "The range of floats cannot be known. From [0, 255]: pass "
                "`images.astype('uint8')`; from [0, 1]: `images * 2 - 1` is in the "
                "range of the models; in [-1, 1] they need no preprocessing."
            )
        raise ValueError(
            f"`images` must be uint8 values from 0 to 255. {advice} "
            f"Received: dtype={dtype}"
        )
    if len(shape) not in (3, 4) or shape[-1] not in (1, 3):
        raise ValueError(
            "`images` must be a batch [B, H, W, C] or one image [H, W, C] with 1 or 3 "
            "channels: add the axis of grey images with `images[..., None]`, and drop "
            "an alpha channel with `images[..., :3]`. "
            f"Received: images of shape {tuple(shape)}"
        )


def _check_resolution(resolution):
    sizes = np.atleast_1d(resolution)
    if sizes.shape != (2,) or sizes.dtype.kind not in "iu" or sizes.min() < 1:
        raise ValueError(
            "`resolution` must be (height, width), two integers of at least 1. "
            f"Received: resolution={resolution}"
        )
    return tuple(sizes.tolist())
