"""Checks that several layers share."""

import operator


def check_positive(name, value):
    """Returns `value` as an `int`; raises ValueError unless it is at least 1."""
    try:
        number = operator.index(value)  # Takes NumPy's integers, refuses floats.
    except (TypeError, ValueError):
        number = 0
    if number < 1:
        raise ValueError(
            f"`{name}` must be an integer of at least 1. Received: {name}={value!r}"
        )
    return number


def as_pair(name, value):
    """Returns `(height, width)` from a pair of integers of at least 1."""
    if not hasattr(value, "__len__") or len(value) != 2:
        raise ValueError(
            f"`{name}` must be a pair (height, width). Received: {name}={value!r}"
        )
    return as_tuple(name, value, 2)


def as_tuple(name, value, length):
    """Returns `length` integers of at least 1 from one integer or a sequence."""
    values = tuple(value) if hasattr(value, "__len__") else (value,) * length
    if len(values) != length:
        raise ValueError(
            f"`{name}` must be one integer or {length} of them, one per layer. "
            f"Received: {name}={value!r}"
        )
    try:
        return tuple(check_positive(name, each) for each in values)
    except ValueError:
        raise ValueError(
            f"`{name}` must consist of integers of at least 1. "
            f"Received: {name}={value!r}"
        ) from None


def depth(name, value):
    """Returns the number of layers that the sequence `value` describes."""
    if not hasattr(value, "__len__") or len(value) < 1:
        raise ValueError(
            f"`{name}` must list one integer per layer, at least one. "
            f"Received: {name}={value!r}"
        )
    return len(value)


def check_shape(name, shape, expected, advice=""):
    """Raises ValueError unless a tensor's shape is the expected one.

    Args:
        name: String, the name of the tensor.
        shape: Its static shape; `None` for a size that is not known yet.
        expected: Sequence of integers, and of strings that name sizes which may have
            any value but 0.
        advice: String, what to do about a wrong shape: `": flatten it first"`.
    """
    shape = tuple(shape)
    if len(shape) != len(expected) or not all(
        size is None or (size > 0 if isinstance(want, str) else size == want)
        for size, want in zip(shape, expected, strict=True)
    ):
        empty = ", none of them 0" if 0 in shape else ""
        raise ValueError(
            f"`{name}` must have the shape [{', '.join(map(str, expected))}]{empty}"
            f"{advice}. Received: {name}.shape={shape}"
        )
