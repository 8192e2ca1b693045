"""The Slot Attention module (paper, Algorithm 1)."""

import keras
from keras import ops

from slot_attention_tf.layers.arguments import (
    check_positive,
    check_shape,
)
from slot_attention_tf.layers.dense import Dense
from slot_attention_tf.layers.slot_initializer import SlotInitializer
from slot_attention_tf.layers.softmax import softmax_over_slots


@keras.saving.register_keras_serializable(package="slot_attention_tf")
class SlotAttention(keras.layers.Layer):
    """Groups a set of input features into slots by iterative attention.

    In each of `T` iterations, slots compete for the inputs through a softmax over
    slots. Each slot then takes the weighted mean of its inputs and is updated by a GRU
    and a residual MLP. The result does not depend on the order of the inputs, and
    permuting the initial slots permutes the result (Proposition 1).

    Attention is computed in float32 under mixed precision: with thousands of inputs,
    its normalised weights and `epsilon` are too small for float16.

    Differs from the release in the order of products, not in the result: keys and
    values are never computed (see `step`). This saves arithmetic unless features are
    much wider than slots and `num_iterations * num_slots` exceeds `slot_size`.

    Args:
        num_iterations: Integer `T`, at least 1. The paper trains with 3.
        num_slots: Integer `K`, at least 1.
        slot_size: Integer `D`, at least 1: size of slots, queries, keys and values.
        mlp_hidden_size: Integer, at least 1: hidden units of the residual MLP.
        epsilon: Positive float added to the attention before it is normalised over
            the inputs.
        implicit_differentiation: Boolean. If `True`, gradients flow through the last
            iteration only (Chang et al. 2022), which saves memory and time. The
            initial slots still receive a straight-through gradient. The paper uses
            `False`.
        slot_initializer: Optional layer that returns initial slots `[B, K, D]` when
            called as `slot_initializer(inputs, num_slots=K)`. Default: a
            `SlotInitializer`. A `FixedSlotInitializer` makes results reproducible and
            models exportable.
        seed: Optional integer, the seed of the default `slot_initializer`.
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        inputs: Float tensor `[B, N, D_in]`, a set of `N` features.
        num_slots: Optional integer that replaces the layer's `num_slots`.
        num_iterations: Optional integer that replaces the layer's `num_iterations`.
        initial_slots: Optional tensor `[B, K, D]`. Default: `slot_initializer` gives
            the initial slots.
        mask: Optional boolean tensor `[B, N]`, `True` for inputs to use. Masked inputs
            have no influence, so sets of different sizes can share a batch. Default:
            the Keras mask of `inputs`, if they have one.
        return_attention: Boolean. If `True`, the attention is returned as well.

    Returns:
        Slots `[B, K, D]` in the compute dtype. With `return_attention=True`, the tuple
        `(slots, attention)`: attention `[B, T, N, K]` is float32, with one map per
        iteration that sums to 1 over the `K` slots (to 0 for masked inputs).

    Raises:
        ValueError: If `inputs`, `initial_slots` or `mask` have another shape.

    Example:

    >>> features = np.random.normal(size=(2, 100, 32))
    >>> layer = SlotAttention(3, num_slots=7, slot_size=64, mlp_hidden_size=128)
    >>> layer(features).shape
    TensorShape([2, 7, 64])
    >>> slots, attention = layer(features, num_slots=11, return_attention=True)
    >>> attention.shape
    TensorShape([2, 3, 100, 11])

    Reference: Locatello et al., "Object-Centric Learning with Slot Attention",
    NeurIPS 2020, Section 2.1 and Algorithm 1.
    """

    # Whether `return_attention=True` is possible; `SlotMLP` has no attention.
    has_attention = True

    def __init__(
        self,
        num_iterations,
        num_slots,
        slot_size,
        mlp_hidden_size,
        epsilon=1e-8,
        implicit_differentiation=False,
        slot_initializer=None,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not epsilon > 0:
            raise ValueError(f"`epsilon` must be positive. Received: epsilon={epsilon}")
        self.num_iterations = check_positive("num_iterations", num_iterations)
        self.num_slots = check_positive("num_slots", num_slots)
        self.slot_size = check_positive("slot_size", slot_size)
        self.mlp_hidden_size = check_positive("mlp_hidden_size", mlp_hidden_size)
        self.epsilon = epsilon
        self.implicit_differentiation = implicit_differentiation
        self.seed = seed
        self.input_size = None  # Known from `build` on.

        policy = self.dtype_policy
        self.slot_initializer = slot_initializer or SlotInitializer(
            self.slot_size, seed=seed, dtype=policy, name="slot_initializer"
        )
        self.norm_inputs = _layer_norm("norm_inputs", policy)
        self.norm_slots = _layer_norm("norm_slots", policy)
        self.norm_mlp = _layer_norm("norm_mlp", policy)
        self.project_q = _projection(self.slot_size, "project_q", policy)
        self.project_k = _KeyProjection(self.slot_size, dtype=policy, name="project_k")
        self.project_v = _projection(self.slot_size, "project_v", policy)
        self.gru = keras.layers.GRUCell(self.slot_size, dtype=policy, name="gru")
        self.mlp_hidden = Dense(
            self.mlp_hidden_size, activation="relu", dtype=policy, name="mlp_hidden"
        )
        self.mlp_output = Dense(self.slot_size, dtype=policy, name="mlp_output")

    def build(self, input_shape):
        self._check_inputs(input_shape)
        self.input_size = input_shape[-1]
        slots_shape = (None, None, self.slot_size)
        if not self.slot_initializer.built:  # It is, if it comes from a saved config.
            self.slot_initializer.build(input_shape)
        self.norm_inputs.build(input_shape)
        self.project_k.build(input_shape)
        self.project_v.build(input_shape)
        self.norm_slots.build(slots_shape)
        self.project_q.build(slots_shape)
        self.gru.build((None, self.slot_size))
        self.norm_mlp.build(slots_shape)
        self.mlp_hidden.build(slots_shape)
        self.mlp_output.build((None, None, self.mlp_hidden_size))

    def call(
        self,
        inputs,
        num_slots=None,
        num_iterations=None,
        initial_slots=None,
        mask=None,
        return_attention=False,
        inputs_mask=None,
    ):
        """Runs Algorithm 1; see the class for arguments and results.

        Keras fills in the Keras mask of `inputs`: as `mask` if they are the only
        tensor of the call, otherwise as `inputs_mask`.
        """
        mask = inputs_mask if mask is None else mask
        num_slots, num_iterations = self._resolve(
            inputs, num_slots, num_iterations, initial_slots, mask
        )
        if mask is not None:
            mask = ops.cast(mask, "bool")  # [B, N]
            # Padding may be NaN, and a weight of 0 times NaN is NaN.
            inputs = ops.where(mask[:, :, None], inputs, ops.zeros_like(inputs))
            mask = mask[:, None, :]  # [B, 1, N]

        inputs = self.norm_inputs(inputs)
        if initial_slots is None:
            initial_slots = self.slot_initializer(inputs, num_slots=num_slots)
        slots = initial_slots = ops.cast(initial_slots, self.compute_dtype)

        inputs = ops.cast(inputs, self._attention_dtype)
        attention = []
        for iteration in range(num_iterations):
            if self.implicit_differentiation and iteration == num_iterations - 1:
                # The gradient passes straight through to the initial slots.
                slots = ops.stop_gradient(slots - initial_slots) + initial_slots
            slots, attention_map = self.step(slots, inputs, mask)
            attention.append(attention_map)

        if return_attention:
            attention = ops.stack(attention, axis=1)  # [B, T, K, N]
            return slots, ops.transpose(attention, (0, 1, 3, 2))
        return slots

    def step(self, slots, inputs, mask=None):
        """One iteration of Algorithm 1 (lines 5 to 10).

        Keys and values are never computed: both are linear in the inputs `x`, so
        `q (x Wk)^T = (q Wk^T) x^T` and `a (x Wv) = (a x) Wv`. This applies `Wk` and
        `Wv` to `K` slots instead of `N` inputs.

        Args:
            slots: Tensor `[B, K, D]`.
            inputs: Tensor `[B, N, D_in]`, the normalised inputs.
            mask: Optional boolean tensor `[B, 1, N]`, `True` for inputs to use.

        Returns:
            The tuple `(slots, attention)`: slots `[B, K, D]`, attention `[B, K, N]`.
        """
        slots_prev = slots
        slots = self.norm_slots(slots)
        queries = self.project_q(slots) * self.slot_size**-0.5  # [B, K, D]

        attention = self._compete(self.project_k(queries), inputs)  # [B, K, N]
        if mask is not None:
            attention = ops.where(mask, attention, ops.zeros_like(attention))
        updates = self.project_v(self._weighted_mean(attention, inputs, mask))

        slots = self._gru(updates, slots_prev)
        slots = slots + self.mlp_output(self.mlp_hidden(self.norm_mlp(slots)))
        return slots, attention

    def _compete(self, queries, inputs):
        """Softmax over slots: the slots compete for every input."""
        queries = ops.cast(queries, self._attention_dtype)
        logits = ops.einsum("bkd,bnd->bkn", queries, inputs)
        return softmax_over_slots(logits)

    def _weighted_mean(self, attention, inputs, mask):
        """Mean of all inputs, weighted by each slot's attention."""
        weights = attention + self.epsilon
        if mask is not None:
            weights = ops.where(mask, weights, ops.zeros_like(weights))
        # A set without inputs has no mean: its slots get an update of zero.
        return ops.divide_no_nan(
            ops.matmul(weights, inputs),  # [B, K, D_in]
            ops.sum(weights, axis=2, keepdims=True),
        )

    def _gru(self, updates, slots_prev):
        """Applies the GRU to every slot; a `GRUCell` takes `[B*K, D]` only."""
        shape = ops.shape(slots_prev)
        slots, _ = self.gru(
            ops.reshape(updates, (-1, self.slot_size)),
            [ops.reshape(slots_prev, (-1, self.slot_size))],
        )
        return ops.reshape(slots, shape)

    @property
    def _attention_dtype(self):
        return keras.backend.result_type(self.compute_dtype, "float32")

    def _resolve(self, inputs, num_slots, num_iterations, initial_slots, mask):
        """Number of slots and iterations of this call; all arguments checked."""
        self._check_inputs(inputs.shape)
        batch, size = inputs.shape[0] or "batch", inputs.shape[1] or "inputs"
        if mask is not None:
            check_shape("mask", mask.shape, (batch, size), ", as `inputs` have")
        if num_slots is not None:
            num_slots = check_positive("num_slots", num_slots)
        if initial_slots is not None:
            check_shape(
                "initial_slots",
                initial_slots.shape,
                (batch, num_slots or "num_slots", self.slot_size),
                f" for these `inputs`, num_slots={num_slots} and "
                f"slot_size={self.slot_size}",
            )
            # Unknown in a graph with any number of slots.
            num_slots = initial_slots.shape[1]
        elif num_slots is None:
            num_slots = self.num_slots
        if num_iterations is None:
            num_iterations = self.num_iterations
        return num_slots, check_positive("num_iterations", num_iterations)

    def _check_inputs(self, shape):
        check_shape(
            "inputs",
            shape,
            ("batch", "inputs", self.input_size or "features"),
            ", rank 3 (flatten a feature map with `spatial_flatten`)",
        )

    def compute_mask(self, inputs, previous_mask=None):
        # The mask describes the inputs; no slot is ever masked.
        return None

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.num_slots, self.slot_size)

    def compute_output_spec(
        self,
        inputs,
        num_slots=None,
        num_iterations=None,
        initial_slots=None,
        mask=None,
        return_attention=False,
        inputs_mask=None,
    ):
        mask = inputs_mask if mask is None else mask
        k, t = self._resolve(inputs, num_slots, num_iterations, initial_slots, mask)
        batch, n = inputs.shape[:2]
        slots = keras.KerasTensor((batch, k, self.slot_size), dtype=self.compute_dtype)
        if not return_attention:
            return slots
        attention = keras.KerasTensor((batch, t, n, k), dtype=self._attention_dtype)
        return slots, attention

    def get_config(self):
        config = {
            "num_iterations": self.num_iterations,
            "num_slots": self.num_slots,
            "slot_size": self.slot_size,
            "mlp_hidden_size": self.mlp_hidden_size,
            "epsilon": self.epsilon,
            "implicit_differentiation": self.implicit_differentiation,
            "slot_initializer": keras.saving.serialize_keras_object(
                self.slot_initializer
            ),
            "seed": self.seed,
        }
        return {**super().get_config(), **config}

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        config["slot_initializer"] = keras.saving.deserialize_keras_object(
            config["slot_initializer"]
        )
        return cls(**config)


def _layer_norm(name, policy):
    # 1e-3, the default of Keras, is what the reference release trains with.
    return keras.layers.LayerNormalization(epsilon=1e-3, dtype=policy, name=name)


def _projection(units, name, policy):
    return Dense(units, use_bias=False, dtype=policy, name=name)


class _KeyProjection(keras.layers.Layer):
    """Has the kernel `Wk` `[D_in, D]` of the keys, and applies it to the queries."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.kernel_initializer = keras.initializers.GlorotUniform()

    def build(self, input_shape):
        self.kernel = self.add_weight(
            shape=(input_shape[-1], self.units),
            initializer=self.kernel_initializer,
            name="kernel",
        )

    def call(self, queries):
        return ops.matmul(queries, ops.transpose(self.kernel))  # [B, K, D_in]
