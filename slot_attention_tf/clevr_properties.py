"""Facts of CLEVR: its frame, and the 19 numbers that describe one object.

The one place that knows which feature of a set element means what. Targets and
predictions are in [0, 1]: coordinates as (xyz + 3) / 6, one-hot categories in the
label order of TFDS, and last a flag that tells real objects from padding.
"""

import numpy as np

# Names and sizes of the groups, in order (Locatello et al., 2020, appendix).
GROUP_SIZES = {
    "coords": 3,
    "size": 2,
    "material": 2,
    "shape": 3,
    "color": 8,
    "real_object": 1,
}
NUM_FEATURES = sum(GROUP_SIZES.values())

# Values of the categories in TFDS's order; properties.json of CLEVR has another.
CATEGORIES = {
    "size": ("small", "large"),
    "material": ("rubber", "metal"),
    "shape": ("cube", "sphere", "cylinder"),
    "color": ("gray", "blue", "brown", "yellow", "red", "green", "purple", "cyan"),
}

MAX_NUM_OBJECTS = 10
# The centre of an image of 240x320, which the papers crop to: rows 29 to 221 and
# columns 64 to 256, as (top, bottom, left, right).
CROP = (29, 221, 64, 256)

# The scene spans [-3, 3] on each axis.
COORDS_SCALE = 6.0
COORDS_OFFSET = -3.0


def group_slices():
    """Returns the slice of the features of every group, by name, in order."""
    ends = np.cumsum(list(GROUP_SIZES.values())).tolist()
    return {
        name: slice(end - size, end)
        for (name, size), end in zip(GROUP_SIZES.items(), ends, strict=True)
    }


def encode_coords(coords):
    """Maps positions in CLEVR's units, `[-3, 3]`, to `[0, 1]`: (xyz + 3) / 6.

    Args:
        coords: Float array or tensor of any shape and of any library.

    Returns:
        Values of the same type and shape.
    """
    return (coords - COORDS_OFFSET) / COORDS_SCALE


def decode_coords(coords):
    """Maps positions in `[0, 1]` back to CLEVR's units, as `encode_coords` took them.

    Args:
        coords: Float array or tensor of any shape and of any library.

    Returns:
        Values of the same type and shape.
    """
    return coords * COORDS_SCALE + COORDS_OFFSET


def is_real(elements):
    """Tells which set elements are objects and which are padding.

    Args:
        elements: Array or tensor `[..., 19]`: targets, whose last number is 1 or 0, or
            predictions, whose last number is a probability.

    Returns:
        Boolean array or tensor `[...]`.
    """
    return elements[..., group_slices()["real_object"].start] > 0.5


def feature_weights(**groups):
    """Weights for `hungarian_huber_loss` from one weight for each property group.

    Args:
        **groups: weight of a group by its name in `GROUP_SIZES`; 1 if not given.

    Returns:
        A list of 19 floats.

    Raises:
        ValueError: if a name is not that of a group.

    Example:

    >>> feature_weights(coords=4.0)[:5]
    [4.0, 4.0, 4.0, 1.0, 1.0]
    """
    unknown = sorted(set(groups) - set(GROUP_SIZES))
    if unknown:
        raise ValueError(
            f"Property groups are {', '.join(GROUP_SIZES)}. Received: {unknown}"
        )
    return [
        float(groups.get(name, 1.0))
        for name, size in GROUP_SIZES.items()
        for _ in range(size)
    ]


def likeliest_properties(element):
    """The categories and the position that a set element stands for.

    Args:
        element: Array of 19 numbers in [0, 1], such as a slot's prediction.

    Returns:
        Dictionary of the likeliest `size`, `color`, `material` and `shape`, strings,
        and `coords`, a tuple of three floats in CLEVR's units.

    Raises:
        ValueError: If `element` does not hold 19 numbers.
    """
    element = np.asarray(element, "float64")
    if element.shape != (NUM_FEATURES,):
        raise ValueError(
            f"A set element holds {NUM_FEATURES} numbers. "
            f"Received: an array of shape {element.shape}"
        )
    slices = group_slices()
    properties = {
        name: CATEGORIES[name][int(np.argmax(element[slices[name]]))]
        for name in ("size", "color", "material", "shape")
    }
    return {**properties, "coords": tuple(decode_coords(element[slices["coords"]]))}
