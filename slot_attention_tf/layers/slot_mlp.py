"""The Slot MLP: the baseline without attention (paper, Section 4)."""

import math

import keras
from keras import ops

from slot_attention_tf.layers.arguments import (
    as_pair,
    as_tuple,
    check_positive,
    check_shape,
    depth,
)
from slot_attention_tf.layers.dense import Dense


@keras.saving.register_keras_serializable(package="slot_attention_tf")
class SlotMLP(keras.layers.Layer):
    """Maps a feature map to an ordered set of slots by one MLP.

    The feature map is resized (bilinear) and flattened to one vector, from which an MLP
    with ReLU computes all slots at once. Unlike with Slot Attention, slots have a fixed
    order and a fixed number, and the result depends on the order of the inputs.

    It is called like `SlotAttention` and can replace it in a model. Call arguments that
    make no sense for one MLP raise an error: another number of slots, iterations,
    initial slots, a mask, attention.

    The paper does not state the sizes of this baseline. Those of `feature_resolution`
    and `hidden_units` are our choice.

    Args:
        num_slots: Integer `K`, at least 1.
        slot_size: Integer `D`, at least 1, the size of a slot.
        resolution: Pair `(H, W)`, the size of the feature map before it was flattened.
            For a `ConvEncoder`, it is `encoder.feature_resolution`.
        feature_resolution: Pair, the size that the feature map is resized to.
        hidden_units: Integers, units of the hidden layers.
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        inputs: Float tensor `[B, H * W, D_in]`, a flattened feature map.
        num_slots: `None` or the layer's own `num_slots`.
        num_iterations: `None`.
        initial_slots: `None`.
        mask: `None`; `inputs` must not carry a Keras mask either.
        return_attention: `False`. The attribute `has_attention` tells whether a layer
            can return attention.

    Returns:
        Slots `[B, K, D]` in the compute dtype.

    Raises:
        ValueError: If `inputs` have another shape, or a call argument has another
            value.

    Example:

    >>> features = np.random.normal(size=(2, 35 * 35, 32))
    >>> layer = SlotMLP(num_slots=4, slot_size=64, resolution=(35, 35))
    >>> layer(features).shape
    TensorShape([2, 4, 64])

    Reference: Locatello et al., "Object-Centric Learning with Slot Attention",
    NeurIPS 2020, Section 4.
    """

    has_attention = False
    num_iterations = None

    def __init__(
        self,
        num_slots,
        slot_size,
        resolution,
        feature_resolution=(16, 16),
        hidden_units=(512, 512),
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_slots = check_positive("num_slots", num_slots)
        self.slot_size = check_positive("slot_size", slot_size)
        self.resolution = as_pair("resolution", resolution)
        self.feature_resolution = as_pair("feature_resolution", feature_resolution)
        self.hidden_units = as_tuple(
            "hidden_units", hidden_units, depth("hidden_units", hidden_units)
        )
        self.input_size = None  # Known from `build` on.

        policy = self.dtype_policy
        self.hidden = [
            Dense(units, activation="relu", dtype=policy, name=f"hidden_{i}")
            for i, units in enumerate(self.hidden_units)
        ]
        self.output_dense = Dense(
            self.num_slots * self.slot_size, dtype=policy, name="output_dense"
        )

    def build(self, input_shape):
        self._check_inputs(input_shape)
        size = math.prod(self.feature_resolution) * input_shape[-1]
        for dense in [*self.hidden, self.output_dense]:
            dense.build((None, size))
            size = dense.units
        self.input_size = input_shape[-1]

    def call(
        self,
        inputs,
        num_slots=None,
        num_iterations=None,
        initial_slots=None,
        mask=None,
        return_attention=False,
    ):
        self._check_inputs(inputs.shape)
        self._check_arguments(
            num_slots, num_iterations, initial_slots, mask, return_attention
        )
        x = ops.reshape(inputs, (-1, *self.resolution, self.input_size))
        x = ops.image.resize(
            x, self.feature_resolution, "bilinear", data_format="channels_last"
        )
        x = ops.reshape(x, (-1, math.prod(self.feature_resolution) * self.input_size))
        for dense in self.hidden:
            x = dense(x)
        x = self.output_dense(x)
        return ops.reshape(x, (-1, self.num_slots, self.slot_size))

    def _check_inputs(self, shape):
        height, width = self.resolution
        check_shape(
            "inputs",
            shape,
            ("batch", height * width, self.input_size or "features"),
            f": a feature map of `resolution` {self.resolution}, flattened",
        )

    def _check_arguments(
        self, num_slots, num_iterations, initial_slots, mask, return_attention
    ):
        if num_slots is not None and check_positive("num_slots", num_slots) != (
            self.num_slots
        ):
            raise ValueError(
                f"The weights of this SlotMLP give {self.num_slots} slots, in a fixed "
                "order: build another for another number, or use SlotAttention. "
                f"Received: num_slots={num_slots}"
            )
        refused = {
            "num_iterations": (num_iterations, "it computes slots in one pass"),
            "initial_slots": (initial_slots, "its slots come from the inputs alone"),
            "mask": (mask, "its MLP reads the whole feature map"),
            "return_attention": (return_attention or None, "it computes no attention"),
        }
        for name, (value, reason) in refused.items():
            if value is not None:
                shape = getattr(value, "shape", None)
                received = (
                    f"{name}={value}" if shape is None else f"{name}.shape={shape}"
                )
                raise ValueError(
                    f"SlotMLP takes no `{name}`: {reason}. Leave it out, or use "
                    f"SlotAttention. Received: {received}"
                )

    def compute_output_shape(self, input_shape):
        self._check_inputs(input_shape)
        return (input_shape[0], self.num_slots, self.slot_size)

    def compute_output_spec(
        self,
        inputs,
        num_slots=None,
        num_iterations=None,
        initial_slots=None,
        mask=None,
        return_attention=False,
    ):
        self._check_arguments(
            num_slots, num_iterations, initial_slots, mask, return_attention
        )
        shape = self.compute_output_shape(inputs.shape)
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def get_config(self):
        config = {
            "num_slots": self.num_slots,
            "slot_size": self.slot_size,
            "resolution": self.resolution,
            "feature_resolution": self.feature_resolution,
            "hidden_units": self.hidden_units,
        }
        return {**super().get_config(), **config}
