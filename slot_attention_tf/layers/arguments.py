"""Checks that several layers share."""

from numbers import Integral


def check_positive(name, value):
    """Raises ValueError unless `value` is an integer of at least 1."""
    if not isinstance(value, Integral) or value < 1:
        raise ValueError(
            f"`{name}` must be an integer of at least 1. Received: {name}={value!r}"
        )


def as_pair(name, value):
    """Returns `(height, width)` from a pair of integers of at least 1."""
    if not hasattr(value, "__len__") or len(value) != 2:
        raise ValueError(
            f"`{name}` must be a pair (height, width). Received: {name}={value!r}"
        )
    if min(value) < 1:
        raise ValueError(
            f"`{name}` must be a pair of integers of at least 1. "
            f"Received: {name}={value!r}"
        )
    return int(value[0]), int(value[1])


def as_tuple(name, value, length):
    """Returns `length` integers of at least 1 from one integer or a sequence."""
    values = (value,) * length if isinstance(value, Integral) else tuple(value)
    if len(values) != length:
        raise ValueError(
            f"`{name}` must be one integer or {length} of them, one per layer. "
            f"Received: {name}={value!r}"
        )
    for each in values:
        check_positive(name, each)
    return values


def depth(name, value):
    """Returns the number of layers that the sequence `value` describes."""
    if not hasattr(value, "__len__") or len(value) < 1:
        raise ValueError(
            f"`{name}` must list one integer per layer, at least one. "
            f"Received: {name}={value!r}"
        )
    return len(value)
