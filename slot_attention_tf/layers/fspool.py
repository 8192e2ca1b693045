"""From a set to a vector: featurewise sort pooling, and an encoder that ends in it."""

import keras
from keras import ops

from slot_attention_tf.layers.arguments import check_positive
from slot_attention_tf.layers.dense import Dense


@keras.saving.register_keras_serializable(package="slot_attention_tf")
class FSPool(keras.layers.Layer):
    """Pools a set to a vector by sorting each feature over the set.

    Each feature is sorted in descending order; the sorted values are added up with
    learned weights. The weights of a feature are a piecewise linear function over
    `[0, 1]`, read at `i / (n - 1)` for the `i`-th largest of `n` values, so sets of any
    size can be pooled. With as many knots as elements, each rank has a weight of its
    own.

    Differs from the paper in that all sets of a batch have the same size.

    Args:
        num_knots: Integer, at least 2: where the piecewise linear function bends, both
            ends included.
        initializer: Initializer of the values at the knots. Default: normal, with
            standard deviation 1.
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        inputs: Float tensor `[..., n, F]`.

    Returns:
        Float tensor `[..., F]`.

    Example:

    >>> tuple(FSPool()(np.zeros((2, 10, 64))).shape)
    (2, 64)

    Reference: Zhang et al., "FSPool: Learning Set Representations with Featurewise Sort
    Pooling", ICLR 2020, Section 3.
    """

    def __init__(self, num_knots=21, initializer=None, **kwargs):
        super().__init__(**kwargs)
        check_positive("num_knots", num_knots)
        if num_knots < 2:
            raise ValueError(
                "A piecewise linear function needs at least 2 knots, its ends. "
                f"Received: num_knots={num_knots}"
            )
        self.num_knots = int(num_knots)
        self.initializer = keras.initializers.get(
            initializer or keras.initializers.RandomNormal(stddev=1.0)
        )

    def build(self, input_shape):
        if len(input_shape) < 2:
            raise ValueError(
                "Sets must have the shape [..., elements, features]. "
                f"Received: inputs.shape={tuple(input_shape)}"
            )
        self.knots = self.add_weight(
            shape=(self.num_knots, input_shape[-1]),
            initializer=self.initializer,
            name="knots",
        )

    def call(self, inputs):
        # A sort's own derivative is not twice differentiable on every backend; indices
        # are constants, and what they select is linear.
        order = ops.stop_gradient(ops.argsort(-inputs, axis=-2))
        ordered = ops.take_along_axis(inputs, order, axis=-2)  # [..., n, F]
        return ops.sum(ordered * self._weights(ops.shape(inputs)[-2]), axis=-2)

    def _weights(self, num_elements):
        """The weight of each rank, `[n, F]`."""
        dtype = self.compute_dtype
        last = ops.cast(ops.maximum(num_elements - 1, 1), dtype)
        ranks = ops.cast(ops.arange(num_elements), dtype) / last  # In [0, 1].
        knots = ops.cast(ops.arange(self.num_knots), dtype)
        distances = ops.abs(ranks[:, None] * (self.num_knots - 1) - knots)
        interpolation = ops.relu(1 - distances)  # [n, num_knots]
        return ops.matmul(interpolation, ops.cast(self.knots, dtype))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-2], input_shape[-1])

    def get_config(self):
        config = {
            "num_knots": self.num_knots,
            "initializer": keras.initializers.serialize(self.initializer),
        }
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable(package="slot_attention_tf")
class SetEncoder(keras.layers.Layer):
    """Encodes a set to a vector that does not depend on the order of the elements.

    An MLP with one hidden layer reads each ordered pair of elements, pairs of an
    element with itself included, or each element alone. `FSPool` pools its outputs.

    With pairs this is DSPN's encoder for CLEVR, which divides the outputs by the number
    of pairs before pooling. Without pairs it is iDSPN's, which divides the initial
    weights of FSPool by the square root of `num_knots` instead.

    Args:
        hidden_size: Integer, hidden units of the MLP.
        output_size: Integer `L`, the size of the vector.
        pairs: Boolean, whether the MLP reads pairs.
        num_knots: Integer, see `FSPool`. iDSPN has as many as the set has elements.
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        inputs: Float tensor `[B, n, P]`.

    Returns:
        Float tensor `[B, L]`.

    Example:

    >>> tuple(SetEncoder()(np.zeros((2, 10, 19))).shape)
    (2, 512)

    Reference: Zhang et al., "Deep Set Prediction Networks", NeurIPS 2019, Section 4.3;
    sizes as in the papers' code.
    """

    def __init__(
        self, hidden_size=512, output_size=512, pairs=True, num_knots=21, **kwargs
    ):
        super().__init__(**kwargs)
        check_positive("hidden_size", hidden_size)
        check_positive("output_size", output_size)
        self.hidden_size = int(hidden_size)
        self.output_size = int(output_size)
        self.pairs = bool(pairs)
        policy = self.dtype_policy
        self.hidden = Dense(
            self.hidden_size, activation="relu", dtype=policy, name="hidden"
        )
        self.output_layer = Dense(self.output_size, dtype=policy, name="output")
        stddev = 1.0 if self.pairs else num_knots**-0.5
        self.pool = FSPool(
            num_knots,
            keras.initializers.RandomNormal(stddev=stddev),
            dtype=policy,
            name="pool",
        )

    def build(self, input_shape):
        if len(input_shape) != 3:
            raise ValueError(
                "Sets must have the shape [batch, elements, features]. "
                f"Received: inputs.shape={tuple(input_shape)}"
            )
        batch, _, width = input_shape
        self.hidden.build((batch, None, 2 * width if self.pairs else width))
        self.output_layer.build((batch, None, self.hidden_size))
        self.pool.build((batch, None, self.output_size))

    def call(self, inputs):
        if not self.pairs:
            return self.pool(self.output_layer(self.hidden(inputs)))  # [B, L]
        pairs = _ordered_pairs(inputs)  # [B, n * n, 2 P]
        encoded = self.output_layer(self.hidden(pairs))  # [B, n * n, L]
        return self.pool(encoded / ops.cast(ops.shape(pairs)[1], encoded.dtype))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.output_size)

    def get_config(self):
        config = {
            "hidden_size": self.hidden_size,
            "output_size": self.output_size,
            "pairs": self.pairs,
            "num_knots": self.pool.num_knots,
        }
        return {**super().get_config(), **config}


def _ordered_pairs(elements):
    """All pairs of elements, each with itself too: `[B, n, P]` to `[B, n * n, 2 P]`."""
    n, width = ops.shape(elements)[1], elements.shape[-1]
    first = ops.repeat(elements, n, axis=1)
    second = ops.tile(elements, (1, n, 1))
    return ops.reshape(
        ops.concatenate([first, second], axis=-1), (-1, n * n, 2 * width)
    )
