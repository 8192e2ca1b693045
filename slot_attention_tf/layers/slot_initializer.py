"""Initial slots: samples of one learned Gaussian (paper, Section 2.1)."""

import keras
from keras import ops

from slot_attention_tf.layers.arguments import check_positive, check_shape


@keras.saving.register_keras_serializable(package="slot_attention_tf")
class SlotInitializer(keras.layers.Layer):
    """Samples initial slots from a learned Gaussian that all slots share.

    `slots = mu + exp(log_sigma) * noise` with standard normal noise; `mu` and
    `log_sigma`, of shape `[1, 1, D]`, are trained. Because every slot comes from the
    same distribution, slots are exchangeable and their number may differ between calls.

    Any layer with the call arguments `inputs` and `num_slots` can replace it:
    `SlotAttention(..., slot_initializer=my_layer)`. `FixedSlotInitializer` draws the
    noise only once.

    Args:
        slot_size: Integer `D`, the size of a slot, at least 1.
        seed: Optional integer, the seed of the noise.
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor `[B, ...]`. Only its batch size is used.
        num_slots: Integer `K`, at least 1.
        noise: Optional tensor `[B, K, D]` of standard normal noise. Default: new noise
            in every call. Pass it to give each image reproducible initial slots.

    Returns:
        Slots `[B, K, D]` in the compute dtype.

    Raises:
        ValueError: If `num_slots` is not an integer of at least 1, or `noise` has
            another shape.

    Example:

    >>> initializer = SlotInitializer(slot_size=64, seed=0)
    >>> initializer(np.zeros((2, 100, 32)), num_slots=7).shape
    TensorShape([2, 7, 64])

    Reference: Locatello et al. 2020, Algorithm 1 (first line) and Section 2.1.
    """

    def __init__(self, slot_size, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.slot_size = check_positive("slot_size", slot_size)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape):
        self.mu, self.log_sigma = (
            self.add_weight(
                shape=(1, 1, self.slot_size), initializer="glorot_uniform", name=name
            )
            for name in ("slots_mu", "slots_log_sigma")
        )

    def call(self, inputs, num_slots, noise=None):
        num_slots = self._check_call(inputs, num_slots, noise)
        if noise is None:
            noise = keras.random.normal(
                (ops.shape(inputs)[0], num_slots, self.slot_size),
                dtype=self.compute_dtype,
                seed=self.seed_generator,
            )
        return self.from_noise(noise)

    def from_noise(self, noise):
        """Slots `[B, K, D]` from standard normal noise of any shape `[B, K, D]`."""
        return self.mu + ops.exp(self.log_sigma) * noise

    def _check_call(self, inputs, num_slots, noise):
        """Returns `num_slots` as an integer."""
        num_slots = check_positive("num_slots", num_slots)
        if noise is not None:
            expected = (inputs.shape[0] or "batch", num_slots, self.slot_size)
            check_shape("noise", noise.shape, expected, ": [B, num_slots, slot_size]")
        return num_slots

    def compute_output_spec(self, inputs, num_slots, noise=None):
        num_slots = self._check_call(inputs, num_slots, noise)
        shape = (inputs.shape[0], num_slots, self.slot_size)
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def get_config(self):
        config = {"slot_size": self.slot_size, "seed": self.seed}
        return {**super().get_config(), **config}
