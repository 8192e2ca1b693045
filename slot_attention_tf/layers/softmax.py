"""The softmax over slots, of attention and of masks."""

from keras import ops


def softmax_over_slots(logits):
    """Softmax over axis 1, of any size.

    `ops.softmax` transposes other axes than the last, and warns about a single slot.
    """
    largest = ops.stop_gradient(ops.max(logits, axis=1, keepdims=True))
    weights = ops.exp(logits - largest)
    return weights / ops.sum(weights, axis=1, keepdims=True)
